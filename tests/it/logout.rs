//! Logging out, devices, and everything else that ends sessions.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::audit;
use signet::store::Slice;

use crate::harness::{PASSWORD, Server};

#[tokio::test]
async fn a_log_out_ends_every_token_of_the_session_older_or_newer() {
    let server = Server::start().await;
    for ended_by in [0, 4] {
        let mut client = server.admin().await;
        let mut tokens = vec![client.cookie.clone().unwrap()];
        for _ in 0..4 {
            client.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
            tokens.push(client.cookie.clone().unwrap());
        }
        let answer = server.with_cookie(&tokens[ended_by]).post("/v1/logout", Value::Null).await;
        assert_eq!(answer.is(StatusCode::NO_CONTENT).session_cookie().as_deref(), Some(""));
        for token in &tokens {
            assert!(!server.with_cookie(token).is_somebody().await);
        }
    }
}

#[tokio::test]
async fn a_log_out_in_another_tab_ends_the_session_that_a_new_password_has_just_kept() {
    let server = Server::start().await;
    let mut user = server.user("alice", json!({})).await.0;
    let mut password = PASSWORD.to_owned();
    for how in ["password", "everywhere"] {
        let old = user.clone();
        if how == "password" {
            let change = json!({ "old_password": password, "new_password": "another good sentence" });
            user.post("/v1/password", change).await.is(StatusCode::OK);
            password = "another good sentence".to_owned();
        } else {
            user.delete("/v1/sessions?keep=current").await.is(StatusCode::NO_CONTENT);
        }
        let mut other = server.anonymous();
        other.post("/v1/login", json!({ "username": "alice", "password": password })).await.is(StatusCode::OK);
        // The other tab's request left with the cookie of before.
        old.clone().post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        assert!(!user.is_somebody().await, "{how}");
        assert!(other.is_somebody().await, "another session is not meant");
        // Done once: what has ended is looked up and not written again.
        let events = async || {
            let all = Slice { limit: 1000, ..Slice::default() };
            server.app.store().events(audit::Filter::default(), all).await.unwrap().items.len()
        };
        let before = events().await;
        old.clone().post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        assert_eq!(events().await, before);
        user = other;
    }
}

