//! Failures: each one a whole problem that says nothing but its own words, and changes nothing.
//!
//! The tables are driven by the committed API document, so that an operation that is added is tried as well. The
//! shape of problems and the security headers are checked by the harness on every answer.

use std::collections::{BTreeMap, HashSet};

use poem::{Endpoint as _, Route, handler};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::api::caller::{Caller, LoginRequired};
use signet::api::problem::Code;
use signet::api::visit::Visit;
use signet::session;

use crate::harness::{Answer, Client, ORIGIN, PASSWORD, Server, embed};
use crate::wire;

/// An operation of the API document.
#[derive(Clone)]
struct Operation {
    method: Method,
    /// With `{…}` where parameters stand.
    template: String,
    path_parameters: Vec<(String, String)>,
    query_parameters: Vec<String>,
    /// The example of its body, if it has one.
    body: Option<Value>,
}

impl Operation {
    /// The path, with the document's examples in it.
    fn path(&self) -> String {
        let fill = |path: String, (name, example): &(String, String)| path.replace(&format!("{{{name}}}"), example);
        self.path_parameters.iter().fold(self.template.clone(), fill)
    }

    /// The path, with this text in the place of every parameter.
    fn path_with(&self, text: &str) -> String {
        let fill = |path: String, (name, _): &(String, String)| path.replace(&format!("{{{name}}}"), text);
        self.path_parameters.iter().fold(self.template.clone(), fill)
    }

    fn is_unsafe(&self) -> bool {
        self.method != Method::GET
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

fn document() -> Value {
    serde_json::from_str(include_str!("../../openapi/signet.json")).unwrap()
}

/// All operations of the committed document.
fn operations() -> Vec<Operation> {
    let document = document();
    let text = |value: &Value| value.as_str().unwrap_or("x").to_owned();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of = |kind: &'static str| parameters.iter().filter(move |parameter| parameter["in"] == kind);
            let content = &operation["requestBody"]["content"]["application/json"];
            let schema = content["schema"]["$ref"].as_str().and_then(|name| document.pointer(&name[1..]));
            let example = content.get("example").or_else(|| schema.and_then(|schema| schema.get("example")));
            assert_eq!(example.is_some(), operation.get("requestBody").is_some(), "{method} {path} has no example");
            found.push(Operation {
                method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                template: path.clone(),
                path_parameters: of("path").map(|p| (text(&p["name"]), text(&p["example"]))).collect(),
                query_parameters: of("query").map(|p| text(&p["name"])).collect(),
                body: example.cloned(),
            });
        }
    }
    assert!(found.len() > 40, "{} operations", found.len());
    found
}

fn with_bodies() -> Vec<Operation> {
    operations().into_iter().filter(|operation| operation.body.is_some()).collect()
}

/// All that the superuser can see, to be compared.
async fn state(admin: &mut Client) -> BTreeMap<&'static str, Value> {
    let mut state = BTreeMap::new();
    for path in ["/v1/users", "/v1/groups", "/v1/permissions", "/v1/sessions", "/v1/session", "/v1/me"] {
        state.insert(path, admin.get(path).await.is(StatusCode::OK).json());
    }
    state
}

#[tokio::test]
async fn a_body_that_is_not_one_json_text_is_400() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let nested = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n - 1), "]".repeat(n - 1)).into_bytes();
    let objects = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n)).into_bytes();
    let utf16: Vec<u8> = r#"{"a":1}"#.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let ciphers = format!("{{\"a\":1{}}}", "0".repeat(400)).into_bytes();
    let bad: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "[",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":[1,]}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1}{}",
        "{\"a\":1} x",
        "{\"a\":1},",
        "{}\0",
        "\u{feff}{}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":1e400}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":0x1}",
        "{\"a\":tru}",
        "{\"a\":True}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\\ud800\"}",
        "{\"\\ud800\":1}",
        "{/**/}",
        "{}//",
        "undefined",
        "a=1&b=2",
        // Twice one member, at the top and further down, also spelled otherwise.
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":[[{\"b\":1,\"c\":2,\"b\":3}]]}",
        "{\"a\":1,\"b\":2,\"a\":null}",
        "{\"\":1,\"\":2}",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        b"{\"a\":\"\xff\"}".to_vec(),
        b"{\"\xc3\x28\":1}".to_vec(),
        b"{\"a\":\"\xed\xa0\x80\"}".to_vec(),
        b"{\"a\":\"\xc0\x80\"}".to_vec(),
        vec![0x1f, 0x8b, 8, 0],
        vec![0; 100],
        utf16,
        ciphers,
        nested(65),
        objects(65),
        nested(30_000),
        objects(10_000),
        b"[".repeat(60_000),
    ])
    .collect();
    for content in bad {
        let shown: String = String::from_utf8_lossy(&content).chars().take(60).collect();
        for (method, path) in [(Method::PUT, "/v1/session"), (Method::POST, "/v1/login"), (Method::POST, "/v1/groups")]
        {
            let answer = admin.send(method, path, Some(("application/json", content.clone())), &[]).await;
            assert_eq!(answer.status, 400, "{path}: {shown}");
            answer.is_problem("malformed_body");
        }
    }
    for good in [nested(64), objects(64), b"\t\r\n {\"a\":\"\\ud83d\\ude00\"} \n".to_vec(), b"{}".to_vec()] {
        admin.send(Method::PUT, "/v1/session", Some(("application/json", good)), &[]).await.is(StatusCode::OK);
    }
    // Every operation reads its body by the same rule.
    for operation in with_bodies() {
        let text = operation.body.as_ref().unwrap().to_string();
        let (name, value) = operation.body.as_ref().unwrap().as_object().unwrap().iter().next().unwrap();
        let twice = format!("{},\"{name}\":{value}}}", text.strip_suffix('}').unwrap());
        for content in [twice, format!("{text}{text}"), text[1..].to_owned()] {
            let content = Some(("application/json", content.into_bytes()));
            let answer = admin.send(operation.method.clone(), &operation.path(), content, &[]).await;
            assert_eq!(answer.status, 400, "{}", operation.name());
            answer.is_problem("malformed_body");
        }
    }
}

