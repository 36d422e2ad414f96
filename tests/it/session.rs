//! The session's data, its entity tag, its size and its end.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Client, PASSWORD, Server};

#[tokio::test]
async fn without_a_cookie_the_session_is_empty_and_none_is_made() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let answer = client.get("/v1/session").await.is(StatusCode::OK);
    let session = answer.json();
    for member in ["id", "user", "issued_at", "expires_at", "ends_at"] {
        assert_eq!(session[member], Value::Null, "{member}");
    }
    assert_eq!((&session["data"], &session["bytes_used"]), (&json!({}), &json!(0)));
    assert_eq!(session["bytes_allowed"], 4096);
    assert_eq!(answer.header("etag"), None);
    // Neither reading, nor deleting what is not there, nor flushing makes one.
    client.get("/v1/session/data/x").await.is(StatusCode::OK);
    client.delete("/v1/session/data/x").await.is(StatusCode::NO_CONTENT);
    assert!(client.delete("/v1/session").await.is(StatusCode::NO_CONTENT).set_cookies().is_empty());
    assert_eq!(client.cookie, None);
}

#[tokio::test]
async fn the_first_write_begins_an_anonymous_session_that_stays_the_same() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let first = client.put("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK).json();
    let second = client.patch("/v1/session", json!({ "b": { "c": null, "d": 2 } })).await.is(StatusCode::OK).json();
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["data"], json!({ "a": 1, "b": { "d": 2 } }));
    assert_eq!(second["user"], Value::Null);
    let third = client.put("/v1/session", json!({})).await.is(StatusCode::OK).json();
    assert_eq!((&third["data"], &third["id"]), (&json!({}), &first["id"]));
    client.get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn any_json_value_can_be_kept_read_and_deleted() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let values = [
        json!(null),
        json!(true),
        json!(-7),
        json!(2.5),
        json!(18_446_744_073_709_551_615_u64),
        json!("\u{1f600}\0\u{7f}\"\\"),
        json!([1, [2, {}]]),
        json!({ "z": 1, "a": { "": [] } }),
    ];
    for value in values {
        let path = "/v1/session/data/some%20key%2Fwith%20%C3%A9";
        let kept = client.put(path, json!({ "value": value })).await.is(StatusCode::OK).json();
        assert_eq!(kept, json!({ "key": "some key/with \u{e9}", "value": value, "found": true }));
        assert_eq!(client.get(path).await.is(StatusCode::OK).json(), kept);
    }
    client.delete("/v1/session/data/some%20key%2Fwith%20%C3%A9").await.is(StatusCode::NO_CONTENT);
    assert_eq!(client.get("/v1/session").await.json()["data"], json!({}), "the session stays, empty");
    client.put("/v1/session/data/x", json!({})).await.is(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_missing_key_gives_the_callers_default() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    for (query, value) in [
        ("", json!(null)),
        ("?default=light", json!("light")),
        ("?default=7", json!(7)),
        ("?default=%5B1%5D", json!([1])),
        ("?default=%22text%22", json!("text")),
        ("?default=", json!("")),
    ] {
        let answer = client.get(&format!("/v1/session/data/theme{query}")).await.is(StatusCode::OK).json();
        assert_eq!(answer, json!({ "key": "theme", "value": value, "found": false }), "{query}");
    }
    client.put("/v1/session/data/theme", json!({ "value": null })).await.is(StatusCode::OK);
    let answer = client.get("/v1/session/data/theme?default=light").await.json();
    assert_eq!(answer, json!({ "key": "theme", "value": null, "found": true }));
}

#[tokio::test]
async fn a_write_from_an_older_state_is_refused_when_it_says_so() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let put = |body: Value| (Method::PUT, "/v1/session", Some(body));
    let (method, path, body) = put(json!({ "n": 1 }));
    let refused = client.call(method, path, body, &[("if-match", "*")]).await.is(StatusCode::PRECONDITION_FAILED);
    assert!(refused.set_cookies().is_empty());
    client.put("/v1/session", json!({ "n": 1 })).await.is(StatusCode::OK);
    let tag = client.get("/v1/session").await.header("etag").unwrap().to_owned();
    let mut other_tab = client.clone();

    let (method, path, body) = put(json!({ "n": 2 }));
    let written = client.call(method, path, body, &[("if-match", &tag)]).await.is(StatusCode::OK);
    assert_ne!(written.header("etag"), Some(tag.as_str()));
    let (method, path, body) = put(json!({ "n": 3 }));
    other_tab.cookie.clone_from(&client.cookie);
    let stale = other_tab.call(method, path, body, &[("if-match", &tag)]).await;
    stale.is(StatusCode::PRECONDITION_FAILED).is_problem("precondition_failed");
    assert_eq!(client.get("/v1/session").await.json()["data"], json!({ "n": 2 }));
    let either = format!("{tag}, {}", client.get("/v1/session").await.header("etag").unwrap());
    client
        .call(Method::PATCH, "/v1/session", Some(json!({ "m": 1 })), &[("if-match", &either)])
        .await
        .is(StatusCode::OK);
    client.call(Method::PATCH, "/v1/session", Some(json!({ "m": 2 })), &[("if-match", "*")]).await.is(StatusCode::OK);
}

