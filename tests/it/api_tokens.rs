//! API tokens: what a machine may do with one, what ends it, and that it is never taken for a session.

use std::collections::BTreeSet;

use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::api::bearer::OrToken;
use signet::api::caller::{Caller, LoginRequired, NamedPermission, PermissionRequired};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Answer, Client, ORIGIN, PASSWORD, Server, embed};

const DAY: i64 = 24 * 3600;

/// Makes an API token, and gives its id and its text.
async fn make(client: &mut Client, permissions: &[&str]) -> (String, String) {
    let wish = json!({ "name": "a machine", "permissions": permissions });
    let made = client.post("/v1/tokens", wish).await.is(StatusCode::CREATED);
    (made.text("id"), made.text("token"))
}

/// A machine: it has the text of an API token, and no cookie.
struct Machine {
    client: Client,
    field: String,
}

impl Machine {
    fn with(server: &Server, token: &str) -> Self {
        Self { client: server.anonymous(), field: format!("Bearer {token}") }
    }

    async fn call(&mut self, method: Method, path: &str, body: Value, others: &[(&str, &str)]) -> Answer {
        let own = ("authorization", self.field.as_str());
        let fields: Vec<_> = std::iter::once(own).chain(others.iter().copied()).collect();
        let answer = self.client.call(method, path, Some(body), &fields).await;
        assert!(answer.set_cookies().is_empty(), "{path}: a machine is given no cookie");
        answer
    }

    /// What a proxy is told.
    async fn verify(&mut self, query: &str) -> Answer {
        let get = [("x-forwarded-method", "GET")];
        self.call(Method::GET, &format!("/v1/verify{query}"), Value::Null, &get).await
    }

    /// Whether it is let in at all.
    async fn lives(&mut self) -> bool {
        let answer = self.verify("").await;
        let mine = self.call(Method::GET, "/v1/me/permissions", Value::Null, &[]).await;
        let check = self.call(Method::POST, "/v1/permissions/check", json!({ "permissions": [] }), &[]).await;
        if answer.status == StatusCode::NO_CONTENT {
            assert_eq!((mine.status, check.status), (StatusCode::OK, StatusCode::OK));
            return true;
        }
        for answer in [answer, mine, check] {
            answer.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
        }
        false
    }

    /// All that it may do, asked for in three ways that agree.
    async fn permissions(&mut self) -> Vec<String> {
        let answer = self.call(Method::GET, "/v1/me/permissions", Value::Null, &[]).await.is(StatusCode::OK).json();
        let items: Vec<String> = serde_json::from_value(answer["items"].clone()).unwrap();
        let pass = self.verify("").await.is(StatusCode::NO_CONTENT);
        assert_eq!(pass.header("x-auth-permissions"), Some(items.join(",").as_str()));
        let question = json!({ "permissions": ["a.one", "a.two", "b.three", "no.such"], "modules": ["a", "b", "no"] });
        let answer = self.call(Method::POST, "/v1/permissions/check", question, &[]).await.is(StatusCode::OK).json();
        for (name, has) in answer["results"].as_object().unwrap() {
            assert_eq!(has, items.contains(name), "{name}: {answer}");
        }
        for (label, has) in answer["modules"].as_object().unwrap() {
            assert_eq!(has, items.iter().any(|name| name.starts_with(&format!("{label}."))), "{label}: {answer}");
        }
        items
    }
}

async fn with_permissions() -> Server {
    let server = Server::start().await;
    server.permissions(&["a.one", "a.two", "b.three"]).await;
    server
}