#[tokio::test]
async fn a_body_of_another_shape_is_422_and_names_every_member() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for operation in with_bodies() {
        for body in [json!([]), json!("x"), json!(1), json!(true), Value::Null] {
            // The harness sends no null.
            let content = Some(("application/json", body.to_string().into_bytes()));
            let answer = admin.send(operation.method.clone(), &operation.path(), content, &[]).await;
            assert_eq!(answer.status, 422, "{} with {body}", operation.name());
            assert_eq!(answer.is_problem("invalid").errors(), [(String::new(), "wrong_type".to_owned())]);
        }
        if operation.template == "/v1/session" {
            continue; // Takes any object.
        }
        let call = |body: Value, mut admin: Client| {
            let operation = operation.clone();
            async move { admin.call(operation.method.clone(), &operation.path(), Some(body), &[]).await }
        };
        for name in ["x", "__proto__", "constructor", "Username", "password_hash", ""] {
            let mut body = operation.body.clone().unwrap();
            body[name] = json!(1);
            let answer = call(body, admin.clone()).await.is(StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(answer.errors(), [(String::new(), "unknown_member".to_owned())], "{} {name}", operation.name());
        }
        for (name, value) in operation.body.as_ref().unwrap().as_object().unwrap() {
            if operation.template == "/v1/session/data/{key}" {
                continue; // Takes any value.
            }
            for wrong in [json!(null), json!({}), json!([{}]), json!(1.5), json!(-1), json!("1"), json!(1), json!(true)]
            {
                let same = |a: &Value, b: &Value| std::mem::discriminant(a) == std::mem::discriminant(b);
                if same(&wrong, value) && wrong != json!(1.5) && wrong != json!(-1) && wrong != json!([{}]) {
                    continue;
                }
                let mut body = operation.body.clone().unwrap();
                body[name] = wrong.clone();
                let answer = call(body, admin.clone()).await;
                assert_eq!(answer.status, 422, "{} with {name}: {wrong}", operation.name());
                let fields = answer.is_problem("invalid").errors();
                assert!(fields.iter().all(|(field, _)| field.starts_with(name.as_str())), "{fields:?}");
            }
        }
    }
    // All faults at once.
    let new = json!({ "username": 1, "is_staff": "true", "groups": [1, "x", null], "extra": 1 });
    let mut errors = admin.post("/v1/users", new).await.is(StatusCode::UNPROCESSABLE_ENTITY).errors();
    errors.sort();
    let expected = [
        ("", "unknown_member"),
        ("groups/0", "wrong_type"),
        ("groups/2", "wrong_type"),
        ("is_staff", "wrong_type"),
        ("username", "wrong_type"),
    ];
    assert_eq!(errors, expected.map(|(field, code)| (field.to_owned(), code.to_owned())));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_before_it_is_read() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let cookie = format!("Cookie: __Host-signet={}\r\n", admin.cookie.as_deref().unwrap());
    let head = |operation: &Operation, more: &str| {
        format!(
            "{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{cookie}{more}\r\n\r\n",
            operation.method,
            operation.path()
        )
    };
    for operation in with_bodies() {
        // Not a byte of the body is sent: the answer does not wait for it.
        // An import comes in larger parts.
        let first = if operation.template == "/v1/import" { "4194305" } else { "65537" };
        for length in [first, "10485760", "1000000000000000000"] {
            let reply = wire::exchange(&server.base, head(&operation, &format!("Content-Length: {length}"))).await;
            assert_eq!((reply.status, reply.problem().as_str()), (413, "body_too_large"), "{}", operation.name());
            assert!(reply.all("set-cookie").is_empty());
        }
    }
    let put = operations().into_iter().find(|o| o.template == "/v1/session" && o.method == Method::PUT).unwrap();
    // In pieces, without a word about the length, and without an end.
    let piece = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    let chunked = |pieces: usize, rest: &str| {
        format!("{}{}{rest}", head(&put, "Transfer-Encoding: chunked"), piece.repeat(pieces))
    };
    let reply = wire::exchange(&server.base, chunked(17, "")).await;
    assert_eq!((reply.status, reply.problem().as_str()), (413, "body_too_large"));
    assert_eq!(reply.all("x-content-type-options"), ["nosniff"]);
    let reply = wire::exchange(&server.base, chunked(15, "2\r\n{}\r\n0\r\n\r\n")).await;
    assert_eq!(reply.status, 200, "the control");
    // The exact limit is no fault of the size.
    for (length, status) in [(65_536, 200), (65_537, 413)] {
        let body = format!("{}{{}}", " ".repeat(length - 2));
        let request = format!("{}{body}", head(&put, &format!("Content-Length: {length}")));
        assert_eq!(wire::exchange(&server.base, request).await.status, status, "{length}");
    }
    assert!(admin.clone().is_somebody().await);
}

