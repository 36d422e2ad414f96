//! Everything out and back in: an export is whole, private, and restores to the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::program;
use crate::harness::{Options, Server};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

#[track_caller]
fn fine(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    said
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], expected: &str) {
    let output = run(folder, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?}: {said}");
}

/// All lines but the first, which holds the time and the epoch.
fn records(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(serde_json::from_str::<Value>(first).unwrap()["signet_export"], 1);
    rest.to_owned()
}

/// A folder whose store holds users, groups and permissions with a history.
async fn lived_in() -> (TempDir, String) {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    server.group("editors", &["polls.vote"]).await;
    let members = json!({ "groups": ["editors"], "user_permissions": ["polls.close"], "email": "bob@example.com" });
    let (bob, id) = server.user("bob", members).await;
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "first_name": "Bob", "is_staff": true })).await.is(StatusCode::OK);
    let cookie = bob.cookie.clone().unwrap();
    (server.stop().await, cookie)
}

#[tokio::test]
async fn an_export_restores_to_the_same_bytes() {
    let (folder, _) = lived_in().await;
    let folder = folder.path();
    fine(folder, &["export", "one.jsonl"]);
    assert_eq!(fs::metadata(folder.join("one.jsonl")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.join("one.part").exists());
    let said = fine(folder, &["import", "signet", "one.jsonl", "--data", "new"]);
    assert!(said.contains("nothing was written"), "{said}");
    assert!(!folder.join("new").exists());
    let said = fine(folder, &["import", "signet", "one.jsonl", "--data", "new", "--apply"]);
    assert!(said.contains("ends every session"), "{said}");
    fine(folder, &["export", "two.jsonl", "--data", "new"]);
    assert_eq!(records(&folder.join("one.jsonl")), records(&folder.join("two.jsonl")));
    assert!(records(&folder.join("one.jsonl")).contains("\"version\":1"), "a history is in it");
    // Once more changes nothing, the epoch included.
    fine(folder, &["import", "signet", "one.jsonl", "--data", "new", "--apply"]);
    fine(folder, &["export", "three.jsonl", "--data", "new"]);
    let epoch = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["epoch"].as_u64().unwrap()
    };
    assert_eq!(epoch("one.jsonl"), 0);
    assert!(epoch("two.jsonl") > 1_700_000_000, "the time, which no epoch was of before");
    assert_eq!(epoch("two.jsonl"), epoch("three.jsonl"));
}

#[tokio::test]
async fn a_restore_ends_every_session_of_before() {
    let (folder, cookie) = lived_in().await;
    fine(folder.path(), &["export", "one.jsonl"]);
    // The same keys, so that the signature still verifies.
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    fine(folder.path(), &["import", "signet", "one.jsonl", "--apply"]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    assert!(!server.with_cookie(&cookie).is_somebody().await);
    let mut bob = server.log_in("bob").await;
    assert!(bob.may("polls.vote").await && bob.may("polls.close").await);
}

#[tokio::test]
async fn a_restore_revives_no_session_that_ended_after_the_backup() {
    let (folder, _) = lived_in().await;
    fine(folder.path(), &["export", "one.jsonl"]);
    // Everything ends, some begin again and end; of neither does the backup know.
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let mut dead = Vec::new();
    for _ in 0..3 {
        server.admin().await.post("/v1/epoch", Value::Null).await.is(StatusCode::NO_CONTENT);
        let mut bob = server.log_in("bob").await;
        dead.push(bob.cookie.clone().unwrap());
        bob.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    }
    let folder = server.stop().await;
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    fine(folder.path(), &["import", "signet", "one.jsonl", "--apply"]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    for cookie in dead {
        assert!(!server.with_cookie(&cookie).is_somebody().await);
    }
}

#[tokio::test]
async fn an_export_that_was_cut_or_changed_is_refused() {
    let (folder, _) = lived_in().await;
    let folder = folder.path();
    fine(folder, &["export", "whole.jsonl"]);
    let whole = fs::read_to_string(folder.join("whole.jsonl")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let write = |text: String| fs::write(folder.join("bad.jsonl"), text).unwrap();
    for cut in 1..lines.len() {
        write(lines[..cut].join("\n") + "\n");
        refused(folder, &["import", "signet", "bad.jsonl", "--data", "new", "--apply"], "cut");
    }
    write(whole.replace("\"is_superuser\":false", "\"is_superuser\":true"));
    refused(folder, &["import", "signet", "bad.jsonl", "--data", "new", "--apply"], "checksum");
    write(whole.replace("\"signet_export\":1", "\"signet_export\":2"));
    refused(folder, &["import", "signet", "bad.jsonl", "--data", "new", "--apply"], "version 2");
    write("{}\n".to_owned());
    refused(folder, &["import", "signet", "bad.jsonl", "--data", "new", "--apply"], "no export");
    refused(folder, &["export", "--data", "nowhere"], "no store");
    assert!(!folder.join("new").exists() && !folder.join("nowhere").exists());
}
