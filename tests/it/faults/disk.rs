//! A disk that is full, or gives errors: nothing is acknowledged that is not kept, and it goes on when it can.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use signet::claims::SessionId;
use signet::store::embedded::Embedded;
use signet::store::{Revocation, Store as _, Write};
use tempfile::TempDir;

use crate::harness::PASSWORD;
use crate::program::{PATIENCE, Program, command, command_on_a_bad_disk, disk_can_fail, fate};

/// No room for another byte: what is refused was not done, what needs no write goes on, and there is room again later.
#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_recovers() {
    let folder = TempDir::new().unwrap();
    let program = Program::start_by(command_on_a_bad_disk(folder.path()), folder.path());
    let door = program.door();
    let mut sessions = Vec::new();
    for n in 0..60 {
        let mut caller = door.anonymous();
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": n })).await.unwrap();
        sessions.push(caller);
    }
    let (mut ended, mut alive) = (Vec::new(), Vec::new());
    for (n, mut caller) in sessions.into_iter().enumerate() {
        if n == 20 {
            program.room(Some(0));
        }
        match caller.call(Method::POST, "/v1/logout", Value::Null).await.unwrap() {
            (204, _) => ended.append(&mut caller.tokens),
            (503, problem) => {
                assert_eq!(problem["code"], "unavailable", "{problem}");
                alive.append(&mut caller.tokens);
            }
            (status, body) => panic!("{status}: {body}"),
        }
    }
    assert!(ended.len() >= 20 && alive.len() >= 10, "{} ended, {} refused", ended.len(), alive.len());
    // What asks no store goes on.
    assert_eq!(fate(&door, &ended).await, Some(false), "acknowledged");
    assert_eq!(fate(&door, &alive).await, Some(true), "refused, and so not done");
    let (ready, _) = door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap();
    assert_eq!(ready, 503);
    let new = json!({ "username": "late", "password": PASSWORD });
    assert_eq!(door.anonymous().call(Method::POST, "/v1/register", new.clone()).await.unwrap().0, 503);
    program.room(None);
    let begun = Instant::now();
    while door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap().0 != 200 {
        assert!(begun.elapsed() < PATIENCE, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for token in &alive[..10] {
        door.with_cookie(token).want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    }
    door.anonymous().want(201, Method::POST, "/v1/register", new).await.unwrap();
    ended.extend(alive.drain(..10));
    program.kill();
    let program = Program::start(folder.path());
    let door = program.door();
    assert_eq!(fate(&door, &ended).await, Some(false));
    assert_eq!(fate(&door, &alive).await, Some(true));
    assert_eq!(door.anonymous().log_in("late", PASSWORD).await, Some(200));
    program.stop();
}

/// The disk gives errors: nothing is acknowledged that may not be on it, and what was acknowledged stays.
#[tokio::test]
async fn what_the_disk_refuses_to_keep_is_not_acknowledged() {
    if !disk_can_fail() {
        println!("skipped: without Debian's fiu-utils the disk gives no errors");
        return;
    }
    // Each of them fails with EIO while it is told to.
    for point in ["posix/io/sync/fdatasync", "posix/io/rw/pwrite"] {
        let folder = TempDir::new().unwrap();
        let program = Program::start_by(command_on_a_bad_disk(folder.path()), folder.path());
        let tell = |what: &str| program.tell_disk(folder.path(), what);
        let door = program.door();
        let mut sessions = Vec::new();
        for n in 0..40 {
            let mut caller = door.anonymous();
            caller.want(200, Method::PATCH, "/v1/session", json!({ "a": n })).await.unwrap();
            sessions.push(caller);
        }
        let (mut ended, mut refused) = (Vec::new(), Vec::new());
        for (n, caller) in sessions.iter_mut().take(30).enumerate() {
            match n {
                10 => tell(&format!("enable name={point},failinfo=5")),
                20 => {
                    tell(&format!("disable name={point}"));
                    let begun = Instant::now();
                    while door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap().0 != 200 {
                        assert!(begun.elapsed() < PATIENCE, "it does not recover from {point}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                _ => {}
            }
            let token = caller.tokens[0].clone();
            match caller.call(Method::POST, "/v1/logout", Value::Null).await.unwrap() {
                (204, _) => ended.push(token),
                (503, _) if (10..20).contains(&n) => refused.push(token),
                (status, body) => panic!("{point}, {n}: {status}: {body}"),
            }
        }
        assert_eq!((ended.len(), refused.len()), (20, 10), "{point}");
        let alive: Vec<String> = sessions.iter().skip(30).flat_map(|caller| caller.tokens.clone()).collect();
        assert_eq!(fate(&door, &ended).await, Some(false), "{point}");
        assert_eq!(fate(&door, &alive).await, Some(true), "{point}");
        drop((door, sessions));
        program.kill();
        let program = Program::start(folder.path());
        let door = program.door();
        assert_eq!(fate(&door, &ended).await, Some(false), "{point}: acknowledged, and alive after a kill");
        assert_eq!(fate(&door, &alive).await, Some(true), "{point}");
        let lives = join_all(refused.iter().map(|token| door.accepts(token))).await;
        println!(
            "{point}: of {} that were refused, {} live",
            refused.len(),
            lives.iter().filter(|lives| **lives).count()
        );
        drop(door);
        program.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_at_once_share_a_sync_and_are_all_durable() {
    const AT_ONCE: usize = 64;
    const ROUNDS: usize = 20;
    let folder = TempDir::new().unwrap();
    let until = signet::claims::instant(1_900_000_000);
    let store = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
    let write = || Write::Revoke(Revocation::Session { id: SessionId::random(), until });
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        store.commit(vec![write()]).await.unwrap();
    }
    let alone = begun.elapsed() / u32::try_from(ROUNDS).unwrap();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for committed in join_all((0..AT_ONCE).map(|_| store.commit(vec![write()]))).await {
            committed.unwrap();
        }
    }
    let together = begun.elapsed();
    drop(store);
    let store = Embedded::open(&folder.path().join("data")).unwrap();
    assert_eq!(store.state().await.unwrap().revocations.len(), ROUNDS * (AT_ONCE + 1));
    println!(
        "a commit alone takes {alone:.2?}; {AT_ONCE} at once come to {:.0} commits a second",
        f64::from(u32::try_from(ROUNDS * AT_ONCE).unwrap()) / together.as_secs_f64()
    );
}

/// A file system of its own that is full, and has room again.
#[tokio::test]
async fn a_full_file_system_refuses_what_it_cannot_keep_and_recovers() {
    let mut works = Command::new("unshare");
    works.args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).stderr(Stdio::null());
    if !works.status().is_ok_and(|status| status.success()) {
        println!(
            "skipped: without the right to mount a file system none is full; the limit of a process stands for it"
        );
        return;
    }
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let plain = command(folder.path());
    let mut shell = Command::new("unshare");
    let script = "mount -t tmpfs -o size=24m tmpfs \"$0\" && exec \"$@\"";
    shell.args(["-rm", "sh", "-c", script]).arg(&data).arg(plain.get_program()).args(plain.get_args());
    let program = Program::start_by(shell, folder.path());
    // The file system as the program sees it.
    let inside = Path::new("/proc").join(program.process.id().to_string()).join("root");
    let inside = inside.join(data.strip_prefix("/").unwrap());
    let door = program.door();
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    let mut sessions = Vec::new();
    for n in 0..2_000 {
        let mut caller = door.anonymous();
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": n })).await.unwrap();
        sessions.push(caller);
    }
    let fill = || {
        let mut file = File::options().append(true).create(true).open(inside.join("fill")).unwrap();
        while std::io::Write::write(&mut file, &[1; 4096]).is_ok_and(|written| written > 0) {}
    };
    fill();
    let (mut ended, mut alive) = (Vec::new(), Vec::new());
    let mut sessions = sessions.into_iter();
    // What is written already has room: the log grows until it does not.
    while alive.len() < 20 {
        let mut caller = sessions.next().expect("the file system is never full");
        match caller.call(Method::POST, "/v1/logout", Value::Null).await.unwrap() {
            (204, _) => ended.append(&mut caller.tokens),
            (503, problem) => {
                assert_eq!(problem["code"], "unavailable", "{problem}");
                alive.append(&mut caller.tokens);
            }
            (status, body) => panic!("{status}: {body}"),
        }
    }
    assert_ne!(fate(&door, &ended).await, Some(true), "acknowledged");
    assert_eq!(fate(&door, &alive).await, Some(true), "refused, and so not done");
    let status = async |caller: &mut crate::program::Caller, method, path: &str, body| {
        caller.call(method, path, body).await.unwrap().0
    };
    assert_eq!(status(&mut door.anonymous(), Method::GET, "/readyz", Value::Null).await, 503);
    let new = json!({ "username": "late", "password": PASSWORD });
    assert_eq!(status(&mut door.anonymous(), Method::POST, "/v1/register", new.clone()).await, 503);
    assert_eq!(
        status(&mut door.anonymous(), Method::POST, "/v1/login", json!({ "username": "admin", "password": PASSWORD }))
            .await,
        503
    );
    // Who is in stays in.
    admin.want(200, Method::GET, "/v1/session", Value::Null).await.unwrap();
    fs::remove_file(inside.join("fill")).unwrap();
    let begun = Instant::now();
    while status(&mut door.anonymous(), Method::GET, "/readyz", Value::Null).await != 200 {
        assert!(begun.elapsed() < PATIENCE, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for token in alive.drain(..10) {
        door.with_cookie(&token).want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
        ended.push(token);
    }
    door.anonymous().want(201, Method::POST, "/v1/register", new).await.unwrap();
    println!(
        "{} log-outs acknowledged, {} refused; ready again after {:?}",
        ended.len(),
        alive.len() + 10,
        begun.elapsed()
    );
    // As after a kill: the file system goes with the program, so its contents are taken while it stands still.
    program.signal(Signal::STOP);
    let after = TempDir::new().unwrap();
    super::repair::copy(&inside, &after.path().join("data"));
    super::repair::copy(&folder.path().join("keys"), &after.path().join("keys"));
    program.kill();
    let program = Program::start(after.path());
    let door = program.door();
    assert_eq!(fate(&door, &ended).await, Some(false));
    assert_eq!(fate(&door, &alive).await, Some(true));
    assert_eq!(door.anonymous().log_in("late", PASSWORD).await, Some(200));
    drop(door);
    program.stop();
}
