//! How long a session lives: sliding, renewal, custom expiry, the absolute end.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, Server};

fn time(answer: &Answer, member: &str) -> DateTime<Utc> {
    answer.json()[member].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_session_slides_past_half_of_its_age_and_not_before() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let first = client.cookie.clone().unwrap();
    server.pass(1790);
    assert!(client.get("/v1/session").await.is(StatusCode::OK).set_cookies().is_empty());
    server.pass(30);
    let answer = client.get("/v1/session").await.is(StatusCode::OK);
    assert_eq!(answer.set_cookies().len(), 1, "re-issued");
    assert!(time(&answer, "expires_at") > server.now() + TimeDelta::seconds(3590));
    assert_ne!(client.cookie.as_ref(), Some(&first));
    // A client that keeps sending the old token is given the same new one.
    let mut old = server.with_cookie(&first);
    old.get("/v1/session").await.is(StatusCode::OK);
    assert_eq!(old.cookie, client.cookie);
    // The old token lives as long as it always would have, and no longer.
    server.pass(1700);
    assert!(server.with_cookie(&first).is_somebody().await);
    server.pass(100);
    assert!(!server.with_cookie(&first).is_somebody().await);
    assert!(client.is_somebody().await);
}

#[tokio::test]
async fn an_unused_session_ends_with_its_age() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    server.pass(3601);
    let answer = client.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    assert!(answer.set_cookies().is_empty(), "a 401 must not delete the cookie of a newer log-in");
}

#[tokio::test]
async fn renewing_for_ever_ends_at_the_absolute_end() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let ends = time(&client.get("/v1/session").await, "ends_at");
    let mut renewals = 0;
    while client.cookie.is_some() && renewals < 1000 {
        server.pass(3500);
        let answer = client.post("/v1/session/renew", Value::Null).await;
        if answer.status == StatusCode::UNAUTHORIZED {
            break;
        }
        assert!(time(&answer, "expires_at") <= ends);
        assert_eq!(time(&answer, "ends_at"), ends);
        renewals += 1;
    }
    assert!((340..=346).contains(&renewals), "{renewals}");
    assert!(server.now() >= ends);
}

#[tokio::test]
async fn renewing_needs_a_session() {
    let server = Server::start().await;
    server.anonymous().post("/v1/session/renew", Value::Null).await.is(StatusCode::UNAUTHORIZED);
    let mut visitor = server.anonymous();
    visitor.put("/v1/session", json!({})).await.is(StatusCode::OK);
    visitor.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_shorter_inactivity_is_enforced_and_slides() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let answer =
        client.put("/v1/session/expiry", json!({ "kind": "inactivity", "seconds": 60 })).await.is(StatusCode::OK);
    assert!(answer.set_cookies()[0].contains("; Max-Age=60; "), "{:?}", answer.set_cookies());
    for _ in 0..5 {
        server.pass(40);
        client.get("/v1/session").await.is(StatusCode::OK);
    }
    server.pass(61);
    client.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_fixed_instant_does_not_slide_and_the_default_comes_back() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let at = (server.now() + TimeDelta::seconds(7200)).to_rfc3339();
    let answer = client.put("/v1/session/expiry", json!({ "kind": "instant", "at": at })).await.is(StatusCode::OK);
    let fixed = time(&answer, "expires_at");
    server.pass(7000);
    let answer = client.get("/v1/session").await.is(StatusCode::OK);
    assert!(answer.set_cookies().is_empty());
    assert_eq!(time(&answer, "expires_at"), fixed);
    let mut usual = client.clone();
    let answer = usual.put("/v1/session/expiry", json!({ "kind": "default" })).await.is(StatusCode::OK);
    assert!(time(&answer, "expires_at") > fixed);
    server.pass(300);
    client.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    usual.get("/v1/session").await.is(StatusCode::OK);
    // Beyond the absolute end it is the absolute end.
    let late = (server.now() + TimeDelta::days(365)).to_rfc3339();
    let answer = usual.put("/v1/session/expiry", json!({ "kind": "instant", "at": late })).await.is(StatusCode::OK);
    assert_eq!(time(&answer, "expires_at"), time(&answer, "ends_at"));
}

#[tokio::test]
async fn until_the_browser_closes_is_a_cookie_without_a_lifetime() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let answer = client.put("/v1/session/expiry", json!({ "kind": "browser" })).await.is(StatusCode::OK);
    assert!(!answer.set_cookies()[0].contains("Max-Age") && !answer.set_cookies()[0].contains("Expires"));
    // It stays so when the session is re-issued, and the server ends it for want of use all the same.
    let answer = client.put("/v1/session/data/k", json!({ "value": 1 })).await;
    assert!(!answer.set_cookies()[0].contains("Max-Age"));
    server.pass(3601);
    client.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_expiry_that_makes_no_sense_is_refused_with_a_reason() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let before = client.cookie.clone();
    for (body, field) in [
        (json!({ "kind": "inactivity" }), "seconds"),
        (json!({ "kind": "inactivity", "seconds": 0 }), "seconds"),
        (json!({ "kind": "inactivity", "seconds": -1 }), "seconds"),
        (json!({ "kind": "inactivity", "seconds": 4_294_967_296_u64 }), "seconds"),
        (json!({ "kind": "inactivity", "seconds": 1.5 }), "seconds"),
        (json!({ "kind": "inactivity", "seconds": 60, "at": "2100-01-01T00:00:00Z" }), "at"),
        (json!({ "kind": "instant" }), "at"),
        (json!({ "kind": "instant", "at": "2000-01-01T00:00:00Z" }), "at"),
        (json!({ "kind": "instant", "at": "tomorrow" }), "at"),
        (json!({ "kind": "browser", "seconds": 60 }), "seconds"),
        (json!({ "kind": "default", "at": "2100-01-01T00:00:00Z" }), "at"),
        (json!({ "kind": "never" }), "kind"),
        (json!({}), "kind"),
    ] {
        let answer = client.put("/v1/session/expiry", body.clone()).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.errors()[0].0, field, "{body}");
    }
    assert_eq!(client.cookie, before);
    for at in ["9999-12-31T23:59:59Z", "+262000-01-01T00:00:00Z"] {
        let answer = client.put("/v1/session/expiry", json!({ "kind": "instant", "at": at })).await;
        assert!(answer.status.as_u16() < 500, "{at}");
    }
    client
        .put("/v1/session/expiry", json!({ "kind": "inactivity", "seconds": 4_294_967_295_u64 }))
        .await
        .is(StatusCode::OK);
    assert!(client.is_somebody().await);
}