#[tokio::test]
async fn only_json_is_taken_for_json() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let before = state(&mut admin).await;
    for operation in with_bodies() {
        let body = operation.body.as_ref().unwrap().to_string().into_bytes();
        for kind in [
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/problem+json",
            "application/vnd.api+json",
            "application/merge-patch+json",
            "application/jsonp",
            "application/json-patch",
            "application/json; x=",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
            "application/json;",
            "application/json, text/plain",
            "text/plain; application/json",
            "text/plain;x=application/json",
            "application /json",
            "*/*",
            "json",
            "",
        ] {
            let content = Some((kind, body.clone()));
            let answer = admin.send(operation.method.clone(), &operation.path(), content, &[]).await;
            assert_eq!(answer.status, 415, "{} as {kind:?}", operation.name());
            answer.is_problem("unsupported_media_type");
        }
        let json = Some(("application/json", body.clone()));
        for (name, value) in [
            ("content-type", "application/json"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("content-encoding", "br"),
            ("content-encoding", "identity"),
        ] {
            let answer = admin.send(operation.method.clone(), &operation.path(), json.clone(), &[(name, value)]).await;
            assert_eq!(answer.status, 415, "{} with a second {name}: {value}", operation.name());
            answer.is_problem("unsupported_media_type");
        }
        // Without a word about its kind.
        let cookie = format!("Cookie: __Host-signet={}", admin.cookie.as_deref().unwrap());
        let line = format!("{} {}", operation.method, operation.path());
        let length = format!("Content-Length: {}", body.len());
        for more in ["X: y", "Content-Type:", "Content-Type: text/plain\r\nContent-Type: application/json"] {
            let mut request =
                format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{cookie}\r\n{length}\r\n{more}\r\n\r\n")
                    .into_bytes();
            request.extend_from_slice(&body);
            let reply = wire::exchange(&server.base, request).await;
            assert_eq!((reply.status, reply.problem().as_str()), (415, "unsupported_media_type"), "{line}: {more}");
        }
    }
    assert_eq!(state(&mut admin).await, before, "nothing has changed");
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        admin.send(Method::PUT, "/v1/session", Some((kind, b"{}".to_vec())), &[]).await.is(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_is_404_for_everybody_and_every_method() {
    let server = Server::start().await;
    for mut client in [server.anonymous(), server.admin().await] {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v2/me",
            "/V1/me",
            "/v1/ME",
            "/v1/me/",
            "/v1/me/x",
            "//v1/me",
            "/v1//me",
            "/v1/me;x=1",
            "/v1/me.json",
            "/v1/%6de%2f",
            "/v1%2fme",
            "/v1/users/x/y/z",
            "/.git/HEAD",
            "/.env",
            "/keys",
            "/data",
            "/.well-known/security.txt",
            "/.well-known/jwks.json/",
            "/docs/x",
            "/docs/..%2f..%2fetc%2fpasswd",
            "/problems/",
            "/problems/nothing",
            "/problems/NOT_FOUND",
            "/favicon.ico",
            "/metrics",
            "/debug",
            "/livez/",
            "/v1/session/data/",
            "/v1/session/data/a/b",
            "/v1/cookies/",
            "/%00",
            "/%ff",
        ] {
            for method in
                [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS, Method::from_bytes(b"FOO").unwrap()]
            {
                let answer = client.call(method.clone(), path, None, &[]).await;
                if path.starts_with("/problems/n") || path.starts_with("/problems/N") {
                    assert!(method != Method::GET || answer.status == 404, "{path}");
                    continue;
                }
                assert_eq!(answer.status, 404, "{method} {path}");
                answer.is_problem("not_found");
            }
        }
    }
    // Bytes that a client library would tidy up.
    for target in [
        "/v1/../v1/me",
        "/v1/./me",
        "/v1/users/../me",
        "/v1/users/%2e%2e/me",
        "/v1/users/%252e%252e/x/y",
        "/v1/\"",
        "/v1/<x>",
        "/v1/\\me",
    ] {
        let reply = wire::call(&server.base, &format!("GET {target}"), &[]).await;
        assert!([400, 404].contains(&reply.status), "{target}: {}", reply.status);
        if reply.status == 404 {
            assert_eq!(reply.problem(), "not_found", "{target}");
        }
    }
    // Things that are not there, for somebody who may ask.
    let mut admin = server.admin().await;
    for path in [
        "/v1/users/0d4JZ1mKSzWcQ3hUj6nE9w",
        "/v1/users/x",
        "/v1/users/%ff",
        "/v1/users/..%2f..%2fme",
        "/v1/users/me",
        "/v1/users/0d4JZ1mKSzWcQ3hUj6nE9w%00",
        "/v1/groups/0d4JZ1mKSzWcQ3hUj6nE9w",
        "/v1/groups/1",
        "/v1/permissions/a.b",
        "/v1/permissions/x",
        "/v1/permissions/%ff",
        "/v1/users/x/sessions",
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        answer.is_problem("not_found");
    }
    for path in ["/v1/sessions/x", "/v1/sessions/0d4JZ1mKSzWcQ3hUj6nE9w", "/v1/sessions/%ff"] {
        admin.delete(path).await.is(StatusCode::NOT_FOUND).is_problem("not_found");
    }
}

#[tokio::test]
async fn a_method_that_a_resource_does_not_have_is_405_with_those_that_it_has() {
    let server = Server::start().await;
    let mut allowed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for operation in operations() {
        allowed.entry(operation.path()).or_default().push(operation.method.to_string());
    }
    for path in ["/openapi.json", "/docs", "/docs/", "/docs/page.js", "/docs/swagger-ui.css"] {
        allowed.insert(path.to_owned(), vec!["GET".to_owned()]);
    }
    let mut admin = server.admin().await;
    let before = state(&mut admin).await;
    for (path, methods) in &mut allowed {
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        methods.sort();
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "get", "PROPFIND"] {
            if methods.iter().any(|known| known == method) {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for (mut client, body) in [(server.anonymous(), None), (admin.clone(), Some(json!({ "x": 1 })))] {
                let answer = client.call(method.clone(), path, body.clone(), &[]).await;
                assert_eq!(answer.status, 405, "{method} {path}");
                assert_eq!(answer.header("allow"), Some(methods.join(", ").as_str()), "{method} {path}");
                assert!(answer.set_cookies().is_empty());
                if method != Method::HEAD {
                    answer.is_problem("method_not_allowed");
                }
            }
        }
    }
    // Nor does another spelling of the method make one of it.
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-method", "DELETE"),
    ] {
        admin.call(Method::GET, "/v1/session?_method=DELETE", None, &[(name, value)]).await.is(StatusCode::OK);
    }
    assert_eq!(state(&mut admin).await, before);
}

