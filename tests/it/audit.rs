//! The audit log: one event for each action, durable with it, readable by staff, without secrets.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::{Value, json};
use signet::audit;

use crate::harness::{Client, Options, PASSWORD, Server};

/// Everything in the log, the oldest first, page by page.
async fn log(admin: &mut Client, filter: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("/v1/audit?limit=7{filter}{cursor}")).await.is(StatusCode::OK).json();
        events.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    events.reverse();
    events
}

/// An event in short: action, outcome, who, to whom.
fn short(event: &Value) -> (String, String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&event["action"]), text(&event["outcome"]), text(&event["actor"]["name"]), text(&event["target"]["name"]))
}

#[tokio::test]
async fn each_action_leaves_one_event_that_says_who_what_whose_and_how_it_ended() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let before = log(&mut admin, "").await.len();
    assert_eq!(before, 2, "the first superuser and the log-in");

    let mut bob = server.anonymous();
    bob.post("/v1/register", json!({ "username": "bob", "password": PASSWORD })).await.is(StatusCode::CREATED);
    bob.post("/v1/logout", json!(null)).await.is(StatusCode::NO_CONTENT);
    let wrong = json!({ "username": "bob", "password": "not the right one" });
    bob.post("/v1/login", wrong).await.is(StatusCode::UNAUTHORIZED);
    bob.post("/v1/login", json!({ "username": "bob", "password": PASSWORD })).await.is(StatusCode::OK);
    bob.patch("/v1/me", json!({ "first_name": "Bob", "email": "bob@example.com", "old_password": PASSWORD }))
        .await
        .is(StatusCode::OK);
    let change = |old: &str| json!({ "old_password": old, "new_password": "an entirely new sentence" });
    bob.post("/v1/password", change("not the right one")).await.is(StatusCode::FORBIDDEN);
    bob.post("/v1/password", change(PASSWORD)).await.is(StatusCode::OK);
    bob.delete("/v1/sessions?keep=current").await.is(StatusCode::NO_CONTENT);
    let devices = bob.get("/v1/sessions").await.is(StatusCode::OK).json();
    let own = devices["items"][0]["id"].as_str().unwrap().to_owned();
    bob.delete(&format!("/v1/sessions/{own}")).await.is(StatusCode::NO_CONTENT);

    for name in ["polls.a", "polls.b"] {
        admin.post("/v1/permissions", json!({ "name": name })).await.is(StatusCode::CREATED);
    }
    admin.patch("/v1/permissions/polls.a", json!({ "description": "A" })).await.is(StatusCode::OK);
    let group = json!({ "name": "editors", "permissions": ["polls.a"] });
    let group = admin.post("/v1/groups", group).await.is(StatusCode::CREATED).text("id");
    let group = format!("/v1/groups/{group}");
    admin.patch(&group, json!({ "permissions": ["polls.b"] })).await.is(StatusCode::OK);
    let new = json!({ "username": "carol", "password": PASSWORD, "is_staff": true, "groups": ["editors"] });
    let carol = admin.post("/v1/users", new).await.is(StatusCode::CREATED).text("id");
    let user = format!("/v1/users/{carol}");
    let change = json!({ "groups": [], "user_permissions": ["polls.a"], "last_name": "C" });
    admin.patch(&user, change).await.is(StatusCode::OK);
    // Refused for want of rights: staff who reaches for the flags.
    let mut staff = server.log_in("carol").await;
    staff.patch(&user, json!({ "is_superuser": true })).await.is(StatusCode::FORBIDDEN);
    staff.post("/v1/permissions", json!({ "name": "polls.c" })).await.is(StatusCode::FORBIDDEN);
    admin.delete(&format!("{user}/sessions")).await.is(StatusCode::NO_CONTENT);
    admin.delete(&group).await.is(StatusCode::NO_CONTENT);
    admin.delete("/v1/permissions/polls.b").await.is(StatusCode::NO_CONTENT);
    admin.delete(&user).await.is(StatusCode::NO_CONTENT);
    admin.post("/v1/epoch", json!(null)).await.is(StatusCode::NO_CONTENT);
    let mut admin = server.admin().await;
    admin.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
    // Reading, and sessions of nobody in particular, leave nothing.
    let mut nobody = server.anonymous();
    nobody.patch("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
    nobody.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
    server.admin().await.get("/v1/me").await.is(StatusCode::OK);

    let mut admin = server.admin().await;
    let events = log(&mut admin, "").await;
    let found: Vec<_> = events[before..].iter().map(short).collect();
    let expected = [
        ("register", "done", "bob", ""),
        ("logout", "done", "bob", ""),
        ("login", "refused", "", "bob"),
        ("login", "done", "bob", ""),
        ("change_profile", "done", "bob", "bob"),
        ("change_password", "refused", "bob", ""),
        ("change_password", "done", "bob", "bob"),
        ("end_sessions", "done", "bob", "bob"),
        ("end_session", "done", "bob", ""),
        ("create_permission", "done", "admin", "polls.a"),
        ("create_permission", "done", "admin", "polls.b"),
        ("change_permission", "done", "admin", "polls.a"),
        ("create_group", "done", "admin", "editors"),
        ("change_group", "done", "admin", "editors"),
        ("create_user", "done", "admin", "carol"),
        ("change_user", "done", "admin", "carol"),
        ("login", "done", "carol", ""),
        ("change_user", "refused", "carol", ""),
        ("create_permission", "refused", "carol", ""),
        ("end_sessions", "done", "admin", "carol"),
        ("delete_group", "done", "admin", "editors"),
        ("delete_permission", "done", "admin", "polls.b"),
        ("delete_user", "done", "admin", "carol"),
        ("end_everything", "done", "admin", ""),
        ("login", "done", "admin", ""),
        ("flush", "done", "admin", ""),
        ("login", "done", "admin", ""),
        ("login", "done", "admin", ""),
    ];
    let expected = expected.map(|(a, b, c, d)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned()));
    assert_eq!(found, expected);
    let of = |action: &str| events[before..].iter().find(|event| event["action"] == action).unwrap();
    assert_eq!(of("change_user")["details"], json!(["last_name", "-editors", "+polls.a"]));
    assert_eq!(
        of("create_user")["details"],
        json!(["username", "password", "is_active=true", "is_staff=true", "+editors"])
    );
    assert_eq!(of("change_group")["details"], json!(["+polls.b", "-polls.a"]));
    assert_eq!(of("change_profile")["details"], json!(["first_name", "email"]));
    assert_eq!(of("end_session")["target"]["id"], own);
    assert!(events.iter().skip(1).all(|event| event["address"] == "127.0.0.1"), "from where");
    let text = Value::from(events).to_string();
    for secret in [PASSWORD, "entirely new", "not the right one", "argon2", "bob@example.com"] {
        assert!(!text.contains(secret), "the log holds {secret}");
    }
}