#[tokio::test]
async fn a_token_is_shown_once_and_acts_until_it_is_ended() {
    let server = with_permissions().await;
    let (mut bob, id) = server.user("bob", json!({ "user_permissions": ["a.one", "a.two"] })).await;
    let wish = json!({ "name": " nightly \u{1f319} ", "permissions": ["a.one", "a.one"], "expires_in": 3600 });
    let made = bob.post("/v1/tokens", wish).await.is(StatusCode::CREATED);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let mut shown = made.json();
    let token = shown.as_object_mut().unwrap().remove("token").unwrap().as_str().unwrap().to_owned();
    let name = |value: &Value| (value["name"].clone(), value["permissions"].clone());
    assert_eq!(name(&shown), (json!("nightly \u{1f319}"), json!(["a.one"])));
    let time = |name: &str| chrono::DateTime::parse_from_rfc3339(shown[name].as_str().unwrap()).unwrap().timestamp();
    assert_eq!(time("expires_at") - time("created_at"), 3600);
    let listed = bob.get("/v1/tokens").await.is(StatusCode::OK);
    assert_eq!(listed.json(), json!({ "items": [shown], "next": null }), "the same, without its text");
    assert!(!String::from_utf8(listed.body).unwrap().contains(&token));

    let mut machine = Machine::with(&server, &token);
    let pass = machine.verify("").await.is(StatusCode::NO_CONTENT);
    let fields = ["x-auth-user", "x-auth-user-id", "x-auth-groups", "x-auth-permissions", "x-auth-session"];
    assert_eq!(fields.map(|name| pass.header(name).unwrap()), ["bob", &id, "", "a.one", ""]);
    assert_eq!(pass.header("cache-control"), Some("no-store"));
    assert_eq!(machine.permissions().await, ["a.one"]);
    // The scheme is read in any case, and nothing else is taken for it.
    let text = machine.field.clone();
    for (field, status) in [
        (format!("bearer {token}"), 204),
        (format!("BEARER {token}"), 204),
        (format!("Bearer {token}x"), 401),
        (format!("Bearer {token}, Bearer {token}"), 401),
        ("Bearer".to_owned(), 401),
        (format!("Basic {token}"), 401),
        (format!("Token {token}"), 401),
        (token.clone(), 401),
    ] {
        machine.field = field;
        assert_eq!(machine.verify("").await.status, status, "{}", machine.field);
    }
    machine.field = text;
    let again = machine.field.clone();
    for second in [again.as_str(), "Basic YTpi"] {
        let get = [("authorization", second), ("x-forwarded-method", "GET")];
        let answer = machine.call(Method::GET, "/v1/verify", Value::Null, &get).await;
        answer.is(StatusCode::UNAUTHORIZED);
        // As nobody, who has nothing.
        let question = json!({ "permissions": ["a.one"] });
        let answer = machine.call(Method::POST, "/v1/permissions/check", question, &get).await.is(StatusCode::OK);
        assert_eq!(answer.json()["all"], false);
    }

    // Nobody else ends it, and whoever made it does, at once and once.
    let path = format!("/v1/tokens/{}", shown["id"].as_str().unwrap());
    let (mut eve, _) = server.user("eve", json!({})).await;
    eve.delete(&path).await.is(StatusCode::NOT_FOUND);
    eve.delete(&path.replace("tokens", "sessions")).await.is(StatusCode::NOT_FOUND);
    bob.delete(&path.replace("tokens", "sessions")).await.is(StatusCode::NOT_FOUND);
    assert!(machine.lives().await);
    bob.delete(&path).await.is(StatusCode::NO_CONTENT);
    assert!(!machine.lives().await);
    bob.delete(&path).await.is(StatusCode::NOT_FOUND);
    bob.delete("/v1/tokens/nonsense").await.is(StatusCode::NOT_FOUND);
    assert_eq!(bob.get("/v1/tokens").await.json()["items"], json!([]));
    // A log-out ends the session and no other token.
    let (_, token) = make(&mut bob, &[]).await;
    let mut machine = Machine::with(&server, &token);
    bob.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert!(machine.lives().await);
}