/// The most letters of one more value that the client's session has room for.
pub(crate) async fn room(client: &Client) -> usize {
    let (mut low, mut high) = (0, 4096);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        let mut attempt = client.clone();
        let answer = attempt.put("/v1/session/data/big", json!({ "value": "x".repeat(middle) })).await;
        if answer.status == StatusCode::OK {
            let line = answer.set_cookies()[0].len() + "Set-Cookie: ".len();
            let used = attempt.get("/v1/session").await.json()["bytes_used"].as_u64().unwrap();
            assert!(line <= usize::try_from(used).unwrap() && used <= 4096, "{line} {used}");
            low = middle;
        } else {
            let problem = answer.is(StatusCode::PAYLOAD_TOO_LARGE).is_problem("cookie_too_large").json();
            assert!(problem["bytes_used"].as_u64().unwrap() > 4096);
            assert_eq!(problem["bytes_allowed"], 4096);
            high = middle;
        }
    }
    low
}

#[tokio::test]
async fn the_whole_cookie_line_is_budgeted_and_the_session_unchanged_when_it_is_too_large() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    client.put("/v1/session/data/kept", json!({ "value": "yes" })).await.is(StatusCode::OK);
    let low = room(&client).await;
    assert!(low > 1700, "room for {low} bytes of data");
    assert_eq!(client.get("/v1/session").await.json()["data"], json!({ "kept": "yes" }));
}

#[tokio::test]
async fn a_log_in_whose_kept_data_does_not_fit_is_refused_and_loses_nothing() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let mut size = 2900;
    while client.put("/v1/session/data/big", json!({ "value": "x".repeat(size) })).await.status != StatusCode::OK {
        size -= 20;
    }
    let answer = client.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await;
    answer.is(StatusCode::PAYLOAD_TOO_LARGE).is_problem("cookie_too_large");
    assert_eq!(client.get("/v1/session").await.json()["data"]["big"], "x".repeat(size));
}

#[tokio::test]
async fn a_flush_ends_the_session_every_token_of_it_and_its_data() {
    let server = Server::start().await;
    for mut client in [server.anonymous(), server.admin().await] {
        let mut tokens = Vec::new();
        for n in 0..5 {
            client.put("/v1/session/data/n", json!({ "value": n })).await.is(StatusCode::OK);
            tokens.push(client.cookie.clone().unwrap());
        }
        let mut oldest = server.with_cookie(&tokens[0]);
        let answer = oldest.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
        assert_eq!(answer.session_cookie().as_deref(), Some(""));
        for token in &tokens {
            server
                .with_cookie(token)
                .get("/v1/session")
                .await
                .is(StatusCode::UNAUTHORIZED)
                .is_problem("not_authenticated");
        }
        // A flush of what is flushed is refused like every other use of a dead cookie, and sets none.
        assert!(client.delete("/v1/session").await.is(StatusCode::UNAUTHORIZED).set_cookies().is_empty());
    }
}

#[tokio::test]
async fn reading_sets_no_cookie_and_no_verified_request_asks_the_store() {
    let server = Server::start().await;
    server.permissions(&["polls.vote"]).await;
    server.group("voters", &["polls.vote"]).await;
    let (mut client, _) = server.user("lena", json!({ "groups": ["voters"] })).await;
    client.put("/v1/session/data/k", json!({ "value": 1 })).await.is(StatusCode::OK);
    let before = server.store.calls();
    for _ in 0..20 {
        assert!(client.get("/v1/session").await.is(StatusCode::OK).set_cookies().is_empty());
        assert!(client.get("/v1/session/data/k").await.is(StatusCode::OK).set_cookies().is_empty());
        client.patch("/v1/session", json!({ "m": { "n": 1 } })).await.is(StatusCode::OK);
        client.put("/v1/session/data/k", json!({ "value": 2 })).await.is(StatusCode::OK);
        client.delete("/v1/session/data/k").await.is(StatusCode::NO_CONTENT);
        client.put("/v1/session/expiry", json!({ "kind": "inactivity", "seconds": 600 })).await.is(StatusCode::OK);
        client.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
        assert!(client.may("polls.vote").await);
        client.put("/v1/cookies/language", json!({ "value": "de" })).await.is(StatusCode::OK);
        client.get("/v1/users").await.is(StatusCode::FORBIDDEN);
        server.with_cookie("a.b.c").get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    }
    server.pass(1200);
    client.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    assert_eq!(server.store.calls(), before);
    // The counter counts: this one does ask the store.
    server.admin().await.get("/v1/me").await.is(StatusCode::OK);
    assert!(server.store.calls() > before);
}