#[tokio::test]
async fn a_parameter_stands_once_and_in_its_form() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for operation in operations() {
        let path = operation.path();
        // Also for operations without parameters: what one reader takes first and the other last is no parameter.
        let names = operation.query_parameters.iter().map(String::as_str).chain(["x", "id"]);
        for name in names {
            let encoded = format!("%{:02x}{}", name.as_bytes()[0], &name[1..]);
            for query in [
                format!("{name}=1&{name}=1"),
                format!("{name}=1&y=2&{name}=2"),
                format!("{name}&{name}"),
                format!("{name}=1&{encoded}=2"),
                format!("{name}=&{name}="),
            ] {
                let body = operation.body.clone();
                let answer = admin.call(operation.method.clone(), &format!("{path}?{query}"), body, &[]).await;
                // Proxies understand no other refusal.
                let code = if path == "/v1/verify" { "forbidden" } else { "invalid_parameter" };
                assert_eq!(answer.json()["code"], code, "{} ?{query}", operation.name());
            }
        }
    }
    for list in ["/v1/users", "/v1/groups", "/v1/permissions"] {
        let long = "x".repeat(151);
        for query in [
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=x",
            "limit=1.5",
            "limit=",
            "limit=1e2",
            "limit=4294967296",
            "limit=99999999999999999999",
            "limit=%31%00",
            "limit=0x10",
            "limit=1,2",
            "limit=\u{661}",
            "cursor=!",
            "cursor=a",
            "cursor=_w",
            "cursor=YQ%3D%3D",
            "cursor=YQ%20",
            &format!("search={long}"),
        ] {
            let answer = admin.get(&format!("{list}?{query}")).await;
            assert_eq!(answer.status, 400, "{list}?{query}");
            answer.is_problem("invalid_parameter");
        }
        for query in ["limit=1", "limit=200", "cursor=YQ", "search=", "search=%25", "search='%20OR%201=1--", "x=1"] {
            admin.get(&format!("{list}?{query}")).await.is(StatusCode::OK);
        }
    }
    for query in ["keep=all", "keep=Current", "keep=", "keep=current%20", "keep=none"] {
        let answer = admin.delete(&format!("/v1/sessions?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        answer.is_problem("invalid_parameter");
    }
    assert!(admin.is_somebody().await, "a wrong wish to keep the session has not ended it");
}

/// What no problem may say.
const MARK: &str = "zq9mark7x";

#[track_caller]
fn says_nothing(answer: &Answer, what: &str) {
    if answer.status.as_u16() < 400 {
        return;
    }
    let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)).to_lowercase();
    assert!(!text.contains(MARK), "{what}: {text}");
    for word in ["serde", "poem", "sled", "jsonwebtoken", "src/", ".rs", "panick", "line 1", "column", "expected"] {
        assert!(!text.contains(word), "{what}: {word} in {text}");
    }
}

