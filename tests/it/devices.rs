//! What staff sees and ends of what others have open: single sessions and API tokens.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::administration::Staff;
use signet::error::Error;
use signet::session;

use crate::harness::{Client, Options, Server};
use crate::postgres::Server as Database;

/// The id of the session that the client is in.
async fn session_of(client: &mut Client) -> String {
    client.get("/v1/session").await.is(StatusCode::OK).text("id")
}

/// What the audit log has of an action: outcome, who, to whom, what.
async fn logged(server: &Server, action: &str) -> Vec<(String, String, String, String)> {
    let events = server.admin().await.get(&format!("/v1/audit?action={action}")).await.is(StatusCode::OK).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let short = |event: &Value| {
        let details: Vec<String> = event["details"].as_array().unwrap().iter().map(text).collect();
        (text(&event["outcome"]), text(&event["actor"]["name"]), text(&event["target"]["name"]), details.join(" "))
    };
    events["items"].as_array().unwrap().iter().map(short).collect()
}

#[tokio::test]
async fn staff_ends_one_session_of_a_user_and_the_others_go_on() {
    let server = Server::start().await;
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    let (mut lost, bob) = server.user("bob", json!({})).await;
    let mut kept = server.log_in("bob").await;
    let (mut alice, _) = server.user("alice", json!({})).await;
    let id = session_of(&mut lost).await;
    let path = |user: &str, session: &str| format!("/v1/users/{user}/sessions/{session}");

    // Nobody, and somebody who is not staff, ends none.
    server.anonymous().delete(&path(&bob, &id)).await.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
    alice.delete(&path(&bob, &id)).await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
    // What is not the user's is as good as none.
    let others = session_of(&mut alice).await;
    for wrong in [path(&bob, &others), path(&bob, "x"), path("q3bXcK0aTn2vSgYkPzq1bA", &id), path("x", &id)] {
        staff.delete(&wrong).await.is(StatusCode::NOT_FOUND).is_problem("not_found");
    }
    assert!(lost.is_somebody().await && alice.is_somebody().await);
    assert!(logged(&server, "end_session").await.is_empty());

    staff.delete(&path(&bob, &id)).await.is(StatusCode::NO_CONTENT);
    assert!(!lost.clone().is_somebody().await, "on the very next request");
    assert!(kept.is_somebody().await && alice.is_somebody().await);
    let open = staff.get(&format!("/v1/users/{bob}/sessions")).await.json();
    assert_eq!(open["items"].as_array().unwrap().len(), 1);
    assert_eq!(open["items"][0]["id"], session_of(&mut kept).await);
    let event = ("done".to_owned(), "staff".to_owned(), "bob".to_owned(), format!("session={id}"));
    assert_eq!(logged(&server, "end_session").await, [event]);
    let of_bob = server.admin().await.get("/v1/audit?action=end_session&user=bob").await.json();
    assert_eq!(of_bob["items"].as_array().unwrap().len(), 1);
    staff.delete(&path(&bob, &id)).await.is(StatusCode::NOT_FOUND);

    // It stays so.
    let (lost, kept) = (lost.cookie.unwrap(), kept.cookie.unwrap());
    let server = Server::start_with(Options { folder: Some(server.stop().await), ..Options::default() }).await;
    assert!(!server.with_cookie(&lost).is_somebody().await);
    assert!(server.with_cookie(&kept).is_somebody().await);
}

#[tokio::test]
async fn staff_ends_no_session_of_somebody_with_more_rights() {
    let server = Server::start().await;
    server.permissions(&["polls.close"]).await;
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    let (mut powerful, id) = server.user("powerful", json!({ "user_permissions": ["polls.close"] })).await;
    let (mut root, root_id) = server.user("root", json!({ "is_superuser": true })).await;
    for (client, id) in [(&mut powerful, &id), (&mut root, &root_id)] {
        let session = session_of(client).await;
        staff.delete(&format!("/v1/users/{id}/sessions/{session}")).await.is_problem("forbidden");
        assert!(client.is_somebody().await);
    }
    let refused = logged(&server, "end_session").await;
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|(outcome, actor, ..)| outcome == "refused" && actor == "staff"));
    let session = session_of(&mut powerful).await;
    let mut admin = server.admin().await;
    admin.delete(&format!("/v1/users/{id}/sessions/{session}")).await.is(StatusCode::NO_CONTENT);
    assert!(!powerful.is_somebody().await);
}

