//! The cookie on the wire: which one counts, what is set and taken away, and when nothing is.

use std::sync::Arc;

use chrono::DateTime;
use futures_util::future::BoxFuture;
use poem::Route;
use poem::web::Data;
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::api::caller::Caller;
use signet::api::problem::Problem;
use signet::api::visit::Visit;
use signet::session;
use tokio::sync::Semaphore;

use crate::harness::{Client, ORIGIN, PASSWORD, Server, embed, plain_http};
use crate::wire;

/// Whom a request is taken for.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nobody,
    Admin,
    Mallory,
    Refused,
}

/// Whom the server sees in a request with these `Cookie` fields.
async fn seen(server: &Server, fields: &[Vec<u8>]) -> Seen {
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let reply = wire::call(&server.base, "GET /v1/session", &fields).await;
    assert!(reply.all("set-cookie").is_empty());
    if reply.status == 401 {
        assert_eq!(reply.problem(), "not_authenticated");
        return Seen::Refused;
    }
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let session: Value = serde_json::from_slice(&reply.body).unwrap();
    match session["user"]["username"].as_str() {
        Some("admin") => Seen::Admin,
        Some(_) => Seen::Mallory,
        None => Seen::Nobody,
    }
}

#[tokio::test]
async fn only_the_one_cookie_of_the_exact_name_counts() {
    use Seen::{Admin, Mallory, Nobody, Refused};
    let server = Server::start().await;
    // T is the victim's token; E is the attacker's own, good one, which a sibling domain tosses in.
    let victim = server.admin().await.cookie.unwrap();
    let evil = server.user("mallory", json!({})).await.0.cookie.unwrap();
    let filled = |field: &[u8]| {
        let mut out = Vec::new();
        for &byte in field {
            match byte {
                b'T' => out.extend_from_slice(victim.as_bytes()),
                b'E' => out.extend_from_slice(evil.as_bytes()),
                byte => out.push(byte),
            }
        }
        [b"Cookie: ".to_vec(), out].concat()
    };
    let table: &[(&[&[u8]], Seen)] = &[
        (&[], Nobody),
        (&[b"__Host-signet=T"], Admin),
        (&[b"__Host-signet=E"], Mallory),
        // Neighbours, whatever they hold.
        (&[b"a=1; __Host-signet=T; b=2"], Admin),
        (&[b"a=1;__Host-signet=T;b=2;"], Admin),
        (&[b"a=1;\t __Host-signet=T \t; b=2"], Admin),
        (&[b";; ;a;=x;a=b=c;$v=1;__Host-signet=T;;"], Admin),
        (&[b"x=\xe9; __Host-signet=T"], Admin),
        (&[b"x=\xff\xfe\x80; \xc3\xa9=\xc3\xa9; __Host-signet=T; y=\xa0"], Admin),
        (&[b"x=%; y=%zz; z=%00; __Host-signet=T"], Admin),
        (&[b"x=\"a;b\"; __Host-signet=T"], Admin),
        (&[b"__Host-signet=T; path=/; domain=evil.example; secure"], Admin),
        // Several fields count as one.
        (&[b"a=1", b"__Host-signet=T"], Admin),
        (&[b"__Host-signet=T", b"b=2", b"\xff"], Admin),
        // Names that only look like ours, alone and in front of the real one.
        (&[b"__%48ost-signet=E"], Nobody),
        (&[b"__%48ost-signet=E; __Host-signet=T"], Admin),
        (&[b"%5F%5FHost-signet=E; __Host-signet=T"], Admin),
        (&[b"%5f%5f%48%6f%73%74%2d%73%69%67%6e%65%74=E"], Nobody),
        (&[b"__host-signet=E"], Nobody),
        (&[b"__Host-Signet=E; __HOST-SIGNET=E; __Host-signet=T"], Admin),
        (&[b"=__Host-signet=E"], Nobody),
        (&[b"=__Host-signet=E; __Host-signet=T"], Admin),
        (&[b"==__Host-signet=E; =; __Host-signet=T"], Admin),
        (&[b"__Host-signet =E"], Nobody),
        (&[b"__Host-signet\t=E; __Host-signet=T"], Admin),
        (&[b"\xe2\x80\x80__Host-signet=E"], Nobody),
        (&[b"\xe2\x80\x80__Host-signet=E; __Host-signet=T"], Admin),
        (&[b"\xa0__Host-signet=E; __Host-signet\xa0=E; __Host-signet=T"], Admin),
        (&[b"__Host-signet; __Host-signet=T"], Admin),
        (&[b"signet=E; __Secure-signet=E; __Host-signet2=E; __Host-signet.x=E; x__Host-signet=E"], Nobody),
        (&[b"\"__Host-signet\"=E"], Nobody),
        (&[b"a=1, __Host-signet=E"], Nobody),
        (&[b"a=\"; __Host-signet=T; b=\""], Admin),
        // Values are taken as they are.
        (&[b"__Host-signet=\"T\""], Refused),
        (&[b"__Host-signet= T"], Refused),
        (&[b"__Host-signet="], Refused),
        (&[b"__Host-signet=T, __Host-signet=E"], Refused),
        (&[b"__Host-signet=T=x"], Refused),
        (&[b"__Host-signet=T\xff"], Refused),
        (&[b"__Host-signet=\xff"], Refused),
        // Two of our name: one of them may be tossed, and there is no telling which.
        (&[b"__Host-signet=T; __Host-signet=E"], Refused),
        (&[b"__Host-signet=E; __Host-signet=T"], Refused),
        (&[b"__Host-signet=T; __Host-signet=T"], Refused),
        (&[b"__Host-signet=; __Host-signet=T"], Refused),
        (&[b"__Host-signet=T; x=\xff; __Host-signet="], Refused),
        (&[b"__Host-signet=T", b"__Host-signet=E"], Refused),
        (&[b"__Host-signet=T", b"__Host-signet=T"], Refused),
        (&[b"a=1; __Host-signet=E", b"b=2", b"c=3; __Host-signet=T"], Refused),
    ];
    for (fields, expected) in table {
        let filled: Vec<_> = fields.iter().map(|field| filled(field)).collect();
        let shown: Vec<_> = fields.iter().map(|field| String::from_utf8_lossy(field)).collect();
        assert_eq!(seen(&server, &filled).await, *expected, "{shown:?}");
    }
    // Many neighbours, in one field and in many.
    let many = (0..200).map(|n| format!("cookie{n}=value{n}; ")).collect::<Vec<_>>().concat();
    assert_eq!(seen(&server, &[filled(format!("{many}__Host-signet=T").as_bytes())]).await, Admin);
    let mut fields: Vec<_> = (0..80).map(|n| filled(format!("cookie{n}=1").as_bytes())).collect();
    fields.push(filled(b"__Host-signet=T"));
    assert_eq!(seen(&server, &fields).await, Admin);
}