#[tokio::test]
async fn no_problem_quotes_what_was_sent() {
    let server = Server::start().await;
    server.user("somebody", json!({})).await;
    for who in [None, Some("somebody"), Some("admin")] {
        for operation in operations() {
            let mut client = match who {
                Some(username) => server.log_in(username).await,
                None => server.anonymous(),
            };
            let mut tries: Vec<(String, Option<Value>)> = vec![
                (operation.path_with(MARK), operation.body.clone()),
                (operation.path_with(&format!("{MARK}%0d%0aX-Evil:%201")), operation.body.clone()),
                (operation.path_with(&format!("%ff{MARK}")), operation.body.clone()),
                (format!("{}/{MARK}", operation.path()), operation.body.clone()),
                (format!("{}?{MARK}={MARK}&{MARK}=2", operation.path()), operation.body.clone()),
            ];
            for name in &operation.query_parameters {
                tries.push((format!("{}?{name}={MARK}", operation.path()), operation.body.clone()));
                tries.push((format!("{}?{name}={MARK}&{name}={MARK}", operation.path()), None));
                tries.push((format!("{}?{name}=%ff{MARK}", operation.path()), None));
            }
            if let Some(body) = &operation.body {
                let mut bodies =
                    vec![json!(MARK), json!([MARK]), json!({ MARK: MARK }), json!({ MARK: { MARK: MARK } })];
                for name in body.as_object().unwrap().keys() {
                    for value in [
                        json!(MARK),
                        json!([MARK]),
                        json!([[MARK]]),
                        json!({ MARK: MARK }),
                        json!(format!("{MARK} \r\n<script>")),
                        json!(MARK.repeat(300)),
                        json!(format!("{MARK}.{MARK}")),
                        json!([format!("{MARK}.{MARK}")]),
                        json!(format!("{MARK}@{MARK}@")),
                    ] {
                        let mut body = body.clone();
                        body[name] = value;
                        bodies.push(body);
                    }
                }
                let mut more = body.clone();
                more[MARK] = json!(MARK);
                bodies.push(more);
                // Twice, since what is good the first time is taken the second.
                tries.extend(bodies.iter().chain(&bodies).map(|body| (operation.path(), Some(body.clone()))));
            }
            // Ends with the session, for everybody or for the one who asks.
            let token = client.cookie.clone();
            let ends =
                ["/v1/epoch", "/v1/logout", "/v1/sessions", "/v1/session"].contains(&operation.template.as_str());
            for (path, body) in tries {
                if ends && !path.to_lowercase().contains(MARK) {
                    continue;
                }
                let what = format!("{} {path} {body:?}", operation.method);
                let answer = client.call(operation.method.clone(), &path, body, &[]).await;
                says_nothing(&answer, &what);
                assert!(answer.header("x-evil").is_none());
                if client.cookie.is_none() {
                    client.cookie.clone_from(&token);
                }
            }
            for (name, value) in [
                ("if-match", MARK.to_owned()),
                ("origin", format!("https://{MARK}.example")),
                ("sec-fetch-site", MARK.to_owned()),
                ("content-type", format!("application/{MARK}")),
                ("content-encoding", MARK.to_owned()),
                ("accept", format!("application/{MARK}")),
                ("accept-language", MARK.to_owned()),
                ("user-agent", MARK.to_owned()),
                ("x-request-id", MARK.to_owned()),
                ("referer", format!("https://{MARK}.example/")),
                ("x-forwarded-host", MARK.to_owned()),
                ("cookie", format!("{MARK}={MARK}; __Host-signet={MARK}; __Host-signet.{MARK}={MARK}")),
            ] {
                // To somebody without a session, so that what passes does not end one.
                let mut nobody = server.anonymous();
                let answer = nobody
                    .call(operation.method.clone(), &operation.path(), operation.body.clone(), &[(name, &value)])
                    .await;
                says_nothing(&answer, &format!("{} with {name}", operation.name()));
            }
            let method = Method::from_bytes(MARK.as_bytes()).unwrap();
            says_nothing(&client.call(method, &operation.path(), None, &[]).await, "a method");
        }
    }
    // Text that is no JSON, and a failed log-in.
    let mut somebody = server.log_in("somebody").await;
    for content in [format!("{{\"{MARK}\":"), format!("{{\"a\":1,\"{MARK}\":2,\"{MARK}\":3}}"), MARK.to_owned()] {
        let content = Some(("application/json", content.into_bytes()));
        says_nothing(
            &somebody.send(Method::PUT, "/v1/session", content, &[]).await.is(StatusCode::BAD_REQUEST),
            "JSON",
        );
    }
    let wrong = json!({ "username": MARK, "password": MARK });
    says_nothing(&somebody.post("/v1/login", wrong).await.is(StatusCode::UNAUTHORIZED), "log-in");
}