#[tokio::test]
async fn a_token_has_of_its_scope_what_its_owner_has_at_that_moment() {
    let server = with_permissions().await;
    let group = server.group("readers", &["a.two"]).await;
    let rights = json!({ "user_permissions": ["a.one", "b.three"], "groups": ["readers"] });
    let (mut bob, id) = server.user("bob", rights).await;
    let (path, group) = (format!("/v1/users/{id}"), format!("/v1/groups/{group}"));
    let (_, token) = make(&mut bob, &["a.one", "a.two"]).await;
    let mut machine = Machine::with(&server, &token);
    assert_eq!(machine.permissions().await, ["a.one", "a.two"], "not b.three");
    for (query, status) in [
        ("?permission=a.one,a.two", 204),
        ("?permission=b.three", 403),
        ("?any=b.three,a.two", 204),
        ("?any=b.three", 403),
        // Membership and the staff flag are in no scope.
        ("?group=readers", 403),
        ("?staff=true", 403),
    ] {
        assert_eq!(machine.verify(query).await.status, status, "{query}");
    }
    let mut admin = server.admin().await;
    let mut set = async |path: &str, change: Value| {
        admin.patch(path, change).await.is(StatusCode::OK);
        machine.permissions().await
    };
    assert_eq!(set(&path, json!({ "user_permissions": ["b.three"] })).await, ["a.two"], "taken directly");
    assert_eq!(set(&group, json!({ "permissions": [] })).await, [""; 0], "taken from the group");
    assert_eq!(set(&group, json!({ "permissions": ["a.one", "b.three"] })).await, ["a.one"], "given to the group");
    assert_eq!(set(&group, json!({ "name": "others" })).await, ["a.one"], "another name");
    assert_eq!(set(&path, json!({ "groups": [] })).await, [""; 0], "out of the group");
    let all = json!({ "user_permissions": ["a.one", "a.two", "b.three"], "username": "robert" });
    assert_eq!(set(&path, all).await, ["a.one", "a.two"]);
    assert_eq!(set(&path, json!({ "is_superuser": true, "user_permissions": [] })).await, ["a.one", "a.two"]);
    assert_eq!(set(&path, json!({ "is_superuser": false, "is_staff": true })).await, [""; 0]);
    let pass = machine.verify("").await.is(StatusCode::NO_CONTENT);
    assert_eq!(pass.header("x-auth-user"), Some("robert"), "the owner's present name");
    assert_eq!(machine.verify("?staff=true").await.status, 403, "never staff");

    // A superuser's token has its scope and not everything.
    let (_, token) = make(&mut admin, &["b.three"]).await;
    let mut machine = Machine::with(&server, &token);
    assert_eq!(machine.permissions().await, ["b.three"]);
    assert_eq!(machine.verify("?permission=a.one").await.status, 403);
    let (_, token) = make(&mut admin, &[]).await;
    assert_eq!(Machine::with(&server, &token).permissions().await, [""; 0]);
}

#[tokio::test]
async fn what_ends_the_sessions_of_a_user_ends_the_tokens_too() {
    let server = with_permissions().await;
    for end in ["password", "everywhere", "kept", "disabled", "staff", "deleted", "unusable", "tokens", "time", "epoch"]
    {
        let (mut bob, id) = server.user(&format!("bob-{end}"), json!({ "user_permissions": ["a.one"] })).await;
        let (_, first) = make(&mut bob, &["a.one"]).await;
        let (_, second) = make(&mut bob, &[]).await;
        let mut machines = [Machine::with(&server, &first), Machine::with(&server, &second)];
        for machine in &mut machines {
            assert!(machine.lives().await, "{end}");
        }
        let mut admin = server.admin().await;
        let path = format!("/v1/users/{id}");
        let change = json!({ "old_password": PASSWORD, "new_password": "another good sentence" });
        let status = match end {
            "password" => bob.post("/v1/password", change).await.status,
            "everywhere" => bob.delete("/v1/sessions").await.status,
            "kept" => bob.delete("/v1/sessions?keep=current").await.status,
            "disabled" => {
                admin.patch(&path, json!({ "is_active": false })).await.is(StatusCode::OK);
                admin.patch(&path, json!({ "is_active": true })).await.status
            }
            "staff" => admin.delete(&format!("{path}/sessions")).await.status,
            "deleted" => admin.delete(&path).await.status,
            "unusable" => admin.delete(&format!("{path}/password")).await.status,
            "tokens" => admin.delete(&format!("{path}/tokens")).await.status,
            "time" => {
                server.pass(90 * DAY);
                StatusCode::OK
            }
            _ => admin.post("/v1/epoch", Value::Null).await.status,
        };
        assert!(status.is_success(), "{end}: {status}");
        for machine in &mut machines {
            assert!(!machine.lives().await, "{end}");
        }
        // They are not listed either, and leave room for others.
        let mut admin = server.admin().await;
        let listed = admin.get(&format!("{path}/tokens")).await;
        if end == "deleted" {
            listed.is(StatusCode::NOT_FOUND);
        } else {
            assert_eq!(listed.is(StatusCode::OK).json()["items"], json!([]), "{end}");
        }
        assert_eq!(bob.is_somebody().await, ["password", "kept", "tokens"].contains(&end), "{end}");
    }
}

