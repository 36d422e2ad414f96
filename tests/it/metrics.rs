//! What the server measures of itself: who may read it, and that it is true.

use std::io::{BufRead as _, Read as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::api::problem::Code;
use signet::api::scrape::{Scrape, Token};
use signet::password::Cost;
use tempfile::TempDir;

use crate::cli::{Serving, program};
use crate::harness::{Options, PASSWORD, Server, at_once, plain_http};

const TOKEN: &str = "a-token-for-the-one-that-scrapes";

/// Longer than anything here takes to show.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was read at one moment.
pub(crate) struct Reading(pub(crate) String);

impl Reading {
    /// Of a server that is open to whoever asks.
    pub(crate) async fn of(server: &Server) -> Self {
        Self(server.app.measured().unwrap())
    }

    /// The samples of a name with these labels, among others: the labels as they stand, and the value.
    fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(String, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (known, rest) = series.split_once('{').unwrap_or((series, ""));
            let has = |(label, value): &(&str, &str)| rest.contains(&format!("{label}=\"{value}\""));
            (known == name && labels.iter().all(has)).then(|| (rest.to_owned(), value.parse().unwrap()))
        };
        lines.filter_map(sample).collect()
    }

    /// The sum of the samples of a name with these labels; 0 without one.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).iter().map(|(_, value)| value).sum()
    }

    #[track_caller]
    fn is(&self, name: &str, labels: &[(&str, &str)], expected: u32) {
        let found = self.sum(name, labels);
        assert!((found - f64::from(expected)).abs() < 1e-9, "{name} {labels:?}: {found}, not {expected}");
    }

    /// The names of all meters.
    pub(crate) fn names(&self) -> Vec<String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }
}

async fn with_token() -> Server {
    let metrics = Scrape::Token(Token::parse(TOKEN).unwrap());
    Server::start_with(Options { metrics, ..Options::default() }).await
}

#[tokio::test]
async fn without_a_token_there_is_nothing_to_be_found() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
        let headers = [("authorization", "Bearer something-that-is-long-enough"), ("sec-fetch-site", "same-origin")];
        for caller in [&mut server.anonymous(), &mut admin] {
            let here = caller.call(method.clone(), "/metrics", None, &headers).await.is(StatusCode::NOT_FOUND);
            let nowhere = caller.call(method.clone(), "/metrix", None, &headers).await.is(StatusCode::NOT_FOUND);
            let told = |body: &[u8]| {
                let mut problem: Value = serde_json::from_slice(body).unwrap_or_default();
                problem["request_id"].take();
                problem
            };
            assert_eq!(told(&here.body), told(&nowhere.body));
            assert_eq!(here.headers.len(), nowhere.headers.len());
        }
    }
}

#[tokio::test]
async fn the_token_and_nothing_else_opens() {
    let server = with_token().await;
    let mut admin = server.admin().await;
    let api_token = admin.post("/v1/tokens", json!({ "name": "n", "permissions": [] })).await.text("token");
    let longer = format!("{TOKEN}x");
    for wrong in ["", &TOKEN[1..], &longer, &TOKEN.to_uppercase(), "a-token-for-the-one-that-scrapez", &api_token] {
        let headers = [("authorization", &*format!("Bearer {wrong}"))];
        for caller in [&mut server.anonymous(), &mut admin] {
            let refused = caller.call(Method::GET, "/metrics", None, &headers).await.is(StatusCode::UNAUTHORIZED);
            let refused = refused.is_problem("not_authenticated");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"metrics\""));
            assert!(!String::from_utf8_lossy(&refused.body).contains("signet_"));
        }
    }
    admin.get("/metrics").await.is(StatusCode::UNAUTHORIZED);
    admin.get(&format!("/metrics?token={TOKEN}")).await.is(StatusCode::UNAUTHORIZED);
    let basic = [("authorization", &*format!("Basic {TOKEN}"))];
    admin.call(Method::GET, "/metrics", None, &basic).await.is(StatusCode::UNAUTHORIZED);
    let twice = [("authorization", &*format!("Bearer {TOKEN}")), ("authorization", "Bearer other-one-that-is-long")];
    server.anonymous().call(Method::GET, "/metrics", None, &twice).await.is(StatusCode::UNAUTHORIZED);

    let headers = [("authorization", &*format!("Bearer {TOKEN}"))];
    let read = server.anonymous().call(Method::GET, "/metrics", None, &headers).await.is(StatusCode::OK);
    assert_eq!(read.header("content-type"), Some("text/plain; version=0.0.4"));
    assert_eq!(read.header("cache-control"), Some("no-store"));
    assert!(read.set_cookies().is_empty());
    let read = Reading(String::from_utf8(read.body).unwrap());
    read.is("signet_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let posted = server.anonymous().call(Method::POST, "/metrics", None, &headers).await;
    assert_eq!(posted.is(StatusCode::METHOD_NOT_ALLOWED).header("allow"), Some("GET, HEAD"));
    assert!(!format!("{:?}", Scrape::Token(Token::parse(TOKEN).unwrap())).contains("token-for"));
}

