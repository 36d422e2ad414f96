//! Signed preference cookies.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Client, Server};

/// The token that an answer sets for a preference.
async fn set(client: &mut Client, name: &str, body: Value) -> String {
    let answer = client.put(&format!("/v1/cookies/{name}"), body).await.is(StatusCode::OK);
    let line = answer.set_cookies()[0].to_owned();
    let rest = line.strip_prefix(&format!("__Host-signet.{name}=")).unwrap();
    rest.split(';').next().unwrap().to_owned()
}

async fn read(client: &mut Client, name: &str, query: &str, cookie: &str) -> Value {
    let path = format!("/v1/cookies/{name}{query}");
    client.call(Method::GET, &path, None, &[("cookie", cookie)]).await.is(StatusCode::OK).json()
}

#[tokio::test]
async fn a_preference_is_set_read_and_deleted() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let answer =
        client.put("/v1/cookies/language", json!({ "value": "de; \u{e9}\n", "max_age": 60 })).await.is(StatusCode::OK);
    assert_eq!(answer.json(), json!({ "name": "language", "value": "de; \u{e9}\n", "found": true }));
    assert!(answer.set_cookies()[0].contains("; Max-Age=60; "));
    let token = set(&mut client, "language", json!({ "value": "de" })).await;
    let cookie = format!("__Host-signet.language={token}");
    assert_eq!(
        read(&mut client, "language", "?default=en", &cookie).await,
        json!({ "name": "language", "value": "de", "found": true })
    );
    assert_eq!(
        read(&mut client, "language", "?default=en", "").await,
        json!({ "name": "language", "value": "en", "found": false })
    );
    assert_eq!(
        read(&mut client, "language", "", "").await,
        json!({ "name": "language", "value": null, "found": false })
    );
    let gone = client.delete("/v1/cookies/language").await.is(StatusCode::NO_CONTENT);
    assert!(gone.set_cookies()[0].starts_with("__Host-signet.language=; Max-Age=0; Expires=Thu, 01 Jan 1970"));
}

#[tokio::test]
async fn a_changed_swapped_doubled_or_old_preference_counts_as_none() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let token = set(&mut client, "language", json!({ "value": "de", "max_age": 600 })).await;
    let theme = set(&mut client, "theme", json!({ "value": "dark" })).await;
    let mut flipped = token.clone().into_bytes();
    let at = token.find('.').unwrap() + 5;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let session = server.admin().await.cookie.unwrap();
    for cookie in [
        format!("__Host-signet.language={flipped}"),
        format!("__Host-signet.language={theme}"),
        format!("__Host-signet.language={session}"),
        format!("__Host-signet.language={token}; __Host-signet.language={token}"),
        format!("__host-signet.language={token}"),
        format!("__Host-signet%2Elanguage={token}"),
        "__Host-signet.language=".to_owned(),
        "__Host-signet.language=x.y.z".to_owned(),
    ] {
        let answer = read(&mut client, "language", "?default=en", &cookie).await;
        assert_eq!((&answer["value"], &answer["found"]), (&json!("en"), &json!(false)), "{cookie}");
    }
    // Nor is a preference a session.
    server.with_cookie(&token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    let cookie = format!("__Host-signet.language={token}");
    server.pass(590);
    assert_eq!(read(&mut client, "language", "", &cookie).await["found"], true);
    server.pass(11);
    assert_eq!(read(&mut client, "language", "", &cookie).await["found"], false);
}

#[tokio::test]
async fn bad_names_values_and_sizes_are_refused_with_a_reason() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    for name in ["a%20b", "a%3Bb", "a%3Db", "%C3%A9", "a.b", "%0d%0a", &"x".repeat(65)] {
        let path = format!("/v1/cookies/{name}");
        for (method, body) in
            [(Method::GET, Value::Null), (Method::PUT, json!({ "value": "x" })), (Method::DELETE, Value::Null)]
        {
            let answer = client.call(method, &path, Some(body), &[]).await.is(StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(answer.errors(), [("name".to_owned(), "cookie_name".to_owned())]);
        }
    }
    for (body, field) in [
        (json!({ "value": "x", "max_age": 0 }), "max_age"),
        (json!({ "value": "x", "max_age": 34_560_001 }), "max_age"),
        (json!({ "value": "x", "max_age": -1 }), "max_age"),
        (json!({ "value": 7 }), "value"),
        (json!({ "value": null }), "value"),
        (json!({}), "value"),
    ] {
        let answer = client.put("/v1/cookies/language", body).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.errors()[0].0, field);
    }
    let answer = client.put("/v1/cookies/language", json!({ "value": "x".repeat(4000) })).await;
    let problem = answer.is(StatusCode::PAYLOAD_TOO_LARGE).is_problem("cookie_too_large").json();
    assert!(problem["bytes_used"].as_u64().unwrap() > 4096);
    client.put("/v1/cookies/language", json!({ "value": "x".repeat(2000) })).await.is(StatusCode::OK);
}
