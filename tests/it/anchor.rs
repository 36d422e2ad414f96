//! The five behaviours that Django's own suite skips, or expects to fail, for its sessions in signed cookies.
//!
//! Each test is named after what it shows and says which of Django's tests it stands for (`SessionTestsMixin`, in
//! `tests/sessions_tests/tests.py`). That Django's signed cookies indeed do none of it, `tests/django` measures.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Client, ORIGIN, PASSWORD, Server, at_once};

async fn data(client: &mut Client) -> Value {
    client.get("/v1/session").await.is(StatusCode::OK).json()["data"].clone()
}

async fn write(client: &mut Client, key: &str) -> StatusCode {
    client.put(&format!("/v1/session/data/{key}"), json!({ "value": key })).await.status
}

/// Django: `test_save`, `test_delete`, `test_flush`.
#[tokio::test]
async fn a_session_exists_once_it_is_saved_and_not_before_or_after() {
    let server = Server::start().await;
    // Before: nobody has a session, and reading makes none.
    let mut visitor = server.anonymous();
    let answer = visitor.get("/v1/session").await.is(StatusCode::OK);
    assert!(answer.set_cookies().is_empty());
    assert_eq!(answer.json()["id"], Value::Null);
    // Saved: whoever shows its cookie has what was written, and its id.
    assert_eq!(write(&mut visitor, "k").await, StatusCode::OK);
    let token = visitor.cookie.clone().unwrap();
    assert_eq!(data(&mut server.with_cookie(&token)).await, json!({ "k": "k" }));
    assert!(server.with_cookie(&token).get("/v1/session").await.json()["id"].is_string());
    // After: it is known that the very same cookie is of no session any more.
    visitor.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
    server.with_cookie(&token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    // The session of somebody is listed while it exists, and only then.
    let mut ann = server.user("ann", json!({})).await.0;
    let mut other = server.log_in("ann").await;
    let id = ann.get("/v1/session").await.text("id");
    let listed = |list: Value| list["items"].as_array().unwrap().iter().any(|item| item["id"] == id.as_str());
    assert!(listed(other.get("/v1/sessions").await.json()));
    ann.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert!(!listed(other.get("/v1/sessions").await.json()));
}

/// Django: `test_cycle`, `test_cycle_with_no_session_cache`.
#[tokio::test]
async fn a_new_key_keeps_the_data_and_the_old_key_is_worth_nothing() {
    let server = Server::start().await;
    server.user("bea", json!({})).await;
    let mut visitor = server.anonymous();
    assert_eq!(write(&mut visitor, "a").await, StatusCode::OK);
    let older = visitor.cookie.clone().unwrap();
    assert_eq!(write(&mut visitor, "b").await, StatusCode::OK);
    let old = visitor.cookie.clone().unwrap();
    let id = visitor.get("/v1/session").await.text("id");
    assert_eq!(data(&mut server.with_cookie(&older)).await, json!({ "a": "a" }), "a cookie of the same session");
    // The log-in is where a session gets another key.
    visitor.post("/v1/login", json!({ "username": "bea", "password": PASSWORD })).await.is(StatusCode::OK);
    assert_ne!(visitor.get("/v1/session").await.text("id"), id);
    assert_eq!(data(&mut visitor).await, json!({ "a": "a", "b": "b" }));
    for token in [older, old] {
        let mut holder = server.with_cookie(&token);
        holder.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
        assert_eq!(write(&mut holder, "c").await, StatusCode::UNAUTHORIZED);
        assert_eq!(holder.cookie.as_ref(), Some(&token), "and no other one is given for it");
    }
    // A change of the password is the other place: the key from before is worth nothing.
    let before = visitor.cookie.clone().unwrap();
    let change = json!({ "old_password": PASSWORD, "new_password": "another horse battery" });
    visitor.post("/v1/password", change).await.is(StatusCode::OK);
    assert_eq!(data(&mut visitor).await, json!({ "a": "a", "b": "b" }));
    server.with_cookie(&before).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
}

/// Django: `test_actual_expiry`, an expected failure there (ticket 19201).
#[tokio::test]
async fn a_session_with_an_expiry_of_its_own_is_over_then_whatever_the_cookie_says() {
    let server = Server::start().await;
    let at = (server.now() + chrono::TimeDelta::seconds(120)).to_rfc3339();
    for expiry in [json!({ "kind": "inactivity", "seconds": 120 }), json!({ "kind": "instant", "at": at })] {
        let mut short = server.anonymous();
        let mut usual = server.anonymous();
        for client in [&mut short, &mut usual] {
            assert_eq!(write(client, "k").await, StatusCode::OK);
        }
        short.put("/v1/session/expiry", expiry).await.is(StatusCode::OK);
        assert_eq!(data(&mut short).await, json!({ "k": "k" }));
        server.pass(121);
        // The client kept the cookie although it was told not to.
        short.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
        assert_eq!(write(&mut short, "l").await, StatusCode::UNAUTHORIZED);
        assert_eq!(data(&mut usual).await, json!({ "k": "k" }));
        server.pass(-121);
    }
}

/// Django: `test_session_load_does_not_create_record`, `test_invalid_key`.
#[tokio::test]
async fn a_key_that_nobody_gave_out_makes_no_session_and_is_not_taken_over() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let real = admin.cookie.clone().unwrap();
    let forged = format!("{}x", &real[..real.len() - 1]);
    let devices = admin.get("/v1/sessions").await.json()["items"].as_array().unwrap().len();
    let calls = server.store.calls();
    for token in ["someunknownkey", "1", "AAAAAAAAAAAAAAAAAAAAAA", &forged] {
        let mut stranger = server.with_cookie(token);
        for path in ["/v1/session", "/v1/session/data/k?default=1", "/v1/me"] {
            let answer = stranger.get(path).await.is(StatusCode::UNAUTHORIZED);
            assert!(answer.set_cookies().is_empty());
        }
        assert_eq!(write(&mut stranger, "k").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.store.calls(), calls, "the store is not asked, so nothing can be made in it");
    // Nobody's cookie: reading makes nothing either.
    assert!(server.anonymous().get("/v1/session").await.is(StatusCode::OK).set_cookies().is_empty());
    assert_eq!(server.store.calls(), calls);
    assert_eq!(admin.get("/v1/sessions").await.json()["items"].as_array().unwrap().len(), devices);
}

/// Django: `test_session_save_does_not_resurrect_session_logged_out_in_other_context`.
#[tokio::test]
async fn a_session_that_was_logged_out_elsewhere_does_not_come_back() {
    let server = Server::start().await;
    server.user("cem", json!({})).await;
    let mut here = server.log_in("cem").await;
    let there = here.clone();
    // Writes that are under way while the session is logged out: each is refused, or its cookie is as dead as the others.
    let writing = at_once(12, |n| {
        let mut client = there.clone();
        let mut leaving = here.clone();
        Box::pin(async move {
            if n == 4 {
                leaving.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
                return None;
            }
            let path = format!("/v1/session/data/k{n}");
            let from = [("origin", ORIGIN)];
            client.call(Method::PUT, &path, Some(json!({ "value": n })), &from).await;
            client.cookie
        })
    });
    let tokens: Vec<String> = writing.await.into_iter().flatten().collect();
    assert_eq!(tokens.len(), 11);
    for token in &tokens {
        let mut holder = server.with_cookie(token);
        assert!(!holder.is_somebody().await);
        assert_eq!(write(&mut holder, "back").await, StatusCode::UNAUTHORIZED);
        holder.post("/v1/session/renew", Value::Null).await.is(StatusCode::UNAUTHORIZED);
        assert_eq!(holder.cookie.as_ref(), Some(token));
    }
    assert!(!here.is_somebody().await);
    // Not by a new log-in of the same user, and not by a new start of the server.
    server.log_in("cem").await;
    assert!(!here.is_somebody().await);
    let folder = server.stop().await;
    let server = Server::start_with(crate::harness::Options { folder: Some(folder), ..Default::default() }).await;
    for token in &tokens {
        assert!(!server.with_cookie(token).is_somebody().await);
    }
}
