//! What has ended, told to services that verify tokens by themselves: the list, and the stream that follows it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Server, plain_http};
use crate::tokens::claims_of;

/// Longer than any event takes to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open stream, read event by event.
struct Listener {
    chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
    /// The id of the last event.
    position: String,
}

impl Listener {
    async fn open(server: &Server, headers: &[(&str, &str)]) -> Result<Self, StatusCode> {
        Self::open_by(&plain_http().build().unwrap(), server, headers).await
    }

    async fn open_by(http: &reqwest::Client, server: &Server, headers: &[(&str, &str)]) -> Result<Self, StatusCode> {
        let mut request = http.get(format!("{}/v1/revocations/stream", server.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        if answer.status() != StatusCode::OK {
            return Err(answer.status());
        }
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("no-"));
        Ok(Self { chunks: answer.bytes_stream().boxed(), text: String::new(), position: String::new() })
    }

    async fn of(server: &Server, client: &Client, from: Option<&str>) -> Self {
        let cookie = format!("__Host-signet={}", client.cookie.as_deref().unwrap());
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(from.map(|from| ("last-event-id", from)));
        Self::open(server, &headers).await.unwrap()
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                self.position = field("id:").unwrap().to_owned();
                let data = serde_json::from_str(field("data:").unwrap()).unwrap();
                self.text = rest.to_owned();
                return Some(data);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.chunks.next()).await.expect("an event in time");
            // A connection that is cut is an end too.
            self.text.push_str(std::str::from_utf8(&chunk?.ok()?).unwrap());
        }
    }

    /// The next event that is no heartbeat.
    async fn news(&mut self) -> Option<Value> {
        loop {
            let event = self.next().await?;
            if event["kind"] != "heartbeat" {
                return Some(event);
            }
        }
    }
}

/// Every page of the list, and its position.
async fn list(client: &mut Client) -> (Vec<Value>, String) {
    let (mut items, mut query, mut position) = (Vec::new(), String::new(), None);
    loop {
        let page = client.get(&format!("/v1/revocations{query}")).await.is(StatusCode::OK).json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        let its = page["position"].as_str().unwrap().to_owned();
        assert_eq!(*position.get_or_insert_with(|| its.clone()), its, "one position for all pages");
        match page["next"].as_str() {
            Some(next) => query = format!("?cursor={next}"),
            None => return (items, its),
        }
    }
}