#[tokio::test]
async fn an_end_outlasts_every_token_that_it_covers() {
    let server = with_permissions().await;
    let (mut bob, id) = server.user("bob", json!({ "user_permissions": ["a.one"] })).await;
    let wish = json!({ "name": "long", "permissions": ["a.one"], "expires_in": 400 * DAY });
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(bob.post("/v1/tokens", wish.clone()).await.is(StatusCode::CREATED));
    }
    let [one, fresh, two] = [0, 1, 2].map(|n: usize| Machine::with(&server, &tokens[n].text("token")));
    let (mut one, mut two, mut fresh) = (one, two, fresh);
    bob.delete(&format!("/v1/tokens/{}", tokens[0].text("id"))).await.is(StatusCode::NO_CONTENT);
    // Long after the sessions of that time are over, and what covered them is forgotten.
    let forget = async || {
        server.pass(100 * DAY);
        server.app.forget().await.unwrap();
    };
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "user_permissions": [] })).await.is(StatusCode::OK);
    forget().await;
    assert!(!one.lives().await);
    assert_eq!(fresh.permissions().await, [""; 0], "a right that was taken does not come back");
    let mut bob = server.log_in("bob").await;
    bob.delete("/v1/sessions").await.is(StatusCode::NO_CONTENT);
    forget().await;
    assert!(!one.lives().await && !two.lives().await && !fresh.lives().await);
    server.pass(199 * DAY);
    server.app.forget().await.unwrap();
    assert!(!one.lives().await && !two.lives().await && !fresh.lives().await);
}