#[tokio::test]
async fn a_log_out_always_succeeds_and_always_clears_and_tells_nothing() {
    let server = Server::start().await;
    let mut gone = server.admin().await;
    let dead = gone.cookie.clone().unwrap();
    gone.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    let mut seen = Vec::new();
    for mut client in [server.anonymous(), server.with_cookie(&dead), server.with_cookie("x.y.z"), server.admin().await]
    {
        let answer = client.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        let mut headers = answer.headers.clone();
        headers.remove("date");
        seen.push(headers);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
}

#[tokio::test]
async fn a_log_out_of_one_session_leaves_the_others() {
    let server = Server::start().await;
    let (mut here, _) = server.user("nina", json!({})).await;
    let mut there = server.log_in("nina").await;
    here.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert!(there.is_somebody().await);
    assert_eq!(there.get("/v1/sessions").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn my_devices_are_listed_and_can_be_logged_out_one_by_one() {
    let server = Server::start().await;
    let (mut here, _) = server.user("olga", json!({})).await;
    let mut there = server.anonymous();
    let body = json!({ "username": "olga", "password": PASSWORD });
    let agent = [("user-agent", "Fancy/1.0 (a\ttab)")];
    there.call(Method::POST, "/v1/login", Some(body), &agent).await.is(StatusCode::OK);
    let list = here.get("/v1/sessions").await.is(StatusCode::OK).json();
    assert_eq!(list["next"], Value::Null);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items.iter().filter(|item| item["current"] == true).count(), 1);
    assert!(items.iter().all(|item| item["address"] == "127.0.0.1" && item["created_at"].is_string()));
    assert!(items.iter().any(|item| item["agent"] == "Fancy/1.0 (atab)"), "control characters are left out");
    let other = items.iter().find(|item| item["current"] == false).unwrap()["id"].as_str().unwrap().to_owned();
    here.delete(&format!("/v1/sessions/{other}")).await.is(StatusCode::NO_CONTENT);
    assert!(!there.is_somebody().await);
    assert!(here.is_somebody().await);
    here.delete(&format!("/v1/sessions/{other}")).await.is(StatusCode::NOT_FOUND);
    // One's own current session counts too, and its cookie goes with it.
    let own = here.get("/v1/session").await.text("id");
    let answer = here.delete(&format!("/v1/sessions/{own}")).await.is(StatusCode::NO_CONTENT);
    assert_eq!(answer.session_cookie().as_deref(), Some(""));
}

#[tokio::test]
async fn somebody_elses_session_is_as_good_as_none() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let theirs = admin.get("/v1/session").await.text("id");
    let (mut mallory, _) = server.user("mallory", json!({})).await;
    let mut seen = Vec::new();
    for sid in [theirs.as_str(), "AAAAAAAAAAAAAAAAAAAAAA", "1", "..%2f..", "me", &"x".repeat(500)] {
        let mut body = mallory.delete(&format!("/v1/sessions/{sid}")).await.is(StatusCode::NOT_FOUND).json();
        body["request_id"] = Value::Null;
        seen.push(body);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(admin.is_somebody().await);
    server.anonymous().delete(&format!("/v1/sessions/{theirs}")).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn logging_out_everywhere_can_keep_the_session_that_asks() {
    let server = Server::start().await;
    let (mut here, _) = server.user("pia", json!({})).await;
    let mut others = vec![server.log_in("pia").await, server.log_in("pia").await];
    let old = here.cookie.clone().unwrap();
    here.put("/v1/session/data/k", json!({ "value": 1 })).await.is(StatusCode::OK);
    here.delete("/v1/sessions?keep=current").await.is(StatusCode::NO_CONTENT);
    for other in &mut others {
        assert!(!other.is_somebody().await);
    }
    assert!(!server.with_cookie(&old).is_somebody().await);
    assert_eq!(here.get("/v1/session").await.is(StatusCode::OK).json()["data"], json!({ "k": 1 }));
    assert_eq!(here.get("/v1/sessions").await.json()["items"].as_array().unwrap().len(), 1);
    here.delete("/v1/sessions?keep=everything").await.is(StatusCode::BAD_REQUEST).is_problem("invalid_parameter");
    let token = here.cookie.clone().unwrap();
    let answer = here.delete("/v1/sessions").await.is(StatusCode::NO_CONTENT);
    assert_eq!(answer.session_cookie().as_deref(), Some(""));
    assert!(!server.with_cookie(&token).is_somebody().await);
    let mut again = server.log_in("pia").await;
    assert_eq!(again.get("/v1/sessions").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn disabling_a_user_ends_all_sessions_for_good() {
    let server = Server::start().await;
    let (mut client, id) = server.user("quinn", json!({})).await;
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    assert!(!client.is_somebody().await);
    // Django revives old sessions when the account is enabled again; here they stay dead.
    admin.patch(&format!("/v1/users/{id}"), json!({ "is_active": true })).await.is(StatusCode::OK);
    assert!(!client.is_somebody().await);
    assert!(server.log_in("quinn").await.is_somebody().await);
}

#[tokio::test]
async fn deleting_a_user_ends_all_sessions_and_the_name_brings_nothing_back() {
    let server = Server::start().await;
    let (mut client, id) = server.user("rosa", json!({})).await;
    let mut admin = server.admin().await;
    admin.delete(&format!("/v1/users/{id}")).await.is(StatusCode::NO_CONTENT);
    assert!(!client.is_somebody().await);
    let (mut namesake, new_id) = server.user("rosa", json!({})).await;
    assert_ne!(new_id, id);
    assert!(!client.is_somebody().await);
    assert!(namesake.is_somebody().await);
    admin.get(&format!("/v1/users/{id}")).await.is(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_administrator_can_log_somebody_out_everywhere() {
    let server = Server::start().await;
    let (mut client, id) = server.user("sven", json!({})).await;
    let mut admin = server.admin().await;
    let list = admin.get(&format!("/v1/users/{id}/sessions")).await.is(StatusCode::OK).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    admin.delete(&format!("/v1/users/{id}/sessions")).await.is(StatusCode::NO_CONTENT);
    assert!(!client.is_somebody().await);
    assert!(server.log_in("sven").await.is_somebody().await, "a log-in afterwards lives");
}

#[tokio::test]
async fn a_new_epoch_ends_every_session_of_everybody() {
    let server = Server::start().await;
    let (mut user, _) = server.user("tom", json!({})).await;
    let (mut staff, _) = server.user("uma", json!({ "is_staff": true })).await;
    let mut visitor = server.anonymous();
    visitor.put("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
    staff.post("/v1/epoch", Value::Null).await.is(StatusCode::FORBIDDEN);
    let mut admin = server.admin().await;
    let token = admin.cookie.clone().unwrap();
    let answer = admin.post("/v1/epoch", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert_eq!(answer.session_cookie().as_deref(), Some(""));
    for dead in [&mut user, &mut staff, &mut visitor, &mut server.with_cookie(&token)] {
        dead.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    }
    assert!(server.log_in("tom").await.is_somebody().await);
}

#[tokio::test]
async fn everything_that_ended_is_still_ended_after_a_restart() {
    let server = Server::start().await;
    let (mut flushed, _) = server.user("vera", json!({})).await;
    let (mut changed, id) = server.user("walt", json!({})).await;
    let mut visitor = server.anonymous();
    visitor.put("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
    let tokens = [&flushed, &changed, &visitor].map(|client| client.cookie.clone().unwrap());
    flushed.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    let new = json!({ "old_password": PASSWORD, "new_password": "another good one" });
    changed.post("/v1/password", new).await.is(StatusCode::OK);
    visitor.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
    let alive = changed.cookie.clone().unwrap();
    let folder = server.stop().await;

    let server = Server::start_with(crate::harness::Options { folder: Some(folder), ..Default::default() }).await;
    for token in &tokens {
        server.with_cookie(token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    }
    assert!(server.with_cookie(&alive).is_somebody().await);
    server.admin().await.post("/v1/epoch", Value::Null).await.is(StatusCode::NO_CONTENT);
    let folder = server.stop().await;
    let server = Server::start_with(crate::harness::Options { folder: Some(folder), ..Default::default() }).await;
    assert!(!server.with_cookie(&alive).is_somebody().await);
    assert!(server.admin().await.get(&format!("/v1/users/{id}")).await.status.is_success());
}

#[tokio::test]
async fn what_ended_is_forgotten_when_nothing_it_covers_can_be_valid() {
    let server = Server::start().await;
    let (mut client, id) = server.user("xena", json!({})).await;
    client.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    server.admin().await.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    server.log_in("admin").await;
    let held = server.app.revocations().count();
    assert!(held.0 >= 1 && held.1 >= 1, "{held:?}");
    // An hour more than needed, for clocks that differ.
    server.pass(14 * 24 * 3600 + 3500);
    server.app.forget().await.unwrap();
    assert_eq!(server.app.revocations().count(), held);
    server.pass(200);
    server.app.forget().await.unwrap();
    // What ended for a user covers API tokens too, which live for up to 400 days.
    assert_eq!(server.app.revocations().count(), (0, held.1));
    server.pass(386 * 24 * 3600 - 200);
    server.app.forget().await.unwrap();
    assert_eq!(server.app.revocations().count(), (0, held.1));
    server.pass(200);
    server.app.forget().await.unwrap();
    assert_eq!(server.app.revocations().count(), (0, 0));
    let state = server.app.store().state().await.unwrap();
    assert!(state.revocations.is_empty(), "{:?}", state.revocations);
}

/// Every order of every choice of the ways to end a session: each of them is enough, and none takes another one back.
#[tokio::test]
async fn any_one_end_is_enough_in_whatever_order_they_come() {
    const ENDS: [&str; 3] = ["session", "user", "epoch"];
    let mut orders: Vec<Vec<&str>> = ENDS.iter().map(|end| vec![*end]).collect();
    for length in 1..ENDS.len() {
        for order in orders.clone().into_iter().filter(|order| order.len() == length) {
            orders.extend(ENDS.iter().filter(|end| !order.contains(end)).map(|end| [&order[..], &[*end]].concat()));
        }
    }
    assert_eq!(orders.len(), 15);
    let server = Server::start().await;
    let mut dead = Vec::new();
    for (n, order) in orders.iter().enumerate() {
        let name = format!("user{n}");
        let (mut client, id) = server.user(&name, json!({})).await;
        let mut tokens = vec![client.cookie.clone().unwrap()];
        client.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
        tokens.push(client.cookie.clone().unwrap());
        for end in order {
            let mut admin = server.admin().await;
            let ended = match *end {
                "session" => server.with_cookie(&tokens[1]).post("/v1/logout", Value::Null).await,
                "user" => admin.delete(&format!("/v1/users/{id}/sessions")).await,
                _ => admin.post("/v1/epoch", Value::Null).await,
            };
            ended.is(StatusCode::NO_CONTENT);
            for token in &tokens {
                assert!(!server.with_cookie(token).is_somebody().await, "after {end} of {order:?}");
            }
            // A new session lives, and what ends later ends it too.
            let mut next = server.log_in(&name).await;
            assert!(next.is_somebody().await, "after {end} of {order:?}");
        }
        dead.append(&mut tokens);
    }
    let folder = server.stop().await;
    let server = Server::start_with(crate::harness::Options { folder: Some(folder), ..Default::default() }).await;
    for token in &dead {
        assert!(!server.with_cookie(token).is_somebody().await, "after a restart");
    }
}

#[tokio::test]
async fn what_ended_stays_ended_through_every_sweep_until_its_tokens_are_over() {
    let server = Server::start().await;
    let (mut client, id) = server.user("yara", json!({})).await;
    let (mut other, other_id) = server.user("zeno", json!({})).await;
    for client in [&mut client, &mut other] {
        // As long as a session can last: until its absolute end.
        let longest = json!({ "kind": "inactivity", "seconds": u32::MAX });
        client.put("/v1/session/expiry", longest).await.is(StatusCode::OK);
    }
    let tokens = [client.cookie.clone().unwrap(), other.cookie.clone().unwrap()];
    client.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    server.admin().await.delete(&format!("/v1/users/{other_id}/sessions")).await.is(StatusCode::NO_CONTENT);
    let end = 14 * 24 * 3600;
    let mut passed = 0;
    // Up to the end and beyond it, and back again: before and after what ended it was dropped.
    for at in [1, 3600, end / 2, end - 3600, end - 5, end, end + 3590, end - 5, end + 3700, end - 100, end + 2 * 3600] {
        server.pass(at - passed);
        passed = at;
        server.app.forget().await.unwrap();
        for token in &tokens {
            server.with_cookie(token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
        }
    }
    assert!(server.admin().await.get(&format!("/v1/users/{id}")).await.status.is_success());
}
