//! A story that is cut short between any two of its steps, or in which any of them fails: what was answered is there
//! afterwards, and what was not is there as a whole or not at all.
//!
//! strace kills the program when one of its threads begins its n-th call of a kind, or lets that call fail. Some of the
//! steps are tried; `SIGNET_STEPS` sets how many, and is larger than all of them for all.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::PASSWORD;
use crate::program::{Caller, Door, PATIENCE, Program, command, random};

const NEW: &str = "another long password 7";

/// How a change went, as far as the caller knows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Not asked for.
    #[default]
    Not,
    /// Asked for, and not answered with success.
    Asked,
    /// Acknowledged.
    Done,
}

/// What the callers of the story know.
#[derive(Debug, Default)]
struct Story {
    created: Known,
    logged_out: Known,
    changed: Known,
    disabled: Known,
    /// The token of the session that is ended.
    ended: Option<String>,
    /// A token of the user whose password is changed.
    bobs: Option<String>,
    /// Answers other than success.
    refused: usize,
}

/// Asks for something that changes the store. `None` when it is not worth going on: the program is gone.
async fn ask(
    caller: &mut Caller,
    known: &mut Known,
    refused: &mut usize,
    (method, path, body): (Method, &str, Value),
) -> Option<Value> {
    *known = Known::Asked;
    let (status, answer) = caller.call(method, path, body).await?;
    match status {
        200..=299 => *known = Known::Done,
        // A fault of the store is one of the service, and says no more than that.
        503 => *refused += 1,
        _ => panic!("{path}: {status} {answer}"),
    }
    Some(answer)
}

/// The story, up to where the program ends.
async fn told(door: &Door, story: &mut Story) -> Option<()> {
    let refused = &mut story.refused;
    let mut any = Known::Not;
    let mut admin = door.anonymous();
    let log_in = |name: &str| (Method::POST, "/v1/login", json!({ "username": name, "password": PASSWORD }));
    let begun = Instant::now();
    loop {
        ask(&mut admin, &mut any, refused, log_in("admin")).await?;
        if any == Known::Done {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut visitor = door.anonymous();
    ask(&mut visitor, &mut any, refused, (Method::PATCH, "/v1/session", json!({ "a": 1 }))).await?;
    story.ended = visitor.tokens.first().cloned();
    ask(&mut visitor, &mut story.logged_out, refused, (Method::POST, "/v1/logout", Value::Null)).await?;
    let new = json!({ "username": "bob", "password": PASSWORD });
    let bob = ask(&mut admin, &mut story.created, refused, (Method::POST, "/v1/users", new)).await;
    let id = bob?["id"].as_str().map(str::to_owned);
    let mut caller = door.anonymous();
    if story.created == Known::Done {
        ask(&mut caller, &mut any, refused, log_in("bob")).await?;
    }
    story.bobs = caller.tokens.first().cloned();
    if story.bobs.is_some() {
        let change = json!({ "old_password": PASSWORD, "new_password": NEW });
        ask(&mut caller, &mut story.changed, refused, (Method::POST, "/v1/password", change)).await?;
    }
    if let Some(id) = id {
        let path = format!("/v1/users/{id}");
        ask(&mut admin, &mut story.disabled, refused, (Method::PATCH, &path, json!({ "is_active": false }))).await?;
    }
    Some(())
}

/// Holds what the callers know against what the program does after another start.
async fn judge(folder: &Path, story: &Story, what: &str) {
    let program = Program::start(folder);
    let door = program.door();
    assert_eq!(door.anonymous().log_in("admin", PASSWORD).await, Some(200), "{what}: what was there before is gone");
    if let Some(token) = &story.ended {
        let lives = door.accepts(token).await;
        assert!(!(lives && story.logged_out == Known::Done), "{what}: an acknowledged log-out is forgotten: {story:?}");
        assert!(lives || story.logged_out != Known::Not, "{what}: ended by nobody: {story:?}");
    }
    let old = door.anonymous().log_in("bob", PASSWORD).await == Some(200);
    let new = door.anonymous().log_in("bob", NEW).await == Some(200);
    let Story { created, changed, disabled, .. } = *story;
    let which = format!("{what}: old password {old}, new {new}: {story:?}");
    assert!(!(old && new), "{which}");
    match (created, changed, disabled) {
        (Known::Not, ..) | (.., Known::Done) => assert!(!old && !new, "{which}"),
        (Known::Done, Known::Not, Known::Not) => assert!(old, "{which}"),
        (Known::Done, Known::Done, Known::Not) => assert!(new, "{which}"),
        (Known::Done, Known::Asked, Known::Not) => assert!(old || new, "{which}"),
        (_, Known::Not, _) => assert!(!new, "{which}"),
        (_, Known::Done, _) => assert!(!old, "{which}"),
        _ => {}
    }
    if let Some(token) = &story.bobs {
        // A password and the sessions of before change together, and so does an account and its sessions.
        assert_eq!(door.accepts(token).await, old, "{which}, and a token of before the change");
    }
    drop(door);
    program.stop();
}

/// The command under strace, which does `fault` to the calls.
fn traced(folder: &Path, fault: &str, paths: &[&str]) -> Command {
    let plain = command(folder);
    let mut strace = Command::new("strace");
    // The program is the child itself, and strace beside it.
    strace.env_clear().env("PATH", "/usr/bin:/bin").args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "signal=none"]);
    for path in paths {
        strace.arg("-P").arg(folder.join("data").join(path));
    }
    let calls = fault.split(':').next().unwrap();
    strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={fault}")]);
    strace.arg(plain.get_program()).args(plain.get_args());
    strace.stdin(Stdio::null()).stdout(Stdio::piped());
    strace
}

