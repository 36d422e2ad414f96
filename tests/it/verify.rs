//! "May this pass?": what proxies ask, and are told.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, ORIGIN, Options, Server};

/// The fields of every answer that lets something pass.
const FIELDS: [&str; 5] = ["x-auth-user", "x-auth-user-id", "x-auth-groups", "x-auth-permissions", "x-auth-session"];

/// The question as a proxy asks it for a GET.
async fn ask(client: &mut Client, query: &str) -> Answer {
    client.call(Method::GET, &format!("/v1/verify{query}"), None, &[("x-forwarded-method", "GET")]).await
}

#[tokio::test]
async fn a_proxy_is_told_who_it_is_or_401_or_403() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close", "polls.open"]).await;
    server.group("Größe & co", &["polls.vote"]).await;
    server.group("empty", &[]).await;
    let rights = json!({ "groups": ["Größe & co", "empty"], "user_permissions": ["polls.close"] });
    let (mut zoe, id) = server.user("Zoë", rights).await;
    let session = zoe.get("/v1/session").await.text("id");
    let pass = ask(&mut zoe, "").await.is(StatusCode::NO_CONTENT);
    let found = FIELDS.map(|name| pass.header(name).unwrap().to_owned());
    assert_eq!(found, ["Zo%C3%AB", &id, "Gr%C3%B6%C3%9Fe%20%26%20co,empty", "polls.close,polls.vote", &session]);
    let table = [
        ("?permission=polls.vote", 204),
        ("?permission=polls.vote,polls.close", 204),
        ("?permission=polls.vote,polls.open", 403),
        ("?permission=polls.open", 403),
        ("?permission=no.such", 403),
        ("?any=polls.open,polls.vote", 204),
        ("?any=polls.open", 403),
        ("?any=", 403),
        ("?permission=", 403),
        ("?permission=,", 403),
        ("?group=", 403),
        // A condition that is misspelt is not one that holds.
        ("?permissions=polls.open", 403),
        ("?Staff=true", 403),
        ("?group%5B%5D=nothing", 403),
        ("?permission=polls.vote&x=1", 403),
        ("?group=empty", 204),
        ("?group=empty,nothing", 403),
        ("?staff=true", 403),
        ("?staff=false", 204),
        // Whatever cannot be understood does not pass, and is nothing that a proxy breaks on.
        ("?staff=perhaps", 403),
        ("?permission=polls.vote&permission=polls.close", 403),
        ("?permission=%ff", 403),
    ];
    for (query, status) in table {
        assert_eq!(ask(&mut zoe, query).await.status, status, "{query}");
    }
    // Nobody, and a cookie that is worth nothing.
    for mut client in [server.anonymous(), server.with_cookie("a.b.c")] {
        for query in ["", "?permission=polls.vote", "?redirect=true"] {
            ask(&mut client, query).await.is_problem("not_authenticated");
        }
    }
    let mut visitor = server.anonymous();
    visitor.patch("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
    ask(&mut visitor, "").await.is_problem("not_authenticated");
    // A superuser has everything; what was asked for is named.
    let mut admin = server.admin().await;
    let pass = ask(&mut admin, "?permission=polls.open&staff=true").await.is(StatusCode::NO_CONTENT);
    assert_eq!(pass.header("x-auth-permissions"), Some("polls.open"));
    assert_eq!(pass.header("x-auth-groups"), Some(""), "empty, and there");
    // What the client says of itself counts for nothing.
    let forged = [("x-auth-user", "admin"), ("x-forwarded-method", "GET"), ("x-auth-permissions", "polls.open")];
    let pass = zoe.call(Method::GET, "/v1/verify", None, &forged).await.is(StatusCode::NO_CONTENT);
    assert_eq!(pass.header("x-auth-user"), Some("Zo%C3%AB"));
    // Log-out acts on the very next question.
    let mut other = zoe.clone();
    zoe.post("/v1/logout", json!(null)).await.is(StatusCode::NO_CONTENT);
    ask(&mut other, "").await.is_problem("not_authenticated");
}

