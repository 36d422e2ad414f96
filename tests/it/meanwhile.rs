//! What ends while a request is still on its way does not act: bodies that arrive slowly, hashes, other writers.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Client, PASSWORD, Server};

/// A request whose header has arrived, and whose body has not.
struct Parked {
    stream: TcpStream,
    body: String,
}

impl Parked {
    async fn park(server: &Server, client: &Client, request: &str, body: &Value) -> Self {
        let body = body.to_string();
        let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: x\r\ncookie: __Host-signet={}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
            client.cookie.as_ref().unwrap(),
            body.len(),
            &body[..1],
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        // The server has passed the guards when it has answered another request that came later.
        for _ in 0..20 {
            server.anonymous().get("/livez").await.is(StatusCode::OK);
        }
        Self { stream, body }
    }

    /// Sends the rest, and gives the whole answer.
    async fn finish(mut self) -> String {
        self.stream.write_all(&self.body.as_bytes()[1..]).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_while_the_body_arrives_does_not_act() {
    let server = Server::start().await;
    let (root, id) = server.user("root", json!({ "is_superuser": true, "is_staff": true })).await;
    let path = format!("/v1/users/{id}");
    let back = json!({ "is_superuser": true, "is_staff": true });
    let promote = Parked::park(&server, &root, &format!("PATCH {path}"), &back).await;
    let new = json!({ "username": "backdoor", "password": PASSWORD, "is_superuser": true, "is_staff": true });
    let create = Parked::park(&server, &root, "POST /v1/users", &new).await;
    let mut admin = server.admin().await;
    // Without the staff flag administration is closed; with it, it is open within what rights are left.
    admin.patch(&path, json!({ "is_superuser": false, "is_staff": false })).await.is(StatusCode::OK);
    let answer = promote.finish().await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("set-cookie"), "{answer}");
    admin.patch(&path, json!({ "is_staff": true })).await.is(StatusCode::OK);
    let answer = create.finish().await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("beyond your own rights"), "{answer}");
    assert_eq!(admin.get(&path).await.json()["is_superuser"], false);
    assert_eq!(admin.get("/v1/users?search=backdoor").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_right_that_is_given_while_the_body_arrives_acts() {
    let server = Server::start().await;
    server.permissions(&["polls.vote"]).await;
    let group = server.group("voters", &[]).await;
    let (client, id) = server.user("late", json!({ "groups": ["voters"] })).await;
    let question = json!({ "permissions": ["polls.vote"] });
    let direct = Parked::park(&server, &client, "POST /v1/permissions/check", &question).await;
    let by_group = Parked::park(&server, &client, "POST /v1/permissions/check", &question).await;
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "user_permissions": ["polls.vote"] })).await.is(StatusCode::OK);
    let answer = direct.finish().await;
    assert!(answer.contains(r#""all":true"#) && answer.contains("set-cookie"), "{answer}");
    admin.patch(&format!("/v1/users/{id}"), json!({ "user_permissions": [] })).await.is(StatusCode::OK);
    admin.patch(&format!("/v1/groups/{group}"), json!({ "permissions": ["polls.vote"] })).await.is(StatusCode::OK);
    let answer = by_group.finish().await;
    assert!(answer.contains(r#""all":true"#), "{answer}");
}

#[tokio::test]
async fn a_session_that_ends_while_the_body_arrives_does_not_act() {
    let server = Server::start().await;
    let new_password = json!({ "old_password": PASSWORD, "new_password": "another good one" });
    let cases = [
        ("PATCH /v1/me", json!({ "email": "thief@example.com" })),
        ("POST /v1/password", new_password.clone()),
        ("PATCH /v1/session", json!({ "a": 1 })),
        ("PUT /v1/session/expiry", json!({ "kind": "browser" })),
        ("POST /v1/permissions/check", json!({ "permissions": [] })),
    ];
    for end in ["logout", "disable", "delete", "everywhere", "epoch"] {
        let (victim, id) = server.user(&format!("victim-{end}"), json!({ "email": "v@example.com" })).await;
        let mut parked = Vec::new();
        for (request, body) in &cases {
            parked.push(Parked::park(&server, &victim, request, body).await);
        }
        let path = format!("/v1/users/{id}");
        let mut admin = server.admin().await;
        let ended = match end {
            "logout" => victim.clone().post("/v1/logout", Value::Null).await,
            "disable" => admin.patch(&path, json!({ "is_active": false })).await,
            "delete" => admin.delete(&path).await,
            "everywhere" => admin.delete(&format!("{path}/sessions")).await,
            _ => admin.post("/v1/epoch", Value::Null).await,
        };
        assert!(ended.status.is_success(), "{end}: {}", ended.status);
        for (parked, (request, _)) in parked.into_iter().zip(&cases) {
            let answer = parked.finish().await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{end}, {request}: {answer}");
            assert!(!answer.contains("set-cookie"), "{end}, {request}: {answer}");
        }
        if end != "delete" {
            let mut admin = server.admin().await;
            assert_eq!(admin.get(&path).await.json()["email"], "v@example.com", "{end}");
            admin.patch(&path, json!({ "is_active": true })).await.is(StatusCode::OK);
            server.log_in(&format!("victim-{end}")).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_never_arrives_is_given_up() {
    let server = Server::start().await;
    let client = server.admin().await;
    let parked = Parked::park(&server, &client, "PATCH /v1/session", &json!({ "a": 1 })).await;
    let mut stream = parked.stream;
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(15), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
}

/// A password change hashes for a while: whoever is disabled in that time is not followed into a new generation.
#[tokio::test]
async fn a_password_change_does_not_bring_back_who_was_disabled_meanwhile() {
    let slow = signet::password::Cost { memory: 16 * 1024, passes: 2, lanes: 1 };
    let server = Server::start_with(crate::harness::Options { hash_cost: slow, ..Default::default() }).await;
    for round in 0..10 {
        let (client, id) = server.user(&format!("user{round}"), json!({})).await;
        let mut admin = server.admin().await;
        let mut changing = client.clone();
        let change = tokio::spawn(async move {
            let body = json!({ "old_password": PASSWORD, "new_password": "another good one" });
            changing.post("/v1/password", body).await;
            changing
        });
        for _ in 0..round {
            server.anonymous().get("/livez").await;
        }
        admin.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
        let mut after = change.await.unwrap();
        assert!(!after.is_somebody().await, "round {round}");
        assert!(!server.with_cookie(client.cookie.as_ref().unwrap()).is_somebody().await, "round {round}");
    }
}

#[tokio::test]
async fn what_is_refused_has_changed_nothing() {
    let server = Server::start().await;
    // An account whose first session does not fit is not made.
    let mut visitor = server.anonymous();
    let mut size = 2900;
    while visitor.put("/v1/session/data/big", json!({ "value": "x".repeat(size) })).await.status != StatusCode::OK {
        size -= 20;
    }
    let new = json!({ "username": "newcomer", "password": PASSWORD });
    visitor.post("/v1/register", new.clone()).await.is(StatusCode::PAYLOAD_TOO_LARGE);
    server.anonymous().post("/v1/register", new).await.is(StatusCode::CREATED);

    // A password that could not be followed by a cookie is not changed.
    let names: Vec<String> =
        (0..14).map(|n| format!("application_{n:03}.do_something_quite_specific_{n:03}")).collect();
    server.permissions(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut client, id) = server.user("full", json!({})).await;
    let mut size = 2600;
    while client.put("/v1/session/data/big", json!({ "value": "x".repeat(size) })).await.status != StatusCode::OK {
        size -= 20;
    }
    let grant = json!({ "user_permissions": names });
    server.admin().await.patch(&format!("/v1/users/{id}"), grant).await.is(StatusCode::OK);
    let body = json!({ "old_password": PASSWORD, "new_password": "another good one" });
    client.post("/v1/password", body).await.is(StatusCode::PAYLOAD_TOO_LARGE).is_problem("cookie_too_large");
    client.delete("/v1/sessions?keep=current").await.is(StatusCode::PAYLOAD_TOO_LARGE);
    assert!(client.is_somebody().await);
    assert!(server.log_in("full").await.is_somebody().await, "the password is the old one");
    assert!(client.get("/v1/session").await.json()["bytes_used"].as_u64().unwrap() > 4096);
}

#[tokio::test]
async fn a_log_out_with_a_token_whose_time_is_over_ends_the_session_of_newer_ones() {
    let server = Server::start().await;
    let mut owner = server.admin().await;
    let mut thief = owner.clone();
    server.pass(1900);
    thief.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    server.pass(1800);
    assert!(!owner.is_somebody().await, "the owner's token is over");
    assert!(thief.is_somebody().await);
    owner.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert!(!thief.is_somebody().await);
}

#[tokio::test]
async fn a_late_answer_with_an_older_cookie_loses_no_write() {
    let server = Server::start().await;
    let mut reading = server.admin().await;
    server.pass(1900);
    let mut writing = reading.clone();
    // A read renews the token; its answer is on its way while another tab writes.
    reading.get("/v1/session").await.is(StatusCode::OK);
    writing.put("/v1/session/data/draft", json!({ "value": "precious" })).await.is(StatusCode::OK);
    // The browser ends up with the read's cookie.
    assert_ne!(reading.cookie, writing.cookie);
    let data = reading.get("/v1/session").await.is(StatusCode::OK).json()["data"].clone();
    assert_eq!(data, json!({ "draft": "precious" }));
    assert_eq!(reading.cookie, writing.cookie);
}

#[tokio::test]
async fn a_log_in_that_arrives_slowly_does_not_bring_back_what_was_flushed() {
    let server = Server::start().await;
    server.user("alice", json!({})).await;
    for end in ["flush", "everywhere"] {
        let mut alice = server.log_in("alice").await;
        alice.patch("/v1/session", json!({ "basket": 1 })).await.is(StatusCode::OK);
        let credentials = json!({ "username": "alice", "password": PASSWORD });
        let log_in = Parked::park(&server, &alice, "POST /v1/login", &credentials).await;
        let path = if end == "flush" { "/v1/session" } else { "/v1/sessions" };
        alice.delete(path).await.is(StatusCode::NO_CONTENT);
        let answer = log_in.finish().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.contains("basket"), "{end}: {answer}");
    }
}
