//! Answers that are given again without going through the routes: the same to the byte, and never one too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use poem::EndpointExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Options, Server, embed};

/// Fields that a proxy sends when it asks about a GET.
const PROXIED: [(&str, &str); 1] = [("x-forwarded-method", "GET")];

async fn verify(client: &mut Client, query: &str) -> Answer {
    client.call(Method::GET, &format!("/v1/verify{query}"), None, &PROXIED).await
}

fn told(answer: &Answer) -> (StatusCode, Vec<(String, String)>, Vec<u8>) {
    let field = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let mut fields: Vec<_> = answer.headers.iter().map(field).filter(|(name, _)| name != "date").collect();
    fields.sort();
    (answer.status, fields, answer.body.clone())
}

#[tokio::test]
async fn the_same_question_is_answered_the_same_to_the_byte() {
    let server = Server::start().await;
    server.permissions(&["polls.vote"]).await;
    server.group("voters", &["polls.vote"]).await;
    let (mut alice, _) = server.user("alice", json!({ "groups": ["voters"] })).await;
    for path in ["/v1/session", "/v1/verify", "/v1/verify?permission=polls.vote", "/v1/verify?staff=false"] {
        let ask = async |client: &mut Client| client.call(Method::GET, path, None, &PROXIED).await;
        let first = told(&ask(&mut alice).await);
        assert!(first.0.is_success(), "{path}");
        for _ in 0..3 {
            assert_eq!(told(&ask(&mut alice).await), first, "{path}");
        }
        let head = alice.call(Method::HEAD, path, None, &PROXIED).await;
        assert!(head.status == first.0 && head.body.is_empty());
        assert_eq!(told(&ask(&mut alice).await), first, "{path}, after HEAD");
    }
    // Counted like any other.
    let metrics = server.app.measured().unwrap();
    let counted = r#"signet_http_requests_total{method="GET",operation="get_session",status="2xx"} "#;
    let count = metrics.lines().find_map(|line| line.strip_prefix(counted)).unwrap();
    assert_eq!(count, "5");
}