#[tokio::test]
async fn a_cookie_header_that_is_split_over_http_2_counts_as_one() {
    let server = Server::start().await;
    let token = server.admin().await.cookie.unwrap();
    let client = plain_http().http2_prior_knowledge().build().unwrap();
    let ours = format!("__Host-signet={token}");
    for (fields, status) in [
        (vec!["a=1", &ours, "b=2"], 200),
        (vec![ours.as_str()], 200),
        (vec!["a=1", "b=2"], 401),
        (vec![ours.as_str(), "a=1", &ours], 401),
    ] {
        let request = client.get(format!("{}/v1/me", server.base));
        let answer =
            fields.iter().fold(request, |request, field| request.header("cookie", *field)).send().await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        assert_eq!(answer.status().as_u16(), status, "{} fields", fields.len());
        assert!(answer.headers().get("set-cookie").is_none());
    }
}

/// Attributes of a `Set-Cookie` line in their order, without those of time.
fn attributes(line: &str) -> Vec<&str> {
    line.split("; ").skip(1).filter(|part| !part.starts_with("Max-Age=") && !part.starts_with("Expires=")).collect()
}

/// What a `Set-Cookie` line says about time: seconds and instant.
fn life(line: &str) -> Option<(i64, i64)> {
    let part = |name: &str| line.split("; ").find_map(|part| part.strip_prefix(name));
    let seconds = part("Max-Age=")?.parse().unwrap();
    let instant = DateTime::parse_from_rfc2822(part("Expires=")?).unwrap();
    Some((seconds, instant.timestamp()))
}

type Act = fn(Client) -> BoxFuture<'static, crate::harness::Answer>;

