//! What comes into the build: no unsafe code of ours, no crate that was shut out, no exception without a reason and a day.
//!
//! `cargo deny` judges more, where it is installed; this is what has to hold everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use chrono::NaiveDate;
use spdx::{Expression, ParseMode};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// One crate of a lock file.
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    has_checksum: bool,
    needs: BTreeSet<String>,
}

fn locked(name: &str) -> Vec<Locked> {
    let text = file(name);
    let parse = |block: &str| {
        let member = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let needed =
            |line: &str| line.strip_prefix(" \"").map(|line| line.split(['"', ' ']).next().unwrap().to_owned());
        Locked {
            name: member("name").unwrap(),
            version: member("version").unwrap(),
            source: member("source"),
            has_checksum: member("checksum").is_some(),
            needs: block.lines().filter_map(needed).collect(),
        }
    };
    let crates: Vec<Locked> = text.split("[[package]]\n").skip(1).map(parse).collect();
    assert!(crates.len() > 100, "{name} is not understood");
    crates
}

/// The entries of a list of `deny.toml`: each is one line, `{ crate = "…", reason = "…" }`.
fn listed(list: &str) -> Vec<(String, String)> {
    let text = file("deny.toml");
    let begin = text.find(&format!("\n{list} = [\n")).unwrap_or_else(|| panic!("deny.toml has no {list}"));
    let inside = text[begin..].lines().skip(2).take_while(|line| *line != "]").filter(|line| line.starts_with("  {"));
    let quoted = |line: &str| {
        let parts: Vec<_> = line.split('"').collect();
        assert_eq!(parts.len(), 5, "not an entry with a reason: {line}");
        (parts[1].to_owned(), parts[3].to_owned())
    };
    inside.map(quoted).collect()
}

#[test]
fn no_code_of_ours_is_unsafe_or_wraps_unseen() {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let text = file(manifest);
        let lints = text.split("[lints.rust]\n").nth(1).unwrap_or_else(|| panic!("{manifest} has no lints"));
        let lints: Vec<_> = lints.lines().take_while(|line| !line.starts_with('[')).collect();
        // What is forbidden cannot be allowed anywhere below.
        assert!(lints.contains(&"unsafe_code = \"forbid\""), "{manifest}: {lints:?}");
    }
    let manifest = file("Cargo.toml");
    let release = manifest.split("[profile.release]\n").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(release.contains("\noverflow-checks = true\n"), "a count that wraps goes unseen in a release");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(!root.join("build.rs").exists(), "a build script runs before anything is judged");
}

#[test]
fn every_crate_is_locked_and_from_the_one_registry() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        for Locked { name, version, source, has_checksum, .. } in locked(lock) {
            match source {
                Some(source) => {
                    assert!(source.starts_with("registry+"), "{lock}: {name} {version} is from {source}");
                    assert!(has_checksum, "{lock}: {name} {version} has no checksum");
                }
                None => assert!(name.starts_with("signet"), "{lock}: {name} {version} is from a folder"),
            }
        }
    }
    for line in file("tests/run").lines().filter(|line| line.contains("cargo test") || line.contains("cargo build")) {
        assert!(!line.starts_with("step") || line.contains("--locked"), "tests/run: {line}");
    }
}

#[test]
fn nothing_that_is_shut_out_comes_in() {
    let crates = locked("Cargo.lock");
    let shut_out = listed("deny");
    for name in ["rsa", "ring", "openssl", "openssl-sys", "native-tls"] {
        assert!(shut_out.iter().any(|(entry, _)| entry == name), "deny.toml lets {name} in");
    }
    // Entries with a version are about that crate's versions, which Cargo.toml decides.
    for (name, reason) in shut_out.iter().filter(|(name, _)| !name.contains(':') && name != "ring") {
        let users: Vec<_> = crates.iter().filter(|one| one.needs.contains(name)).map(|one| &one.name).collect();
        assert!(!crates.iter().any(|one| one.name == *name), "{name} comes with {users:?}: {reason}");
    }
    // Cargo locks what a feature that is off could bring. ring is named by crates that are built with aws-lc-rs.
    let with_ring: Vec<_> = crates.iter().filter(|one| one.needs.contains("ring")).map(|one| &*one.name).collect();
    assert!(with_ring.iter().all(|name| ["quinn-proto", "rustls-webpki"].contains(name)), "ring: {with_ring:?}");
    let tree = tree("{p}");
    let built: BTreeSet<_> = tree.iter().filter_map(|line| line.split(' ').next()).collect();
    assert!(built.contains("aws-lc-rs") && built.contains("rustls-webpki"), "the tree is not understood");
    for (name, reason) in shut_out.iter().filter(|(name, _)| !name.contains(':')) {
        assert!(!built.contains(name.as_str()), "{name} is built: {reason}");
    }
}

/// A line for each crate that is built, for tests and benches too.
fn tree(format: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "all", "--all-features", "--prefix", "none"])
        .args(["--format", format])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines()
        .filter(|line| !line.is_empty() && !line.contains(" feature \""))
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect()
}

#[test]
fn every_licence_is_one_of_those_that_are_allowed() {
    let text = file("deny.toml");
    let list = text.split("\nallow = [\n").nth(1).unwrap().split("\n]").next().unwrap();
    let allowed: BTreeSet<&str> = list.lines().map(|line| line.trim().trim_matches([',', '"'])).collect();
    assert!(allowed.contains("MIT") && !allowed.iter().any(|name| name.contains("GPL")), "{allowed:?}");
    let lines = tree("{p}\t{l}");
    assert!(lines.len() > 100);
    for line in &lines {
        let (what, licence) = line.split_once('\t').unwrap();
        if what.starts_with("signet ") {
            continue;
        }
        let licence = Expression::parse_mode(licence, ParseMode::LAX).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert!(licence.evaluate(|wanted| allowed.contains(wanted.to_string().as_str())), "{what}: {licence}");
    }
}

#[test]
fn a_crate_comes_in_two_versions_only_for_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in locked("Cargo.lock") {
        versions.entry(one.name).or_default().insert(one.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    // Signet is not built for Windows.
    versions.retain(|name, _| !name.starts_with("windows"));
    let excused: BTreeSet<_> = listed("skip").into_iter().map(|(entry, _)| entry).collect();
    for (name, versions) in &versions {
        let is_excused = |version: &String| {
            let prefix = |entry: &String| entry.strip_prefix(&format!("{name}:")).map(|old| format!("{old}."));
            excused.iter().filter_map(prefix).any(|old| version.starts_with(&old))
        };
        let left: Vec<_> = versions.iter().filter(|version| !is_excused(version)).collect();
        assert!(left.len() <= 1, "{name} comes as {versions:?}; say in deny.toml why, or bring them together");
    }
    for entry in &excused {
        let name = entry.split(':').next().unwrap();
        assert!(versions.contains_key(name), "deny.toml excuses {entry}, which comes once");
    }
}

#[test]
fn every_exception_says_until_when_and_why() {
    let exceptions: Vec<_> = [listed("ignore"), listed("skip")].concat();
    assert!(exceptions.len() > 5);
    for (what, reason) in exceptions {
        // Whether the day is over is told by tests/run: what passed once passes for ever.
        let (day, why) = reason.strip_prefix("until ").and_then(|rest| rest.split_once(": ")).unwrap_or_default();
        assert!(day.parse::<NaiveDate>().is_ok() && !why.is_empty(), "{what}: no day or no reason: {reason}");
    }
}