#[tokio::test]
async fn the_cross_site_rule_is_judged_for_the_original_request() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (own, other) = (("origin", ORIGIN), ("origin", "https://evil.example"));
    let (same, cross) = (("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"));
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let table: [(&[(&str, &str)], u16); 17] = [
        (&[("x-forwarded-method", "GET"), cross], 204),
        (&[("x-original-method", "GET"), other], 204),
        (&[("x-forwarded-method", "POST"), cross], 403),
        (&[("x-forwarded-method", "POST"), same], 204),
        (&[("x-forwarded-method", "POST"), other], 403),
        (&[("x-forwarded-method", "DELETE"), own], 204),
        (&[("x-original-method", "POST"), cross], 403),
        // Unsaid, said twice, or of no known kind: it could be any.
        (&[cross], 403),
        (&[same], 204),
        (&[("x-forwarded-method", "GET"), ("x-original-method", "POST"), cross], 403),
        (&[("x-forwarded-method", "get"), cross], 403),
        (&[("x-forwarded-method", "POST")], 204),
        // A page opens a WebSocket by a GET, and what it sends then is no GET.
        (&[("x-forwarded-method", "GET"), key, cross], 403),
        (&[("x-forwarded-method", "GET"), key, other], 403),
        (&[("x-forwarded-method", "GET"), ("sec-fetch-mode", "websocket"), ("sec-fetch-site", "same-site")], 403),
        (&[("x-forwarded-method", "GET"), key, same, own], 204),
        (&[("x-forwarded-method", "GET"), key], 204),
    ];
    for (fields, status) in table {
        let answer = admin.call(Method::GET, "/v1/verify", None, fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
    }
}

#[tokio::test]
async fn a_browser_is_sent_to_the_page_to_log_in_and_nowhere_else() {
    let options = Options { login_url: Some("/login?from=proxy".to_owned()), ..Options::default() };
    let server = Server::start_with(options).await;
    let mut visitor = server.anonymous();
    let html = ("accept", "text/html,*/*;q=0.8");
    let get = ("x-forwarded-method", "GET");
    let mut page = async |uri: &str, query: &str| {
        let fields = [get, html, ("x-forwarded-uri", uri)];
        let answer = visitor.call(Method::GET, &format!("/v1/verify{query}"), None, &fields).await;
        (answer.status.as_u16(), answer.header("location").unwrap_or_default().to_owned())
    };
    let back = |next: &str| (302, format!("/login?from=proxy&next={next}"));
    assert_eq!(page("/a/b?c=d&e=f", "?redirect=true").await, back("%2Fa%2Fb%3Fc%3Dd%26e%3Df"));
    for elsewhere in
        ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\t/evil.example", ""]
    {
        assert_eq!(page(elsewhere, "?redirect=true").await, (302, "/login?from=proxy".to_owned()), "{elsewhere}");
    }
    assert_eq!(page("/a", "").await.0, 401, "nginx asks without");
    let api = [get, ("accept", "application/json"), ("x-forwarded-uri", "/a")];
    visitor.call(Method::GET, "/v1/verify?redirect=true", None, &api).await.is(StatusCode::UNAUTHORIZED);
    let post = [("x-forwarded-method", "POST"), html];
    visitor.call(Method::GET, "/v1/verify?redirect=true", None, &post).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_that_is_due_slides_on_by_a_question_too() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    assert!(ask(&mut admin, "").await.is(StatusCode::NO_CONTENT).set_cookies().is_empty());
    server.pass(2000);
    let before = admin.cookie.clone();
    let answer = ask(&mut admin, "").await.is(StatusCode::NO_CONTENT);
    assert_eq!(answer.set_cookies().len(), 1);
    assert_ne!(admin.cookie, before);
}