#[tokio::test]
async fn staff_that_ends_the_own_session_is_logged_out_and_ends_nothing_more() {
    let server = Server::start().await;
    let (mut staff, own) = server.user("staff", json!({ "is_staff": true })).await;
    let (mut bob, id) = server.user("bob", json!({})).await;
    let (own_session, other) = (session_of(&mut staff).await, session_of(&mut bob).await);
    // Let in before, at work after.
    let let_in = session::authenticate(&server.app, staff.cookie.as_deref()).await.unwrap();
    let left = staff.delete(&format!("/v1/users/{own}/sessions/{own_session}")).await.is(StatusCode::NO_CONTENT);
    assert_eq!(left.session_cookie().as_deref(), Some(""));
    let client = signet::audit::Client::default();
    let at_work = Staff::new(&server.app, &let_in, &client);
    let refused = at_work.end_session(id.parse().unwrap(), other.parse().unwrap()).await;
    assert!(matches!(refused, Err(Error::NotAuthenticated(_))), "{refused:?}");
    assert!(bob.is_somebody().await);
}

#[tokio::test]
async fn staff_ends_one_api_token_of_a_user_and_the_others_go_on() {
    let server = Server::start().await;
    server.permissions(&["polls.close"]).await;
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    let (mut bob, id) = server.user("bob", json!({})).await;
    let (mut alice, alice_id) = server.user("alice", json!({ "user_permissions": ["polls.close"] })).await;
    let make = async |owner: &mut Client| {
        let made = owner.post("/v1/tokens", json!({ "name": "robot", "permissions": [] })).await;
        (made.text("id"), format!("Bearer {}", made.is(StatusCode::CREATED).text("token")))
    };
    let ((lost, lost_text), (_, kept)) = (make(&mut bob).await, make(&mut bob).await);
    let (others, others_text) = make(&mut alice).await;
    let works = async |text: &str| {
        let bearer = [("authorization", text)];
        let answer = server.anonymous().call(Method::GET, "/v1/me/permissions", None, &bearer).await;
        answer.status == StatusCode::OK
    };
    let path = |user: &str, token: &str| format!("/v1/users/{user}/tokens/{token}");

    server.anonymous().delete(&path(&id, &lost)).await.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
    alice.delete(&path(&id, &lost)).await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
    staff.delete(&path(&alice_id, &others)).await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
    for wrong in [path(&id, &others), path(&id, "x"), path("q3bXcK0aTn2vSgYkPzq1bA", &lost), path("x", &lost)] {
        staff.delete(&wrong).await.is(StatusCode::NOT_FOUND).is_problem("not_found");
    }
    assert!(works(&lost_text).await && works(&others_text).await);

    staff.delete(&path(&id, &lost)).await.is(StatusCode::NO_CONTENT);
    assert!(!works(&lost_text).await, "on the very next request");
    assert!(works(&kept).await && works(&others_text).await && bob.is_somebody().await);
    let listed = staff.get(&format!("/v1/users/{id}/tokens")).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    staff.delete(&path(&id, &lost)).await.is(StatusCode::NOT_FOUND);
    let events = logged(&server, "end_token").await;
    let event =
        |outcome: &str, target: &str, what: String| (outcome.to_owned(), "staff".to_owned(), target.to_owned(), what);
    assert_eq!(events, [event("done", "bob", format!("token={lost}")), event("refused", "", String::new())]);
    let server = Server::start_with(Options { folder: Some(server.stop().await), ..Options::default() }).await;
    let bearer = [("authorization", lost_text.as_str())];
    let after = server.anonymous().call(Method::GET, "/v1/me/permissions", None, &bearer).await;
    after.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn devices_come_page_by_page_the_newest_first() {
    let server = Server::start().await;
    let (mut bob, id) = server.user("bob", json!({})).await;
    let mut newest_first = vec![session_of(&mut bob).await];
    for _ in 0..6 {
        newest_first.insert(0, session_of(&mut server.log_in("bob").await).await);
    }
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    let theirs = format!("/v1/users/{id}/sessions");
    for (client, list) in [(&mut bob, "/v1/sessions"), (&mut staff, &theirs)] {
        for limit in [1, 3, 7, 200] {
            let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
            loop {
                let page = client.get(&format!("{list}?limit={limit}{cursor}")).await.is(StatusCode::OK).json();
                let ids = page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
                found.extend(ids);
                pages += 1;
                let Some(next) = page["next"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!((&found, pages), (&newest_first, 7_usize.div_ceil(limit)), "{list}: pages of {limit}");
        }
        for wrong in ["limit=0", "limit=201", "limit=x", "cursor=%21", "cursor=_w"] {
            let refused = client.get(&format!("{list}?{wrong}")).await.is(StatusCode::BAD_REQUEST);
            refused.is_problem("invalid_parameter");
        }
    }
}

/// All pages of the open sessions of everybody: session, name of the user, whether it is the one that asks.
async fn open_sessions(client: &mut Client, limit: usize) -> Vec<(String, String, bool)> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/open-sessions?limit={limit}{cursor}")).await.is(StatusCode::OK).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        found.extend(items.iter().map(|item| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&item["id"]), text(&item["user"]["username"]), item["current"].as_bool().unwrap())
        }));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// What staff sees of all open sessions of a server, whatever its store.