#[tokio::test]
async fn no_page_of_another_site_can_call_an_operation_that_changes_something() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let before = state(&mut admin).await;
    let prefix = format!("{ORIGIN}.evil.example");
    let slash = format!("{ORIGIN}/");
    let port = format!("{ORIGIN}:8443");
    let upper = ORIGIN.to_uppercase();
    let both = format!("{ORIGIN} https://evil.example");
    let foreign: Vec<Vec<(&str, &str)>> = vec![
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "Same-Origin")],
        vec![("sec-fetch-site", "same-origin, cross-site")],
        vec![("sec-fetch-site", "")],
        vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "cross-site"), ("origin", ORIGIN)],
        vec![("sec-fetch-site", "same-site"), ("origin", ORIGIN)],
        vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("origin", "")],
        vec![("origin", &prefix)],
        vec![("origin", "https://evil-app.example")],
        vec![("origin", "https://sub.app.example")],
        vec![("origin", "http://app.example")],
        vec![("origin", &slash)],
        vec![("origin", &port)],
        vec![("origin", &upper)],
        vec![("origin", &both)],
        vec![("origin", ORIGIN), ("origin", "https://evil.example")],
        vec![("origin", "https://evil.example"), ("host", "evil.example")],
        vec![("origin", "https://evil.example"), ("x-forwarded-host", "evil.example")],
        vec![("origin", "https://evil.example"), ("x-requested-with", "XMLHttpRequest")],
        vec![("origin", "https://evil.example"), ("authorization", "Bearer x")],
    ];
    let ours: [&[(&str, &str)]; 5] = [
        &[],
        &[("origin", ORIGIN)],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://behind.a.proxy.example")],
    ];
    let changing: Vec<_> = operations().into_iter().filter(Operation::is_unsafe).collect();
    assert!(
        ["/v1/login", "/v1/register", "/v1/logout"].iter().all(|path| changing.iter().any(|o| o.template == *path))
    );
    let calls = server.store.calls();
    for operation in &changing {
        for headers in &foreign {
            for mut client in [server.anonymous(), admin.clone()] {
                let body = match operation.template.as_str() {
                    "/v1/login" => Some(json!({ "username": "admin", "password": PASSWORD })),
                    _ => operation.body.clone(),
                };
                let answer = client.call(operation.method.clone(), &operation.path(), body, headers).await;
                assert_eq!(answer.status, 403, "{} with {headers:?}", operation.name());
                assert!(answer.is_problem("cross_site").set_cookies().is_empty());
            }
        }
        for headers in ours {
            // To somebody without a session and with no body, so that little happens.
            let answer = server.anonymous().call(operation.method.clone(), &operation.path(), None, headers).await;
            assert!(answer.status != 403, "{} with {headers:?}", operation.name());
        }
    }
    assert_eq!(server.store.calls(), calls, "nothing came as far as the store");
    assert_eq!(state(&mut admin).await, before);
    // A method that nobody knows counts as one that changes something; reading is open, and gives no page leave to read.
    for method in ["FOO", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let evil = [("origin", "https://evil.example")];
        admin.call(method, "/v1/me", None, &evil).await.is(StatusCode::FORBIDDEN).is_problem("cross_site");
    }
    for method in [Method::GET, Method::OPTIONS] {
        let evil = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
        let answer = admin.call(method, "/v1/me", None, &evil).await;
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")));
    }
}

#[tokio::test]
async fn a_safe_method_changes_nothing() {
    let server = Server::start().await;
    server.permissions(&["polls.vote"]).await;
    let group = server.group("voters", &["polls.vote"]).await;
    let (_, user) = server.user("ursula", json!({ "groups": ["voters"] })).await;
    let mut admin = server.admin().await;
    admin.put("/v1/session/data/theme", json!({ "value": "dark" })).await.is(StatusCode::OK);
    let sid = admin.get("/v1/session").await.text("id");
    let before = state(&mut admin).await;
    let token = admin.cookie.clone();
    let templates: HashSet<String> = operations().into_iter().map(|operation| operation.template).collect();
    for template in templates {
        let thing = if template.starts_with("/v1/groups") { &group } else { &user };
        let name = if template.starts_with("/v1/permissions") { "polls.vote" } else { "n" };
        let path = template
            .replace("{id}", thing)
            .replace("{sid}", &sid)
            .replace("{key}", "theme")
            .replace("{name}", name)
            .replace("{code}", "not_found");
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            for query in ["", "?_method=DELETE", "?username=admin&password=x", "?value=1"] {
                for (name, value) in
                    [("x-http-method-override", "DELETE"), ("x-method-override", "POST"), ("origin", "null")]
                {
                    let body = Some(json!({ "is_active": false, "value": 1 }));
                    let answer = admin.call(method.clone(), &format!("{path}{query}"), body, &[(name, value)]).await;
                    let usual: &[u16] = if path == "/v1/verify" { &[204, 403, 405] } else { &[200, 405] };
                    assert!(usual.contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
                    assert!(answer.set_cookies().is_empty(), "{method} {path}");
                }
            }
        }
    }
    assert_eq!(admin.cookie, token);
    assert_eq!(state(&mut admin).await, before);
}

