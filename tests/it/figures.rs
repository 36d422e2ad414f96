//! What the server says of itself in numbers, to staff.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Options, PASSWORD, Server};
use crate::postgres::Server as Database;

async fn figures(server: &Server) -> Value {
    server.admin().await.get("/v1/figures").await.is(StatusCode::OK).json()
}

#[tokio::test]
async fn figures_are_for_staff_alone() {
    let server = Server::start().await;
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    let (mut user, _) = server.user("user", json!({})).await;
    staff.get("/v1/figures").await.is(StatusCode::OK);
    server.admin().await.get("/v1/figures").await.is(StatusCode::OK);
    user.get("/v1/figures").await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
    server.anonymous().get("/v1/figures").await.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
    let wish = json!({ "name": "n", "permissions": [] });
    let bearer = format!("Bearer {}", server.admin().await.post("/v1/tokens", wish).await.text("token"));
    let machine = [("authorization", bearer.as_str())];
    server.anonymous().call(Method::GET, "/v1/figures", None, &machine).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn figures_count_what_has_happened() {
    let server = Server::start_with(Options { hash_workers: 3, ..Options::default() }).await;
    let before = figures(&server).await;
    assert_eq!(before["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&before["node"], &before["store"]), (&Value::Null, &json!("embedded")));
    assert_eq!(before["staleness_seconds"], 0.0);
    // The thread that hashed last may not have put its work down yet.
    assert_eq!((&before["pool"]["workers"], &before["pool"]["waiting"]), (&json!(3), &json!(0)));
    assert!(before["pool"]["busy"].as_u64().unwrap() <= 1);
    assert_eq!((&before["logins"], &before["revocations"]), (&json!({ "succeeded": 1, "failed": 0 }), &json!(0)));
    let keyring = server.app.tokens().keyring();
    assert_eq!(before["keys"][0]["kid"], keyring.signer().kid());
    assert_eq!(before["keys"][0]["state"], "signs");

    let mut nobody = server.anonymous();
    let wrong = json!({ "username": "admin", "password": "not the one" });
    nobody.post("/v1/login", wrong).await.is(StatusCode::UNAUTHORIZED);
    let mut admin = server.admin().await;
    server.log_in("admin").await.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    // Three that are verified; and three that are not: refused, of nobody's, a way in.
    admin.get("/v1/me").await.is(StatusCode::OK);
    admin.get("/v1/session").await.is(StatusCode::OK);
    let asked = [("x-forwarded-method", "GET")];
    admin.call(Method::GET, "/v1/verify", None, &asked).await.is(StatusCode::NO_CONTENT);
    nobody.get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
    nobody.get("/livez").await.is(StatusCode::OK);
    nobody.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await.is(StatusCode::OK);
    server.pass(60);
    let after = figures(&server).await;
    assert_eq!(after["logins"], json!({ "succeeded": 5, "failed": 1 }), "that of the one who asks, too");
    assert_eq!(after["revocations"], 1, "the session that was logged out of");
    let more = |member: &str| after[member].as_u64().unwrap() - before[member].as_u64().unwrap();
    // And the first look at these figures.
    assert_eq!(more("verified_requests"), 4);
    assert!((60..120).contains(&more("uptime_seconds")));
    let age = |of: &Value| of["keys"][0]["age_seconds"].as_u64().unwrap();
    assert!((60..120).contains(&(age(&after) - age(&before))));
    assert_ne!(before["at"], after["at"]);
}

#[tokio::test]
async fn figures_of_a_node_name_it_and_say_how_far_it_is_behind() {
    let database = Database::start();
    let store = database.store("figures").await;
    let server = Server::start_with(Options { store: Some(store), ..Options::default() }).await;
    let (found, again) = (figures(&server).await, figures(&server).await);
    assert_eq!(found["store"], "postgres");
    let staleness = found["staleness_seconds"].as_f64().unwrap();
    assert!(staleness > 0.0 && staleness < 15.0, "{staleness}");
    assert!(!found["node"].as_str().unwrap().is_empty());
    assert_eq!(found["node"], again["node"]);
}
