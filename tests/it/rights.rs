//! Permissions: what they allow, and that they are never stale.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::Server;

#[tokio::test]
async fn permissions_come_directly_or_by_group_and_match_exactly() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close", "polls.voter"]).await;
    server.group("closers", &["polls.close"]).await;
    let rights = json!({ "user_permissions": ["polls.vote"], "groups": ["closers"] });
    let (mut client, _) = server.user("alice", rights).await;
    let names =
        ["polls.vote", "polls.close", "polls.voter", "polls.vot", "Polls.vote", "polls.*", "polls", "", "*", "a.b.c"];
    let answer = client.post("/v1/permissions/check", json!({ "permissions": names })).await.is(StatusCode::OK).json();
    for name in names {
        assert_eq!(answer["results"][name], ["polls.vote", "polls.close"].contains(&name), "{name}");
    }
    assert_eq!(answer["all"], false);
    let some = json!({ "permissions": ["polls.vote", "polls.close"] });
    assert_eq!(client.post("/v1/permissions/check", some).await.json()["all"], true);
}

#[tokio::test]
async fn nobody_has_nothing_and_a_superuser_has_everything() {
    let server = Server::start().await;
    let question = json!({ "permissions": ["polls.vote", "no.such"] });
    let none = server.anonymous().post("/v1/permissions/check", question.clone()).await.is(StatusCode::OK).json();
    assert_eq!(none, json!({ "results": { "polls.vote": false, "no.such": false }, "all": false }));
    let all = server.admin().await.post("/v1/permissions/check", question).await.json();
    assert_eq!(all, json!({ "results": { "polls.vote": true, "no.such": true }, "all": true }));
    // Django's has_perms: true for an empty list, also for nobody.
    let empty = server.anonymous().post("/v1/permissions/check", json!({ "permissions": [] })).await.json();
    assert_eq!(empty, json!({ "results": {}, "all": true }));
    // The staff flag grants nothing.
    let (mut staff, _) = server.user("bea", json!({ "is_staff": true })).await;
    assert!(!staff.may("polls.vote").await);
}

#[tokio::test]
async fn any_permission_of_an_application_and_all_of_somebody_can_be_asked_for() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close", "pollsters.hire", "news.read"]).await;
    server.group("readers", &["news.read"]).await;
    let rights = json!({ "user_permissions": ["polls.vote"], "groups": ["readers"] });
    let (mut alice, _) = server.user("alice", rights).await;
    let labels = ["polls", "news", "pollsters", "poll", "polls.", "", "none"];
    let question = json!({ "permissions": [], "modules": labels });
    let answer = alice.post("/v1/permissions/check", question.clone()).await.is(StatusCode::OK).json();
    for label in labels {
        assert_eq!(answer["modules"][label], ["polls", "news"].contains(&label), "{label}");
    }
    let mine = alice.get("/v1/me/permissions").await.is(StatusCode::OK).json();
    assert_eq!(mine, json!({ "items": ["news.read", "polls.vote"], "next": null }));
    // A superuser: all of every application, and the catalogue.
    let mut admin = server.admin().await;
    let answer = admin.post("/v1/permissions/check", question.clone()).await.is(StatusCode::OK).json();
    assert!(labels.iter().all(|label| answer["modules"][label] == true));
    let all = admin.get("/v1/me/permissions").await.is(StatusCode::OK).json();
    assert_eq!(all["items"], json!(["news.read", "polls.close", "polls.vote", "pollsters.hire"]));
    // Nobody: nothing of any.
    let answer = server.anonymous().post("/v1/permissions/check", question).await.is(StatusCode::OK).json();
    assert!(labels.iter().all(|label| answer["modules"][label] == false));
    server.anonymous().get("/v1/me/permissions").await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_changed_right_acts_on_the_next_request_of_an_old_token_without_a_log_in() {
    let server = Server::start().await;
    server.permissions(&["polls.vote"]).await;
    let (mut client, id) = server.user("carl", json!({})).await;
    client.put("/v1/session/data/k", json!({ "value": 1 })).await.is(StatusCode::OK);
    let sid = client.get("/v1/session").await.text("id");
    let mut admin = server.admin().await;
    let path = format!("/v1/users/{id}");
    for (patch, may) in [
        (json!({ "user_permissions": ["polls.vote"] }), true),
        (json!({ "user_permissions": [] }), false),
        (json!({ "is_superuser": true }), true),
        (json!({ "is_superuser": false }), false),
    ] {
        admin.patch(&path, patch.clone()).await.is(StatusCode::OK);
        assert_eq!(client.may("polls.vote").await, may, "{patch}");
    }
    let session = client.get("/v1/session").await.is(StatusCode::OK).json();
    assert_eq!((&session["id"], &session["data"]), (&json!(sid), &json!({ "k": 1 })), "no log-in was needed");
    admin.patch(&path, json!({ "username": "Charles" })).await.is(StatusCode::OK);
    assert_eq!(client.get("/v1/session").await.json()["user"]["username"], "Charles");
}