async fn all_open_sessions_are_seen(server: &Server) {
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    let (mut bob, id) = server.user("bob", json!({})).await;
    let mut all = Vec::new();
    for n in 0..9 {
        let mut client = server.log_in(if n % 2 == 0 { "bob" } else { "staff" }).await;
        all.push((session_of(&mut client).await, if n % 2 == 0 { "bob" } else { "staff" }));
    }
    let seen = open_sessions(&mut staff, 200).await;
    for limit in [1, 4] {
        assert_eq!(open_sessions(&mut staff, limit).await, seen, "pages of {limit}");
    }
    for (session, name) in &all {
        assert_eq!(seen.iter().filter(|(id, user, _)| id == session && user == name).count(), 1);
    }
    let current: Vec<&String> = seen.iter().filter(|(.., current)| *current).map(|(id, ..)| id).collect();
    assert_eq!(current, [&session_of(&mut staff).await]);
    // The items are those of the user's own list.
    let one = staff.get("/v1/open-sessions?limit=1").await.json()["items"][0].clone();
    let own = staff.get(&format!("/v1/users/{}/sessions", one["user"]["id"].as_str().unwrap())).await.json();
    let same = own["items"].as_array().unwrap().iter().find(|item| item["id"] == one["id"]).unwrap();
    for (name, value) in same.as_object().unwrap() {
        assert_eq!(one[name], *value, "{name}");
    }
    assert_eq!(one.as_object().unwrap().len(), same.as_object().unwrap().len() + 1);
    // One that is ended is on no page, and its cookie is refused.
    let ended = session_of(&mut bob).await;
    staff.delete(&format!("/v1/users/{id}/sessions/{ended}")).await.is(StatusCode::NO_CONTENT);
    assert!(!bob.is_somebody().await);
    let after = open_sessions(&mut staff, 4).await;
    let rest: Vec<_> = seen.iter().filter(|(id, ..)| *id != ended).cloned().collect();
    assert_eq!(after, rest);
    // Nor are those that everybody was logged out of.
    let mut admin = server.admin().await;
    admin.post("/v1/epoch", Value::Null).await.is(StatusCode::NO_CONTENT);
    let mut admin = server.admin().await;
    let left = open_sessions(&mut admin, 200).await;
    assert_eq!(left, [(session_of(&mut admin).await, "admin".to_owned(), true)]);
}

#[tokio::test]
async fn staff_sees_all_open_sessions_page_by_page() {
    let server = Server::start().await;
    let (mut user, _) = server.user("user", json!({})).await;
    server.anonymous().get("/v1/open-sessions").await.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
    user.get("/v1/open-sessions").await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
    let mut admin = server.admin().await;
    for wrong in ["limit=0", "limit=201", "cursor=%21"] {
        admin.get(&format!("/v1/open-sessions?{wrong}")).await.is_problem("invalid_parameter");
    }
    all_open_sessions_are_seen(&server).await;
}

#[tokio::test]
async fn staff_sees_all_open_sessions_of_a_shared_store_page_by_page() {
    let database = Database::start();
    let store = database.store("devices").await;
    let server = Server::start_with(Options { store: Some(store), ..Options::default() }).await;
    all_open_sessions_are_seen(&server).await;
}