#[handler]
fn panics() {
    panic!("{MARK} within src/secret.rs");
}

#[handler]
async fn panics_later() {
    tokio::task::yield_now().await;
    let nothing: Vec<u32> = Vec::with_capacity(MARK.len());
    assert!(!nothing.is_empty(), "{MARK}");
}

#[handler]
fn fails() -> poem::Result<String> {
    Err(poem::Error::from_string(format!("{MARK} at src/secret.rs"), poem::http::StatusCode::BAD_GATEWAY))
}

#[handler]
fn fails_barely() -> poem::http::StatusCode {
    poem::http::StatusCode::IM_A_TEAPOT
}

#[handler]
fn fails_in_text() -> poem::Response {
    poem::Response::builder().status(poem::http::StatusCode::CONFLICT).content_type("text/html").body(MARK)
}

/// Operations of an embedding program.
struct Embedding;

#[OpenApi]
impl Embedding {
    /// Writes the session, and panics before it answers.
    #[oai(path = "/write-and-panic", method = "post")]
    async fn write_and_panic(&self, visit: poem::web::Data<&Visit>, caller: Caller) -> PlainText<String> {
        let next = session::write(visit.app(), &caller, None, |claims| drop(claims.data.insert("k".into(), json!(1))));
        visit.keep(next.unwrap());
        panic!("{MARK}");
    }

    /// For somebody only.
    #[oai(path = "/private", method = "get")]
    async fn private(&self, caller: LoginRequired) -> PlainText<String> {
        PlainText(format!("{:?}", caller.user().is_some()))
    }

    /// A parameter that has a form.
    #[oai(path = "/number/:n", method = "get")]
    async fn number(&self, n: poem_openapi::param::Path<u32>) -> PlainText<String> {
        PlainText(n.to_string())
    }
}

#[tokio::test]
async fn what_fails_in_an_embedding_program_is_a_problem_too_and_the_server_lives_on() {
    let server = Server::start().await;
    let routes = Route::new()
        .at("/panics", poem::get(panics).post(panics))
        .at("/panics-later", poem::get(panics_later))
        .at("/fails", poem::get(fails))
        .at("/fails-barely", poem::get(fails_barely))
        .at("/fails-in-text", poem::get(fails_in_text))
        .nest("/api", OpenApiService::new(Embedding, "embedding", "1"))
        .nest("/", signet::api::routes());
    let base = embed(&server.app, routes).await;
    let mut client = server.admin().await.at(&base);
    let token = client.cookie.clone();
    for (method, path, status, code) in [
        (Method::GET, "/panics", 500, "internal"),
        (Method::POST, "/panics", 500, "internal"),
        (Method::GET, "/panics-later", 500, "internal"),
        (Method::POST, "/api/write-and-panic", 500, "internal"),
        (Method::GET, "/fails-in-text", 409, "taken"),
        (Method::DELETE, "/v1/nothing", 404, "not_found"),
        (Method::GET, "/api/number/x", 404, "not_found"),
    ] {
        for _ in 0..3 {
            let answer = client.call(method.clone(), path, None, &[]).await;
            assert_eq!(answer.status, status, "{path}");
            says_nothing(&answer, path);
            assert_eq!(
                answer.header("strict-transport-security"),
                Some("max-age=31536000; includeSubDomains"),
                "{path}"
            );
            assert!(answer.is_problem(code).set_cookies().is_empty(), "{path}");
        }
        assert!(client.is_somebody().await, "the server lives on after {path}");
    }
    assert_eq!(client.cookie, token);
    assert_eq!(client.get("/v1/session").await.json()["data"], json!({}));
    client.get("/api/private").await.is(StatusCode::OK);
    server.anonymous().at(&base).get("/api/private").await.is(StatusCode::UNAUTHORIZED);
    let evil = [("origin", "https://evil.example")];
    client.call(Method::POST, "/panics", None, &evil).await.is(StatusCode::FORBIDDEN).is_problem("cross_site");
    // A status without a kind of its own: a whole problem of a kind that there is.
    for path in ["/fails", "/fails-barely"] {
        let reply = wire::call(&base, &format!("GET {path}"), &[]).await;
        let code = reply.problem();
        let known = Code::ALL.iter().find(|known| known.name() == code).unwrap();
        assert_eq!(known.status().as_u16(), reply.status, "{path}: {code}");
        assert!(!String::from_utf8_lossy(&reply.body).contains(MARK), "{path}");
    }
    // Without the front, a guard refuses instead of guessing who calls.
    let bare = OpenApiService::new(Embedding, "embedding", "1");
    let request = poem::Request::builder().uri("/private".parse().unwrap()).finish();
    let refused = Route::new().nest("/", bare).call(request).await.unwrap_err();
    assert_eq!(refused.status().as_u16(), 500);
}

