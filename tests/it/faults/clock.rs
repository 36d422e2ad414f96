//! The program with a clock that is wrong from the start, or is set while it runs: libfaketime, Debian's `faketime`.
//!
//! `renewal.rs` does the same to the clock within a server. Here everything that asks for the time is lied to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::until_logged;
use crate::harness::PASSWORD;
use crate::program::{Caller, Door, PATIENCE, Program, command};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    if library.is_none() {
        println!("skipped: without Debian's faketime the clock is right");
    }
    library
}

/// Sets the clock of a program that runs on the folder, or will: seconds that it is off.
fn set(folder: &Path, off: i64) {
    // At once: half of it would be another time.
    fs::write(folder.join("clock.new"), format!("{off:+}\n")).unwrap();
    fs::rename(folder.join("clock.new"), folder.join("clock")).unwrap();
}

/// Starts the program with its clock off.
fn start(library: &Path, folder: &Path, off: i64) -> Program {
    set(folder, off);
    let mut command = command(folder);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", folder.join("clock"));
    // Timers go by the clock that nobody sets.
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
    Program::start_by(command, folder)
}

#[expect(clippy::disallowed_methods, reason = "what the program is told of the time is held against the real one")]
fn seconds_since_1970() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Somebody who is in by the present clock, soon at the latest.
async fn somebody(door: &Door) -> Caller {
    let begun = Instant::now();
    loop {
        let mut caller = door.anonymous();
        assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
        if door.accepts(&caller.cookie).await {
            return caller;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody gets in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ready(door: &Door) {
    let (status, body) = door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap();
    assert_eq!(status, 200, "{body}");
}

fn at_1970() -> i64 {
    10 - seconds_since_1970()
}

#[tokio::test]
async fn a_program_whose_clock_is_wrong_believes_no_token_of_the_future_and_revives_none() {
    let Some(library) = library() else { return };
    for off in [-HOUR, at_1970(), YEAR] {
        for restarted in [false, true] {
            let what = format!("{off} s off, {}", if restarted { "from the start" } else { "while it runs" });
            let folder = TempDir::new().unwrap();
            let mut program = start(&library, folder.path(), 0);
            let mut door = program.door();
            let alive = somebody(&door).await;
            let mut ended = somebody(&door).await;
            let token = ended.cookie.clone();
            ended.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
            if restarted {
                program.stop();
                program = start(&library, folder.path(), off);
                door = program.door();
            } else {
                set(folder.path(), off);
            }
            assert!(!door.accepts(&token).await, "{what}: ended, and alive");
            assert!(!door.accepts(&alive.cookie).await, "{what}: of the future, or over");
            // Who comes now is in by the present clock: also in 1970.
            let mut other = somebody(&door).await;
            other.want(200, Method::PUT, "/v1/session/data/n", json!({ "value": 1 })).await.unwrap();
            let mut gone = somebody(&door).await;
            let there = gone.cookie.clone();
            gone.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
            assert!(!door.accepts(&there).await, "{what}");
            ready(&door).await;
            let told = match (restarted, off < 0) {
                (true, true) => Some("the clock is behind the audit log"),
                (false, true) => Some("the clock was set back"),
                (false, false) => Some("the clock was set forward"),
                (true, false) => None,
            };
            if let Some(told) = told {
                until_logged(folder.path(), told).await;
            }
            // What is over by this clock is forgotten.
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            if restarted {
                program.stop();
                program = start(&library, folder.path(), 0);
                door = program.door();
            } else {
                set(folder.path(), 0);
            }
            assert!(!door.accepts(&token).await && !door.accepts(&there).await, "{what}: revived");
            if off > 0 {
                assert!(!door.accepts(&other.cookie).await, "{what}: of the future");
            }
            somebody(&door).await;
            assert!(!door.accepts(&token).await && !door.accepts(&there).await, "{what}: revived");
            ready(&door).await;
            drop(door);
            program.stop();
            let log = fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(!log.contains("panicked"), "{what}: {log}");
            println!("{what}: who was in before is {}", if off < 0 { "in again" } else { "asked to log in" });
        }
    }
}

/// Nothing waits for a clock that was set: requests, and what is dropped by age, go by one that nobody sets.
#[tokio::test]
async fn a_clock_that_jumps_again_and_again_holds_nothing_up() {
    let Some(library) = library() else { return };
    let folder = TempDir::new().unwrap();
    let program = start(&library, folder.path(), 0);
    let door = program.door();
    let begun = Instant::now();
    for off in [YEAR, -HOUR, at_1970(), 0, -YEAR, 30 * YEAR, 1, at_1970(), 0] {
        set(folder.path(), off);
        let mut caller = somebody(&door).await;
        let (status, _) = caller.call(Method::POST, "/v1/logout", Value::Null).await.unwrap();
        assert_eq!(status, 204, "{off} s off");
        ready(&door).await;
    }
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    drop(door);
    program.stop();
}