#[tokio::test]
async fn renewed_rights_cost_one_read_also_for_a_client_that_drops_the_cookie() {
    let server = Server::start().await;
    server.permissions(&["polls.vote"]).await;
    let (client, id) = server.user("dora", json!({})).await;
    let token = client.cookie.clone().unwrap();
    server
        .admin()
        .await
        .patch(&format!("/v1/users/{id}"), json!({ "user_permissions": ["polls.vote"] }))
        .await
        .is(StatusCode::OK);
    let before = server.store.calls();
    let mut given = Vec::new();
    for _ in 0..10 {
        // The same old token each time, as behind a proxy that drops Set-Cookie.
        let mut client = server.with_cookie(&token);
        assert!(client.may("polls.vote").await);
        given.push(client.cookie.clone().unwrap());
    }
    assert_eq!(server.store.calls(), before + 1);
    assert!(given.iter().all(|new| *new == given[0] && *new != token), "each answer offers the same new token");
}

#[tokio::test]
async fn a_change_to_a_group_acts_at_once_on_everybody_in_it() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    let group = server.group("voters", &["polls.vote"]).await;
    let (mut client, _) = server.user("emil", json!({ "groups": ["voters"] })).await;
    let path = format!("/v1/groups/{group}");
    let mut admin = server.admin().await;
    assert!(client.may("polls.vote").await);
    admin.patch(&path, json!({ "permissions": ["polls.close"] })).await.is(StatusCode::OK);
    let before = server.store.calls();
    assert!(!client.may("polls.vote").await);
    assert!(client.may("polls.close").await);
    assert_eq!(server.store.calls(), before, "the table of groups is in memory");
    // The size of a group does not show in the cookie.
    assert!(client.cookie.as_ref().unwrap().len() < 800);

    admin.patch(&path, json!({ "name": "closers" })).await.is(StatusCode::OK);
    assert!(client.may("polls.close").await);
    assert_eq!(client.get("/v1/session").await.json()["user"]["groups"], json!(["closers"]));
    admin.delete(&path).await.is(StatusCode::NO_CONTENT);
    assert!(!client.may("polls.close").await);
    // A new group of an old name takes nobody in.
    server.group("closers", &["polls.close"]).await;
    server.group("voters", &["polls.close"]).await;
    assert!(!client.may("polls.close").await);
    assert_eq!(client.get("/v1/me").await.json()["groups"], json!([]));
}

#[tokio::test]
async fn an_old_token_that_was_never_shown_again_gains_nothing_from_a_new_group_of_the_old_name() {
    let server = Server::start().await;
    server.permissions(&["polls.close"]).await;
    let group = server.group("team", &[]).await;
    let (client, _) = server.user("finn", json!({ "groups": ["team"] })).await;
    server.admin().await.delete(&format!("/v1/groups/{group}")).await.is(StatusCode::NO_CONTENT);
    server.group("team", &["polls.close"]).await;
    assert!(!server.with_cookie(client.cookie.as_ref().unwrap()).may("polls.close").await);
}

#[tokio::test]
async fn deleting_a_permission_takes_it_from_everybody() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    let group = server.group("voters", &["polls.vote", "polls.close"]).await;
    let (mut direct, _) = server.user("gina", json!({ "user_permissions": ["polls.vote"] })).await;
    let (mut member, _) = server.user("hans", json!({ "groups": ["voters"] })).await;
    let mut admin = server.admin().await;
    admin.delete("/v1/permissions/polls.vote").await.is(StatusCode::NO_CONTENT);
    assert!(!direct.may("polls.vote").await);
    assert!(!member.may("polls.vote").await);
    assert!(member.may("polls.close").await);
    assert_eq!(admin.get(&format!("/v1/groups/{group}")).await.json()["permissions"], json!(["polls.close"]));
    // Made again, nobody has it.
    server.permissions(&["polls.vote"]).await;
    assert!(!direct.may("polls.vote").await);
    assert!(!member.may("polls.vote").await);
}

