//! Ending things while they are in use: whatever the order turns out to be, nothing that was ended lives on.
//!
//! The rounds call the whole of the routes in process, many at once on several threads, and replay every token that
//! they ever saw when all is over.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::sync::{Arc, Mutex};

use poem::http::{Method, StatusCode};
use poem::{Endpoint as _, EndpointExt as _, Request, Route};
use serde_json::{Value, json};
use signet::api::front::{Behind, Front, Settings};
use tokio::sync::Barrier;

use crate::harness::{Options, PASSWORD, Server, at_once};

/// Rounds that run at the same time.
const LANES: usize = 24;

/// Signet's routes behind its front, called without a network.
#[derive(Clone)]
struct Routes(Arc<Behind<Route>>);

impl Routes {
    fn of(server: &Server) -> Self {
        Self(Arc::new(signet::api::routes().with(Front::new(server.app.clone(), Settings::default()))))
    }

    fn anonymous(&self) -> Caller {
        Caller { routes: self.clone(), cookie: String::new(), seen: Arc::default() }
    }

    async fn log_in(&self, username: &str) -> Caller {
        let mut caller = self.anonymous();
        caller.log_in(username).await.is(StatusCode::OK);
        caller
    }

    /// Whether the token is still accepted.
    async fn accept(&self, token: &str) -> bool {
        let mut caller = Caller { cookie: token.to_owned(), ..self.anonymous() };
        match caller.get("/v1/session").await.0 {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            status => panic!("GET /v1/session: {status}"),
        }
    }

    async fn accept_none_of(&self, tokens: &[String], why: &str) {
        for token in tokens {
            assert!(!self.accept(token).await, "{why}");
        }
    }
}

/// A caller that keeps the cookie. Clones go on by themselves from the same cookie, and share what they have seen.
#[derive(Clone)]
struct Caller {
    routes: Routes,
    cookie: String,
    /// Every token that was ever set.
    seen: Arc<Mutex<Vec<String>>>,
}

struct Reply(StatusCode, Value);

impl Reply {
    #[track_caller]
    fn is(self, status: StatusCode) -> Self {
        assert_eq!(self.0, status, "{}", self.1);
        self
    }

    #[track_caller]
    fn one_of(self, statuses: &[u16]) -> Self {
        assert!(statuses.contains(&self.0.as_u16()), "{} {}", self.0, self.1);
        self
    }
}

impl Caller {
    async fn call(&mut self, method: Method, path: &str, body: Value) -> Reply {
        let mut request = Request::builder().method(method).uri_str(path);
        if !self.cookie.is_empty() {
            request = request.header("cookie", format!("__Host-signet={}", self.cookie));
        }
        let request = if body.is_null() {
            request.finish()
        } else {
            request.content_type("application/json").body(body.to_string())
        };
        let answer = self.routes.0.get_response(request).await;
        let set = answer.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned());
        for line in set.collect::<Vec<_>>() {
            let token = line.strip_prefix("__Host-signet=").unwrap().split(';').next().unwrap();
            token.clone_into(&mut self.cookie);
            if !token.is_empty() {
                self.seen.lock().unwrap().push(token.to_owned());
            }
        }
        let status = answer.status();
        let body = answer.into_body().into_bytes().await.unwrap();
        Reply(status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(&mut self, path: &str) -> Reply {
        self.call(Method::GET, path, Value::Null).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, body).await
    }

    async fn patch(&mut self, path: &str, body: Value) -> Reply {
        self.call(Method::PATCH, path, body).await
    }

