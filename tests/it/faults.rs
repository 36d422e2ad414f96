//! What must survive: a full disk, a damaged store, a broken key, a process that was stopped.
//!
//! These tests run the program itself, on folders of their own.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use signet::claims::SessionId;
use signet::store::embedded::Embedded;
use signet::store::{Revocation, Store as _, Write};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::PASSWORD;
use crate::program::{Door, PATIENCE, Program, command, command_at, cut_a_start_short, fate, random};

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

#[tokio::test]
async fn a_request_in_flight_is_answered_after_the_signal_to_stop() {
    let folder = TempDir::new().unwrap();
    let mut program = Program::start(folder.path());
    let body = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let mut connection = TcpStream::connect(&program.address).await.unwrap();
    let head = format!(
        "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the request is in the middle of its operation.
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    program.signal(Signal::TERM);
    let begun = Instant::now();
    while TcpStream::connect(&program.address).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it goes on to accept connections");
        tokio::task::yield_now().await;
    }
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("__Host-signet="), "{answer}");
    assert_eq!(program.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_broken_key_on_hangup_changes_nothing_and_a_sound_one_signs() {
    let folder = TempDir::new().unwrap();
    let keys = folder.path().join("keys");
    let program = Program::start(folder.path());
    let door = program.door();
    let mut caller = door.anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    let before = caller.cookie.clone();
    let broken = keys.join("zzz.pem");
    fs::write(&broken, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    program.signal(Signal::HUP);
    until_logged(folder.path(), "keys not read again").await;
    caller.want(200, Method::POST, "/v1/session/renew", Value::Null).await.unwrap();
    assert!(door.accepts(&before).await);

    fs::remove_file(&broken).unwrap();
    let mut generate = Command::new(env!("CARGO_BIN_EXE_signet"));
    generate.env_clear().args(["keys", "generate", "--kid", "zzz", "--keys"]).arg(&keys);
    assert!(generate.output().unwrap().status.success());
    program.signal(Signal::HUP);
    until_logged(folder.path(), "keys read again").await;
    assert!(door.accepts(&before).await, "the older key goes on to verify");
    caller.want(200, Method::POST, "/v1/session/renew", Value::Null).await.unwrap();
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(header(&caller.cookie), header(&before), "the newer key signs");
    drop(door);
    program.stop();
}

/// Waits until the program has logged the text.
async fn until_logged(folder: &Path, text: &str) {
    let begun = Instant::now();
    while !fs::read_to_string(folder.join("log")).unwrap().contains(text) {
        assert!(begun.elapsed() < PATIENCE, "nothing was logged about: {text}");
        tokio::task::yield_now().await;
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

/// A request that waits while the server starts is answered by all that has ended.
#[tokio::test]
async fn the_first_request_after_a_start_finds_what_was_ended() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let door = program.door();
    let mut tokens = Vec::new();
    for round in 0..200 {
        let mut caller = door.anonymous();
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": round })).await.unwrap();
        caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
        tokens.append(&mut caller.tokens);
    }
    drop(door);
    program.stop();
    for round in 0..5 {
        // The address is taken before the store is opened: connections can be made from then on.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut start = command_at(folder.path(), &address);
        start.stdout(Stdio::null()).stderr(Stdio::null());
        let process = start.spawn().unwrap();
        let asked = tokens.iter().skip(round * 8).take(8).map(|token| {
            let (address, token) = (address.clone(), token.clone());
            async move {
                let begun = Instant::now();
                let mut connection = loop {
                    match TcpStream::connect(&address).await {
                        Ok(connection) => break connection,
                        Err(_) => assert!(begun.elapsed() < PATIENCE, "it does not listen"),
                    }
                    tokio::task::yield_now().await;
                };
                let head = format!(
                    "GET /v1/session HTTP/1.1\r\nhost: x\r\ncookie: __Host-signet={token}\r\nconnection: close\r\n\r\n"
                );
                connection.write_all(head.as_bytes()).await.unwrap();
                let mut answer = String::new();
                connection.read_to_string(&mut answer).await.unwrap();
                answer
            }
        });
        for answer in join_all(asked).await {
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
        Program { process, base: format!("http://{address}"), address }.stop();
    }
}

/// Connections that hold every descriptor hold up those who come after them, and nobody longer than they last.
#[tokio::test]
async fn a_server_without_descriptors_left_goes_on_when_there_are_some() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let pid = Pid::from_child(&program.process);
    let limit = |most: u64| {
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let limit = rustix::process::Rlimit { current: Some(most), maximum };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).unwrap()
    };
    let open = fs::read_dir(format!("/proc/{}/fd", program.process.id())).unwrap().count() as u64;
    let door = program.door();
    let mut caller = door.anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    // One that was there before goes on all the while.
    limit(open + 12);
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(&program.address).await.unwrap());
    }
    for round in 0..20 {
        caller.want(200, Method::PUT, "/v1/session/data/n", json!({ "value": round })).await.unwrap();
    }
    drop(held);
    for _ in 0..5 {
        let mut other = program.door().anonymous();
        assert_eq!(other.log_in("admin", PASSWORD).await, Some(200), "a new connection");
        other.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
        assert!(!program.door().accepts(&other.tokens[0]).await);
    }
    drop((door, caller));
    program.stop();
}

