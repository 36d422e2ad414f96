//! The example runs as a program of its own, and its guards guard.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::plain_http;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Whoever calls, with a cookie of their own.
struct Caller {
    http: reqwest::Client,
    base: String,
    cookie: String,
    /// The `Authorization` field.
    authorization: String,
}

impl Caller {
    async fn call(&mut self, method: Method, path: &str, body: Value) -> (StatusCode, String) {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).header("cookie", &self.cookie);
        if !self.authorization.is_empty() {
            request = request.header("authorization", &self.authorization);
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        if let Some(line) = response.headers().get("set-cookie") {
            self.cookie = line.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        (response.status(), response.text().await.unwrap())
    }
}

#[tokio::test]
async fn the_polls_are_guarded_by_log_in_permission_and_staff() {
    // Cargo builds the examples before it runs the tests, into the folder beside this test's own.
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().parent().unwrap().join("examples/polls");
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(&program)
        .args(["127.0.0.1:0".as_ref(), folder.path().as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}; build it with `cargo build --examples`", program.display()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let _running = Running(child);
    let password = lines.next().unwrap().rsplit(' ').next().unwrap().to_owned();
    let base = lines.next().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    let http = || plain_http().build().unwrap();
    let caller = || Caller { http: http(), base: base.clone(), cookie: String::new(), authorization: String::new() };

    let mut admin = caller();
    let credentials = json!({ "username": "admin", "password": password });
    assert_eq!(admin.call(Method::POST, "/v1/login", credentials).await.0, StatusCode::OK);
    admin.call(Method::POST, "/v1/permissions", json!({ "name": "polls.vote" })).await;

    let mut voter = caller();
    assert_eq!(voter.call(Method::GET, "/polls/", Value::Null).await, (StatusCode::OK, "hello, stranger".to_owned()));
    for (method, path) in [(Method::GET, "/polls/count"), (Method::POST, "/polls/vote"), (Method::POST, "/polls/reset")]
    {
        let (status, body) = voter.call(method, path, Value::Null).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(body.contains("not_authenticated"), "{body}");
    }
    let new = json!({ "username": "alice", "password": "a short sentence" });
    let (status, body) = voter.call(Method::POST, "/v1/register", new).await;
    assert_eq!(status, StatusCode::CREATED);
    let id = serde_json::from_str::<Value>(&body).unwrap()["user"]["id"].as_str().unwrap().to_owned();
    assert_eq!(voter.call(Method::GET, "/polls/", Value::Null).await.1, "hello, alice");
    assert_eq!(voter.call(Method::GET, "/polls/count", Value::Null).await, (StatusCode::OK, "0".to_owned()));
    assert_eq!(voter.call(Method::POST, "/polls/vote", Value::Null).await.0, StatusCode::FORBIDDEN);

    // Granted, the old cookie may vote on its next request; taken away, it may not.
    let user = format!("/v1/users/{id}");
    admin.call(Method::PATCH, &user, json!({ "user_permissions": ["polls.vote"] })).await;
    assert_eq!(voter.call(Method::POST, "/polls/vote", Value::Null).await, (StatusCode::OK, "1".to_owned()));

    // And so may a machine of alice's, on what is open to machines.
    let wish = json!({ "name": "ballot box", "permissions": ["polls.vote"] });
    let (status, body) = voter.call(Method::POST, "/v1/tokens", wish).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let token = serde_json::from_str::<Value>(&body).unwrap()["token"].as_str().unwrap().to_owned();
    let mut machine = Caller { authorization: format!("Bearer {token}"), ..caller() };
    assert_eq!(machine.call(Method::POST, "/polls/vote", Value::Null).await, (StatusCode::OK, "2".to_owned()));
    assert_eq!(machine.call(Method::GET, "/polls/count", Value::Null).await.0, StatusCode::UNAUTHORIZED);
    admin.call(Method::PATCH, &user, json!({ "user_permissions": [] })).await;
    assert_eq!(machine.call(Method::POST, "/polls/vote", Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(voter.call(Method::POST, "/polls/vote", Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(voter.call(Method::POST, "/polls/reset", Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(admin.call(Method::POST, "/polls/reset", Value::Null).await.0, StatusCode::OK);

    // The program's own failures are problems too.
    let (status, body) = voter.call(Method::GET, "/polls/nowhere", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("/problems/not_found"), "{body}");
    assert_eq!(voter.call(Method::POST, "/v1/logout", Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(voter.call(Method::GET, "/polls/count", Value::Null).await.0, StatusCode::UNAUTHORIZED);
}