#[tokio::test]
async fn rights_that_leave_the_cookie_no_room_are_refused_when_they_are_granted() {
    let server = Server::start().await;
    let names: Vec<String> =
        (0..60).map(|n| format!("application_{n:03}.do_something_quite_specific_{n:03}")).collect();
    server.permissions(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut client, id) = server.user("iris", json!({})).await;
    let mut admin = server.admin().await;
    let path = format!("/v1/users/{id}");
    let answer = admin.patch(&path, json!({ "user_permissions": names })).await;
    let problem = answer.is(StatusCode::UNPROCESSABLE_ENTITY).is_problem("rights_too_large").json();
    assert!(problem["bytes_used"].as_u64().unwrap() > problem["bytes_allowed"].as_u64().unwrap());
    assert!(!client.may(&names[0]).await, "nothing was granted");
    // Through a group they cost only its name.
    let group = server.group("many", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    admin.patch(&path, json!({ "groups": ["many"] })).await.is(StatusCode::OK);
    assert!(client.may(&names[59]).await);
    // A group cannot be renamed to what a member cannot carry, either.
    let crowd: Vec<String> = (0..24).map(|n| format!("{n:02}{}", "g".repeat(120))).collect();
    let mut joined = vec!["many".to_owned()];
    for name in &crowd {
        server.group(name, &[]).await;
        joined.push(name.clone());
        if admin.patch(&path, json!({ "groups": joined })).await.status != StatusCode::OK {
            joined.pop();
        }
    }
    let answer = admin.patch(&format!("/v1/groups/{group}"), json!({ "name": "m".repeat(150) })).await;
    answer.is(StatusCode::UNPROCESSABLE_ENTITY).is_problem("rights_too_large");
}

#[tokio::test]
async fn a_full_session_keeps_its_rights_fresh_even_when_they_no_longer_fit_its_cookie() {
    let server = Server::start().await;
    let names: Vec<String> =
        (0..12).map(|n| format!("application_{n:03}.do_something_quite_specific_{n:03}")).collect();
    server.permissions(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut client, id) = server.user("jens", json!({})).await;
    let mut size = 2600;
    while client.put("/v1/session/data/big", json!({ "value": "x".repeat(size) })).await.status != StatusCode::OK {
        size -= 50;
    }
    let path = format!("/v1/users/{id}");
    let mut admin = server.admin().await;
    admin.patch(&path, json!({ "user_permissions": names })).await.is(StatusCode::OK);
    let before = server.store.calls();
    for _ in 0..5 {
        assert!(client.may(&names[0]).await);
    }
    assert_eq!(server.store.calls(), before + 1);
    assert_eq!(client.get("/v1/session").await.json()["data"]["big"], "x".repeat(size));
    client.put("/v1/session/data/more", json!({ "value": 1 })).await.is(StatusCode::PAYLOAD_TOO_LARGE);
    client.delete("/v1/session/data/big").await.is(StatusCode::NO_CONTENT);
    admin.patch(&path, json!({ "user_permissions": [] })).await.is(StatusCode::OK);
    assert!(!client.may(&names[0]).await);
}

#[tokio::test]
async fn administration_is_for_staff_only() {
    let server = Server::start().await;
    let (mut user, id) = server.user("kira", json!({})).await;
    let (mut superuser, _) = server.user("leo", json!({ "is_superuser": true })).await;
    for path in ["/v1/users", "/v1/groups", "/v1/permissions", &format!("/v1/users/{id}")] {
        server.anonymous().get(path).await.is(StatusCode::UNAUTHORIZED);
        user.get(path).await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
        // As in Django's admin: a superuser who is not staff does not get in.
        superuser.get(path).await.is(StatusCode::FORBIDDEN);
    }
    server.anonymous().post("/v1/users", json!({ "no": "body is read" })).await.is(StatusCode::UNAUTHORIZED);
    user.post("/v1/users", json!({ "no": "body is read" })).await.is(StatusCode::FORBIDDEN);
    user.post("/v1/epoch", Value::Null).await.is(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_staff_flag_that_is_taken_away_is_gone_on_the_next_request() {
    let server = Server::start().await;
    let (mut staff, id) = server.user("mona", json!({ "is_staff": true })).await;
    staff.get("/v1/users").await.is(StatusCode::OK);
    server.admin().await.patch(&format!("/v1/users/{id}"), json!({ "is_staff": false })).await.is(StatusCode::OK);
    staff.get("/v1/users").await.is(StatusCode::FORBIDDEN);
}
