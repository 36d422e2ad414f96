//! Races: calls of one subject at the same time, thousands of times over, and every answer judged by `model.rs`.
//!
//! Owns the ring: a server, callers that go through all of its routes in process, and what they were told. The rooms
//! below hold the races, each a few calls that begin at once. When all is over every token that was ever given out is
//! asked for again, in three ways. `SIGNET_ROUNDS` says how many rounds each race has.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex};

use futures_util::future::BoxFuture;
use poem::http::{Method, StatusCode};
use poem::{Endpoint as _, EndpointExt as _, Request, Route};
use serde_json::{Value, json};
use signet::api::front::{Behind, Front, Settings};
use tokio::sync::Barrier;

use crate::harness::{Options, PASSWORD, Server, at_once};
use crate::model::History;

mod accounts;
mod rights;
mod sessions;

/// Rounds that run at the same time.
const LANES: usize = 24;

/// Threads that hash passwords: no race is about a full queue, whatever else the machine has to do. Each has 16 places
/// in it, and a lane up to a hundred callers.
const HASH_WORKERS: usize = LANES * 100 / 16 + 1;

/// The permissions that every token is asked for.
const PERMISSIONS: [&str; 2] = ["polls.vote", "polls.close"];

/// Rounds of each race.
static ROUNDS: LazyLock<usize> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    std::env::var("SIGNET_ROUNDS").map_or(240, |rounds| rounds.parse().unwrap())
});

/// Where races take place. Clones are the same.
#[derive(Clone)]
struct Ring {
    server: Arc<Server>,
    routes: Arc<Behind<Route>>,
    history: Arc<Mutex<History>>,
    mail: Arc<tokio::sync::Mutex<()>>,
}

impl Ring {
    async fn open() -> Self {
        let server = Server::start_with(Options { hash_workers: HASH_WORKERS, ..Options::default() }).await;
        server.permissions(&PERMISSIONS).await;
        let id = server.admin().await.get("/v1/me").await.text("id");
        Self {
            routes: Arc::new(signet::api::routes().with(Front::new(server.app.clone(), Settings::default()))),
            server: Arc::new(server),
            history: Arc::new(Mutex::new(History::with("admin", &id, PASSWORD))),
            mail: Arc::default(),
        }
    }

    /// Runs the race in lanes, each with its share of the rounds.
    async fn run(&self, race: impl Fn(Self, usize, usize) -> BoxFuture<'static, ()>) {
        let share = |lane| *ROUNDS / LANES + usize::from(lane < *ROUNDS % LANES);
        at_once(LANES, |lane| race(self.clone(), lane, share(lane))).await;
    }

    fn nobody(&self) -> Caller {
        Caller { ring: self.clone(), token: None, is_machine: false, if_match: None, seen: Arc::default() }
    }

    async fn log_in(&self, username: &str, password: &str) -> Caller {
        let mut caller = self.nobody();
        caller.go_on("POST /v1/login", log_in(username, password)).await.is(StatusCode::OK);
        caller
    }

    /// The superuser, in a session of its own.
    async fn admin(&self) -> Caller {
        self.log_in("admin", PASSWORD).await
    }