#[tokio::test]
async fn a_token_is_valid_to_the_second() {
    let server = with_permissions().await;
    let mut admin = server.admin().await;
    let wish = json!({ "name": "short", "permissions": [], "expires_in": 60 });
    let token = admin.post("/v1/tokens", wish).await.is(StatusCode::CREATED).text("token");
    let mut machine = Machine::with(&server, &token);
    server.pass(50);
    assert!(machine.lives().await);
    server.pass(10);
    assert!(!machine.lives().await);
    assert_eq!(admin.get("/v1/tokens").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_wish_is_judged_and_each_fault_names_its_member() {
    let server = with_permissions().await;
    let (mut bob, _) = server.user("bob", json!({ "user_permissions": ["a.one"] })).await;
    let mut admin = server.admin().await;
    let fault = |field: &str, code: &str| vec![(field.to_owned(), code.to_owned())];
    let long = "n".repeat(151);
    for (wish, expected) in [
        (json!({ "name": "", "permissions": [] }), fault("name", "token_name")),
        (json!({ "name": " \t", "permissions": [] }), fault("name", "token_name")),
        (json!({ "name": "a\nb", "permissions": [] }), fault("name", "token_name")),
        (json!({ "name": long, "permissions": [] }), fault("name", "token_name")),
        (json!({ "name": "n" }), fault("permissions", "missing")),
        (json!({ "name": "n", "permissions": [], "expires_in": 59 }), fault("expires_in", "token_life")),
        (json!({ "name": "n", "permissions": [], "expires_in": 400 * DAY + 1 }), fault("expires_in", "token_life")),
        (json!({ "name": "n", "permissions": ["a.one", "a.two"] }), fault("permissions/1", "not_held")),
        // Whether there is one is not told to who does not have it.
        (json!({ "name": "n", "permissions": ["no.such"] }), fault("permissions/0", "not_held")),
        (json!({ "name": "n", "permissions": ["a.one", "a.*"] }), fault("permissions/1", "permission_name")),
        (json!({ "name": "n", "permissions": ["a.one a.two"] }), fault("permissions/0", "permission_name")),
    ] {
        let answer = bob.post("/v1/tokens", wish.clone()).await.is_problem("invalid");
        assert_eq!(answer.errors(), expected, "{wish}");
    }
    let wish = json!({ "name": "n", "permissions": ["no.such"] });
    let answer = admin.post("/v1/tokens", wish).await.is_problem("invalid");
    assert_eq!(answer.errors(), fault("permissions/0", "unknown_permission"));
    assert_eq!(bob.get("/v1/tokens").await.json()["items"], json!([]));
    for (name, life) in [("n".repeat(150), 60), ("n".to_owned(), 400 * DAY)] {
        let wish = json!({ "name": name, "permissions": ["a.one"], "expires_in": life });
        bob.post("/v1/tokens", wish).await.is(StatusCode::CREATED);
    }

    // A text that would be longer than any that is looked at is refused, with its length.
    let names: Vec<String> = (0..60).map(|n| format!("{}.{n}", "x".repeat(60))).collect();
    server.permissions(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let wish = |names: &[String]| json!({ "name": "n", "permissions": names });
    let answer = admin.post("/v1/tokens", wish(&names)).await.is_problem("token_too_large").json();
    assert_eq!(answer["bytes_allowed"], 4096);
    assert!(answer["bytes_used"].as_u64().unwrap() > 4096, "{answer}");
    let token = admin.post("/v1/tokens", wish(&names[..30])).await.is(StatusCode::CREATED).text("token");
    assert!(token.len() <= 4096 && Machine::with(&server, &token).lives().await);
}

#[tokio::test]
async fn a_user_has_a_hundred_tokens_at_the_most() {
    let server = with_permissions().await;
    let (mut bob, _) = server.user("bob", json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..99 {
        ids.push(make(&mut bob, &[]).await.0);
    }
    // Of many at once one finds room.
    let made = crate::harness::at_once(8, |_| {
        let mut bob = bob.clone();
        Box::pin(async move { bob.post("/v1/tokens", json!({ "name": "n", "permissions": [] })).await })
    })
    .await;
    assert_eq!(made.iter().filter(|answer| answer.status == StatusCode::CREATED).count(), 1);
    for answer in made.into_iter().filter(|answer| answer.status != StatusCode::CREATED) {
        answer.is(StatusCode::CONFLICT).is_problem("too_many_tokens");
    }
    assert_eq!(bob.get("/v1/tokens").await.json()["items"].as_array().unwrap().len(), 100);
    bob.delete(&format!("/v1/tokens/{}", ids[0])).await.is(StatusCode::NO_CONTENT);
    make(&mut bob, &[]).await;
    // What has ended takes no room, although it is not forgotten yet.
    bob.delete("/v1/sessions").await.is(StatusCode::NO_CONTENT);
    make(&mut server.log_in("bob").await, &[]).await;
}

#[tokio::test]
async fn the_cookie_comes_first_and_a_token_opens_no_way_round_its_rules() {
    let server = with_permissions().await;
    let (mut bob, _) = server.user("bob", json!({ "user_permissions": ["a.one"] })).await;
    let (_, token) = make(&mut bob, &["a.one"]).await;
    let field = format!("Bearer {token}");
    let mut machine = Machine::with(&server, &token);
    assert!(machine.lives().await, "the control");
    let mut dead = server.log_in("bob").await;
    let cookie = dead.cookie.clone().unwrap();
    dead.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    let cookies = [
        format!("__Host-signet={cookie}"),
        "__Host-signet=a.b.c".to_owned(),
        "__Host-signet=".to_owned(),
        // An API token is no cookie.
        format!("__Host-signet={token}"),
        format!("__Host-signet={cookie}; __Host-signet={cookie}"),
    ];
    for cookie in &cookies {
        let fields = [("cookie", cookie.as_str()), ("x-forwarded-method", "GET")];
        machine.call(Method::GET, "/v1/verify", Value::Null, &fields).await.is(StatusCode::UNAUTHORIZED);
        machine.call(Method::GET, "/v1/me/permissions", Value::Null, &fields).await.is(StatusCode::UNAUTHORIZED);
        let question = json!({ "permissions": ["a.one"] });
        let answer = machine.call(Method::POST, "/v1/permissions/check", question, &fields).await;
        answer.is(StatusCode::UNAUTHORIZED);
    }
    // An anonymous session is nobody, whatever stands beside it; a good one is its user, whatever stands beside it.
    let mut visitor = server.anonymous();
    visitor.patch("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
    let own = [("authorization", field.as_str()), ("x-forwarded-method", "GET")];
    visitor.call(Method::GET, "/v1/verify", None, &own).await.is(StatusCode::UNAUTHORIZED);
    let mut admin = server.admin().await;
    let pass = admin.call(Method::GET, "/v1/verify?staff=true", None, &own).await.is(StatusCode::NO_CONTENT);
    assert_eq!(pass.header("x-auth-user"), Some("admin"));
    let nonsense = [("authorization", "Bearer nonsense"), ("x-forwarded-method", "GET")];
    admin.call(Method::GET, "/v1/verify", None, &nonsense).await.is(StatusCode::NO_CONTENT);
    // Cookies of others do not count.
    let fields = [("cookie", "session=1; __Host-signet.lang=x"), ("x-forwarded-method", "GET")];
    machine.call(Method::GET, "/v1/verify", Value::Null, &fields).await.is(StatusCode::NO_CONTENT);

    // From another site: neither with the cookie and a token, nor with a token alone.
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let question = json!({ "permissions": ["a.one"] });
        for client in [&mut bob, &mut machine.client] {
            let fields = [("authorization", field.as_str()), (name, value)];
            let answer = client.call(Method::POST, "/v1/permissions/check", Some(question.clone()), &fields).await;
            answer.is(StatusCode::FORBIDDEN).is_problem("cross_site");
            let fields = [("authorization", field.as_str()), (name, value), ("x-forwarded-method", "POST")];
            let answer = client.call(Method::GET, "/v1/verify", None, &fields).await;
            answer.is(StatusCode::FORBIDDEN).is_problem("cross_site");
        }
    }
    let fields = [("origin", ORIGIN), ("x-forwarded-method", "POST")];
    machine.call(Method::GET, "/v1/verify", Value::Null, &fields).await.is(StatusCode::NO_CONTENT);
}

/// Every operation that the document does not offer an API token, called with a superuser's.
#[tokio::test]
async fn only_what_the_document_says_takes_a_token() {
    let server = with_permissions().await;
    let mut admin = server.admin().await;
    let (id, token) = make(&mut admin, &["a.one", "a.two", "b.three"]).await;
    let document = signet::api::document::document();
    let scheme = &document["components"]["securitySchemes"]["apiToken"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
    let mut machine = Machine::with(&server, &token);
    let (mut takers, mut refused) = (BTreeSet::new(), 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            let security = operation["security"].as_array().unwrap();
            if security.iter().any(|scheme| scheme.get("apiToken").is_some()) {
                assert!(security.iter().any(|scheme| scheme.get("sessionCookie").is_some()), "{name}");
                takers.insert(name.to_owned());
                continue;
            }
            // What nobody may do, a token may not; what anybody may, it does as nobody.
            let reference = operation.pointer("/requestBody/content/application~1json/schema/$ref");
            let example =
                |reference: &str| document.pointer(reference.trim_start_matches('#')).unwrap()["example"].clone();
            let body = reference.map_or(Value::Null, |reference| example(reference.as_str().unwrap()));
            let path = path.replace("{id}", &id).replace("{sid}", &id).replace("{name}", "a.one").replace("{key}", "k");
            let verb: Method = method.to_uppercase().parse().unwrap();
            let plain = machine.client.call(verb.clone(), &path, Some(body.clone()), &[]).await;
            machine.client.cookie = None;
            let own = [("authorization", machine.field.as_str())];
            let answer = machine.client.call(verb, &path, Some(body), &own).await;
            machine.client.cookie = None;
            if security.iter().all(|scheme| scheme.get("sessionCookie").is_some()) {
                answer.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
                refused += 1;
            } else if name != "register_account" {
                // (A name can be registered once.)
                assert_eq!(answer.status, plain.status, "{name}: as nobody");
            }
        }
    }
    let expected = ["check_permissions", "list_my_permissions", "verify_request"];
    let takers: Vec<_> = takers.iter().map(String::as_str).collect();
    assert!(expected.iter().all(|name| takers.contains(name)), "{takers:?}");
    assert!(refused > 25, "{refused}");
    // It is nobody where the session is optional, and ends nobody's session.
    let own = [("authorization", machine.field.as_str())];
    let session = machine.client.call(Method::GET, "/v1/session", None, &own).await.is(StatusCode::OK).json();
    assert_eq!((&session["id"], &session["user"]), (&Value::Null, &Value::Null));
    assert!(admin.is_somebody().await);
    assert!(Machine::with(&server, &token).lives().await);
}

#[tokio::test]
async fn a_verified_request_asks_no_store_and_changed_rights_cost_one_read() {
    let server = with_permissions().await;
    let (mut bob, id) = server.user("bob", json!({ "user_permissions": ["a.one", "a.two"] })).await;
    let (_, token) = make(&mut bob, &["a.one", "a.two"]).await;
    let mut machine = Machine::with(&server, &token);
    let before = server.store.calls();
    for _ in 0..3 {
        assert_eq!(machine.permissions().await, ["a.one", "a.two"]);
    }
    assert_eq!(server.store.calls(), before, "not even the first time");
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "user_permissions": ["a.two"] })).await.is(StatusCode::OK);
    let before = server.store.calls();
    for _ in 0..3 {
        assert_eq!(machine.permissions().await, ["a.two"]);
    }
    assert_eq!(server.store.calls(), before + 1);
}

#[tokio::test]
async fn staff_sees_and_ends_the_tokens_of_others_within_its_own_rights_and_all_of_it_is_recorded() {
    let server = with_permissions().await;
    let (mut bob, id) = server.user("bob", json!({ "user_permissions": ["a.one"] })).await;
    let (mut staff, _) = server.user("clerk", json!({ "is_staff": true })).await;
    let (first, token) = make(&mut bob, &["a.one"]).await;
    let (second, _) = make(&mut bob, &[]).await;
    bob.delete(&format!("/v1/tokens/{second}")).await.is(StatusCode::NO_CONTENT);
    let path = format!("/v1/users/{id}/tokens");
    bob.get(&path).await.is(StatusCode::FORBIDDEN);
    bob.delete(&path).await.is(StatusCode::FORBIDDEN);
    let listed = staff.get(&path).await.is(StatusCode::OK).json();
    assert_eq!((&listed["items"][0]["id"], listed["items"].as_array().unwrap().len()), (&json!(first), 1));
    staff.delete(&path).await.is(StatusCode::FORBIDDEN).is_problem("forbidden");
    let mut machine = Machine::with(&server, &token);
    assert!(machine.lives().await);
    let mut admin = server.admin().await;
    admin.delete(&path).await.is(StatusCode::NO_CONTENT);
    assert!(!machine.lives().await && bob.is_somebody().await);
    admin.delete(&path).await.is(StatusCode::NO_CONTENT);
    admin.delete("/v1/users/q3bXcK0aTn2vSgYkPzq1bA/tokens").await.is(StatusCode::NOT_FOUND);

    let log = admin.get("/v1/audit?limit=200").await.is(StatusCode::OK);
    let events = log.json()["items"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let short: Vec<_> = events
        .iter()
        .rev()
        .filter(|event| text(&event["action"]).contains("_token"))
        .map(|event| {
            let who = text(&event["actor"]["name"]);
            let what =
                format!("{} {}", event["target"]["kind"].as_str().unwrap(), event["target"]["id"].as_str().unwrap());
            (text(&event["action"]), text(&event["outcome"]), who, what, event["details"].to_string())
        })
        .collect();
    let row = |action: &str, outcome: &str, who: &str, what: String, details: &str| {
        (action.to_owned(), outcome.to_owned(), who.to_owned(), what, details.to_owned())
    };
    assert_eq!(
        short,
        [
            row("create_token", "done", "bob", format!("token {first}"), r#"["+a.one"]"#),
            row("create_token", "done", "bob", format!("token {second}"), "[]"),
            row("end_token", "done", "bob", format!("token {second}"), "[]"),
            row("end_tokens", "refused", "clerk", format!("user {id}"), "[]"),
            row("end_tokens", "done", "admin", format!("user {id}"), "[]"),
            row("end_tokens", "done", "admin", format!("user {id}"), "[]"),
        ]
    );
    assert!(!String::from_utf8(log.body).unwrap().contains(token.rsplit('.').next().unwrap()), "never the text");
}

/// A question whose body has not arrived yet.
async fn parked(server: &Server, token: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/permissions/check HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the guard is passed.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

async fn finished(mut stream: TcpStream, body: &str) -> String {
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_ends_or_is_taken_while_the_body_arrives_does_not_act() {
    let server = with_permissions().await;
    let (mut bob, id) = server.user("bob", json!({ "user_permissions": ["a.one"] })).await;
    let body = json!({ "permissions": ["a.one"] }).to_string();
    let (token_id, token) = make(&mut bob, &["a.one"]).await;
    let kept = parked(&server, &token, &body).await;
    assert!(finished(kept, &body).await.contains(r#""all":true"#), "the control");
    let taken = parked(&server, &token, &body).await;
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "user_permissions": [] })).await.is(StatusCode::OK);
    assert!(finished(taken, &body).await.contains(r#""all":false"#));
    let ended = parked(&server, &token, &body).await;
    bob.delete(&format!("/v1/tokens/{token_id}")).await.is(StatusCode::NO_CONTENT);
    let answer = finished(ended, &body).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn a_token_that_is_made_with_a_right_taken_meanwhile_is_not_made() {
    let server = with_permissions().await;
    // Whichever comes first: there is no token whose record names what its owner did not have at that moment.
    for round in 0..20 {
        let (bob, id) = server.user(&format!("bob{round}"), json!({ "user_permissions": ["a.one"] })).await;
        let (mut admin, mut maker) = (server.admin().await, bob.clone());
        let path = format!("/v1/users/{id}");
        let disable = json!({ "is_active": false });
        let wish = json!({ "name": "n", "permissions": ["a.one"] });
        let (made, _) = tokio::join!(maker.post("/v1/tokens", wish), admin.patch(&path, disable));
        if made.status == StatusCode::CREATED {
            assert!(!Machine::with(&server, &made.text("token")).lives().await, "round {round}");
        }
        assert_eq!(admin.get(&format!("{path}/tokens")).await.json()["items"], json!([]), "round {round}");
    }
}

struct Vote;

impl NamedPermission for Vote {
    const NAME: &'static str = "a.one";
}

struct Program;

#[OpenApi]
impl Program {
    #[oai(path = "/anybody", method = "get")]
    async fn anybody(&self, holder: OrToken<Caller>) -> PlainText<String> {
        PlainText(holder.username().unwrap_or("nobody").to_owned())
    }

    #[oai(path = "/somebody", method = "get")]
    async fn somebody(&self, holder: OrToken<LoginRequired>) -> PlainText<String> {
        PlainText(holder.username().unwrap().to_owned())
    }

    #[oai(path = "/vote", method = "post")]
    async fn vote(&self, voter: OrToken<PermissionRequired<Vote>>) -> PlainText<String> {
        PlainText(format!("{} {}", voter.username().unwrap(), voter.has_permission("a.two")))
    }

    #[oai(path = "/session", method = "get")]
    async fn session(&self, _caller: LoginRequired) -> PlainText<&'static str> {
        PlainText("a session")
    }

    /// A guard for both before a guard for sessions: the stricter one decides.
    #[oai(path = "/both", method = "get")]
    async fn both(&self, _holder: OrToken<LoginRequired>, caller: LoginRequired) -> PlainText<String> {
        PlainText(format!("{:?}", caller.user().is_some()))
    }
}

#[tokio::test]
async fn a_program_takes_a_token_where_its_guard_says_so_and_nowhere_else() {
    let server = with_permissions().await;
    let (mut bob, id) = server.user("bob", json!({ "user_permissions": ["a.one", "a.two"] })).await;
    let (_, voter) = make(&mut bob, &["a.one"]).await;
    let (_, other) = make(&mut bob, &["a.two"]).await;
    let base = embed(&server.app, OpenApiService::new(Program, "program", "1")).await;
    let at = |token: &str| Machine { client: server.anonymous().at(&base), field: format!("Bearer {token}") };
    let (mut voter, mut other, mut nobody) = (at(&voter), at(&other), server.anonymous().at(&base));
    let get = async |machine: &mut Machine, path: &str| machine.call(Method::GET, path, Value::Null, &[]).await;
    assert_eq!(get(&mut voter, "/anybody").await.is(StatusCode::OK).body, b"bob");
    assert_eq!(nobody.get("/anybody").await.is(StatusCode::OK).body, b"nobody");
    get(&mut at("nonsense"), "/anybody").await.is(StatusCode::UNAUTHORIZED);
    let answer = get(&mut voter, "/somebody").await.is(StatusCode::OK);
    assert_eq!(answer.body, b"bob");
    assert_eq!((answer.header("cache-control"), answer.header("vary")), (Some("no-store"), Some("Cookie")));
    nobody.get("/somebody").await.is(StatusCode::UNAUTHORIZED);
    for path in ["/session", "/both"] {
        get(&mut voter, path).await.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
        bob.at(&base).get(path).await.is(StatusCode::OK);
    }
    let post = async |machine: &mut Machine| machine.call(Method::POST, "/vote", Value::Null, &[]).await;
    assert_eq!(post(&mut voter).await.is(StatusCode::OK).body, b"bob false");
    post(&mut other).await.is(StatusCode::FORBIDDEN);
    nobody.post("/vote", Value::Null).await.is(StatusCode::UNAUTHORIZED);
    assert_eq!(bob.at(&base).post("/vote", Value::Null).await.is(StatusCode::OK).body, b"bob true");
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "user_permissions": [] })).await.is(StatusCode::OK);
    post(&mut voter).await.is(StatusCode::FORBIDDEN);
}
