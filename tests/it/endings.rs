//! Whoever ends sessions and API tokens without end fills neither memory nor the store, and nothing of it lives on.

use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::{Value, json};
use signet::audit;
use signet::claims::{SessionId, UserId};
use signet::error::Error;
use signet::revocation::endings::{EACH_MAX, Kind, UNLISTED};
use signet::session;
use signet::store::{Revocation, Store as _, Write};

use crate::harness::{Client, Options, PASSWORD, Server, at_once};

/// As many endings of the user as `count`, made durable as log-outs are.
async fn fill(server: &Server, user: UserId, kind: Kind, count: usize) {
    let until = server.now() + TimeDelta::days(10);
    let ended = |_| {
        let id = SessionId::random();
        let close = match kind {
            Kind::Session => Write::CloseSession { user, id },
            Kind::ApiToken => Write::DropToken { owner: user, id },
        };
        [Write::Revoke(Revocation::Session { id, until }), close]
    };
    server.app.commit((0..count).flat_map(ended).collect()).await.unwrap();
}

/// The single endings that are in the store.
async fn in_store(server: &Server) -> usize {
    let state = server.store.state().await.unwrap();
    state.revocations.iter().filter(|revocation| matches!(revocation, Revocation::Session { .. })).count()
}

/// The single endings that are in memory when it was swept.
async fn in_memory(server: &Server) -> usize {
    for _ in 0..2 {
        server.app.forget().await.unwrap();
    }
    server.app.revocations().count().0
}

/// Of what was ended there is no more left than what is not listed, of so many kinds.
async fn is_nearly_empty(server: &Server, kinds: usize) {
    assert!(in_store(server).await <= kinds * UNLISTED && in_memory(server).await <= kinds * UNLISTED);
}

fn id_of(text: &str) -> UserId {
    text.parse().unwrap()
}

async fn log_out(client: &mut Client) {
    client.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_logs_in_and_out_without_end_is_held_in_bounded_memory() {
    const LANES: usize = 12;
    const ROUNDS: usize = 200;
    let server = Server::start().await;
    server.user("alice", json!({})).await;
    let mut bystander = server.user("bob", json!({})).await.0;
    let lanes = at_once(LANES, |_| {
        let mut client = server.anonymous();
        Box::pin(async move {
            let mut seen = Vec::new();
            for _ in 0..ROUNDS {
                client.post("/v1/login", json!({ "username": "alice", "password": PASSWORD })).await.is(StatusCode::OK);
                seen.extend(client.cookie.clone());
                // Another lane may have ended it with all others; then this one is over too.
                log_out(&mut client).await;
            }
            seen
        })
    })
    .await;
    let seen: Vec<String> = lanes.into_iter().flatten().collect();
    // One that another lane ended while it was on its way was never given out.
    assert!(seen.len() > LANES * (ROUNDS - 1), "{}", seen.len());
    // Those that were on their way at the same time come on top.
    let most = EACH_MAX + LANES;
    assert!(in_store(&server).await <= most, "{} in the store", in_store(&server).await);
    assert!(in_memory(&server).await <= most, "{} in memory", in_memory(&server).await);
    let served = bystander.is_somebody().await;
    assert!(served);
    let server = Server::start_with(Options { folder: Some(server.stop().await), ..Options::default() }).await;
    assert!(server.app.revocations().count().0 <= most);
    for token in &seen {
        assert!(!server.with_cookie(token).is_somebody().await, "a session that was ended");
    }
    assert!(server.with_cookie(&bystander.cookie.unwrap()).is_somebody().await);
}

#[tokio::test]
async fn the_log_out_after_a_thousand_ends_all_sessions_of_the_user_and_the_next_one_ends_its_own() {
    let server = Server::start().await;
    let (mut first, id) = server.user("alice", json!({})).await;
    let (mut second, mut other) = (server.log_in("alice").await, server.user("bob", json!({})).await.0);
    fill(&server, id_of(&id), Kind::Session, EACH_MAX - 1).await;
    // The last one that is ended by itself.
    log_out(&mut second).await;
    assert!(first.is_somebody().await);
    let mut second = server.log_in("alice").await;
    let before = [first.cookie.clone().unwrap(), second.cookie.clone().unwrap()];
    log_out(&mut second).await;
    for token in &before {
        assert!(!server.with_cookie(token).is_somebody().await);
    }
    assert!(other.is_somebody().await);
    is_nearly_empty(&server, 1).await;
    // It is in the log that all of them ended, beside the log-out.
    let events = server.admin().await.get("/v1/audit?limit=20").await.is(StatusCode::OK);
    let events = events.json();
    let actions: Vec<&str> =
        events["items"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"end_sessions"), "{actions:?}");
    // From here on each is ended by itself again.
    let (mut first, mut second) = (server.log_in("alice").await, server.log_in("alice").await);
    log_out(&mut second).await;
    assert!(first.is_somebody().await);
    let tokens = [before[0].clone(), before[1].clone(), first.cookie.clone().unwrap()];
    let server = Server::start_with(Options { folder: Some(server.stop().await), ..Options::default() }).await;
    let mut lives = Vec::new();
    for token in &tokens {
        lives.push(server.with_cookie(token).is_somebody().await);
    }
    assert_eq!(lives, [false, false, true]);
}