    /// The token of the mail that a call brings to this address, which is the user's. One at a time: whoever waits
    /// until all mails are written lets no other begin.
    async fn letter(&self, asking: Runner, address: &str, user: &str) -> String {
        let (caller, what, body) = asking;
        let _alone = self.mail.lock().await;
        caller.call(&what, body).await.is(StatusCode::ACCEPTED);
        self.server.app.post().unwrap().settle().await;
        let mut tokens = Vec::new();
        for entry in std::fs::read_dir(self.server.folder().join("mail")).unwrap() {
            let path = entry.unwrap().path();
            let mail = std::fs::read_to_string(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            assert!(head.split("\r\n").any(|line| line == format!("To: {address}")), "{head}");
            let body = body.replace("=\r\n", "").replace("=3D", "=");
            tokens.push(body.split_once("#token=").unwrap().1.split_whitespace().next().unwrap().to_owned());
        }
        assert_eq!(tokens.len(), 1, "mails to {address}");
        self.history.lock().unwrap().letter(&tokens[0], user);
        tokens.remove(0)
    }

    /// Asks for the token in three ways: the session, the proxy's question, the permissions.
    async fn ask(&self, (text, is_machine, is_somebody): (Arc<str>, bool, bool), round: usize) {
        let caller = Caller { token: Some(text), is_machine, ..self.nobody() };
        if !is_machine {
            caller.call("GET /v1/session", Value::Null).await;
        }
        if is_somebody {
            let permission = PERMISSIONS[round % 2];
            caller.call(&format!("GET /v1/verify?permission={permission}"), Value::Null).await;
            caller.call("POST /v1/permissions/check", json!({ "permissions": PERMISSIONS })).await;
        }
    }

    /// Asks for every token that was ever given out, and has all answers judged.
    async fn judge(self) {
        let tokens = Arc::new(self.history.lock().unwrap().tokens());
        assert!(!tokens.is_empty(), "nothing is judged");
        at_once(LANES, |lane| {
            let (ring, tokens) = (self.clone(), Arc::clone(&tokens));
            Box::pin(async move {
                for (at, token) in tokens.iter().enumerate().skip(lane).step_by(LANES) {
                    ring.ask(token.clone(), at).await;
                }
            })
        })
        .await;
        let mut history = self.history.lock().unwrap();
        let faults = history.faults();
        let first: Vec<&str> = faults.iter().take(5).map(String::as_str).collect();
        assert!(faults.is_empty(), "{} of {} answers are wrong:\n{}", faults.len(), history.len(), first.join("\n"));
    }
}

/// A caller that keeps the cookie. Clones go on by themselves from the same cookie, and share what they have seen.
#[derive(Clone)]
struct Caller {
    ring: Ring,
    token: Option<Arc<str>>,
    /// Sends the token as an API token.
    is_machine: bool,
    if_match: Option<String>,
    /// Every token that they were given.
    seen: Arc<Mutex<Vec<Arc<str>>>>,
}

impl Caller {
    /// The same, without a cookie.
    fn anew(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// Makes the call, `METHOD path`, and gives the answer.
    async fn call(&self, what: &str, body: Value) -> Reply {
        let (method, path) = what.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let mut request = Request::builder().method(method.clone()).uri_str(path);
        if let Some(token) = &self.token {
            request = if self.is_machine {
                request.header("authorization", format!("Bearer {token}"))
            } else {
                request.header("cookie", format!("__Host-signet={token}"))
            };
        }
        if let Some(tag) = &self.if_match {
            request = request.header("if-match", tag);
        }
        let request = if body.is_null() {
            request.finish()
        } else {
            request.content_type("application/json").body(body.to_string())
        };
        let number = self.ring.history.lock().unwrap().begins(&method, path, body, self.token.as_deref());
        let answer = self.ring.routes.get_response(request).await;
        let field = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let set = field("set-cookie").map(|line| {
            let value = line.strip_prefix("__Host-signet=").unwrap();
            value.split(';').next().unwrap().to_owned()
        });
        let (status, tag) = (answer.status(), field("etag"));
        let body = answer.into_body().into_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = set.as_deref().filter(|token| !token.is_empty());
        self.ring.history.lock().unwrap().answered(number, status.as_u16(), body.clone(), token);
        self.seen.lock().unwrap().extend(token.map(Arc::from));
        Reply { what: what.to_owned(), status, body, tag, set }
    }

    /// Makes the call, and goes on with the cookie that it sets.
    async fn go_on(&mut self, what: &str, body: Value) -> Reply {
        let reply = self.call(what, body).await;
        match reply.set.as_deref() {
            Some("") => self.token = None,
            Some(token) => self.token = Some(token.into()),
            None => {}
        }
        reply
    }

    async fn get(&self, path: &str) -> Value {
        self.call(&format!("GET {path}"), Value::Null).await.is(StatusCode::OK).body
    }

    /// Makes something, and gives its path.
    async fn make(&self, path: &str, new: Value) -> String {
        let made = self.call(&format!("POST {path}"), new).await.is(StatusCode::CREATED);
        format!("{path}/{}", made.body["id"].as_str().unwrap())
    }

    /// Asks for everything that these callers were given.
    async fn ask_for_all(&self) {
        let seen = self.seen.lock().unwrap().clone();
        for (at, token) in seen.into_iter().enumerate() {
            self.ring.ask((token, false, true), at).await;
        }
    }

    /// Logs in once more, and has every session that is listed tried: what was opened and is dead is no device.
    async fn list_the_living(&self, username: &str, password: &str) {
        let mut last = self.anew();
        last.go_on("POST /v1/login", log_in(username, password)).await.is(StatusCode::OK);
        let listed = last.get("/v1/sessions").await;
        let seen = self.seen.lock().unwrap().clone();
        let mut living = HashSet::new();
        for token in seen {
            let session = Self { token: Some(token), ..self.clone() }.call("GET /v1/session", Value::Null).await;
            living.extend(session.body["id"].as_str().map(str::to_owned));
        }
        for device in listed["items"].as_array().unwrap() {
            let is_known = device["id"].as_str().is_some_and(|id| living.contains(id));
            assert!(is_known, "of {username}'s devices {device} is listed, and dead");
        }
    }
}

struct Reply {
    what: String,
    status: StatusCode,
    body: Value,
    tag: Option<String>,
    set: Option<String>,
}

impl Reply {
    #[track_caller]
    fn is(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.body);
        self
    }

    #[track_caller]
    fn one_of(self, statuses: &[u16]) -> Self {
        assert!(statuses.contains(&self.status.as_u16()), "{}: {} {}", self.what, self.status, self.body);
        self
    }

    fn is_done(&self) -> bool {
        self.status.is_success()
    }
}

/// A call of a race: who makes it, and what it is.
type Runner = (Caller, String, Value);

fn runner(caller: &Caller, what: impl Into<String>, body: Value) -> Runner {
    (caller.clone(), what.into(), body)
}

/// Makes all of the calls at the same time, each from a task of its own, some a little later than others, each time
/// other ones. Gives the answers in order.
async fn race(round: usize, runners: Vec<Runner>) -> Vec<Reply> {
    let start = Arc::new(Barrier::new(runners.len()));
    let run = |(at, (caller, what, body)): (usize, Runner)| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            for _ in 0..(round * 5 + at * 3) % 8 {
                tokio::task::yield_now().await;
            }
            caller.call(&what, body).await
        })
    };
    let running: Vec<_> = runners.into_iter().enumerate().map(run).collect();
    let mut answers = Vec::new();
    for runner in running {
        answers.push(runner.await.unwrap());
    }
    answers
}

fn done(answers: &[Reply]) -> usize {
    answers.iter().filter(|answer| answer.is_done()).count()
}

fn log_in(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password })
}
