//! A process that is told to stop, stands still, has no descriptors left, or is asked while it starts.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::until_logged;
use crate::harness::{PASSWORD, plain_http};
use crate::program::{PATIENCE, Program, command_at};

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
        tokio::time::sleep(Duration::from_millis(1)).await;
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
                    tokio::time::sleep(Duration::from_millis(1)).await;
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

/// Everything that can be under way when a machine stands still. `SIGNET_STOPPED` sets for how many seconds.
#[tokio::test]
async fn what_was_under_way_when_a_process_stood_still_goes_on_or_ends_and_nothing_that_had_ended_passes() {
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    let stopped = std::env::var("SIGNET_STOPPED").map_or(3, |seconds| seconds.parse().unwrap());
    let stopped = Duration::from_secs(stopped);
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let mut door = program.door();
    door.http = plain_http().timeout(stopped + PATIENCE).build().unwrap();
    let (mut ended, mut alive, mut admin) = (door.anonymous(), door.anonymous(), door.anonymous());
    for caller in [&mut ended, &mut alive, &mut admin] {
        assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    }
    // A stream that follows, a connection without a request, a body of which half is there.
    let cookie = format!("__Host-signet={}", admin.cookie);
    let stream = door.http.get(format!("{}/v1/revocations/stream", door.base)).header("cookie", &cookie);
    let mut stream = stream.send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    let mut idle = TcpStream::connect(&program.address).await.unwrap();
    let body = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let mut half = TcpStream::connect(&program.address).await.unwrap();
    let head = format!(
        "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{}",
        body.len(),
        &body[..10]
    );
    half.write_all(head.as_bytes()).await.unwrap();
    let gone = ended.cookie.clone();
    ended.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    program.signal(Signal::STOP);
    let begun = Instant::now();
    // They wait in its queues: some by connections that are there, most by new ones.
    let asked: Vec<_> = (0..30)
        .map(|n| {
            let (door, token) = (door.clone(), if n % 2 == 0 { &gone } else { &alive.cookie }.clone());
            tokio::spawn(async move { door.accepts(&token).await })
        })
        .collect();
    let mut leaving = door.with_cookie(&alive.cookie);
    let leaving = tokio::spawn(async move { leaving.call(Method::POST, "/v1/logout", Value::Null).await.unwrap().0 });
    tokio::time::sleep(stopped.saturating_sub(begun.elapsed())).await;
    program.signal(Signal::CONT);
    let mut verdicts = Vec::new();
    for asked in asked {
        verdicts.push(asked.await.unwrap());
    }
    assert!(verdicts.iter().step_by(2).all(|accepted| !accepted), "what had ended before passes");
    assert_eq!(leaving.await.unwrap(), 204);
    assert!(!door.accepts(&alive.cookie).await, "what was ended first of all passes");
    // The half goes on, or was given up; it is answered either way, or its connection is closed.
    drop(half.write_all(&body.as_bytes()[10..]).await);
    let mut answer = Vec::new();
    drop(tokio::time::timeout(PATIENCE, half.read_to_end(&mut answer)).await.expect("it hangs"));
    let answer = String::from_utf8_lossy(&answer);
    let first = answer.lines().next().unwrap_or("closed").to_owned();
    assert!(["closed", "HTTP/1.1 200 OK", "HTTP/1.1 408 Request Timeout"].contains(&first.as_str()), "{answer}");
    drop(idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await);
    let mut livez = Vec::new();
    drop(tokio::time::timeout(PATIENCE, idle.read_to_end(&mut livez)).await.expect("it hangs"));
    // The stream tells of what ended after it, or has an end that a client sees.
    let mut told = String::new();
    let heard = async {
        while let Ok(Some(chunk)) = stream.chunk().await {
            told.push_str(&String::from_utf8_lossy(&chunk));
            if told.matches("\"session\"").count() >= 2 {
                return true;
            }
        }
        false
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await.expect("a stream that says nothing and does not end");
    println!("{stopped:?}: the half body: {first}; the stream {}", if heard { "went on" } else { "ended" });
    let again = door.anonymous().log_in("admin", PASSWORD).await;
    assert_eq!(again, Some(200));
    drop((door, admin, alive, ended, stream));
    program.stop();
}
