//! The log: one line for each failure, under the name that the caller was told, and nothing secret in any.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Serving, program};
use crate::harness::plain_http;

/// Longer than a mail takes to be written.
const PATIENCE: Duration = Duration::from_secs(20);

const TOKEN: &str = "a-token-for-the-one-that-scrapes";

/// A program that is used as it is from day to day, and everything that it was told in confidence.
struct Life {
    folder: TempDir,
    http: reqwest::Client,
    base: String,
    secrets: BTreeSet<String>,
    /// The names and codes of the problems that were answered.
    problems: BTreeMap<String, String>,
}

/// An answer: status, the session's cookie when one is set, and the body.
struct Told {
    status: StatusCode,
    cookie: Option<String>,
    body: Value,
}

impl Told {
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}

impl Life {
    fn secret(&mut self, text: &str) -> String {
        self.secrets.insert(text.to_owned());
        text.to_owned()
    }

    async fn call(&mut self, method: Method, path: &str, cookie: &str, body: impl Into<String>) -> Told {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body.into());
        request = request.header("content-type", "application/json").header("user-agent", "an-agent-of-its-own");
        if !cookie.is_empty() {
            request = request.header("cookie", cookie);
        }
        self.send(request).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Told {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let lines = answer.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned());
        let mut cookie = None;
        for line in lines.collect::<Vec<_>>() {
            let pair = line.split(';').next().unwrap().to_owned();
            let value = pair.split_once('=').unwrap().1.to_owned();
            // The parts of a token are as telling as the whole.
            for part in value.split('.').filter(|part| part.len() > 8) {
                // The header is the same for all, and public.
                if part.starts_with("eyJhbGciOi") {
                    continue;
                }
                self.secret(part);
            }
            if pair.starts_with("__Host-signet=") && !value.is_empty() {
                cookie = Some(pair);
            }
        }
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        if let Some(id) = body["request_id"].as_str() {
            let known = self.problems.insert(id.to_owned(), body["code"].as_str().unwrap().to_owned());
            assert!(known.is_none(), "two requests of one name: {id}");
        }
        Told { status, cookie, body }
    }

    async fn post(&mut self, path: &str, cookie: &str, body: Value) -> Told {
        self.call(Method::POST, path, cookie, body.to_string()).await
    }

    /// The token in the next mail whose link leads to this page.
    async fn mailed(&mut self, page: &str) -> String {
        let found = async {
            loop {
                let mails: Vec<PathBuf> = std::fs::read_dir(self.folder.path().join("mail"))
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| path.extension().is_some_and(|kind| kind == "eml"))
                    .collect();
                for path in mails {
                    let text = std::fs::read_to_string(&path).unwrap().replace("=\r\n", "").replace("=3D", "=");
                    if let Some((_, token)) = text.split_once(&format!("/{page}#token=")) {
                        std::fs::remove_file(path).unwrap();
                        return token.split_whitespace().next().unwrap().to_owned();
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let token = tokio::time::timeout(PATIENCE, found).await.unwrap();
        for part in token.split('.').filter(|part| !part.starts_with("eyJhbGciOi")) {
            self.secrets.insert(part.to_owned());
        }
        token
    }

    async fn live(&mut self) {
        let admin = self.secret("an administrator's password");
        let password = self.secret("alice's own password");
        let wrong = self.secret("a password that is wrong");
        let email = self.secret("alice.in.confidence@mail.example");
        let data = self.secret("what the session keeps in confidence");
        // Registering, well and badly; a password in the place of the name.
        let alice = json!({ "username": "alice", "password": password, "email": email });
        let mut cookie = self.post("/v1/register", "", alice.clone()).await.is(201).cookie.unwrap();
        let proof = self.mailed("verify").await;
        self.post("/v1/email/verify/confirm", "", json!({ "token": &proof[1..] })).await.is(422);
        self.post("/v1/email/verify/confirm", "", json!({ "token": proof })).await.is(204);
        self.post("/v1/register", "", alice).await.is(409);
        let weak = self.secret("weakpw7");
        self.post("/v1/register", "", json!({ "username": "bob", "password": weak, "email": email })).await.is(422);
        self.post("/v1/login", "", json!({ "username": password, "password": password })).await.is(401);
        self.post("/v1/login", "", json!({ "username": "alice", "password": wrong })).await.is(401);
        self.post("/v1/login", "", json!({ "username": "nobody", "password": wrong })).await.is(401);
        self.post("/v1/login", "", json!({ "username": "alice", "password": wrong, "extra": data })).await.is(422);
        self.call(Method::POST, "/v1/login", "", format!("{{\"password\": \"{wrong}\"")).await.is(400);
        self.call(Method::POST, "/v1/login", "", format!("\"{wrong}\"")).await.is(422);
        cookie = self
            .post("/v1/login", &cookie, json!({ "username": "alice", "password": password }))
            .await
            .is(200)
            .cookie
            .unwrap();
        // The session's data, and what does not fit.
        let put = json!({ "value": data }).to_string();
        cookie = self.call(Method::PUT, "/v1/session/data/cart", &cookie, put).await.is(200).cookie.unwrap();
        let large = self.secret(&"a large secret ".repeat(400));
        self.call(Method::PUT, "/v1/session/data/cart", &cookie, json!({ "value": large }).to_string()).await.is(413);
        let name = self.secret("a-name-in-confidence");
        self.call(Method::PUT, &format!("/v1/cookies/{name}"), "", json!({ "value": data }).to_string()).await.is(200);
        self.call(Method::GET, &format!("/v1/cookies/{name}?default={name}"), "__Host-signet-x=1", "").await.is(200);
        self.call(Method::GET, &format!("/v1/{name}?password={name}"), &cookie, "").await.is(404);
        self.call(Method::GET, &format!("/v1/session?{name}={name}&{name}={name}"), &cookie, "").await.is(400);
        // Cookies that are none.
        let broken = self.secret("eyJhbGciOiJub25lIn0.eyJzdWIiOiJzZWNyZXQifQ.c2lnbmF0dXJl");
        for bad in [format!("{cookie}x"), format!("{cookie}; {cookie}"), format!("__Host-signet={broken}")] {
            self.call(Method::GET, "/v1/me", &bad, "").await.is(401);
        }
        self.call(Method::GET, "/v1/users", &cookie, "").await.is(403);
        // An API token, used well and badly.
        let made = self.post("/v1/tokens", &cookie, json!({ "name": "nightly", "permissions": [] })).await.is(201);
        let token = made.body["token"].as_str().unwrap().to_owned();
        for part in token.split('.').skip(1) {
            self.secret(part);
        }
        for (path, bearer, status) in [
            ("/v1/me/permissions", &*token, 200),
            ("/v1/me/permissions", &token[..40], 401),
            ("/v1/verify", &*token, 204),
            ("/v1/verify", TOKEN, 401),
            ("/metrics", &*token, 401),
            ("/metrics", TOKEN, 200),
        ] {
            let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(bearer);
            self.send(request).await.is(status);
        }
        // Passwords: changed, forgotten, set by mail.
        let next = self.secret("alice's next password");
        self.post("/v1/password", &cookie, json!({ "old_password": wrong, "new_password": next })).await.is(403);
        let old = cookie.clone();
        cookie = self
            .post("/v1/password", &cookie, json!({ "old_password": password, "new_password": next }))
            .await
            .is(200)
            .cookie
            .unwrap();
        self.call(Method::GET, "/v1/me", &old, "").await.is(401);
        self.post("/v1/password/check", "", json!({ "password": weak })).await.is(200);
        self.post("/v1/password/reset", "", json!({ "email": email })).await.is(202);
        let reset = self.mailed("reset").await;
        let third = self.secret("alice's third password");
        let confirmed = json!({ "token": reset, "new_password": third });
        self.post("/v1/password/reset/confirm", "", json!({ "token": &reset[1..], "new_password": third }))
            .await
            .is(422);
        self.post("/v1/password/reset/confirm", "", confirmed.clone()).await.is(204);
        self.post("/v1/password/reset/confirm", "", confirmed).await.is(422);
        let unknown = self.secret("nobody.at.all@mail.example");
        self.post("/v1/password/reset", "", json!({ "email": unknown })).await.is(202);
        self.call(Method::GET, "/v1/me", &cookie, "").await.is(401);
        cookie =
            self.post("/v1/login", "", json!({ "username": "alice", "password": third })).await.is(200).cookie.unwrap();
        self.post("/v1/email/verify", &cookie, json!({})).await.is(204);
        // Administration, and an import with hashes.
        let boss =
            self.post("/v1/login", "", json!({ "username": "admin", "password": admin })).await.is(200).cookie.unwrap();
        let carol = self.secret("carol's own password");
        let other = self.secret("carol.in.confidence@mail.example");
        let user = json!({ "username": "carol", "password": carol, "email": other });
        let id = self.post("/v1/users", &boss, user).await.is(201).body["id"].as_str().unwrap().to_owned();
        let found = self.call(Method::GET, &format!("/v1/users?search={other}"), &boss, "").await.is(200);
        assert_eq!(found.body["items"].as_array().unwrap().len(), 1);
        let wish = json!({ "email": "not an address" }).to_string();
        self.call(Method::PATCH, &format!("/v1/users/{id}"), &boss, wish).await.is(422);
        let hash = self.secret("pbkdf2_sha256$1000$aSaltInConfidence$jGlo/A2LzZ2Jx0Ih2h3aDJ5XPkwN3Ou2XWVYyf6Wkl4=");
        let record = json!({ "user": { "id": "AAAAAAAAAAAAAAAAAAAAAQ", "username": "dave", "password": hash } });
        self.post("/v1/import", &boss, json!({ "records": [record], "apply": true })).await.is(200);
        self.post("/v1/import", &boss, json!({ "records": [{ "user": { "password": hash } }] })).await.is(422);
        self.post("/v1/login", "", json!({ "username": "dave", "password": wrong })).await.is(401);
        // The end of it.
        let epoch = self.http.post(format!("{}/v1/logout", self.base)).header("cookie", &cookie);
        self.send(epoch.header("sec-fetch-site", "cross-site")).await.is(403);
        self.post("/v1/logout", &cookie, Value::Null).await.is(204);
        self.call(Method::GET, "/v1/me", &cookie, "").await.is(401);
    }
}

/// Lives through a day with a log of this form, and gives the log.
async fn a_day(form: &str) -> (Life, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    std::fs::write(path.join("password"), "an administrator's password\n").unwrap();
    std::fs::write(path.join("token"), format!("{TOKEN}\n")).unwrap();
    let flags = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--log",
        form,
        "--mail",
        "folder:mail",
        "--audit-stdout",
        "--admin-password-file",
        "password",
        "--metrics-token-file",
        "token",
        "--throttle",
        "off",
    ];
    let log = File::create(path.join("log")).unwrap();
    let serving = Serving::start_logging(program(path).args(flags), log);
    let secrets = BTreeSet::from([TOKEN.to_owned()]);
    let (http, base) = (plain_http().build().unwrap(), serving.base.clone());
    let mut life = Life { folder, http, base, secrets, problems: BTreeMap::new() };
    life.live().await;
    life.http = plain_http().build().unwrap();
    assert_eq!(serving.stop().0, Some(0));
    let log = std::fs::read_to_string(life.folder.path().join("log")).unwrap();
    (life, log)
}

#[tokio::test]
async fn nothing_secret_is_in_the_log_and_each_failure_is_one_line_under_the_name_that_the_caller_was_told() {
    for form in ["json", "text"] {
        let (life, log) = a_day(form).await;
        assert!(life.secrets.len() >= 35, "{}", life.secrets.len());
        let key = std::fs::read_dir(life.folder.path().join("keys")).unwrap().next().unwrap().unwrap().path();
        let key = std::fs::read_to_string(key).unwrap();
        let key = key.lines().find(|line| !line.starts_with("-----")).unwrap().to_owned();
        for secret in life.secrets.iter().chain([&key]) {
            assert!(!log.contains(secret.trim()), "{secret} is in the log:\n{log}");
        }
        assert!(!log.contains("an-agent-of-its-own") && !log.contains("@mail.example"), "{log}");
        assert!(life.problems.len() > 20, "{}", life.problems.len());
        let told: Vec<&str> = log.lines().filter(|line| line.contains("request refused")).collect();
        assert!(!log.contains("request failed"), "{log}");
        for (id, code) in &life.problems {
            let about: Vec<_> = told.iter().filter(|line| line.contains(id)).collect();
            assert_eq!(about.len(), 1, "{id} {code}: {about:?}");
            assert!(about[0].contains(&format!("\"{code}\"")), "{code}: {about:?}");
        }
        // Those without a body have a line too: proxies are told by the status.
        assert!(
            told.len() >= life.problems.len() && told.len() <= life.problems.len() + 3,
            "{} {}",
            told.len(),
            life.problems.len()
        );
        if form == "json" {
            let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let refused = lines.iter().find(|line| line["code"] == "invalid_credentials").unwrap();
            assert_eq!((&refused["level"], &refused["operation"]), (&json!("INFO"), &json!("login_account")));
            assert_eq!(refused["request_id"].as_str().unwrap().len(), 32);
            assert!(refused["timestamp"].as_str().unwrap().ends_with('Z'));
            // What goes on beside a request is told under its name.
            let unknown: Vec<_> = lines.iter().filter(|line| line["request_id"].is_null()).collect();
            assert!(unknown.iter().all(|line| line["operation"].is_null()), "{unknown:?}");
        }
    }
}

#[tokio::test]
async fn the_name_of_a_request_is_a_trusted_proxys_to_give_and_nobody_elses() {
    for (flags, is_trusted) in
        [(&["--trusted-proxy", "127.0.0.1"][..], true), (&["--trusted-proxy", "10.0.0.0/8"], false), (&[], false)]
    {
        let folder = TempDir::new().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = program(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "json"]).args(flags);
        let serving = Serving::start_logging(&mut command, log);
        let http = plain_http().build().unwrap();
        let id = async |given: &[&str]| {
            let request = http.get(format!("{}/v1/me", serving.base));
            let request = given.iter().fold(request, |request, id| request.header("x-request-id", *id));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.headers().get("x-request-id"), None);
            let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            body["request_id"].as_str().unwrap().to_owned()
        };
        let given = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        assert_eq!(id(&[given]).await == given, is_trusted, "{flags:?}");
        for wrong in
            [&["short"][..], &["with a space in it"], &["quote\"and}brace"], &[&"x".repeat(200)], &[given, given]]
        {
            let own = id(wrong).await;
            assert!(own.len() == 32 && own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
        }
        assert_eq!(serving.stop().0, Some(0));
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log.contains(given), is_trusted);
        assert!(!log.contains("with a space in it") && !log.contains("quote"), "{log}");
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    }
}