/// All that ends the session that asks for it.
const ENDINGS: [(&str, Act); 4] = [
    ("log-out", |mut c| Box::pin(async move { c.post("/v1/logout", Value::Null).await })),
    ("flush", |mut c| Box::pin(async move { c.delete("/v1/session").await })),
    ("log-out everywhere", |mut c| Box::pin(async move { c.delete("/v1/sessions").await })),
    ("epoch", |mut c| Box::pin(async move { c.post("/v1/epoch", Value::Null).await })),
];

#[tokio::test]
async fn a_deletion_has_the_attributes_that_the_cookie_was_set_with() {
    const DELETION: &str =
        "__Host-signet=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Strict";
    let server = Server::start().await;
    for (what, end) in ENDINGS {
        let mut client = server.anonymous();
        let set = client.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await;
        let set = set.is(StatusCode::OK).set_cookies()[0].to_owned();
        assert_eq!(attributes(&set), ["Path=/", "HttpOnly", "Secure", "SameSite=Strict"]);
        // Also when the token is due for another issue: one cookie, and that is the deletion.
        for seconds in [0, 2000] {
            let mut client = server.admin().await;
            server.pass(seconds);
            let token = client.cookie.clone().unwrap();
            let ended = end(client.clone()).await.is(StatusCode::NO_CONTENT);
            assert_eq!(ended.set_cookies(), [DELETION], "{what}");
            client.cookie = Some(token);
            assert!(!client.is_somebody().await, "{what}");
        }
    }
    let mut client = server.admin().await;
    let sid = client.get("/v1/session").await.text("id");
    let ended = client.delete(&format!("/v1/sessions/{sid}")).await.is(StatusCode::NO_CONTENT);
    assert_eq!(ended.set_cookies(), [DELETION]);
    // Log-out takes away what it cannot read, too: the client is rid of it.
    for cookie in ["", "nonsense", "\"x\""] {
        let ended = server.with_cookie(cookie).post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        assert_eq!(ended.set_cookies(), [DELETION]);
    }
    // Preference cookies.
    let set = server.anonymous().put("/v1/cookies/lang", json!({ "value": "de" })).await.is(StatusCode::OK);
    let gone = server.anonymous().delete("/v1/cookies/lang").await.is(StatusCode::NO_CONTENT);
    assert_eq!(attributes(set.set_cookies()[0]), attributes(gone.set_cookies()[0]));
    assert_eq!(gone.set_cookies(), [DELETION.replace("__Host-signet=", "__Host-signet.lang=")]);
}

#[tokio::test]
async fn a_cookie_lives_as_long_as_its_token_in_both_spellings_or_with_the_browser() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let now = || server.now().timestamp();
    let near = |a: i64, b: i64| (a - b).abs() <= 2;
    let at = server.now() + chrono::TimeDelta::seconds(777);
    for (expiry, seconds) in [
        (json!({ "kind": "default" }), 3600),
        (json!({ "kind": "inactivity", "seconds": 120 }), 120),
        (json!({ "kind": "instant", "at": at.to_rfc3339() }), 777),
        // Never beyond the session's absolute end.
        (json!({ "kind": "inactivity", "seconds": u32::MAX }), 14 * 24 * 3600),
    ] {
        let set = client.put("/v1/session/expiry", expiry).await.is(StatusCode::OK);
        let (age, until) = life(set.set_cookies()[0]).unwrap();
        assert!(near(age, seconds) && near(until, now() + seconds), "{seconds}: {age}, {until}");
    }
    client.put("/v1/session/expiry", json!({ "kind": "browser" })).await.is(StatusCode::OK);
    for _ in 0..2 {
        let set = client.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
        let line = set.set_cookies()[0];
        assert_eq!(life(line), None, "{line}");
        assert_eq!(line.split("; ").count(), 5, "{line}");
    }
    // The server does not wait for the browser for ever.
    server.pass(3601);
    assert!(!client.is_somebody().await);
    let set = client.put("/v1/cookies/n", json!({ "value": "v", "max_age": 60 })).await.is(StatusCode::OK);
    let (age, until) = life(set.set_cookies()[0]).unwrap();
    assert!(age == 60 && near(until, now() + 60));
}

