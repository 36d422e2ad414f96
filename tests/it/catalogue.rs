//! The catalogue of attacks as `tests/README.md` tells it: every entry has its row, and the tests of every row are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The entries. The letters are between A59 and A60: what a browser or a connection is made to do.
fn entries() -> BTreeSet<String> {
    let numbers = (1..=34).chain(41..=95).map(|n| format!("A{n}"));
    numbers.chain(["b", "c", "d", "e", "f"].map(|letter| format!("A59{letter}"))).collect()
}

/// The cells of the rows that begin with an entry: the entry, the attack, the right answer, the tests.
fn rows(page: &str) -> BTreeMap<String, [String; 4]> {
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| A")) {
        let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let cells: [String; 4] = cells.try_into().unwrap_or_else(|cells| panic!("four cells: {cells:?}"));
        assert!(rows.insert(cells[0].clone(), cells).is_none(), "twice: {line}");
    }
    rows
}

/// The text of a file of the project.
fn file(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// Whether there is such a test: `file::name` in `tests/it/file.rs`, `folder::file::name` in `tests/it/folder/file.rs`,
/// `src/file.rs::name` in the program itself,
/// `tests/folder::name` in any file of the folder.
fn is_there(test: &str) -> bool {
    let Some((place, name)) = test.rsplit_once("::") else { return false };
    if place.starts_with("tests/") {
        let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(place)).into_iter().flatten().flatten();
        return files.filter_map(|entry| fs::read_to_string(entry.path()).ok()).any(|text| text.contains(name));
    }
    let path =
        if place.starts_with("src/") { place.to_owned() } else { format!("tests/it/{}.rs", place.replace("::", "/")) };
    let text = file(&path).unwrap_or_default();
    let Some((above, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    // A function without the attribute is never run.
    let last = above.trim_end().trim_end_matches("async").trim_end().rsplit('\n').next().unwrap_or_default().trim();
    last == "#[test]" || last.starts_with("#[tokio::test")
}

#[test]
fn every_entry_has_its_row_and_the_tests_of_every_row_are_there() {
    let page = file("tests/README.md").unwrap();
    let rows = rows(&page);
    let found: BTreeSet<String> = rows.keys().cloned().collect();
    let (lacking, strange): (Vec<_>, Vec<_>) =
        entries().symmetric_difference(&found).cloned().partition(|entry| !found.contains(entry));
    assert!(lacking.is_empty() && strange.is_empty(), "no row: {lacking:?}; no entry: {strange:?}");
    let mut faults = Vec::new();
    for (entry, [_, attack, answer, tests]) in &rows {
        if attack.split_whitespace().count() > 14 || answer.is_empty() {
            faults.push(format!("{entry}: the attack in a few words, and the right answer"));
        }
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            faults.push(format!("{entry}: no test"));
        }
        faults.extend(tests.iter().filter(|test| !is_there(test)).map(|test| format!("{entry}: no test {test}")));
    }
    // So does the table of requirements.
    let security = file("SECURITY.md").unwrap();
    let named = security.split('`').skip(1).step_by(2).filter(|name| name.contains("::"));
    faults.extend(named.filter(|test| !is_there(test)).map(|test| format!("SECURITY.md: no test {test}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The judge itself: what is not there is not found, nor a function that is no test.
    assert!(is_there("catalogue::every_entry_has_its_row_and_the_tests_of_every_row_are_there"));
    assert!(!is_there("catalogue::is_there") && !is_there("catalogue::nothing") && !is_there("nowhere::nothing"));
}