#[tokio::test]
async fn a_process_that_was_stopped_and_goes_on_accepts_nothing_that_had_ended() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let door = program.door();
    let (mut ended, mut alive) = (door.anonymous(), door.anonymous());
    for caller in [&mut ended, &mut alive] {
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": 1 })).await.unwrap();
    }
    ended.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    for _ in 0..3 {
        program.signal(Signal::STOP);
        // They wait in the process's queue.
        let asked: Vec<_> = (0..10)
            .map(|n| {
                let (door, token) =
                    (program.door(), if n % 2 == 0 { &ended.tokens[0] } else { &alive.tokens[0] }.clone());
                tokio::spawn(async move { door.accepts(&token).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        program.signal(Signal::CONT);
        for (n, asked) in asked.into_iter().enumerate() {
            assert_eq!(asked.await.unwrap(), n % 2 == 1);
        }
    }
    drop((door, ended, alive));
    program.stop();
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

/// No room for another byte: what is refused was not done, what needs no write goes on, and there is room again later.
#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_recovers() {
    let folder = TempDir::new().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    // A write beyond the limit is an error, not the end of the process.
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    shell.args(["-c", script]).arg(env!("CARGO_BIN_EXE_signet"));
    shell.args(["serve", "--listen", "127.0.0.1:0", "--throttle", "off", "--admin-password-file"]).arg(password);
    shell.arg("--data").arg(folder.path().join("data")).arg("--keys").arg(folder.path().join("keys"));
    let mut process = shell.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let base = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned())).unwrap();
    let program = Program { process, address: base.strip_prefix("http://").unwrap().to_owned(), base };
    let pid = Pid::from_child(&program.process);
    let limit = |most: Option<u64>| {
        let limit = rustix::process::Rlimit { current: most, maximum: None };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap()
    };
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
            limit(Some(0));
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
    limit(None);
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
    if !Path::new("/usr/lib/fiu/fiu_posix_preload.so").exists() {
        println!("skipped: without Debian's fiu-utils the disk gives no errors");
        return;
    }
    // Each of them fails with EIO while it is told to.
    for point in ["posix/io/sync/fdatasync", "posix/io/rw/pwrite"] {
        let folder = TempDir::new().unwrap();
        let control = folder.path().join("control");
        let plain = command(folder.path());
        let mut run = Command::new("fiu-run");
        run.env_clear().env("PATH", "/usr/bin:/bin").arg("-x").arg("-f").arg(&control).arg(plain.get_program());
        run.args(plain.get_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = run.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let base = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned())).unwrap();
        let program = Program { process, address: base.strip_prefix("http://").unwrap().to_owned(), base };
        let pipe = format!("{}-{}", control.display(), program.process.id());
        let tell = |what: &str| {
            fs::write(format!("{pipe}.in"), format!("{what}\n")).unwrap();
            assert_eq!(fs::read_to_string(format!("{pipe}.out")).unwrap().trim(), "0", "{what}");
        };
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