/// The configuration that names what it should not is refused, by `cli` as by everybody.
#[test]
fn a_token_is_long_and_plain() {
    for wrong in [
        "",
        "short",
        "nineteen-characters",
        &"x".repeat(1025),
        "spaces in between the words",
        "ünïcödé-ünïcödé-ünïcödé",
    ] {
        assert!(Token::parse(wrong).is_none(), "{wrong}");
    }
    assert!(Token::parse("twenty-characters-ok").is_some());
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("short"), "secret\n").unwrap();
    for (arguments, flag) in [
        (["--metrics-token-file", "short"], "--metrics-token-file (SIGNET_METRICS_TOKEN_FILE): not a token"),
        (
            ["--metrics-token-file", "missing"],
            "--metrics-token-file (SIGNET_METRICS_TOKEN_FILE): missing cannot be read",
        ),
        (["--metrics-listen", "9090"], "--metrics-listen (SIGNET_METRICS_LISTEN): not a host and a port"),
        (["--stop-delay", "soon"], "--stop-delay (SIGNET_STOP_DELAY): not a time"),
    ] {
        let output = program(folder.path()).arg("serve").args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(flag) && !said.contains("secret"), "{said}");
        assert!(!folder.path().join("data").exists());
    }
}

/// A serving program with these flags, and where it says that it is measured.
fn measured(folder: &Path, flags: &[&str]) -> (Serving, String) {
    let mut serving = Serving::start(folder, flags);
    loop {
        let mut line = String::new();
        assert!(serving.out().read_line(&mut line).unwrap() > 0, "nothing is said of metrics");
        if let Some(place) = line.trim().strip_prefix("metrics on ") {
            return (serving, place.to_owned());
        }
    }
}