#[tokio::test]
async fn a_user_with_very_many_rights_still_fits_into_a_proxys_buffer() {
    let server = Server::start().await;
    let names: Vec<String> = (0..150).map(|n| format!("warehouse.permission_{n:03}")).collect();
    server.permissions(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    server.group("keepers", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut keeper, _) = server.user("keeper", json!({ "groups": ["keepers"] })).await;
    let query = format!("?permission={}", names[7]);
    let pass = ask(&mut keeper, &query).await.is(StatusCode::NO_CONTENT);
    assert_eq!(pass.header("x-auth-permissions"), Some(names[7].as_str()));
    let head: usize = pass.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    assert!(head < 4096, "{head}");
}

#[tokio::test]
async fn a_back_end_that_wants_proof_gets_a_token_for_its_host_and_a_minute() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    server.group("Größe & co", &["polls.vote"]).await;
    let rights = json!({ "groups": ["Größe & co"], "user_permissions": ["polls.close"] });
    let (mut zoe, id) = server.user("Zoë", rights).await;
    let session = zoe.get("/v1/session").await.text("id");
    assert_eq!(ask(&mut zoe, "").await.header("x-auth-token"), Some(""), "nobody asked for it");
    let mut of = async |fields: &[(&str, &str)]| {
        let fields = [&[("x-forwarded-method", "GET")], fields].concat();
        zoe.call(Method::GET, "/v1/verify?identity=true", None, &fields).await
    };
    let before = server.now().timestamp();
    let pass = of(&[("x-forwarded-host", "Polls.example:8443")]).await.is(StatusCode::NO_CONTENT);
    let parts: Vec<Value> = pass.header("x-auth-token").unwrap().split('.').take(2).map(decoded).collect();
    assert_eq!(parts[0]["typ"], "identity+jwt");
    let now = parts[1]["iat"].as_i64().unwrap();
    assert!((before..=server.now().timestamp()).contains(&now), "{now}");
    let expected = json!({
        "iss": server.app.tokens().issuer(), "aud": "polls.example", "sub": id, "sid": session,
        "iat": now, "exp": now + 60, "preferred_username": "Zoë", "is_staff": false,
        "groups": ["Größe & co"], "permissions": ["polls.close", "polls.vote"],
    });
    assert_eq!(parts[1], expected);
    for (host, name) in [
        ("polls.example", "polls.example"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2001:DB8::1]:443", "[2001:db8::1]"),
        ("localhost", "localhost"),
    ] {
        let pass = of(&[("x-original-host", host)]).await.is(StatusCode::NO_CONTENT);
        assert_eq!(decoded(pass.header("x-auth-token").unwrap().split('.').nth(1).unwrap())["aud"], name);
    }
    for host in ["", ":80", "a b", "a,b", "a:b", "a:65536", "a:+80", "a/b", "u@a", "[::1", "::1", "a:80:80", "ä"] {
        of(&[("x-forwarded-host", host)]).await.is_problem("forbidden");
    }
    of(&[]).await.is_problem("forbidden");
    of(&[("x-forwarded-host", "a"), ("x-original-host", "b")]).await.is_problem("forbidden");
    of(&[("x-forwarded-host", "a"), ("x-forwarded-host", "a")]).await.is_problem("forbidden");
    ask(&mut zoe, "?identity=perhaps").await.is_problem("forbidden");
    let get = [("x-forwarded-method", "GET"), ("x-forwarded-host", "a")];
    let nobody = server.anonymous().call(Method::GET, "/v1/verify?identity=true", None, &get).await;
    assert_eq!(nobody.is_problem("not_authenticated").header("x-auth-token"), None);
}

/// A part of a token, decoded.
fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_name_breaks_out_of_no_field() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for name in ["a\r\nX-Auth-User: admin", "a\nb", "a\rb", "a\0b", "a,b", "a\u{85}b", "a\u{7f}b"] {
        admin.post("/v1/groups", json!({ "name": name })).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        let member = json!({ "username": name });
        admin.post("/v1/users", member).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        let permission = json!({ "name": format!("polls.{name}") });
        admin.post("/v1/permissions", permission).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    // What a name may hold stands in the fields in such a way that it ends where it ends.
    let names = ["a;b", "a\"b", "a%2Cb", "a=b", "a b", "%0d%0a", "a\u{2028}b", "<a>", "a\\b", "a'b", "\u{1f600}"];
    for name in names {
        admin.post("/v1/groups", json!({ "name": name })).await.is(StatusCode::CREATED);
    }
    let (client, _) = server.user("zo\u{eb}@x+y", json!({ "groups": names })).await;
    let cookie = format!("Cookie: __Host-signet={}", client.cookie.as_deref().unwrap());
    let fields: [&[u8]; 2] = [cookie.as_bytes(), b"X-Forwarded-Method: GET"];
    let reply = crate::wire::call(&server.base, "GET /v1/verify", &fields).await;
    assert_eq!(reply.status, 204);
    let [groups] = reply.all("x-auth-groups")[..] else { panic!("{:?}", reply.fields) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~%".contains(c);
    let decoded = |text: &str| {
        assert!(text.chars().all(plain), "{text}");
        let bytes: Vec<u8> = text
            .split('%')
            .enumerate()
            .flat_map(|(at, part)| {
                if at == 0 {
                    return part.as_bytes().to_vec();
                }
                let code = u8::from_str_radix(&part[..2], 16).unwrap();
                [&[code][..], &part.as_bytes()[2..]].concat()
            })
            .collect();
        String::from_utf8(bytes).unwrap()
    };
    let mut found: Vec<String> = groups.split(',').map(decoded).collect();
    let mut expected = names.map(str::to_owned);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(reply.all("x-auth-user").len(), 1);
    assert_eq!(decoded(&reply.all("x-auth-user")[0].replace('@', "%40").replace('+', "%2B")), "zo\u{eb}@x+y");
}