#[tokio::test]
async fn every_answer_says_how_it_may_be_shown_and_that_https_is_needed_where_it_is() {
    let server = Server::start().await;
    let base = embed(&server.app, signet::api::routes()).await;
    for (method, path, status) in [
        (Method::GET, "/livez", 200),
        (Method::GET, "/docs", 200),
        (Method::GET, "/openapi.json", 200),
        (Method::POST, "/v1/logout", 204),
        (Method::GET, "/v1/users?limit=1&limit=2", 400),
        (Method::GET, "/v1/me", 401),
        (Method::GET, "/nothing", 404),
        (Method::DELETE, "/v1/me", 405),
        (Method::POST, "/v1/login", 415),
    ] {
        for (base, https) in [(&server.base, None), (&base, Some("max-age=31536000; includeSubDomains"))] {
            let answer = server.anonymous().at(base).call(method.clone(), path, None, &[]).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(answer.header("strict-transport-security"), https, "{path}");
            let policy = answer.header("content-security-policy").unwrap();
            assert_eq!(policy.contains("sandbox"), path != "/docs", "{path}: {policy}");
        }
    }
}

#[tokio::test]
async fn the_list_of_codes_is_closed_and_each_is_explained() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let listed: Vec<String> = document()["components"]["schemas"]["ProblemCode"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    let known: Vec<_> = Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(listed, known);
    assert_eq!(known.iter().collect::<HashSet<_>>().len(), known.len());
    let mut titles = HashSet::new();
    for code in Code::ALL {
        let kind = client.get(&format!("/problems/{}", code.name())).await.is(StatusCode::OK).json();
        assert_eq!(kind["code"], code.name());
        assert_eq!(kind["status"], code.status().as_u16());
        assert_eq!(kind["title"], code.title());
        assert!(kind["remedy"].as_str().unwrap().len() > 10, "{kind}");
        assert!(titles.insert(code.title()), "two codes have one title");
        assert!((400..600).contains(&code.status().as_u16()));
        assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    }
    // A problem leads to its explanation, and each has a name of its own.
    let mut ids = HashSet::new();
    for path in ["/v1/me", "/v1/me", "/nothing", "/v1/users?limit=1&limit=1"] {
        let problem = client.get(path).await.json();
        let kind = client.get(problem["type"].as_str().unwrap()).await.is(StatusCode::OK).json();
        assert_eq!(
            (&kind["code"], &kind["title"], &kind["status"]),
            (&problem["code"], &problem["title"], &problem["status"])
        );
        assert!(ids.insert(problem["request_id"].to_string()));
    }
}

#[tokio::test]
async fn a_header_has_a_limit_and_a_proxy_hears_a_plain_no() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    for (bytes, status, asked) in [(30_000, 200, 401), (33_000, 431, 403)] {
        let large = "x".repeat(bytes);
        let headers = [("x-large", large.as_str())];
        let answer = client.call(Method::GET, "/livez", None, &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{bytes}");
        assert_eq!(client.call(Method::GET, "/v1/verify", None, &headers).await.status.as_u16(), asked, "{bytes}");
        if status == 431 {
            answer.is_problem("headers_too_large");
        }
    }
}

#[tokio::test]
async fn a_range_is_no_part_of_an_answer_and_an_expectation_opens_nothing() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let cookie = format!("Cookie: __Host-signet={}", admin.cookie.as_deref().unwrap());
    for path in ["/v1/me", "/v1/session", "/openapi.json", "/docs", "/.well-known/jwks.json"] {
        let whole = wire::call(&server.base, &format!("GET {path}"), &[cookie.as_bytes()]).await;
        for range in ["bytes=0-3", "bytes=-1", "bytes=0-0,2-2", "bytes=9999999-", "bytes=5-2", "items=0-1", "bytes=0-"]
        {
            let range = format!("Range: {range}");
            for more in ["If-Range: \"x\"", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "If-None-Match: *"] {
                let fields: [&[u8]; 3] = [cookie.as_bytes(), range.as_bytes(), more.as_bytes()];
                let part = wire::call(&server.base, &format!("GET {path}"), &fields).await;
                assert_eq!((part.status, &part.body), (200, &whole.body), "{path}, {range}, {more}");
                assert!(part.all("content-range").is_empty() && part.all("accept-ranges").is_empty(), "{path}");
            }
        }
    }
    // Refused before a byte of the body: nobody is asked to go on.
    let expect = |path: &str, more: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Expect: 100-continue\r\n{more}\r\n\r\n"
        )
    };
    for (path, more, status) in [
        ("/v1/login", "Content-Length: 65537", 413),
        ("/v1/login", "Content-Length: 10\r\nOrigin: https://evil.example", 403),
        ("/v1/login", "Content-Length: 10\r\nContent-Encoding: gzip", 415),
        ("/v1/users", "Content-Length: 10", 401),
        ("/v1/nothing", "Content-Length: 10", 404),
    ] {
        let reply = wire::exchange(&server.base, expect(path, more)).await;
        assert_eq!(reply.status, status, "{path}, {more}: no 100 comes first");
    }
}