fn sessions(items: &[Value]) -> BTreeSet<String> {
    let of_it = items.iter().filter(|item| item["kind"] == "session");
    of_it.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn sid(client: &Client) -> String {
    claims_of(client.cookie.as_deref().unwrap())["sid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_list_holds_what_ended_and_the_stream_tells_it_when_it_acts() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (mut alice, id) = server.user("alice", json!({})).await;
    let ended = sid(&alice);
    let mut stream = Listener::of(&server, &admin, None).await;
    assert_eq!(stream.next().await.unwrap()["kind"], "heartbeat", "at once, with the position");
    alice.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    let event = stream.news().await.unwrap();
    assert_eq!((event["kind"].as_str(), event["id"].as_str()), (Some("session"), Some(ended.as_str())));
    assert!(event["until"].is_string() && event.get("generation").is_none());
    let (items, position) = list(&mut admin).await;
    assert!(sessions(&items).contains(&ended));
    assert!(items.contains(&event), "the same shape in both: {items:?}");
    assert_eq!(position, stream.position);
    assert_eq!(items.iter().filter(|item| item["kind"] == "epoch").count(), 1);

    // What ends all sessions of a user raises the generation, what changes rights the rights version.
    let before = items.iter().find(|item| item["id"] == id.as_str()).cloned();
    admin.delete(&format!("/v1/users/{id}/sessions")).await.is(StatusCode::NO_CONTENT);
    let event = stream.news().await.unwrap();
    assert_eq!((event["kind"].as_str(), event["id"].as_str()), (Some("user"), Some(id.as_str())));
    let generation = event["generation"].as_u64().unwrap();
    assert!(generation > before.map_or(0, |before| before["generation"].as_u64().unwrap()));
    admin.patch(&format!("/v1/users/{id}"), json!({ "is_staff": true })).await.is(StatusCode::OK);
    let event = stream.news().await.unwrap();
    assert_eq!(event["generation"], generation);
    assert!(event["rights_version"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_reader_is_staff_or_has_the_permission_by_session_or_api_token() {
    let server = Server::start().await;
    server.permissions(&["signet.view_revocations"]).await;
    server.anonymous().get("/v1/revocations").await.is(StatusCode::UNAUTHORIZED);
    assert_eq!(Listener::open(&server, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
    let (mut plain, _) = server.user("plain", json!({})).await;
    plain.get("/v1/revocations").await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
    let granted = json!({ "user_permissions": ["signet.view_revocations"] });
    let (mut reader, reader_id) = server.user("reader", granted).await;
    reader.get("/v1/revocations").await.is(StatusCode::OK);
    let wish = json!({ "name": "gate", "permissions": ["signet.view_revocations"] });
    let token = reader.post("/v1/tokens", wish).await.is(StatusCode::CREATED).text("token");
    let other = json!({ "name": "without", "permissions": [] });
    let without = reader.post("/v1/tokens", other).await.is(StatusCode::CREATED).text("token");
    let bearer = format!("Bearer {token}");
    let mut stream = Listener::open(&server, &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(stream.next().await.unwrap()["kind"], "heartbeat");
    let refused = Listener::open(&server, &[("authorization", &format!("Bearer {without}"))]).await.err();
    assert_eq!(refused, Some(StatusCode::FORBIDDEN));

    // The right goes, and the stream with it, before anything more is told.
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{reader_id}"), json!({ "user_permissions": [] })).await.is(StatusCode::OK);
    assert_eq!(stream.news().await, None);
}

#[tokio::test]
async fn a_stream_ends_with_its_readers_session() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let mut other = server.admin().await;
    let mut stream = Listener::of(&server, &admin, None).await;
    assert!(stream.next().await.is_some());
    admin.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    other.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn nothing_is_missed_between_the_list_and_the_stream() {
    const ROUNDS: usize = 60;
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let mut clients = Vec::new();
    for _ in 0..ROUNDS {
        let mut client = server.anonymous();
        client.put("/v1/session/data/a", json!({ "value": 1 })).await.is(StatusCode::OK);
        clients.push(client);
    }
    let ended: BTreeSet<String> = clients.iter().map(sid).collect();
    let ending = tokio::spawn(async move {
        for mut client in clients {
            client.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
        }
    });
    // Lists are loaded while sessions end; each with the stream after it knows of all of them.
    let mut lists = Vec::new();
    while !ending.is_finished() && lists.len() < 100 {
        lists.push(list(&mut admin).await);
    }
    ending.await.unwrap();
    assert!(lists.iter().any(|(items, _)| sessions(items).len() < ROUNDS), "some were loaded in between");
    for (items, position) in lists {
        let mut known = sessions(&items);
        let mut stream = Listener::of(&server, &admin, Some(&position)).await;
        while !ended.is_subset(&known) {
            let event = stream.next().await.unwrap();
            assert_ne!(event["kind"], "reset");
            assert_ne!(event["kind"], "heartbeat", "everything up to the heartbeat's position was told");
            known.extend(sessions(&[event]));
        }
    }
}

#[tokio::test]
async fn a_position_that_is_not_known_asks_to_load_the_list_again() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for unknown in ["nonsense", "0000000000000000-0", "ffffffffffffffff-3", "-", "1-99999999999999999999"] {
        let mut stream = Listener::of(&server, &admin, Some(unknown)).await;
        assert_eq!(stream.next().await.unwrap(), json!({ "kind": "reset" }), "{unknown}");
        // It goes on from there.
        let mut other = server.admin().await;
        let ended = sid(&other);
        other.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        assert_eq!(stream.news().await.unwrap()["id"], ended);
    }
    // A position of this run goes on where it was.
    let mut first = Listener::of(&server, &admin, None).await;
    first.next().await.unwrap();
    let position = first.position.clone();
    drop(first);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut other = server.admin().await;
        ids.push(sid(&other));
        other.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    }
    let mut again = Listener::of(&server, &admin, Some(&position)).await;
    for id in ids {
        assert_eq!(again.next().await.unwrap()["id"], id);
    }
}

#[tokio::test]
async fn a_stream_lasts_for_the_time_that_is_asked_for() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let answer = admin.get("/v1/revocations/stream?seconds=1").await.is(StatusCode::OK);
    assert!(String::from_utf8(answer.body.clone()).unwrap().contains("heartbeat"));
    let started = std::time::Instant::now();
    let (mut alice, _) = server.user("alice", json!({})).await;
    let position = admin.get("/v1/revocations").await.text("position");
    let ended = sid(&alice);
    alice.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    let answer = admin.get(&format!("/v1/revocations/stream?seconds=0&position={position}")).await;
    let told = String::from_utf8(answer.is(StatusCode::OK).body).unwrap();
    assert!(told.contains(&ended) && told.contains("heartbeat"), "what is there is told at once: {told}");
    assert!(started.elapsed() < Duration::from_secs(5));
    for seconds in ["86401", "4294967296", "-1", "1.5", ""] {
        let answer = admin.get(&format!("/v1/revocations/stream?seconds={seconds}")).await;
        answer.is(StatusCode::BAD_REQUEST).is_problem("invalid_parameter");
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_streams() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let mut stream = Listener::of(&server, &admin, None).await;
    stream.next().await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(10), server.stop()).await;
    assert!(stopped.is_ok(), "the server waits for the stream");
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn streams_are_bounded() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let cookie = format!("__Host-signet={}", admin.cookie.as_deref().unwrap());
    let headers = [("cookie", cookie.as_str())];
    let http = plain_http().build().unwrap();
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(Listener::open_by(&http, &server, &headers).await.unwrap());
    }
    let refused = Listener::open_by(&http, &server, &headers).await.err();
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    drop(open);
    // The server notices that they are gone.
    let mut admin = admin;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while Listener::open_by(&http, &server, &headers).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "places do not become free");
        admin.get("/v1/me").await.is(StatusCode::OK);
    }
}