#[tokio::test]
async fn a_listener_of_its_own_serves_nothing_else_and_asks_for_the_token_where_there_is_one() {
    let folder = TempDir::new().unwrap();
    let http = plain_http().build().unwrap();
    let get = async |url: String| http.get(url).send().await.unwrap();
    let (serving, place) = measured(folder.path(), &["--metrics-listen", "127.0.0.1:0"]);
    assert!(place.starts_with("http://127.0.0.1:") && place.ends_with("/metrics"), "{place}");
    let read = get(place.clone()).await;
    assert_eq!(read.status(), StatusCode::OK);
    let read = Reading(read.text().await.unwrap());
    read.is("signet_ready", &[], 5);
    assert_eq!(get(format!("{}/metrics", serving.base)).await.status(), StatusCode::NOT_FOUND);
    for path in ["/v1/session", "/livez", "/openapi.json", "/"] {
        assert_eq!(get(place.replace("/metrics", path)).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(serving.stop().0, Some(0));

    std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let flags = ["--metrics-listen", "127.0.0.1:0", "--metrics-token-file", "token"];
    let (serving, place) = measured(folder.path(), &flags);
    for place in [place, format!("{}/metrics", serving.base)] {
        assert_eq!(get(place.clone()).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(http.get(place).bearer_auth(TOKEN).send().await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_never_by_what_somebody_made_up() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for _ in 0..3 {
        admin.get("/v1/me").await.is(StatusCode::OK);
    }
    server.anonymous().get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
    admin.call(Method::HEAD, "/v1/me", None, &[]).await.is(StatusCode::OK);
    admin.put("/v1/session/data/cart", json!({ "value": 1 })).await.is(StatusCode::OK);
    admin.get("/v1/users/AAAAAAAAAAAAAAAAAAAAAQ").await.is(StatusCode::NOT_FOUND);
    admin.get("/docs").await.is(StatusCode::OK);
    for n in 0..50 {
        let path = format!("/made-up-{n}/{n}");
        admin.get(&path).await.is(StatusCode::NOT_FOUND);
        admin.get(&format!("/v1/session/data/made-up-{n}")).await.is(StatusCode::OK);
        let method = Method::from_bytes(format!("MADEUP{n}").as_bytes()).unwrap();
        admin.call(method, &path, None, &[("sec-fetch-site", "same-origin")]).await.is(StatusCode::NOT_FOUND);
    }
    let read = Reading::of(&server).await;
    let requests = "signet_http_requests_total";
    let of = |operation, method, status| [("operation", operation), ("method", method), ("status", status)];
    read.is(requests, &of("get_me", "GET", "2xx"), 3);
    read.is(requests, &of("get_me", "GET", "4xx"), 1);
    read.is(requests, &of("get_me", "HEAD", "2xx"), 1);
    read.is(requests, &of("login_account", "POST", "2xx"), 1);
    read.is(requests, &of("set_session_data", "PUT", "2xx"), 1);
    read.is(requests, &of("get_session_data", "GET", "2xx"), 50);
    read.is(requests, &of("get_user", "GET", "4xx"), 1);
    read.is(requests, &of("other", "GET", "4xx"), 50);
    read.is(requests, &of("other", "other", "4xx"), 50);
    read.is(requests, &of("other", "GET", "2xx"), 1);
    let text = read.0.to_lowercase();
    assert!(!text.contains("made-up") && !text.contains("madeup"), "{text}");
    let took = "signet_http_request_duration_seconds";
    read.is(&format!("{took}_count"), &[("operation", "get_me")], 5);
    read.is(&format!("{took}_bucket"), &[("operation", "get_me"), ("le", "+Inf")], 5);
    let login = read.sum(&format!("{took}_sum"), &[("operation", "login_account")]);
    assert!(login > 0.0 && login < 60.0, "{login}");
    // The names are those of the API document, all of them.
    let document = signet::api::document::document();
    let ids: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    for (labels, _) in read.samples(requests, &[]) {
        let operation = labels.split("operation=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(operation == "other" || ids.contains(&operation), "{operation}");
    }
}

#[tokio::test]
async fn what_was_done_and_what_was_refused_is_counted() {
    let server = Server::start_with(Options { throttle: true, ..Options::default() }).await;
    server.anonymous().get("/livez").await.is(StatusCode::OK);
    let before = Reading::of(&server).await;
    for code in Code::ALL {
        assert_eq!(
            before.samples("signet_problems_total", &[("code", code.name())]),
            [(format!("code=\"{}\"}}", code.name()), 0.0)]
        );
    }
    let mut admin = server.admin().await;
    let mut guesser = server.anonymous();
    for _ in 0..5 {
        let guess = json!({ "username": "admin", "password": "not the right one" });
        guesser.post("/v1/login", guess).await.is(StatusCode::UNAUTHORIZED);
    }
    let guess = json!({ "username": "admin", "password": "not the right one" });
    guesser.post("/v1/login", guess).await.is(StatusCode::TOO_MANY_REQUESTS);
    guesser.get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
    guesser
        .send(Method::POST, "/v1/login", Some(("application/json", b"{".to_vec())), &[])
        .await
        .is(StatusCode::BAD_REQUEST);
    admin.call(Method::POST, "/v1/logout", None, &[("sec-fetch-site", "cross-site")]).await.is(StatusCode::FORBIDDEN);
    // A framework's own failure, and one that a proxy is not told.
    admin.delete("/v1/me").await.is(StatusCode::METHOD_NOT_ALLOWED);
    admin.get("/v1/verify?nonsense=1").await.is(StatusCode::FORBIDDEN);

    let stream = plain_http().build().unwrap().get(format!("{}/v1/revocations/stream", server.base));
    let stream = stream.header("cookie", format!("__Host-signet={}", admin.cookie.as_deref().unwrap()));
    let mut stream = stream.send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let read = Reading::of(&server).await;
    let done = "signet_audit_events_total";
    read.is(done, &[("action", "login"), ("outcome", "done")], 1);
    read.is(done, &[("action", "login"), ("outcome", "refused")], 5);
    read.is(done, &[("action", "delete_user"), ("outcome", "done")], 0);
    let problem = |code: &'static str| [("code", code)];
    for (code, times) in [
        ("invalid_credentials", 5),
        ("too_many_requests", 1),
        ("not_authenticated", 1),
        ("malformed_body", 1),
        ("method_not_allowed", 1),
        ("internal", 0),
    ] {
        read.is("signet_problems_total", &problem(code), times);
    }
    read.is("signet_problems_total", &problem("cross_site"), 1);
    read.is("signet_problems_total", &problem("forbidden"), 1);
    read.is("signet_throttled_total", &[("limit", "login_to_from")], 1);
    assert!(read.sum("signet_throttle_counters", &[]) >= 3.0);
    read.is("signet_revocation_followers", &[], 1);
    read.is("signet_revoked_sessions", &[], 0);
    drop(stream);

    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (_, id) = server.user("bob", json!({})).await;
    admin.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    server.admin().await.patch(&format!("/v1/users/{id}"), json!({ "is_staff": true })).await.is(StatusCode::OK);
    let read = Reading::of(&server).await;
    read.is("signet_revoked_sessions", &[], 1);
    read.is("signet_revoked_users", &[], 1);
    read.is(done, &[("action", "logout"), ("outcome", "done")], 1);
    assert!(read.sum("signet_store_commit_seconds_count", &[]) >= 5.0);
    assert!(read.sum("signet_store_sync_seconds_sum", &[]) > 0.0);
    assert!(read.sum("signet_store_group_size_sum", &[]) >= read.sum("signet_store_group_size_count", &[]));
    read.is("signet_store_waiting", &[], 0);
    read.is("signet_store_opened", &[], 1);
    assert!(read.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(read.sum("process_open_fds", &[]) > 3.0);
    assert!(read.sum("process_max_fds", &[]) >= read.sum("process_open_fds", &[]));
    let age = f64::from(u32::try_from(server.now().timestamp()).unwrap()) - read.sum("process_start_time_seconds", &[]);
    assert!((0.0..600.0).contains(&age), "{age}");
    assert!(!read.0.contains("bob") && !read.0.contains(&id), "{}", read.0);
}

#[tokio::test]
async fn the_workers_that_hash_are_seen_at_work() {
    let hash_cost = Cost { memory: 64 * 1024, passes: 16, lanes: 1 };
    let server = Server::start_with(Options { hash_cost, hash_workers: 1, ..Options::default() }).await;
    let (http, base) = (plain_http().build().unwrap(), server.base.clone());
    let logging_in = tokio::spawn(at_once(30, move |_| {
        let body = json!({ "username": "admin", "password": PASSWORD }).to_string();
        let request = http.post(format!("{base}/v1/login")).header("content-type", "application/json").body(body);
        Box::pin(async move { request.send().await.unwrap().status() })
    }));
    let full = async {
        loop {
            let read = Reading::of(&server).await;
            let (waiting, working) = (read.sum("signet_hash_waiting", &[]), read.sum("signet_hash_working", &[]));
            assert!(working <= 1.0 && waiting <= 17.0, "{working} {waiting}");
            if working > 0.0 && waiting >= 5.0 && read.sum("signet_hash_refused_total", &[]) > 0.0 {
                return read;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let read = tokio::time::timeout(PATIENCE, full).await.unwrap();
    read.is("signet_hash_workers", &[], 1);
    let answers = logging_in.await.unwrap();
    let busy = answers.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    // A worker is at rest a moment after it has answered.
    let rest = async {
        loop {
            let read = Reading::of(&server).await;
            if read.sum("signet_hash_working", &[]) == 0.0 {
                return read;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let read = tokio::time::timeout(PATIENCE, rest).await.unwrap();
    read.is("signet_hash_refused_total", &[], u32::try_from(busy).unwrap());
    read.is("signet_hash_waiting", &[], 0);
    assert!(read.sum("signet_hash_wait_seconds_sum", &[]) > 0.1, "{}", read.0);
}

#[tokio::test]
async fn connections_keys_and_mails_are_seen() {
    let folder = TempDir::new().unwrap();
    let (serving, place) = measured(folder.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let read = async || Reading(reqwest::get(&place).await.unwrap().text().await.unwrap());
    let eventually = async |name: &'static str, labels: &'static [(&str, &str)], expected: f64| {
        let seen = async {
            while (read().await.sum(name, labels) - expected).abs() > 0.5 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{name} never was {expected}"));
    };
    let address = serving.base.trim_start_matches("http://").to_owned();
    let open: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    eventually("signet_connections", &[], 5.0).await;
    drop(open);
    eventually("signet_connections", &[], 0.0).await;

    let signs: &[(&str, &str)] = &[("role", "signs"), ("algorithm", "EdDSA")];
    let first = read().await;
    let made = first.sum("signet_key_created_timestamp_seconds", signs);
    assert!((made - first.sum("process_start_time_seconds", &[])).abs() < 60.0, "{made}");
    // A key that was named by a person is as old as its file.
    let keys = program(folder.path()).args(["keys", "generate", "--kid", "z-by-hand"]).output().unwrap();
    assert!(keys.status.success(), "{keys:?}");
    serving.signal(rustix::process::Signal::HUP);
    let by_hand: &[(&str, &str)] = &[("kid", "z-by-hand"), ("role", "signs")];
    let seen = async {
        while read().await.samples("signet_key_created_timestamp_seconds", by_hand).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
    let next = read().await;
    assert!((0.0..60.0).contains(&(next.sum("signet_key_created_timestamp_seconds", by_hand) - made)));
    next.is("signet_key_created_timestamp_seconds", &[("role", "signs"), ("kid", "nobody")], 0);
    assert_eq!(next.samples("signet_key_created_timestamp_seconds", &[("role", "could_sign")]).len(), 1);
    std::fs::write(folder.path().join("keys/broken.pem"), "nonsense").unwrap();
    eventually("signet_key_reloads_failed_total", &[], 1.0).await;
}

/// The answer of a server to whether it is ready.
async fn readiness(server: &Server) -> Vec<(String, String)> {
    let answer = server.anonymous().get("/readyz").await;
    if answer.status == StatusCode::OK {
        return Vec::new();
    }
    answer.is(StatusCode::SERVICE_UNAVAILABLE).is_problem("unavailable").errors()
}

#[tokio::test]
async fn readiness_names_what_is_not_ready() {
    let server = Server::start().await;
    assert_eq!(readiness(&server).await, []);
    server.store.unready.store(true, Ordering::SeqCst);
    let lacks = |part: &str| vec![(part.to_owned(), "not_ready".to_owned())];
    assert_eq!(readiness(&server).await, lacks("store"));
    let read = Reading::of(&server).await;
    read.is("signet_ready", &[("part", "store")], 0);
    read.is("signet_ready", &[("part", "memory")], 1);
    server.anonymous().get("/livez").await.is(StatusCode::OK);
    server.store.unready.store(false, Ordering::SeqCst);
    assert_eq!(readiness(&server).await, []);
    server.app.prepare_to_stop();
    assert_eq!(readiness(&server).await, lacks("server"));
    server.anonymous().get("/livez").await.is(StatusCode::OK);
    server.store.unready.store(true, Ordering::SeqCst);
    assert_eq!(readiness(&server).await, [lacks("store"), lacks("server")].concat());
}

#[tokio::test]
async fn a_server_that_is_about_to_stop_says_so_and_goes_on_serving_meanwhile() {
    let folder = TempDir::new().unwrap();
    let mut serving = Serving::start(folder.path(), &["--stop-delay", "400d"]);
    let http = plain_http().build().unwrap();
    let get = async |path: &str| http.get(format!("{}{path}", serving.base)).send().await.unwrap().status();
    assert_eq!(get("/readyz").await, StatusCode::OK);
    serving.signal(rustix::process::Signal::TERM);
    let red = async { while get("/readyz").await != StatusCode::SERVICE_UNAVAILABLE {} };
    tokio::time::timeout(PATIENCE, red).await.unwrap();
    assert_eq!(get("/v1/session").await, StatusCode::OK);
    assert_eq!(get("/livez").await, StatusCode::OK);
    // A second signal does not wait any longer.
    serving.signal(rustix::process::Signal::TERM);
    let mut rest = String::new();
    serving.out().read_to_string(&mut rest).unwrap();
    assert_eq!(serving.stop().0, Some(0));
}