#[tokio::test]
async fn a_mere_read_sets_no_cookie_and_makes_no_session() {
    let server = Server::start().await;
    let reads = [
        "/v1/session",
        "/v1/session/data/k?default=1",
        "/v1/cookies/n",
        "/.well-known/jwks.json",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/problems/not_found",
    ];
    let mut nobody = server.anonymous();
    for path in reads {
        assert!(nobody.get(path).await.is(StatusCode::OK).set_cookies().is_empty(), "{path}");
    }
    nobody.delete("/v1/session/data/k").await.is(StatusCode::NO_CONTENT);
    nobody.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
    assert_eq!(nobody.cookie, None, "there was nothing to delete");
    let mut somebody = server.admin().await;
    let token = somebody.cookie.clone();
    for path in reads.into_iter().chain(["/v1/me", "/v1/sessions", "/v1/users", "/v1/groups", "/v1/permissions"]) {
        let answer = somebody.get(path).await.is(StatusCode::OK);
        assert!(answer.set_cookies().is_empty(), "{path}");
    }
    let asked = somebody.post("/v1/permissions/check", json!({ "permissions": [] })).await.is(StatusCode::OK);
    assert!(asked.set_cookies().is_empty());
    assert_eq!(somebody.cookie, token);
}

#[tokio::test]
async fn a_failure_sets_no_cookie_even_when_another_issue_is_due() {
    let server = Server::start().await;
    let (mut client, id) = server.user("walter", json!({})).await;
    server.pass(2000);
    let token = client.cookie.clone();
    let large = json!({ "value": "x".repeat(5000) });
    let huge = json!({ "value": "x".repeat(70_000) });
    let etag = [("if-match", "\"0d4JZ1mKSzWcQ3hUj6nE9w\"")];
    for (method, path, body, headers, status) in [
        (Method::GET, "/v1/users", Value::Null, &[][..], 403),
        (Method::GET, "/v1/nothing", Value::Null, &[], 404),
        (Method::DELETE, "/v1/sessions/0d4JZ1mKSzWcQ3hUj6nE9w", Value::Null, &[], 404),
        (Method::DELETE, "/v1/me", Value::Null, &[], 405),
        (Method::PUT, "/v1/session", json!({}), &etag, 412),
        (Method::PUT, "/v1/session/data/k", large, &[], 413),
        (Method::PUT, "/v1/session/data/k", huge, &[], 413),
        (Method::PUT, "/v1/session/data/k", json!({ "v": 1 }), &[], 422),
        (Method::PUT, "/v1/session/expiry", json!({ "kind": "inactivity", "seconds": 0 }), &[], 422),
        (Method::POST, "/v1/session/renew", Value::Null, &[("origin", "https://evil.example")], 403),
        (Method::POST, "/v1/login", json!({ "username": "walter", "password": "wrong" }), &[], 401),
        (Method::POST, "/v1/register", json!({ "username": "walter", "password": PASSWORD }), &[], 409),
        (Method::POST, "/v1/password", json!({ "old_password": "wrong", "new_password": PASSWORD }), &[], 403),
        (Method::GET, "/v1/me?default=1&default=2", Value::Null, &[], 400),
    ] {
        let answer = client.call(method, path, Some(body), headers).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.set_cookies().is_empty(), "{path}");
    }
    let answer = client.send(Method::PUT, "/v1/session", Some(("text/plain", b"{}".to_vec())), &[]).await;
    assert!(answer.is(StatusCode::UNSUPPORTED_MEDIA_TYPE).set_cookies().is_empty());
    let answer = client.send(Method::PUT, "/v1/session", Some(("application/json", b"{".to_vec())), &[]).await;
    assert!(answer.is(StatusCode::BAD_REQUEST).set_cookies().is_empty());
    assert_eq!(client.cookie, token, "nothing changed");
    // The next success gives the issue that was due, once.
    let answer = client.put("/v1/session/data/k", json!({ "value": 1 })).await.is(StatusCode::OK);
    assert_eq!(answer.set_cookies().len(), 1);
    assert!(client.get("/v1/me").await.is(StatusCode::OK).set_cookies().is_empty());

    // A 401 takes no cookie away: it may answer a token that a newer log-in has just replaced.
    let disable = json!({ "is_active": false });
    server.admin().await.patch(&format!("/v1/users/{id}"), disable).await.is(StatusCode::OK);
    for (method, path) in [
        (Method::GET, "/v1/session"),
        (Method::GET, "/v1/me"),
        (Method::DELETE, "/v1/session"),
        (Method::POST, "/v1/session/renew"),
        (Method::PUT, "/v1/session"),
        (Method::DELETE, "/v1/sessions"),
        (Method::GET, "/v1/users"),
    ] {
        let answer = client.call(method, path, Some(json!({})), &[]).await.is(StatusCode::UNAUTHORIZED);
        assert!(answer.set_cookies().is_empty(), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn what_depends_on_the_cookie_says_so_and_is_kept_by_nobody() {
    let server = Server::start().await;
    for mut client in [server.anonymous(), server.admin().await] {
        for path in ["/v1/session", "/v1/session/data/k"] {
            let answer = client.get(path).await.is(StatusCode::OK);
            assert_eq!(
                (answer.header("vary"), answer.header("cache-control")),
                (Some("Cookie"), Some("no-store")),
                "{path}"
            );
        }
        for path in ["/v1/me", "/v1/users", "/v1/nothing", "/v1/cookies/n", "/livez"] {
            assert_eq!(client.get(path).await.header("cache-control"), Some("no-store"), "{path}");
        }
        // Alike for everybody.
        assert_eq!(client.get("/.well-known/jwks.json").await.header("vary"), None);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    for late in [false, true] {
        if late {
            server.pass(2000);
        }
        let cookie = format!("Cookie: __Host-signet={}", client.cookie.as_deref().unwrap());
        for path in [
            "/v1/session",
            "/v1/me",
            "/v1/users",
            "/livez",
            "/.well-known/jwks.json",
            "/openapi.json",
            "/docs",
            "/v1/session/data/k",
            "/v1/nothing",
            "/v1/users/x",
            "/v1/users?limit=0",
            "/problems/not_found",
        ] {
            let fields: &[&[u8]] = &[cookie.as_bytes()];
            let head = wire::call(&server.base, &format!("HEAD {path}"), fields).await;
            let get = wire::call(&server.base, &format!("GET {path}"), fields).await;
            assert!(head.body.is_empty(), "{path}: {}", String::from_utf8_lossy(&head.body));
            assert_eq!(head.status, get.status, "{path}");
            assert_eq!(head.all("set-cookie").len(), get.all("set-cookie").len(), "{path}");
            let alike = |reply: &wire::Reply| {
                let differs = ["date", "set-cookie", "content-length", "etag"];
                let fields = reply.fields.iter().filter(|(name, _)| !differs.contains(&name.as_str()));
                let mut fields: Vec<_> = fields.cloned().collect();
                fields.sort();
                fields
            };
            assert_eq!(alike(&head), alike(&get), "{path}");
            if get.status == 200 {
                let length = get.body.len().to_string();
                assert!(
                    head.all("content-length").iter().all(|n| *n == length),
                    "{path}: {:?}",
                    head.all("content-length")
                );
            }
        }
        client.get("/v1/session").await.is(StatusCode::OK);
    }
    // Where there is no GET there is no HEAD, and nothing happens.
    let cookie = format!("Cookie: __Host-signet={}", client.cookie.as_deref().unwrap());
    for path in ["/v1/logout", "/v1/session/renew", "/v1/epoch", "/v1/login"] {
        let head = wire::call(&server.base, &format!("HEAD {path}"), &[cookie.as_bytes()]).await;
        assert_eq!((head.status, head.body.len(), head.all("allow")), (405, 0, vec!["POST"]), "{path}");
    }
    assert!(client.is_somebody().await);
}

#[tokio::test]
async fn a_planted_cookie_is_not_the_one_that_a_log_in_goes_on_with() {
    let server = Server::start().await;
    let (mallory, _) = server.user("mallory", json!({})).await;
    let mut stale = server.log_in("mallory").await;
    let over = stale.cookie.clone().unwrap();
    stale.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    for (n, operation) in ["/v1/login", "/v1/register"].into_iter().enumerate() {
        let mut mallory = if n == 0 { mallory.clone() } else { server.log_in("mallory").await };
        mallory.put("/v1/session/data/planted", json!({ "value": "mallory's" })).await.is(StatusCode::OK);
        let mut visitor = server.anonymous();
        visitor.put("/v1/session/data/cart", json!({ "value": 1 })).await.is(StatusCode::OK);
        for (what, planted, data) in [
            ("somebody's session", mallory.cookie.clone().unwrap(), json!({})),
            ("an anonymous session", visitor.cookie.clone().unwrap(), json!({ "cart": 1 })),
            ("a session that is over", over.clone(), json!({})),
            ("nonsense", "0d4JZ1mKSzWcQ3hUj6nE9w".to_owned(), json!({})),
            ("nothing", String::new(), json!({})),
        ] {
            let username =
                if n == 0 { "admin".to_owned() } else { format!("victim-{}", what.replace(['\'', ' '], "-")) };
            let before = server.with_cookie(&planted).get("/v1/session").await;
            let before = if before.status == StatusCode::OK { before.json()["id"].clone() } else { Value::Null };
            let mut victim = server.with_cookie(&planted);
            let answer = victim.post(operation, json!({ "username": username, "password": PASSWORD })).await;
            assert!(answer.status.is_success(), "{operation} with {what}: {}", answer.status);
            let session = answer.json()["session"].clone();
            assert_ne!(session["id"], before, "{operation} with {what}");
            assert_eq!(session["data"], data, "{operation} with {what}");
            assert_ne!(victim.cookie.as_deref(), Some(planted.as_str()));
            assert_eq!(victim.get("/v1/me").await.text("username"), username);
            // Who planted it gains nothing: it is nobody's now, and nobody's session is named by it.
            server.with_cookie(&planted).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
        }
    }
    // A session that nobody began is never taken over: identifiers come from the server alone.
    for name in ["sid", "session", "id", "jti"] {
        let mut client = server.anonymous();
        let wish = "0d4JZ1mKSzWcQ3hUj6nE9w";
        let path = format!("/v1/session/data/k?{name}={wish}");
        client.call(Method::PUT, &path, Some(json!({ "value": 1 })), &[]).await.is(StatusCode::OK);
        assert_ne!(client.get("/v1/session").await.text("id"), wish);
    }
}

/// Operations that wait, between what they do and their answer, until the test lets them go on.
struct Slow {
    /// One permit for each operation that has done its work.
    done: Arc<Semaphore>,
    /// One permit for each answer that may be given.
    go: Arc<Semaphore>,
}

impl Slow {
    async fn wait(&self) -> PlainText<&'static str> {
        self.done.add_permits(1);
        self.go.acquire().await.unwrap().forget();
        PlainText("done")
    }
}

#[OpenApi]
impl Slow {
    #[oai(path = "/read", method = "get")]
    async fn read(&self, _caller: Caller) -> PlainText<&'static str> {
        self.wait().await
    }

    #[oai(path = "/write", method = "post")]
    async fn write(&self, visit: Data<&Visit>, caller: Caller) -> Result<PlainText<&'static str>, Problem> {
        let next = session::write(visit.app(), &caller, None, |claims| drop(claims.data.insert("k".into(), json!(1))))?;
        visit.keep(next);
        Ok(self.wait().await)
    }
}