    async fn log_in(&mut self, username: &str) -> Reply {
        self.post("/v1/login", json!({ "username": username, "password": PASSWORD })).await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// A request of a race: who calls, with what.
type Runner = (Caller, Method, &'static str, Value);

/// Makes all of the requests at the same time, each from a task of its own, and gives the answers in order.
async fn race(runners: Vec<Runner>) -> Vec<Reply> {
    let start = Arc::new(Barrier::new(runners.len()));
    let run = |(mut caller, method, path, body): Runner| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            caller.call(method, path, body).await
        })
    };
    let running: Vec<_> = runners.into_iter().map(run).collect();
    let mut answers = Vec::new();
    for runner in running {
        answers.push(runner.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_of_a_session_lives_on_after_a_log_out_among_renewals_and_writes() {
    const ROUNDS: usize = 60;
    let server = Server::start().await;
    let routes = Routes::of(&server);
    let seen = at_once(LANES, |lane| {
        let routes = routes.clone();
        Box::pin(async move {
            let mut all = Vec::new();
            let log_in = json!({ "username": format!("user{lane}"), "password": PASSWORD });
            routes.anonymous().post("/v1/register", log_in.clone()).await.is(StatusCode::CREATED);
            for round in 0..ROUNDS {
                let mut caller = routes.anonymous();
                if lane % 3 == 0 {
                    caller.post("/v1/login", log_in.clone()).await.is(StatusCode::OK);
                }
                caller.patch("/v1/session", json!({ "round": round })).await.is(StatusCode::OK);
                let ending = match round % 3 {
                    0 => (Method::POST, "/v1/logout"),
                    1 => (Method::DELETE, "/v1/session"),
                    _ if lane % 3 == 0 => (Method::DELETE, "/v1/sessions?keep=current"),
                    _ => (Method::POST, "/v1/login"),
                };
                let body = match ending.1 {
                    "/v1/login" => log_in.clone(),
                    _ => Value::Null,
                };
                // What the ending answers with is of another session or generation: seen by somebody else.
                let ender = Caller { seen: Arc::default(), ..caller.clone() };
                let answers = race(vec![
                    (caller.clone(), Method::POST, "/v1/session/renew", Value::Null),
                    (ender.clone(), ending.0, ending.1, body),
                    (caller.clone(), Method::PATCH, "/v1/session", json!({ "a": round })),
                    (caller.clone(), Method::PUT, "/v1/session/data/b", json!({ "value": round })),
                    (caller.clone(), Method::GET, "/v1/session", Value::Null),
                ])
                .await;
                for (at, answer) in answers.into_iter().enumerate() {
                    answer.one_of(if at == 1 { &[200, 204] } else { &[200, 401] });
                }
                let tokens = caller.seen();
                routes.accept_none_of(&tokens, ending.1).await;
                for token in ender.seen() {
                    assert!(routes.accept(&token).await, "the caller of {} goes on", ending.1);
                }
                all.extend(tokens);
            }
            all
        })
    })
    .await;
    let seen = seen.concat();
    assert!(seen.len() >= LANES * ROUNDS);
    routes.accept_none_of(&seen, "replayed at the end").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_of_a_session_lives_on_after_a_log_out_while_it_slides_on() {
    const SESSIONS: usize = 40;
    let server = Server::start().await;
    let routes = Routes::of(&server);
    let sessions = at_once(LANES, |_| {
        let routes = routes.clone();
        Box::pin(async move {
            let mut sessions = Vec::new();
            for _ in 0..SESSIONS {
                let mut caller = routes.anonymous();
                caller.patch("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
                sessions.push(caller);
            }
            sessions
        })
    })
    .await;
    // Beyond half of its time: whoever uses a token now is given the next one.
    server.pass(1900);
    let sessions = Arc::new(sessions);
    let slid = at_once(LANES, |lane| {
        let (routes, sessions) = (routes.clone(), Arc::clone(&sessions));
        Box::pin(async move {
            let mut slid = 0;
            for caller in &sessions[lane] {
                let read = || (caller.clone(), Method::GET, "/v1/session", Value::Null);
                let end = (caller.clone(), Method::POST, "/v1/logout", Value::Null);
                let answers = race(vec![read(), read(), end, read()]).await;
                for (at, answer) in answers.into_iter().enumerate() {
                    answer.one_of(if at == 2 { &[204] } else { &[200, 401] });
                }
                let tokens = caller.seen();
                slid += tokens.len() - 1;
                routes.accept_none_of(&tokens, "slid on").await;
            }
            slid
        })
    })
    .await;
    assert!(slid.iter().sum::<usize>() > 0, "no token was issued in a race: the test judges nothing");
    let seen: Vec<String> = sessions.iter().flatten().flat_map(Caller::seen).collect();
    routes.accept_none_of(&seen, "replayed at the end").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disabled_user_is_out_whatever_was_renewed_meanwhile_and_stays_out_when_enabled_again() {
    const ROUNDS: usize = 30;
    let server = Server::start_with(Options { hash_workers: 8, ..Options::default() }).await;
    let routes = Routes::of(&server);
    let admin = routes.log_in("admin").await;
    let seen = at_once(LANES, |lane| {
        let (routes, mut admin) = (routes.clone(), admin.clone());
        Box::pin(async move {
            let name = format!("user{lane}");
            let new = json!({ "username": name, "password": PASSWORD });
            let made = admin.post("/v1/users", new.clone()).await.is(StatusCode::CREATED);
            let path: &str = Box::leak(format!("/v1/users/{}", made.1["id"].as_str().unwrap()).into_boxed_str());
            let mut all = Vec::new();
            for round in 0..ROUNDS {
                let caller = routes.log_in(&name).await;
                let login = || Caller { cookie: String::new(), ..caller.clone() };
                let answers = race(vec![
                    (caller.clone(), Method::POST, "/v1/session/renew", Value::Null),
                    (caller.clone(), Method::PATCH, "/v1/session", json!({ "a": round })),
                    (login(), Method::POST, "/v1/login", new.clone()),
                    (admin.clone(), Method::PATCH, path, json!({ "is_active": false })),
                    (caller.clone(), Method::GET, "/v1/me", Value::Null),
                    (login(), Method::POST, "/v1/login", new.clone()),
                ])
                .await;
                for (at, answer) in answers.into_iter().enumerate() {
                    answer.one_of(if at == 3 { &[200] } else { &[200, 401] });
                }
                let tokens = caller.seen();
                routes.accept_none_of(&tokens, "disabled").await;
                routes.anonymous().log_in(&name).await.is(StatusCode::UNAUTHORIZED);
                admin.patch(path, json!({ "is_active": true })).await.is(StatusCode::OK);
                routes.accept_none_of(&tokens, "disabled, and enabled again").await;
                all.extend(tokens);
            }
            all
        })
    })
    .await;
    routes.accept_none_of(&seen.concat(), "replayed at the end").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_grant_and_a_withdrawal_at_the_same_time_every_token_has_the_rights_of_the_record() {
    const ROUNDS: usize = 25;
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    let routes = Routes::of(&server);
    let admin = routes.log_in("admin").await;
    at_once(LANES, |lane| {
        let (routes, mut admin) = (routes.clone(), admin.clone());
        Box::pin(async move {
            let name = format!("user{lane}");
            let new = json!({ "username": name, "password": PASSWORD });
            let made = admin.post("/v1/users", new).await.is(StatusCode::CREATED);
            let path: &str = Box::leak(format!("/v1/users/{}", made.1["id"].as_str().unwrap()).into_boxed_str());
            let caller = routes.log_in(&name).await;
            for round in 0..ROUNDS {
                let answers = race(vec![
                    (admin.clone(), Method::PATCH, path, json!({ "user_permissions": ["polls.vote"] })),
                    (caller.clone(), Method::POST, "/v1/session/renew", Value::Null),
                    (admin.clone(), Method::PATCH, path, json!({ "user_permissions": [] })),
                    (caller.clone(), Method::PATCH, "/v1/session", json!({ "a": round })),
                    (admin.clone(), Method::PATCH, path, json!({ "user_permissions": ["polls.close"] })),
                    (caller.clone(), Method::GET, "/v1/session", Value::Null),
                ])
                .await;
                for answer in answers {
                    answer.is(StatusCode::OK);
                }
                let record = admin.get(path).await.is(StatusCode::OK).1["user_permissions"].clone();
                let tokens = caller.seen();
                for token in tokens.iter().rev().take(20).chain(&tokens[..1]) {
                    let mut caller = Caller { cookie: token.clone(), ..caller.clone() };
                    let asked = json!({ "permissions": ["polls.vote", "polls.close"] });
                    let asked = caller.post("/v1/permissions/check", asked).await.is(StatusCode::OK).1;
                    for name in ["polls.vote", "polls.close"] {
                        let granted = record.as_array().unwrap().contains(&json!(name));
                        assert_eq!(asked["results"][name], granted, "{name}; on record: {record}");
                    }
                }
            }
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_is_left_with_the_former_name_of_a_group() {
    const ROUNDS: usize = 20;
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close", "polls.count"]).await;
    let routes = Routes::of(&server);
    let admin = routes.log_in("admin").await;
    at_once(LANES, |lane| {
        let (routes, mut admin) = (routes.clone(), admin.clone());
        Box::pin(async move {
            let group = json!({ "name": format!("g{lane}-0"), "permissions": ["polls.vote"] });
            let group = admin.post("/v1/groups", group).await.is(StatusCode::CREATED).1;
            let group: &str = Box::leak(format!("/v1/groups/{}", group["id"].as_str().unwrap()).into_boxed_str());
            let name = format!("user{lane}");
            let new = json!({ "username": name, "password": PASSWORD, "groups": [format!("g{lane}-0")] });
            let made = admin.post("/v1/users", new).await.is(StatusCode::CREATED);
            let user: &str = Box::leak(format!("/v1/users/{}", made.1["id"].as_str().unwrap()).into_boxed_str());
            let caller = routes.log_in(&name).await;
            for round in 0..ROUNDS {
                let (before, after) = (format!("g{lane}-{round}"), format!("g{lane}-{}", round + 1));
                let extra = if round % 2 == 0 { json!(["polls.count"]) } else { json!([]) };
                let log_in = json!({ "username": name, "password": PASSWORD });
                let nobody = Caller { cookie: String::new(), ..caller.clone() };
                let mut runners = vec![
                    // Makes tokens stale, so that claims are read again just while the name changes.
                    (admin.clone(), Method::PATCH, user, json!({ "user_permissions": extra })),
                    (admin.clone(), Method::PATCH, group, json!({ "name": after })),
                    (nobody, Method::POST, "/v1/login", log_in),
                ];
                let read = || (caller.clone(), Method::GET, "/v1/session", Value::Null);
                runners.extend((0..4).map(|_| read()));
                for answer in race(runners).await {
                    answer.is(StatusCode::OK);
                }
                let other = json!({ "name": before, "permissions": ["polls.close"] });
                let other = admin.post("/v1/groups", other).await.is(StatusCode::CREATED).1;
                let tokens = caller.seen();
                for token in tokens.iter().rev().take(8).chain(&tokens[..1]) {
                    let mut caller = Caller { cookie: token.clone(), ..caller.clone() };
                    let asked = json!({ "permissions": ["polls.vote", "polls.close"] });
                    let asked = caller.post("/v1/permissions/check", asked).await.is(StatusCode::OK).1;
                    assert_eq!(asked["results"]["polls.vote"], true, "a member keeps what the group grants");
                    assert_eq!(asked["results"]["polls.close"], false, "what another group of that name grants");
                }
                let other = format!("/v1/groups/{}", other["id"].as_str().unwrap());
                admin.call(Method::DELETE, &other, Value::Null).await.is(StatusCode::NO_CONTENT);
            }
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_superusers_who_demote_each_other_one_remains() {
    const ROUNDS: usize = 500;
    let server = Server::start().await;
    let routes = Routes::of(&server);
    let mut first = routes.log_in("admin").await;
    let new = json!({ "username": "second", "password": PASSWORD, "is_staff": true, "is_superuser": true });
    let path = |made: &Value| -> &'static str {
        Box::leak(format!("/v1/users/{}", made["id"].as_str().unwrap()).into_boxed_str())
    };
    let second_path = path(&first.post("/v1/users", new).await.is(StatusCode::CREATED).1);
    let first_path = path(&first.get("/v1/me").await.1);
    let mut second = routes.log_in("second").await;
    let mut refused = 0;
    for round in 0..ROUNDS {
        let demotion = match round % 3 {
            0 => json!({ "is_superuser": false }),
            1 => json!({ "is_superuser": false, "is_staff": true }),
            _ => json!({ "is_superuser": false, "first_name": "Demoted" }),
        };
        let answers = race(vec![
            (first.clone(), Method::PATCH, second_path, demotion.clone()),
            (second.clone(), Method::PATCH, first_path, demotion),
        ])
        .await;
        for answer in answers {
            refused += usize::from(answer.one_of(&[200, 403, 409]).0 != StatusCode::OK);
        }
        let flag = |answer: Reply| answer.is(StatusCode::OK).1["is_superuser"] == true;
        let left = (flag(first.get("/v1/me").await), flag(second.get("/v1/me").await));
        let promotion = json!({ "is_superuser": true });
        match left {
            (true, false) => drop(first.patch(second_path, promotion).await.is(StatusCode::OK)),
            (false, true) => drop(second.patch(first_path, promotion).await.is(StatusCode::OK)),
            (true, true) => panic!("neither was demoted"),
            (false, false) => panic!("no superuser is left"),
        }
    }
    assert_eq!(refused, ROUNDS, "of every pair one is refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_change_of_password_only_what_came_by_the_new_one_lives() {
    const ROUNDS: usize = 25;
    let server = Server::start_with(Options { hash_workers: 8, ..Options::default() }).await;
    let routes = Routes::of(&server);
    let admin = routes.log_in("admin").await;
    let seen = at_once(LANES, |lane| {
        let (routes, mut admin) = (routes.clone(), admin.clone());
        Box::pin(async move {
            let name = format!("user{lane}");
            let new = json!({ "username": name, "password": PASSWORD });
            admin.post("/v1/users", new).await.is(StatusCode::CREATED);
            let mut all = Vec::new();
            for round in 0..ROUNDS {
                let passwords = [PASSWORD, "another good sentence"];
                let (old, new) = (passwords[round % 2], passwords[1 - round % 2]);
                let log_in = |password| json!({ "username": name, "password": password });
                let mut caller = routes.anonymous();
                caller.post("/v1/login", log_in(old)).await.is(StatusCode::OK);
                let nobody = || Caller { cookie: String::new(), ..caller.clone() };
                let changer = Caller { seen: Arc::default(), ..caller.clone() };
                let late = Caller { cookie: String::new(), seen: Arc::default(), ..caller.clone() };
                let change = json!({ "old_password": old, "new_password": new });
                let answers = race(vec![
                    (nobody(), Method::POST, "/v1/login", log_in(old)),
                    (changer.clone(), Method::POST, "/v1/password", change),
                    (caller.clone(), Method::POST, "/v1/session/renew", Value::Null),
                    (late.clone(), Method::POST, "/v1/login", log_in(new)),
                    (nobody(), Method::POST, "/v1/login", log_in(old)),
                    (caller.clone(), Method::PATCH, "/v1/session", json!({ "a": round })),
                ])
                .await;
                for (at, answer) in answers.into_iter().enumerate() {
                    answer.one_of(if at == 1 { &[200] } else { &[200, 401] });
                }
                // All of it in the same second: it is no time that tells them apart.
                let tokens = caller.seen();
                routes.accept_none_of(&tokens, "by the old password").await;
                for token in changer.seen().iter().chain(&late.seen()) {
                    assert!(routes.accept(token).await, "what came by the new password lives");
                }
                routes.anonymous().post("/v1/login", log_in(old)).await.is(StatusCode::UNAUTHORIZED);
                all.extend(tokens);
            }
            all
        })
    })
    .await;
    routes.accept_none_of(&seen.concat(), "replayed at the end").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_in_among_new_epochs_is_of_the_newest_or_dead() {
    const ROUNDS: usize = 60;
    let server = Server::start_with(Options { hash_workers: 8, ..Options::default() }).await;
    let routes = Routes::of(&server);
    let log_in = json!({ "username": "admin", "password": PASSWORD });
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let caller = routes.log_in("admin").await;
        let entering = || Caller { cookie: String::new(), seen: Arc::default(), ..caller.clone() };
        let entered: Vec<Caller> = std::iter::repeat_with(entering).take(4).collect();
        let mut runners = vec![
            (caller.clone(), Method::POST, "/v1/epoch", Value::Null),
            (caller.clone(), Method::POST, "/v1/session/renew", Value::Null),
            (caller.clone(), Method::PATCH, "/v1/session", json!({ "a": round })),
        ];
        runners.extend(entered.iter().map(|entering| (entering.clone(), Method::POST, "/v1/login", log_in.clone())));
        for (at, answer) in race(runners).await.into_iter().enumerate() {
            answer.one_of(if at == 0 { &[204] } else { &[200, 401] });
        }
        let epoch = server.app.revocations().epoch();
        assert_eq!(epoch, round as u64 + 1);
        routes.accept_none_of(&caller.seen(), "of the epoch before").await;
        for token in entered.iter().flat_map(Caller::seen) {
            let is_new = crate::tokens::claims_of(&token)["epoch"] == epoch;
            assert_eq!(routes.accept(&token).await, is_new, "round {round}");
            all.push(token);
        }
        all.extend(caller.seen());
    }
    let mut last = routes.log_in("admin").await;
    last.post("/v1/epoch", Value::Null).await.is(StatusCode::NO_CONTENT);
    routes.accept_none_of(&all, "replayed at the end").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_made_from_the_same_state_one_is_made() {
    const ROUNDS: usize = 40;
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (_, id) = server.user("bob", json!({})).await;
    let group = server.group("group", &[]).await;
    server.permissions(&["polls.vote"]).await;
    for round in 0..ROUNDS {
        for (path, member) in [
            (format!("/v1/users/{id}"), "first_name"),
            (format!("/v1/groups/{group}"), "name"),
            ("/v1/permissions/polls.vote".to_owned(), "description"),
        ] {
            let tag = admin.get(&path).await.header("etag").unwrap().to_owned();
            let start = Arc::new(Barrier::new(4));
            let statuses = at_once(4, |n| {
                let (mut admin, start) = (admin.clone(), Arc::clone(&start));
                let (path, tag) = (path.clone(), tag.clone());
                Box::pin(async move {
                    let body = Some(json!({ member: format!("{round} {n}") }));
                    start.wait().await;
                    admin.call(reqwest::Method::PATCH, &path, body, &[("if-match", &tag)]).await.status.as_u16()
                })
            })
            .await;
            assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{path}: {statuses:?}");
            assert!(statuses.iter().all(|status| [200, 409, 412].contains(status)), "{path}: {statuses:?}");
            let won = statuses.iter().position(|status| *status == 200).unwrap();
            assert_eq!(admin.get(&path).await.json()[member], format!("{round} {won}"));
        }
    }
}
