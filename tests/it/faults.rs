//! What must survive: a full disk, a damaged store, a broken key, a process that was stopped.
//!
//! These tests run the program itself, on folders of their own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::PASSWORD;
use crate::program::{Door, PATIENCE, Program, command, cut_a_start_short, random};

#[tokio::test]
async fn a_first_start_that_was_cut_short_can_be_made_again() {
    for _ in 0..8 {
        let folder = TempDir::new().unwrap();
        for _ in 0..4 {
            cut_a_start_short(folder.path()).await;
        }
        let program = Program::start(folder.path());
        assert_eq!(program.door().anonymous().log_in("admin", PASSWORD).await, Some(200));
    }
    // The states between which the store's folder is made.
    let whole = TempDir::new().unwrap();
    Program::start(whole.path()).stop();
    for lacking in [vec!["signet-store"], vec!["signet-store", "db"], vec!["signet-store", "db", "conf"]] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("blobs")).unwrap();
        for name in ["conf", "db", "signet-store"] {
            if !lacking.contains(&name) {
                fs::copy(whole.path().join("data").join(name), data.join(name)).unwrap();
            }
        }
        let program = Program::start(folder.path());
        assert_eq!(program.door().anonymous().log_in("admin", PASSWORD).await, Some(200));
        program.stop();
        // From now on it is a store like any other: it is not begun a second time.
        fs::write(data.join("db"), "").unwrap();
        refused(&mut command(folder.path()), "the store in ");
    }
}

#[tokio::test]
async fn files_that_a_killed_start_left_half_written_do_not_prevent_the_next_one() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    Program::start(folder.path()).stop();
    let named = |wanted: fn(&str) -> bool| {
        let names = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| wanted(name)).collect::<Vec<_>>()
    };
    let cut = |bytes: &[u8]| [0, 1, bytes.len() / 2, bytes.len() - 1].map(|end| bytes[..end].to_vec());
    // A snapshot is written under a name of its own, and takes the last one's place when it is whole.
    drop(Program::start(folder.path()));
    let snapshot = fs::read(data.join(&named(|name| name.starts_with("snap."))[0])).unwrap();
    for half in cut(&snapshot) {
        fs::write(data.join(format!("snap.{:016X}.generating", u32::MAX)), half).unwrap();
        let program = Program::start(folder.path());
        assert_eq!(program.door().anonymous().log_in("admin", PASSWORD).await, Some(200));
        program.stop();
        assert!(named(|name| name.ends_with(".generating")).is_empty());
    }
    // The settings are written in place, before there is anything else.
    for half in cut(&fs::read(data.join("conf")).unwrap()) {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("blobs")).unwrap();
        fs::write(data.join("conf"), half).unwrap();
        Program::start(folder.path()).stop();
    }
}

mod clock;
mod disk;
mod process;
mod repair;
mod steps;

/// Runs the program, which must end with exit code 1 and one line that says why.
#[track_caller]
fn refused(command: &mut Command, why: &str) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("signet: ") && lines[0].contains(why), "{text}");
    assert!(output.stdout.is_empty(), "it says that it listens");
}

/// A way to damage a file that has these bytes.
type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;