#[tokio::test]
async fn every_way_out_of_a_session_is_bounded_alike() {
    let server = Server::start().await;
    let (_, id) = server.user("alice", json!({})).await;
    let user = id_of(&id);
    for way in ["flush", "device", "log in again", "log in as another", "register"] {
        let mut client = server.log_in("alice").await;
        client.patch("/v1/session", json!({ "way": way })).await.is(StatusCode::OK);
        let (mut elsewhere, token) = (server.log_in("alice").await, client.cookie.clone().unwrap());
        fill(&server, user, Kind::Session, EACH_MAX).await;
        let (login, path) = (|name: &str| json!({ "username": name, "password": PASSWORD }), "/v1/login");
        match way {
            "flush" => client.delete("/v1/session").await.is(StatusCode::NO_CONTENT),
            "device" => {
                let sessions = client.get("/v1/sessions").await.is(StatusCode::OK).json();
                let sessions = sessions["items"].as_array().unwrap().clone();
                let own = sessions.iter().find(|session| session["current"] == false).unwrap();
                let path = format!("/v1/sessions/{}", own["id"].as_str().unwrap());
                client.delete(&path).await.is(StatusCode::NO_CONTENT)
            }
            "log in again" => client.post(path, login("alice")).await.is(StatusCode::OK),
            "log in as another" => client.post(path, login("admin")).await.is(StatusCode::OK),
            _ => client.post("/v1/register", login("carol")).await.is(StatusCode::CREATED),
        };
        assert!(!server.with_cookie(&token).is_somebody().await, "{way}");
        assert!(!elsewhere.is_somebody().await, "{way}: all sessions of the user have ended");
        is_nearly_empty(&server, 1).await;
        // The session that took its place lives, with the data of one that was the same user's.
        let data = client.get("/v1/session").await;
        let keeps = way == "log in again";
        let known = data.json()["data"]["way"] == way;
        assert_eq!(known, keeps, "{way}: {}", data.json());
        if way.starts_with("log in") || way == "register" {
            assert!(client.is_somebody().await, "{way}");
        }
    }
}

#[tokio::test]
async fn a_log_in_that_ends_everything_is_refused_when_the_password_changed_while_it_was_judged() {
    let server = Server::start().await;
    let (_, id) = server.user("alice", json!({})).await;
    let judged = server.store.member(id_of(&id)).await.unwrap().unwrap();
    let mut owner = server.log_in("alice").await;
    let change = json!({ "old_password": PASSWORD, "new_password": "another horse battery" });
    owner.post("/v1/password", change).await.is(StatusCode::OK);
    fill(&server, id_of(&id), Kind::Session, EACH_MAX).await;
    let before = session::authenticate(&server.app, owner.cookie.as_deref()).await.unwrap();
    let client = audit::Client::default();
    let log_in = (audit::Action::LogIn, &client);
    let entered = session::enter(&server.app, judged, &before, log_in, Vec::new()).await;
    assert!(matches!(entered, Err(Error::Changed)));
    assert!(!owner.is_somebody().await, "the session that was to be replaced has ended all the same");
}

#[tokio::test]
async fn a_new_generation_takes_the_place_of_what_was_listed_also_when_it_is_asked_for() {
    let server = Server::start().await;
    let (mut alice, id) = server.user("alice", json!({})).await;
    let user = id_of(&id);
    fill(&server, user, Kind::Session, 100).await;
    fill(&server, user, Kind::ApiToken, EACH_MAX).await;
    let wish = json!({ "name": "robot", "permissions": [] });
    alice.post("/v1/tokens", wish.clone()).await.is(StatusCode::CONFLICT).is_problem("too_many_tokens");
    alice.delete("/v1/sessions").await.is(StatusCode::NO_CONTENT);
    is_nearly_empty(&server, 2).await;
    let mut alice = server.log_in("alice").await;
    alice.post("/v1/tokens", wish).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn the_session_that_staff_ends_after_a_thousand_takes_all_of_the_users_along_in_the_name_of_staff() {
    let server = Server::start().await;
    let (mut first, id) = server.user("alice", json!({})).await;
    let mut second = server.log_in("alice").await;
    fill(&server, id_of(&id), Kind::Session, EACH_MAX).await;
    let session = first.get("/v1/session").await.text("id");
    let mut admin = server.admin().await;
    admin.delete(&format!("/v1/users/{id}/sessions/{session}")).await.is(StatusCode::NO_CONTENT);
    assert!(!first.is_somebody().await && !second.is_somebody().await);
    assert_eq!((in_store(&server).await, in_memory(&server).await), (0, 0));
    for action in ["end_session", "end_sessions"] {
        let events = admin.get(&format!("/v1/audit?action={action}")).await.json();
        let event = &events["items"][0];
        assert_eq!((&event["actor"]["name"], &event["target"]["name"]), (&json!("admin"), &json!("alice")), "{action}");
    }
}
