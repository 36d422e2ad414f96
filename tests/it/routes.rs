//! Who may call what: one row for each operation of the API document, one column for each kind of caller.
//!
//! An operation that is in the document and not here fails, and so does one that is here and not in the document. The
//! header of every answer is judged beside.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Options, PASSWORD, Server, embed};

/// Who calls. The last three have something of their own where the others meet what is the victim's.
const CALLERS: [&str; 10] =
    ["nobody", "visitor", "token", "user", "staff", "root", "admin", "own user", "own staff", "own admin"];

/// An operation, a body that is right, and the status for each of [`CALLERS`].
///
/// Nobody has no cookie, a visitor has an anonymous session, the token is an API token of the administrator's. Staff
/// holds no permission, root is a superuser without the staff flag. The victim holds a permission that staff does not.
/// `$victim` is the name of a user; `$new` a name that nobody has.
type Row = (&'static str, &'static str, [u16; 10]);

const ROWS: &[Row] = &[
    // The own account and session: whoever it is.
    ("register_account", r#"{"username":"$new","password":"$password"}"#, [201; 10]),
    ("login_account", r#"{"username":"$victim","password":"$password"}"#, [200; 10]),
    ("logout_account", "", [204; 10]),
    ("get_me", "", [401, 401, 401, 200, 200, 200, 200, 200, 200, 200]),
    ("update_me", r#"{"first_name":"A"}"#, [401, 401, 401, 200, 200, 200, 200, 200, 200, 200]),
    (
        "change_password",
        r#"{"old_password":"$password","new_password":"$password"}"#,
        [401, 401, 401, 200, 200, 200, 200, 200, 200, 200],
    ),
    ("check_password", r#"{"password":"x"}"#, [200; 10]),
    ("request_password_reset", r#"{"email":"nobody@example.com"}"#, [202; 10]),
    ("confirm_password_reset", r#"{"token":"x","new_password":"$password"}"#, [422; 10]),
    ("request_email_verification", "", [401, 401, 401, 422, 422, 422, 422, 422, 422, 422]),
    ("confirm_email_verification", r#"{"token":"x"}"#, [422; 10]),
    ("get_session", "", [200; 10]),
    ("replace_session", r#"{"a":1}"#, [200; 10]),
    ("update_session", r#"{"a":1}"#, [200; 10]),
    ("delete_session", "", [204; 10]),
    ("get_session_data", "", [200; 10]),
    ("set_session_data", r#"{"value":1}"#, [200; 10]),
    ("delete_session_data", "", [204; 10]),
    ("set_session_expiry", r#"{"kind":"default"}"#, [200; 10]),
    ("renew_session", "", [401, 200, 401, 200, 200, 200, 200, 200, 200, 200]),
    ("list_sessions", "", [401, 401, 401, 200, 200, 200, 200, 200, 200, 200]),
    ("delete_sessions", "", [401, 401, 401, 204, 204, 204, 204, 204, 204, 204]),
    ("get_cookie", "", [200; 10]),
    ("set_cookie", r#"{"value":"v"}"#, [200; 10]),
    ("delete_cookie", "", [204; 10]),
    // What is somebody else's is as good as none.
    ("delete_session_by_id", "", [401, 401, 401, 404, 404, 404, 404, 204, 204, 204]),
    ("create_token", r#"{"name":"n","permissions":[]}"#, [401, 401, 401, 201, 201, 201, 201, 201, 201, 201]),
    ("list_tokens", "", [401, 401, 401, 200, 200, 200, 200, 200, 200, 200]),
    ("delete_token", "", [401, 401, 401, 404, 404, 404, 404, 204, 204, 204]),
    // Asking for rights.
    ("check_permissions", r#"{"permissions":["app.secret"]}"#, [200; 10]),
    ("list_my_permissions", "", [401, 401, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("verify_request", "", [401, 401, 204, 204, 204, 204, 204, 204, 204, 204]),
    // Administration: for staff, within its own rights; the catalogue, imports and the epoch for superusers.
    ("list_users", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("create_user", r#"{"username":"$new"}"#, [401, 401, 401, 403, 201, 403, 201, 403, 201, 201]),
    ("get_user", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("update_user", r#"{"first_name":"A"}"#, [401, 401, 401, 403, 403, 403, 200, 403, 200, 200]),
    ("delete_user", "", [401, 401, 401, 403, 403, 403, 204, 403, 204, 204]),
    ("delete_user_password", "", [401, 401, 401, 403, 403, 403, 204, 403, 204, 204]),
    ("list_user_sessions", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("list_open_sessions", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("delete_user_sessions", "", [401, 401, 401, 403, 403, 403, 204, 403, 204, 204]),
    ("delete_user_session", "", [401, 401, 401, 403, 403, 403, 204, 403, 204, 204]),
    ("list_user_tokens", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("delete_user_tokens", "", [401, 401, 401, 403, 403, 403, 204, 403, 204, 204]),
    ("delete_user_token", "", [401, 401, 401, 403, 403, 403, 204, 403, 204, 204]),
    ("advance_epoch", "", [401, 401, 401, 403, 403, 403, 204, 403, 403, 204]),
    ("import_accounts", r#"{"records":[]}"#, [401, 401, 401, 403, 403, 403, 200, 403, 403, 200]),
    ("list_groups", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("create_group", r#"{"name":"$new"}"#, [401, 401, 401, 403, 201, 403, 201, 403, 201, 201]),
    ("get_group", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("update_group", r#"{"name":"$new"}"#, [401, 401, 401, 403, 403, 403, 200, 403, 403, 200]),
    ("delete_group", "", [401, 401, 401, 403, 403, 403, 204, 403, 403, 204]),
    ("list_permissions", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("create_permission", r#"{"name":"app.$new"}"#, [401, 401, 401, 403, 403, 403, 201, 403, 403, 201]),
    ("get_permission", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("update_permission", r#"{"description":"d"}"#, [401, 401, 401, 403, 403, 403, 200, 403, 403, 200]),
    ("delete_permission", "", [401, 401, 401, 403, 403, 403, 204, 403, 403, 204]),
    ("list_audit", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("get_figures", "", [401, 401, 401, 403, 200, 403, 200, 403, 200, 200]),
    ("list_revocations", "", [401, 401, 403, 403, 200, 200, 200, 403, 200, 200]),
    ("stream_revocations", "", [401, 401, 403, 403, 200, 200, 200, 403, 200, 200]),
    // Machines.
    ("get_jwks", "", [200; 10]),
    ("get_liveness", "", [200; 10]),
    ("get_readiness", "", [200; 10]),
    ("get_problem_kind", "", [200; 10]),
];

/// What is served beside the operations: the document, and pages.
const PAGES: [&str; 13] = [
    "/admin",
    "/admin/*path",
    "/docs",
    "/docs/",
    "/docs/page.css",
    "/docs/page.js",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui.js",
    "/openapi.json",
    "/pages/page.css",
    "/pages/page.js",
    "/reset",
    "/verify",
];

/// Method and path of each operation of the document.
fn operations() -> BTreeMap<String, (Method, String)> {
    let document = signet::api::document::document();
    let mut found = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            found.insert(id, (method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    found
}

/// The server, and all that is called for: made anew when a call has used it up.
struct World {
    server: Server,
    admin: Client,
    /// Callers and the ids of their users, by name.
    callers: BTreeMap<&'static str, (Client, String)>,
    /// Text of the administrator's API token.
    token: String,
    victim: (Client, String),
    /// The victim's name.
    name: String,
    group: String,
    made: usize,
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        server.permissions(&["app.secret"]).await;
        let admin = server.admin().await;
        let (victim, id) = server.user("victim0", json!({ "user_permissions": ["app.secret"] })).await;
        let mut world = Self {
            server,
            admin,
            callers: BTreeMap::new(),
            token: String::new(),
            victim: (victim, id),
            name: "victim0".to_owned(),
            group: String::new(),
            made: 0,
        };
        world.group = world.server.group("secret", &["app.secret"]).await;
        world
    }

    fn fresh(&mut self) -> String {
        self.made += 1;
        format!("new{}", self.made)
    }

    /// The caller, logged in, with the id of the user; empty for nobody in particular.
    async fn caller(&mut self, who: &'static str) -> (Client, String) {
        if let Some((client, id)) = self.callers.get(who)
            && client.clone().get("/v1/session").await.status == StatusCode::OK
        {
            return (client.clone(), id.clone());
        }
        let kind = who.trim_start_matches("own ");
        let members = match kind {
            "user" => json!({}),
            "staff" => json!({ "is_staff": true }),
            "root" => json!({ "is_superuser": true }),
            "admin" => json!({ "is_staff": true, "is_superuser": true }),
            _ => Value::Null,
        };
        let caller = match kind {
            "nobody" | "token" => (self.server.anonymous(), String::new()),
            "visitor" => {
                let mut visitor = self.server.anonymous();
                visitor.put("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
                (visitor, String::new())
            }
            _ => {
                let name = self.fresh();
                self.server.user(&name, members).await
            }
        };
        self.callers.insert(who, caller.clone());
        caller
    }

    /// An API token of the administrator's that lives.
    async fn token(&mut self) -> String {
        let field = format!("Bearer {}", self.token);
        let get = [("authorization", field.as_str())];
        let mut machine = self.server.anonymous();
        if machine.call(Method::GET, "/v1/me/permissions", None, &get).await.status != StatusCode::OK {
            let wish = json!({ "name": "n", "permissions": [] });
            self.token = self.server.admin().await.post("/v1/tokens", wish).await.text("token");
            return format!("Bearer {}", self.token);
        }
        field
    }

    /// Makes what is gone anew: the victim and its session, its group, its permission.
    async fn restore(&mut self) {
        if !self.admin.is_somebody().await {
            self.admin = self.server.admin().await;
        }
        let mut admin = self.admin.clone();
        if admin.get("/v1/permissions/app.secret").await.status != StatusCode::OK {
            admin.post("/v1/permissions", json!({ "name": "app.secret" })).await.is(StatusCode::CREATED);
        }
        let group = admin.get(&format!("/v1/groups/{}", self.group)).await;
        if group.status != StatusCode::OK || group.json()["permissions"] != json!(["app.secret"]) {
            let name = self.fresh();
            self.group = self.server.group(&name, &["app.secret"]).await;
        }
        let holds = json!(["app.secret"]);
        let user = admin.get(&format!("/v1/users/{}", self.victim.1)).await;
        let whole = user.status == StatusCode::OK && user.json()["user_permissions"] == holds;
        if !whole || !self.victim.0.is_somebody().await {
            let name = self.fresh();
            self.victim = self.server.user(&name, json!({ "user_permissions": holds })).await;
            self.name = name;
        }
    }

    /// The path of an operation, of the victim's things or of the caller's own.
    async fn path(&mut self, template: &str, id: &str, own: Option<(&mut Client, &str)>) -> String {
        let (mut client, user) = match own {
            Some((client, user)) => (client.clone(), user.to_owned()),
            None => self.victim.clone(),
        };
        let thing = match template {
            path if path.starts_with("/v1/users/") => user,
            path if path.starts_with("/v1/groups/") => self.group.clone(),
            "/v1/tokens/{id}" => make_token(&mut client).await,
            _ => String::new(),
        };
        let token = if template.contains("{token_id}") { make_token(&mut client).await } else { String::new() };
        let sid = if template.contains("{sid}") { client.get("/v1/session").await.text("id") } else { String::new() };
        let name = if template.starts_with("/v1/permissions/") { "app.secret" } else { "n" };
        let path = template.replace("{id}", &thing).replace("{sid}", &sid).replace("{token_id}", &token);
        let path = path.replace("{name}", name);
        let path = path.replace("{key}", "k").replace("{code}", "not_found");
        if id == "stream_revocations" { path + "?seconds=0" } else { path }
    }
}

/// The id of an API token of the caller's that was just made.
async fn make_token(client: &mut Client) -> String {
    let wish = json!({ "name": "n", "permissions": [] });
    client.post("/v1/tokens", wish).await.is(StatusCode::CREATED).text("id")
}

/// What the header of every answer says, in so many words.
fn header_faults(answer: &Answer, is_page: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |name: &str, fits: &dyn Fn(&str) -> bool| {
        let values: Vec<_> = answer.headers.get_all(name).iter().collect();
        let one = values.len() == 1 && values[0].to_str().is_ok_and(fits);
        if !one {
            faults.push(format!("{name}: {values:?}"));
        }
    };
    must("x-content-type-options", &|value| value == "nosniff");
    must("referrer-policy", &|value| value == "no-referrer");
    must("cross-origin-resource-policy", &|value| value == "same-origin");
    must("cross-origin-opener-policy", &|value| value == "same-origin");
    must("strict-transport-security", &|value| value == "max-age=31536000; includeSubDomains");
    let closed = |value: &str| value == "default-src 'none'; frame-ancestors 'none'; sandbox";
    let page = |value: &str| {
        ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"]
            .iter()
            .all(|part| value.contains(part))
            && !value.contains("unsafe")
    };
    must("content-security-policy", &|value| closed(value) || (is_page && page(value)));
    must("cache-control", &|value| ["no-store", "public, max-age=300", "no-cache"].contains(&value));
    let has_body = !answer.body.is_empty();
    if has_body {
        must("content-type", &|value| match answer.status.as_u16() {
            400.. => value == "application/problem+json",
            _ => {
                is_page || ["application/json", "application/json; charset=utf-8", "text/event-stream"].contains(&value)
            }
        });
    }
    match answer.status.as_u16() {
        204 | 304 if has_body || answer.headers.contains_key("content-type") => faults.push("a body".to_owned()),
        401 => must("www-authenticate", &|value| !value.starts_with("Basic")),
        405 => must("allow", &|value| !value.is_empty()),
        429 | 503 => must("retry-after", &|value| value.parse::<u32>().is_ok()),
        302 => must("location", &|value| value.starts_with('/')),
        _ => {}
    }
    for name in ["server", "x-powered-by", "access-control-allow-origin", "access-control-allow-credentials"] {
        if answer.headers.contains_key(name) {
            faults.push(name.to_owned());
        }
    }
    faults
}

#[test]
fn every_operation_has_its_row_and_every_page_is_known() {
    let listed: BTreeSet<&str> = ROWS.iter().map(|(id, ..)| *id).collect();
    assert_eq!(listed.len(), ROWS.len(), "an operation twice");
    let operations = operations();
    let served: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
    let differing: Vec<_> = listed.symmetric_difference(&served).collect();
    assert!(differing.is_empty(), "not in the table, or not in the document: {differing:?}");
    // What is put on a route beside the operations, in the three rooms that do so.
    let mut pages: Vec<&str> = Vec::new();
    for text in [
        include_str!("../../src/api/admin.rs"),
        include_str!("../../src/api/docs.rs"),
        include_str!("../../src/api/pages.rs"),
    ] {
        let after = text.split(".at(").skip(1);
        pages.extend(after.map(|rest| rest.split('"').nth(1).unwrap()));
    }
    pages.sort_unstable();
    assert_eq!(pages, PAGES);
    let routes = include_str!("../../src/api.rs");
    assert_eq!(routes.matches(".at(").count(), 2, "the operations, and the proxies' question among them");
}

#[tokio::test]
async fn who_may_call_what() {
    let operations = operations();
    let mut world = World::new().await;
    // Behind a front that asks for encrypted connections, as a deployment has it.
    let base = embed(&world.server.app, signet::api::routes()).await;
    let (mut faults, mut calls, mut used) = (Vec::new(), 0, true);
    for (id, body, statuses) in ROWS {
        let (method, template) = &operations[*id];
        for (who, expected) in CALLERS.into_iter().zip(statuses) {
            if std::mem::take(&mut used) {
                world.restore().await;
            }
            let (mut client, user) = world.caller(who).await;
            let own = who.starts_with("own ").then_some((&mut client, user.as_str()));
            let path = world.path(template, id, own).await;
            let body = body.replace("$new", &world.fresh()).replace("$password", PASSWORD);
            let body = body.replace("$victim", &world.name);
            let body = serde_json::from_str(&body).ok();
            let token = if who == "token" { world.token().await } else { String::new() };
            let mut fields = vec![("x-forwarded-method", "GET")];
            if who == "token" {
                fields.push(("authorization", &token));
            }
            let mut caller = client.at(&base);
            let answer = caller.call(method.clone(), &path, body, &fields).await;
            calls += 1;
            if answer.status != *expected {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                faults.push(format!("{id}, {who}: {} instead of {expected}: {text}", answer.status));
            }
            for fault in header_faults(&answer, false) {
                faults.push(format!("{id}, {who}: {fault}"));
            }
            // What a call has made of the cookie stays with the caller.
            if answer.status.is_success() && *method != Method::GET {
                world.callers.remove(who);
                used = true;
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(calls, ROWS.len() * CALLERS.len());
}

/// Method, path, body, fields, and the status that comes of it.
type Call<'a> = (Method, &'a str, Option<Value>, &'a [(&'a str, &'a str)], u16);

/// Every class of status, from everywhere that makes answers.
#[tokio::test]
async fn every_answer_of_every_status_has_the_whole_header() {
    #[poem::handler]
    fn panics() {
        panic!("in a program that embeds Signet");
    }
    let options =
        Options { login_url: Some("/login".to_owned()), throttle: true, hash_workers: 1, ..Options::default() };
    let server = Server::start_with(options).await;
    let routes = poem::Route::new().at("/panics", poem::get(panics)).nest("/", signet::api::routes());
    let base = embed(&server.app, routes).await;
    let mut admin = server.admin().await.at(&base);
    let mut nobody = server.anonymous().at(&base);
    let large = "x".repeat(40_000);
    let large = [("x-large", large.as_str())];
    let evil = [("origin", "https://evil.example")];
    let text = [("content-type", "text/plain")];
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let judge = |answer: Answer, what: &str, is_page: bool| {
        seen.borrow_mut().insert(answer.status.as_u16());
        let faults = header_faults(&answer, is_page);
        assert!(faults.is_empty(), "{what}: {}: {faults:?}", answer.status);
    };
    for path in PAGES {
        judge(nobody.get(path).await.is(StatusCode::OK), path, true);
        judge(nobody.call(Method::HEAD, path, None, &[]).await.is(StatusCode::OK), path, true);
        judge(nobody.delete(path).await.is(StatusCode::METHOD_NOT_ALLOWED), path, false);
    }
    let wrong = json!({ "username": "nobody", "password": "x" });
    let rows: Vec<Call<'_>> = vec![
        (Method::GET, "/livez", None, &[], 200),
        (Method::POST, "/v1/permissions", Some(json!({ "name": "a.b" })), &[], 201),
        (Method::POST, "/v1/password/reset", Some(json!({ "email": "a@b.c" })), &[], 202),
        (Method::DELETE, "/v1/cookies/n", None, &[], 204),
        (Method::GET, "/v1/users?limit=0", None, &[], 400),
        (Method::GET, "/v1/users", None, &[("cookie", "__Host-signet=x")], 401),
        (Method::POST, "/v1/login", Some(wrong.clone()), &[], 401),
        (Method::POST, "/v1/logout", None, &evil, 403),
        (Method::GET, "/nothing", None, &[], 404),
        (Method::PUT, "/v1/me", None, &[], 405),
        (Method::TRACE, "/v1/me", None, &[], 405),
        (Method::POST, "/v1/permissions", Some(json!({ "name": "a.b" })), &[], 409),
        (Method::PATCH, "/v1/permissions/a.b", Some(json!({ "description": "d" })), &[("if-match", "\"9\"")], 412),
        (Method::PUT, "/v1/session/data/k", Some(json!({ "value": "x".repeat(5000) })), &[], 413),
        (Method::PUT, "/v1/session/data/k", Some(json!({ "value": "x".repeat(70_000) })), &[], 413),
        (Method::POST, "/v1/login", None, &text, 415),
        (Method::POST, "/v1/users", Some(json!({ "username": "a b" })), &[], 422),
        (Method::GET, "/v1/me", None, &large, 431),
        (Method::GET, "/panics", None, &[], 500),
    ];
    for (method, path, body, fields, status) in rows {
        let bare = path == "/v1/login" || fields.iter().any(|(name, _)| *name == "cookie");
        let caller = if bare { &mut nobody } else { &mut admin };
        let answer = caller.call(method.clone(), path, body, fields).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        judge(answer, path, false);
    }
    let page = [("x-forwarded-method", "GET"), ("accept", "text/html"), ("x-forwarded-uri", "/a")];
    let asked = server.anonymous().call(Method::GET, "/v1/verify?redirect=true", None, &page).await;
    assert_eq!(asked.status.as_u16(), 302);
    // The other front does not ask for encrypted connections; all else is the same.
    assert_eq!(header_faults(&asked, false), ["strict-transport-security: []"]);
    seen.borrow_mut().insert(302);
    for _ in 0..20 {
        let answer = nobody.post("/v1/login", wrong.clone()).await;
        judge(answer, "guesses", false);
    }
    let floods = crate::harness::at_once(40, |_| {
        let mut client = nobody.clone();
        let change = json!({ "username": "x", "password": PASSWORD, "email": "a@b.c" });
        Box::pin(async move { client.post("/v1/register", change).await })
    });
    for answer in floods.await {
        judge(answer, "a flood", false);
    }
    let seen = seen.into_inner();
    for status in [200, 201, 202, 204, 302, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 431, 500] {
        assert!(seen.contains(&status), "{status} never came: {seen:?}");
    }
}
