//! The tour in the README is true: every command in it runs, and answers what it says.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::cli::Serving;

/// The shell blocks of the README's tour, one after the other.
fn tour() -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let tour = readme.split("\n## Tour\n").nth(1).unwrap().split("\n## ").next().unwrap();
    tour.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// A script that runs the commands and stops at the first that does not answer what it says, and how many it checks.
pub(crate) fn script(tour: &str) -> (String, usize) {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let (mut script, mut checks) = ("set -u\n".to_owned(), 0);
    let mut lines = tour.lines().filter(|line| !line.is_empty()).peekable();
    while let Some(command) = lines.next() {
        match lines.next_if(|next| next.starts_with("# → ")) {
            None => writeln!(script, "{command}").unwrap(),
            Some(answer) => {
                let expected = quoted(answer.trim_start_matches("# → "));
                let told = quoted(command);
                writeln!(script, "answer=$({command})\ncase \"$answer\" in").unwrap();
                writeln!(script, "*{expected}*) ;;\n*) printf '%s\\n' {told} \"$answer\" >&2; exit 1 ;;\nesac")
                    .unwrap();
                checks += 1;
            }
        }
    }
    (script, checks)
}

#[test]
fn every_command_of_the_tour_answers_what_it_says() {
    let curl = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    if !curl.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: the tour needs curl, which is not installed; tests/run installs it");
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = Serving::start(folder.path(), &[]);
    let localhost = server.base.replace("127.0.0.1", "localhost");
    let (script, checks) = script(&tour().replace("http://localhost:8000", &localhost));
    assert!(checks >= 30, "{checks}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PASSWORD", server.password())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
}