#[tokio::test]
async fn the_log_can_be_searched_and_is_read_by_staff_only() {
    let server = Server::start().await;
    let (mut bob, id) = server.user("bob", json!({})).await;
    let mut admin = server.admin().await;
    bob.post("/v1/logout", json!(null)).await.is(StatusCode::NO_CONTENT);
    let count = async |admin: &mut Client, filter: &str| log(admin, filter).await.len();
    assert_eq!(count(&mut admin, "&action=logout").await, 1);
    assert_eq!(count(&mut admin, "&user=bob").await, 3, "made, logged in, logged out");
    assert_eq!(count(&mut admin, &format!("&user={id}")).await, 3);
    assert_eq!(count(&mut admin, "&user=bo").await, 0);
    assert_eq!(count(&mut admin, "&outcome=refused").await, 0);
    assert_eq!(count(&mut admin, "&address=192.0.2.1").await, 0);
    let all = count(&mut admin, "").await;
    let now = server.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let later = (server.now() + TimeDelta::hours(1)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert_eq!(count(&mut admin, &format!("&until={later}")).await, all);
    assert_eq!(count(&mut admin, &format!("&since={later}")).await, 0);
    assert_eq!(count(&mut admin, &format!("&since={later}&until={now}")).await, 0);
    for wrong in ["action=nothing", "outcome=x", "since=today", "until=1", "cursor=%00", "limit=0", "limit=201"] {
        admin.get(&format!("/v1/audit?{wrong}")).await.is_problem("invalid_parameter");
    }
    server.anonymous().get("/v1/audit").await.is(StatusCode::UNAUTHORIZED);
    server.log_in("bob").await.get("/v1/audit").await.is(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_somebody_types_cannot_forge_a_line() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink: audit::Sink = {
        let lines = Arc::clone(&lines);
        Arc::new(move |event| lines.lock().unwrap().push(serde_json::to_string(event).unwrap()))
    };
    let audit = audit::Log { sink: Some(sink), ..audit::Log::default() };
    let server = Server::start_with(Options { audit, ..Options::default() }).await;
    let forged = "x\n{\"action\":\"login\",\"outcome\":\"done\"}\r\n\u{2028}\u{1b}[31m";
    let credentials = json!({ "username": forged, "password": "whatever it is" });
    let mut visitor = server.anonymous();
    let body = Some(credentials);
    visitor
        .call(reqwest::Method::POST, "/v1/login", body, &[("user-agent", "a\tb")])
        .await
        .is(StatusCode::UNAUTHORIZED);
    let long = json!({ "username": "n".repeat(4000), "password": "whatever it is" });
    visitor.post("/v1/login", long).await.is(StatusCode::UNAUTHORIZED);
    let lines = lines.lock().unwrap().clone();
    assert_eq!(lines.len(), 3, "the first superuser and two log-ins: {lines:#?}");
    for line in &lines {
        assert!(!line.contains(['\n', '\r', '\u{1b}']), "{line:?}");
        let event: Value = serde_json::from_str(line).unwrap();
        assert_ne!(event["action"], "x");
    }
    let event: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&event["target"]["name"], &event["agent"]), (&json!(forged), &json!("ab")));
    let event: Value = serde_json::from_str(&lines[2]).unwrap();
    assert_eq!(event["target"]["name"].as_str().unwrap().len(), 150);
}

#[tokio::test]
async fn events_are_kept_as_long_as_they_are_wanted_and_survive_a_restart() {
    let keep = || audit::Log { keep: TimeDelta::days(2), sink: None };
    let server = Server::start_with(Options { audit: keep(), ..Options::default() }).await;
    let before = log(&mut server.admin().await, "").await.len();
    let folder = Some(server.stop().await);
    let server = Server::start_with(Options { audit: keep(), folder, ..Options::default() }).await;
    let mut admin = server.admin().await;
    assert_eq!(log(&mut admin, "").await.len(), before + 1);
    server.app.forget().await.unwrap();
    assert_eq!(log(&mut admin, "").await.len(), before + 1);
    server.pass(3 * 24 * 3600);
    server.app.forget().await.unwrap();
    assert_eq!(log(&mut server.admin().await, "").await.len(), 1, "the last log-in alone");
}