#[tokio::test]
async fn a_damaged_store_is_refused_and_never_replaced_by_an_emptier_one() {
    let whole = TempDir::new().unwrap();
    let program = Program::start(whole.path());
    let door = program.door();
    for round in 0..20 {
        let mut caller = door.anonymous();
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": round })).await.unwrap();
        caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    }
    drop(door);
    program.stop();
    let damages: [(&str, Damage); 9] = [
        ("removed", |_| None),
        ("emptied", |_| Some(Vec::new())),
        ("cut in half", |db| Some(db[..db.len() / 2].to_vec())),
        ("cut after three quarters", |db| Some(db[..db.len() / 4 * 3].to_vec())),
        ("cut before the last bytes", |db| Some(db[..db.len() - 16].to_vec())),
        ("overwritten with zeros", |db| Some(vec![0; db.len()])),
        ("overwritten with noise", |db| Some(db.iter().map(|_| u8::try_from(random(256)).unwrap()).collect())),
        ("begun with zeros", |mut db| {
            let end = db.len().min(4096) / 4;
            db[..end].fill(0);
            Some(db)
        }),
        ("one bit of it turned over", |mut db| {
            let middle = db.len() / 2;
            db[middle] ^= 1;
            Some(db)
        }),
    ];
    for (name, damage) in damages {
        let folder = TempDir::new().unwrap();
        for room in ["data", "keys"] {
            fs::create_dir(folder.path().join(room)).unwrap();
            for entry in fs::read_dir(whole.path().join(room)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    fs::copy(entry.path(), folder.path().join(room).join(entry.file_name())).unwrap();
                }
            }
        }
        let db = folder.path().join("data/db");
        match damage(fs::read(&db).unwrap()) {
            Some(bytes) => fs::write(&db, bytes).unwrap(),
            None => fs::remove_file(&db).unwrap(),
        }
        println!("the store's file is {name}");
        // The second start finds what the first one left.
        for _ in 0..2 {
            refused(&mut command(folder.path()), "the store in ");
        }
        assert_eq!(db.exists(), name != "removed", "{name}: nothing is begun in its place");
    }
}

#[tokio::test]
async fn a_second_process_on_a_store_is_refused_and_the_first_goes_on() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    refused(&mut command(folder.path()), "another process has it open; stop that one");
    let mut caller = program.door().anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    program.stop();
}

/// A kill at the very moment at which the end of an API token was acknowledged.
#[tokio::test]
async fn an_api_token_that_was_ended_is_dead_after_a_kill_and_one_that_was_made_lives() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let door = program.door();
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    let wish = json!({ "name": "n", "permissions": [] });
    let ended = admin.want(201, Method::POST, "/v1/tokens", wish.clone()).await.unwrap();
    let status = async |door: &Door, token: &Value| {
        let asked = door.http.get(format!("{}/v1/me/permissions", door.base));
        asked.bearer_auth(token["token"].as_str().unwrap()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(&door, &ended).await, 200);
    let made = admin.want(201, Method::POST, "/v1/tokens", wish).await.unwrap();
    let path = format!("/v1/tokens/{}", ended["id"].as_str().unwrap());
    admin.want(204, Method::DELETE, &path, Value::Null).await.unwrap();
    program.kill();
    let program = Program::start(folder.path());
    let door = program.door();
    assert_eq!((status(&door, &ended).await, status(&door, &made).await), (401, 200));
    let listed = door.with_cookie(&admin.cookie).want(200, Method::GET, "/v1/tokens", Value::Null).await.unwrap();
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["id"]), (1, &made["id"]));
    program.stop();
}

/// Waits until the program has logged the text.
pub(crate) async fn until_logged(folder: &Path, text: &str) {
    let begun = Instant::now();
    while !fs::read_to_string(folder.join("log")).unwrap().contains(text) {
        assert!(begun.elapsed() < PATIENCE, "nothing was logged about: {text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A copy of the folder from before a log-out does not know of it: a new epoch ends what the copy lets live.
#[tokio::test]
async fn a_copy_of_the_folder_that_is_put_back_needs_a_new_epoch_and_then_nothing_of_before_lives() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(folder.path());
    let door = program.door();
    let mut caller = door.anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    program.stop();
    let copy = TempDir::new().unwrap();
    let files = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    files(&data, copy.path());
    let program = Program::start(folder.path());
    let ended = caller.cookie.clone();
    let mut caller = program.door().with_cookie(&ended);
    caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    program.stop();
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir_all(data.join("blobs")).unwrap();
    files(copy.path(), &data);
    let program = Program::start(folder.path());
    let door = program.door();
    assert!(door.accepts(&ended).await, "the copy knows of no log-out");
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    admin.want(204, Method::POST, "/v1/epoch", Value::Null).await.unwrap();
    assert!(!door.accepts(&ended).await);
    drop((door, caller, admin));
    program.stop();
    let program = Program::start(folder.path());
    assert!(!program.door().accepts(&ended).await, "nor after a restart");
    program.stop();
}