/// How a run of the story ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was killed, or refused to start.
    Cut,
    /// It went on to the end.
    Whole,
}

async fn run(base: &Path, fault: &str, paths: &[&str]) -> End {
    let copy = TempDir::new().unwrap();
    let folder = copy.path();
    for room in ["data", "keys"] {
        super::repair::copy(&base.join(room), &folder.join(room));
    }
    let log = File::create(folder.join("fault-log")).unwrap();
    let mut process = traced(folder, fault, paths).stderr(log).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let listening = lines.find_map(|line| Some(line.ok()?.strip_prefix("listening on ")?.to_owned()));
    let mut story = Story::default();
    let is_kill = fault.contains("signal=KILL");
    let mut end = End::Cut;
    if let Some(base) = listening {
        let mut program = Program { process, address: base.strip_prefix("http://").unwrap().to_owned(), base };
        let door = program.door();
        let whole = told(&door, &mut story).await;
        if is_kill {
            if whole.is_some() && program.process.try_wait().unwrap().is_none() {
                end = End::Whole;
                program.kill();
            } else {
                program.end();
            }
        } else {
            if whole.is_none() {
                let (ended, log) = (program.process.try_wait().unwrap(), fs::read_to_string(folder.join("fault-log")));
                panic!("{fault}: no answer, and the program has ended with {ended:?}: {story:?}\n{}", log.unwrap());
            }
            // It recovers by itself.
            let begun = Instant::now();
            while door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap().0 != 200 {
                assert!(begun.elapsed() < PATIENCE, "{fault}: it does not recover");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if story.refused == 0 {
                end = End::Whole;
            }
            program.kill();
        }
    } else {
        let status = process.wait().unwrap();
        let text = fs::read_to_string(folder.join("fault-log")).unwrap();
        if !is_kill {
            let last = text.lines().last().unwrap_or_default();
            assert!(status.code() == Some(1) && last.starts_with("signet: "), "{fault}: {status:?}: {text}");
        }
    }
    judge(folder, &story, fault).await;
    end
}

fn has_strace() -> bool {
    let works = Command::new("strace").args(["-e", "trace=none", "true"]).stderr(Stdio::null()).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        println!("skipped: without Debian's strace, and the right to use it, no step is found");
    }
    works
}

/// A folder that somebody has used before.
fn used() -> TempDir {
    let base = TempDir::new().unwrap();
    Program::start(base.path()).stop();
    base
}

/// Tries the steps of each kind: all of them, or some.
async fn each_step(kinds: &[(&str, &str)], paths: &[&str]) {
    let base = used();
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    let most = std::env::var("SIGNET_STEPS").map_or(2, |steps| steps.parse().unwrap());
    for (call, fault) in kinds {
        let (mut cut, mut whole) = (0, 0);
        for n in 1..=most {
            // A few of them are anywhere; many are one after the other, until there are no more.
            let step = if most < 10 { 1 + random(12) } else { n };
            match run(base.path(), &format!("{call}:{fault}:when={step}"), paths).await {
                End::Cut => (cut, whole) = (cut + 1, 0),
                End::Whole => whole += 1,
            }
            if most >= 10 && whole == 5 {
                break;
            }
        }
        println!("{call} {fault}: {cut} stories cut");
    }
}

#[tokio::test]
async fn a_kill_between_any_two_steps_loses_nothing_that_was_answered_and_halves_nothing() {
    if !has_strace() {
        return;
    }
    let calls =
        ["fdatasync", "pwrite64", "sync_file_range", "sendto", "writev", "write", "rename", "fsync", "epoll_wait"];
    each_step(&calls.map(|call| (call, "signal=KILL")), &[]).await;
}

#[tokio::test]
async fn an_error_at_any_step_of_the_store_is_no_success_and_leaves_nothing_half_done() {
    if !has_strace() {
        return;
    }
    let paths = ["", "db", "signet-store", "conf", "blobs"];
    let kinds = [
        ("fdatasync", "error=EIO"),
        ("fsync", "error=EIO"),
        ("pwrite64", "error=EIO"),
        ("pwrite64", "error=ENOSPC"),
        ("openat", "error=EIO"),
        ("ftruncate", "error=EIO"),
        ("sync_file_range", "error=EIO"),
        ("flock", "error=EIO"),
    ];
    each_step(&kinds, &paths).await;
    // A disk that cannot be read: sled would take the error for the end of its file, and clear the rest.
    assert_eq!(run(used().path(), "pread64:error=EIO:when=1+", &paths).await, End::Cut);
}