#[tokio::test]
async fn a_clock_that_is_set_back_lets_no_token_of_the_future_in() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    server.pass(-3600);
    client.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    server.pass(3600);
    client.get("/v1/session").await.is(StatusCode::OK);
    server.pass(-60 * 365 * 24 * 3600);
    client.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    server.anonymous().put("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_raised_configuration_revives_nothing_that_was_ended() {
    let long = || signet::claims::Lifetime { age: 3600, end: 30 * 24 * 3600 };
    let short = || signet::claims::Lifetime { age: 3600, end: 7200 };
    let server = Server::start_with(Options { life: long(), ..Options::default() }).await;
    let (mut client, id) = server.user("mia", json!({})).await;
    client.put("/v1/session/expiry", json!({ "kind": "inactivity", "seconds": 2_000_000 })).await.is(StatusCode::OK);
    let token = client.cookie.clone().unwrap();
    // Under the shorter configuration her sessions are ended; the record of it has to outlive her old token.
    let folder = server.stop().await;
    let server = Server::start_with(Options { life: short(), folder: Some(folder), ..Options::default() }).await;
    assert!(server.with_cookie(&token).is_somebody().await);
    server.admin().await.delete(&format!("/v1/users/{id}/sessions")).await.is(StatusCode::NO_CONTENT);
    server.pass(10 * 24 * 3600);
    server.app.forget().await.unwrap();
    assert!(!server.with_cookie(&token).is_somebody().await);
}

/// What is over by a clock that runs ahead is forgotten; when the clock is set right, it is not over.
#[tokio::test]
async fn a_clock_that_runs_ahead_and_is_set_right_revives_nothing_and_keeps_nobody_out() {
    const YEARS: i64 = 3 * 365 * 24 * 3600;
    for restarted in [false, true] {
        let mut server = Server::start().await;
        let (mut gone, _) = server.user("gone", json!({})).await;
        let (mut disabled, id) = server.user("disabled", json!({})).await;
        let tokens = [gone.cookie.clone().unwrap(), disabled.cookie.clone().unwrap()];
        let machine = disabled.post("/v1/tokens", json!({ "name": "n", "permissions": [] })).await.text("token");
        let machine = format!("Bearer {machine}");
        gone.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        let path = format!("/v1/users/{id}");
        server.admin().await.patch(&path, json!({ "is_active": false })).await.is(StatusCode::OK);
        server.pass(YEARS);
        server.app.forget().await.unwrap();
        assert_eq!(server.app.revocations().count(), (0, 0), "all of it is over");
        if restarted {
            // A server that starts has the right time again.
            let folder = Some(server.stop().await);
            server = Server::start_with(Options { folder, ..Options::default() }).await;
        } else {
            server.pass(-YEARS);
        }
        for token in &tokens {
            server.with_cookie(token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
        }
        let asked = [("authorization", machine.as_str())];
        let answer = server.anonymous().call(reqwest::Method::GET, "/v1/me/permissions", None, &asked).await;
        answer.is(StatusCode::UNAUTHORIZED);
        // Whoever logs in anew is in, soon after at the latest.
        let begun = std::time::Instant::now();
        while !server.admin().await.is_somebody().await {
            assert!(begun.elapsed().as_secs() < 20, "nobody gets in");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let mut admin = server.admin().await;
        assert!(admin.is_somebody().await && admin.is_somebody().await);
        for token in &tokens {
            server.with_cookie(token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
        }
        admin.patch(&path, json!({ "is_active": true })).await.is(StatusCode::OK);
        assert!(!server.with_cookie(&tokens[1]).is_somebody().await);
    }
}

#[tokio::test]
async fn what_ends_while_the_clock_is_behind_has_ended_when_it_is_set_right() {
    const YEARS: i64 = 3 * 365 * 24 * 3600;
    let server = Server::start().await;
    let (gone, _) = server.user("gone", json!({})).await;
    let (disabled, id) = server.user("disabled", json!({})).await;
    let tokens = [gone.cookie.clone().unwrap(), disabled.cookie.clone().unwrap()];
    server.pass(-YEARS);
    server.admin().await.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    server.with_cookie(&tokens[0]).post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    server.pass(YEARS);
    assert!(!server.with_cookie(&tokens[1]).is_somebody().await);
    server.app.forget().await.unwrap();
    assert!(!server.with_cookie(&tokens[1]).is_somebody().await, "its end was forgotten");
    // Nobody is known by a token of the future: the log-out ended nothing, and took the cookie away.
    assert!(server.with_cookie(&tokens[0]).is_somebody().await);
}