#[tokio::test]
async fn an_answer_in_flight_never_brings_an_ended_session_back() {
    let server = Server::start().await;
    let (done, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = Slow { done: Arc::clone(&done), go: Arc::clone(&go) };
    let base = embed(&server.app, Route::new().nest("/", OpenApiService::new(slow, "slow", "1"))).await;
    let endings: Vec<(&str, Option<Act>)> =
        ENDINGS.into_iter().map(|(what, act)| (what, Some(act))).chain([("nothing", None)]).collect();
    for (what, end) in endings {
        for (method, path) in [(Method::GET, "/read"), (Method::POST, "/write")] {
            let client = server.admin().await;
            // Past half of its time, so that a read is a re-issue too.
            server.pass(2000);
            let mut in_flight = client.at(&base);
            let asked = tokio::spawn(async move { in_flight.call(method, path, None, &[("origin", ORIGIN)]).await });
            done.acquire().await.unwrap().forget();
            if let Some(end) = end {
                end(client.clone()).await.is(StatusCode::NO_CONTENT);
            }
            go.add_permits(1);
            let answer = asked.await.unwrap().is(StatusCode::OK);
            match end {
                Some(_) => assert!(answer.set_cookies().is_empty(), "{path} after {what}"),
                None => assert_eq!(answer.set_cookies().len(), 1, "{path}: the control"),
            }
        }
    }
    // What others do to the session counts alike.
    let (victim, id) = server.user("victor", json!({})).await;
    server.pass(2000);
    let mut in_flight = victim.at(&base);
    let asked = tokio::spawn(async move { in_flight.get("/read").await });
    done.acquire().await.unwrap().forget();
    let disable = json!({ "is_active": false });
    server.admin().await.patch(&format!("/v1/users/{id}"), disable).await.is(StatusCode::OK);
    go.add_permits(1);
    assert!(asked.await.unwrap().is(StatusCode::OK).set_cookies().is_empty());
}