#[tokio::test]
async fn what_changes_an_answer_is_seen_by_the_next_one() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    let group = server.group("voters", &["polls.vote"]).await;
    let (mut alice, id) = server.user("alice", json!({ "groups": ["voters"] })).await;
    for _ in 0..3 {
        let pass = verify(&mut alice, "").await.is(StatusCode::NO_CONTENT);
        assert_eq!(pass.header("x-auth-permissions"), Some("polls.vote"));
        alice.get("/v1/session").await.is(StatusCode::OK);
    }
    // What a group grants stands in no token.
    let wider = json!({ "permissions": ["polls.vote", "polls.close"] });
    admin.patch(&format!("/v1/groups/{group}"), wider).await.is(StatusCode::OK);
    let pass = verify(&mut alice, "").await.is(StatusCode::NO_CONTENT);
    assert_eq!(pass.header("x-auth-permissions"), Some("polls.close,polls.vote"));
    verify(&mut alice, "?permission=polls.close").await.is(StatusCode::NO_CONTENT);
    admin.patch(&format!("/v1/groups/{group}"), json!({ "permissions": [] })).await.is(StatusCode::OK);
    verify(&mut alice, "?permission=polls.close").await.is(StatusCode::FORBIDDEN);
    // The user's own rights: the token is stale, and every use of it brings the newer one.
    let old = alice.cookie.clone().unwrap();
    admin.patch(&format!("/v1/users/{id}"), json!({ "is_staff": true })).await.is(StatusCode::OK);
    for _ in 0..2 {
        let mut with_old = server.with_cookie(&old);
        let seen = with_old.get("/v1/session").await.is(StatusCode::OK);
        assert!(seen.session_cookie().is_some() && seen.json()["user"]["is_staff"] == true);
    }
    verify(&mut alice, "?staff=true").await.is(StatusCode::NO_CONTENT);
    // A write: the token after it shows what was written.
    alice.patch("/v1/session", json!({ "theme": "dark" })).await.is(StatusCode::OK);
    for _ in 0..2 {
        assert_eq!(alice.get("/v1/session").await.json()["data"]["theme"], "dark");
    }
    // The end.
    let last = alice.cookie.clone().unwrap();
    for _ in 0..2 {
        verify(&mut alice, "").await.is(StatusCode::NO_CONTENT);
    }
    alice.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    for token in [&old, &last] {
        let mut dead = server.with_cookie(token);
        dead.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
        verify(&mut dead, "").await.is(StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn every_other_end_is_seen_too() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (_, id) = server.user("alice", json!({})).await;
    for way in ["disable", "log out everywhere", "age", "keys", "epoch"] {
        let mut alice = server.log_in("alice").await;
        for _ in 0..2 {
            alice.get("/v1/session").await.is(StatusCode::OK);
        }
        let disabled = |is_active: bool| json!({ "is_active": is_active });
        match way {
            "disable" => drop(admin.patch(&format!("/v1/users/{id}"), disabled(false)).await.is(StatusCode::OK)),
            "log out everywhere" => drop(server.log_in("alice").await.delete("/v1/sessions").await),
            "age" => server.pass(13 * 24 * 3600),
            "keys" => {
                let other = crate::harness::folder_with_keys(&[("other", "eddsa")]);
                let keyring = signet::keys::Keyring::load(&other.path().join("keys")).unwrap();
                server.app.tokens().replace_keyring(keyring);
            }
            _ => drop(server.admin().await.post("/v1/epoch", Value::Null).await),
        }
        let token = alice.cookie.clone().unwrap();
        let status = server.with_cookie(&token).get("/v1/session").await.status;
        let expected = if way == "age" { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        if way == "age" {
            // Past its half it is renewed, and past its time it is over.
            assert!([StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&status));
            server.pass(400 * 24 * 3600);
            server.with_cookie(&token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
            admin = server.admin().await;
        } else {
            assert_eq!(status, expected, "{way}");
        }
        if way == "disable" {
            admin.patch(&format!("/v1/users/{id}"), disabled(true)).await.is(StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_question_that_must_not_pass_gets_no_answer_of_one_that_may() {
    let server = Server::start_with(Options { registration_open: true, ..Options::default() }).await;
    let (mut alice, _) = server.user("alice", json!({})).await;
    for path in ["/v1/verify", "/v1/verify?staff=false"] {
        for _ in 0..2 {
            alice.call(Method::GET, path, None, &PROXIED).await.is(StatusCode::NO_CONTENT);
        }
        // The request that the proxy asks about may have come from another site's page.
        let cross = [("x-forwarded-method", "POST"), ("sec-fetch-site", "cross-site")];
        alice.call(Method::GET, path, None, &cross).await.is(StatusCode::FORBIDDEN);
        let unnamed = [("sec-fetch-site", "cross-site")];
        alice.call(Method::GET, path, None, &unnamed).await.is(StatusCode::FORBIDDEN);
        let socket = [("x-forwarded-method", "GET"), ("sec-fetch-site", "cross-site"), ("sec-websocket-key", "x")];
        alice.call(Method::GET, path, None, &socket).await.is(StatusCode::FORBIDDEN);
    }
    // A second cookie of the name, and a head that is too large.
    let twice = format!("__Host-signet={}; __Host-signet=x", alice.cookie.clone().unwrap());
    alice.get("/v1/session").await.is(StatusCode::OK);
    let mut nobody = server.anonymous();
    nobody.call(Method::GET, "/v1/session", None, &[("cookie", &twice)]).await.is(StatusCode::UNAUTHORIZED);
    let long = "x".repeat(33 * 1024);
    let large = alice.call(Method::GET, "/v1/session", None, &[("x-filler", &long)]).await;
    large.is(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    // A signed token is made for each question.
    let host = [("x-forwarded-method", "GET"), ("x-forwarded-host", "app.example")];
    let mut tokens = Vec::new();
    for _ in 0..2 {
        server.pass(1);
        let pass = alice.call(Method::GET, "/v1/verify?identity=true", None, &host).await.is(StatusCode::NO_CONTENT);
        tokens.push(pass.header("x-auth-token").unwrap().to_owned());
    }
    assert_ne!(tokens[0], tokens[1]);
    // Somebody without a log-in has a session, and passes nowhere.
    let mut visitor = server.anonymous();
    visitor.put("/v1/session", json!({ "cart": [1] })).await.is(StatusCode::OK);
    for _ in 0..2 {
        assert_eq!(visitor.get("/v1/session").await.is(StatusCode::OK).json()["data"]["cart"], json!([1]));
        verify(&mut visitor, "").await.is(StatusCode::UNAUTHORIZED);
    }
    // Each one sees their own.
    let mut bob = server.user("bob", json!({})).await.0;
    for turn in 0..4 {
        let (client, name) = if turn % 2 == 0 { (&mut alice, "alice") } else { (&mut bob, "bob") };
        assert_eq!(client.get("/v1/session").await.json()["user"]["username"], name);
        assert_eq!(verify(client, "").await.header("x-auth-user"), Some(name));
    }
}

#[tokio::test]
async fn what_a_program_puts_between_is_asked_each_time() {
    let server = Server::start().await;
    let (alice, _) = server.user("alice", json!({})).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let between = signet::api::routes().before(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(request) }
    });
    let base = embed(&server.app, poem::Route::new().nest("/", between)).await;
    let mut alice = alice.at(&base);
    for _ in 0..3 {
        alice.get("/v1/session").await.is(StatusCode::OK);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}
