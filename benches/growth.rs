//! What a request costs as there is more of everything: users, permissions of a group, open sessions, tokens in use.
//!
//! `cargo bench --bench growth`. The routes are called in this process, without sockets, while what stands beside them
//! grows by powers of ten. Users grow to 10⁵; `--users 1_000_000` for another number. What is durable is told as the
//! work of all threads, since the disk's time is the same whatever the number of users. Beside ten times as many, no
//! request may cost more than a little more: one more step of a search in order, and colder memory. Under each table
//! stands why.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::BTreeSet;
use std::path::Path;

use chrono::TimeDelta;
use futures_util::future::join_all;
use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{Endpoint as _, EndpointExt as _, Request, Response};
use signet::api::front::{Front, Settings};
use signet::app::App;
use signet::claims::{Claims, SessionId};
use signet::password::Password;
use signet::session::Session;
use signet::store::{Member, OpenSession, Record, Write};
use signet::user::User;
use support::{PASSWORD, Work, call, median, time};

mod support;

/// Users at the most, and at first.
const USERS: usize = 100_000;
const FEW_USERS: usize = 1_000;

/// Users, or other records, that are made in one commit.
const COMMITTED: usize = 5_000;

/// Log-ins and log-outs at once, and how often.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 9;

/// How many times as much a request may cost beside the most of something as beside a tenth of it. What looks at all of
/// them costs ten times as much.
const TARGET: f64 = 2.0;

fn main() {
    let folder = support::folder();
    let runtime = support::runtime_here();
    let house = runtime.block_on(House::open(folder.path()));
    let house = Measured { runtime, house };
    house.users(support::option("--users", USERS));
    house.permissions();
    house.sessions();
    house.tokens();
}

/// What a request costs beside so many of something.
struct Growth {
    what: &'static str,
    why: &'static str,
    figures: Vec<f64>,
}

/// Requests whose figures are to come, each with the reason for its growth.
fn requests<const N: usize>(rows: [(&'static str, &'static str); N]) -> Vec<Growth> {
    rows.into_iter().map(|(what, why)| Growth { what, why, figures: Vec::new() }).collect()
}

/// Figures of the requests beside one more number of something.
fn keep<const N: usize>(rows: &mut [Growth], figures: [f64; N]) {
    assert_eq!(rows.len(), N);
    for (row, figure) in rows.iter_mut().zip(figures) {
        row.figures.push(figure);
    }
}

/// Under each other: what has to stay as it is, nearly, and what is only told.
fn told(title: &str, counts: &[usize], rows: &[Growth], others: &[Growth]) {
    support::table(&format!("{title}: the last of {counts:?}, beside the others"));
    let figures = |row: &Growth| {
        let (last, before) = row.figures.split_last().unwrap();
        let beside: Vec<String> = before.iter().map(|figure| time(*figure)).collect();
        let step = last / before.last().unwrap();
        (time(*last), beside.join(", "), step, format!("{step:.2}; in all {:.2}", last / row.figures[0]))
    };
    for row in rows {
        let (last, beside, step, ratio) = figures(row);
        support::row(row.what, &last, &beside, &ratio, &format!("≤ {TARGET}"), step <= TARGET);
    }
    for row in others {
        let (last, beside, _, ratio) = figures(row);
        support::note(row.what, &last, &beside, &ratio);
    }
    println!();
    for Growth { what, why, .. } in rows.iter().chain(others) {
        println!("* {what}: {why}.");
    }
}

/// A Signet and its routes.
struct House {
    app: App,
    routes: BoxEndpoint<'static, Response>,
    admin: String,
    /// A user without rights, of whom there are many.
    plain: User,
}

impl House {
    async fn open(folder: &Path) -> Self {
        let app = support::wired(folder, support::clock()).await;
        let routes = signet::api::routes().with(Front::new(app.clone(), Settings::default()).answering_again()).boxed();
        let password = app.pool().hash(Password::new(PASSWORD).unwrap()).await.unwrap();
        let plain = User { password, ..support::user(&app, "nobody") };
        let mut house = Self { app, routes, admin: String::new(), plain };
        let answer = house.answer(Self::login("admin")).await;
        house.admin = cookie(&answer);
        house
    }

    async fn answer(&self, request: Request) -> Response {
        let answer = self.routes.get_response(request).await;
        assert!(answer.status().is_success(), "{answer:?}");
        answer
    }

    fn login(name: &str) -> Request {
        ask(Method::POST, "/v1/login", "", &support::credentials(name, PASSWORD))
    }

    async fn commit(&self, writes: impl Iterator<Item = Write>) {
        let mut writes = writes.peekable();
        while writes.peek().is_some() {
            self.app.store().commit(writes.by_ref().take(COMMITTED).collect()).await.unwrap();
        }
    }

    /// Where the last page of a list is.
    async fn last_page(&self, list: &str, cookie: &str) -> String {
        let mut page = list.to_owned();
        loop {
            let answer = self.answer(ask(Method::GET, &page, cookie, "")).await;
            let answer: serde_json::Value = answer.into_body().into_json().await.unwrap();
            match answer["next"].as_str() {
                Some(next) => page = format!("{list}&cursor={next}"),
                None => return page,
            }
        }
    }

    /// A user in a group with so many permissions, with a session.
    async fn member(&self, name: &str, permissions: usize) -> (User, Session) {
        let granted = support::permissions(name, permissions);
        let group = support::group(&self.app, name, granted.clone());
        let user = User { groups: BTreeSet::from([group.id]), ..support::user(&self.app, name) };
        let mut writes = support::made(&granted);
        writes.extend([Write::CreateGroup(group), Write::CreateUser(Box::new(user.clone()))]);
        self.app.commit(writes).await.unwrap();
        let member = Member { user: user.clone(), groups: vec![name.to_owned()] };
        (user, support::sessions(&self.app, &member, 1).await.remove(0))
    }
}

fn ask(method: Method, path: &str, cookie: &str, body: &str) -> Request {
    let request = Request::builder().method(method).uri_str(path).header("cookie", cookie);
    if body.is_empty() { request.finish() } else { request.content_type("application/json").body(body.to_owned()) }
}

fn cookie(answer: &Response) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn cookie_of(session: &Session) -> String {
    support::cookie_of(session.token().unwrap())
}

/// The house, and what its requests run on.
struct Measured {
    runtime: tokio::runtime::Runtime,
    house: House,
}

impl Measured {
    /// Nanoseconds of a request.
    fn request(&self, request: impl Fn() -> Request) -> f64 {
        call(|| {
            self.runtime.block_on(async {
                let answer = self.house.answer(request()).await;
                drop(answer.into_body().into_bytes().await.unwrap());
            });
        })
    }

    fn get(&self, path: &str, cookie: &str) -> f64 {
        self.request(|| ask(Method::GET, path, cookie, ""))
    }

    /// Nanoseconds of work of all threads for each of requests that are made at once.
    fn work(&self, mut requests: impl FnMut() -> Vec<Request>) -> f64 {
        let mut round = || {
            let requests = requests();
            let (count, work) = (requests.len(), Work::of(std::process::id()));
            self.runtime.block_on(join_all(requests.into_iter().map(|request| self.house.answer(request))));
            work.more() / count as f64
        };
        round();
        median((0..ROUNDS).map(|_| round()))
    }

    fn users(&self, most: usize) {
        let steps = std::iter::successors(Some(FEW_USERS), |count| Some(count * 10));
        let counts: Vec<usize> = steps.take_while(|count| *count <= most).collect();
        let mut rows = requests([
            ("`GET /v1/session`", "the token and what is in memory say it; users are not looked at"),
            ("`POST /v1/permissions/check`", "as well, by the table of groups"),
            (
                "`GET /v1/sessions` of a user with one",
                "one step into the index of the store, and as many records as sessions",
            ),
            (
                "a log-in without its hash, work",
                "steps into the index, for the name and for each write; and into the file, once not all users fit into memory",
            ),
            ("`GET /v1/users`, a page", "a step into the index, and as many records as are on the page"),
            ("… the page after the middle", "as well: the cursor is a key"),
            ("… by the latest log-in", "as well: each order has keys of its own"),
            (
                "… searched for what nobody has",
                "looks at users in order, at 20,000 of them at the most, then gives a cursor",
            ),
        ]);
        let (_, session) = self.runtime.block_on(self.house.member("alice", 1_000));
        let (own, admin) = (cookie_of(&session), &self.house.admin);
        let question = r#"{"permissions":["polls.alice_0999"]}"#;
        let mut there = 0;
        for count in &counts {
            let user = |n: usize| {
                let id = signet::claims::UserId::random();
                let user = User { id, ..self.house.plain.clone() };
                let username = signet::user::Username::parse(&format!("user{n:07}")).unwrap();
                Write::CreateUser(Box::new(User { username, email: format!("user{n}@example.org"), ..user }))
            };
            self.runtime.block_on(self.house.commit((there..*count).map(user)));
            there = *count;
            let mut turn = 0;
            let log_ins = || {
                let some = (0..AT_ONCE).map(|n| House::login(&format!("user{:07}", (turn * AT_ONCE + n) * 37 % count)));
                let some = some.collect();
                turn += 1;
                some
            };
            let middle = {
                use base64::Engine as _;
                base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("user{:07}", count / 2))
            };
            let figures = [
                self.get("/v1/session", &own),
                self.request(|| ask(Method::POST, "/v1/permissions/check", &own, question)),
                self.get("/v1/sessions", &own),
                self.work(log_ins),
                self.get("/v1/users", admin),
                self.get(&format!("/v1/users?cursor={middle}"), admin),
                self.get("/v1/users?order=-last_login", admin),
                self.get("/v1/users?search=whom-nobody-knows", admin),
            ];
            keep(&mut rows, figures);
        }
        told("Users", &counts, &rows, &[]);
    }

    fn permissions(&self) {
        let counts = [10, 100, 1_000];
        let mut rows = requests([
            ("`GET /v1/session`", "what a group grants is not in the token"),
            ("`POST /v1/permissions/check`", "one look into the table of the group"),
            (
                "`GET /v1/verify`, with a permission",
                "as well, and names all that are granted, sorted, as long as they take no more than 2,048 bytes",
            ),
            ("first sight of the token", "the token is as long as without them"),
        ]);
        for count in counts {
            let name = format!("crowd{count}");
            let (_, session) = self.runtime.block_on(self.house.member(&name, count));
            let (own, last) = (cookie_of(&session), format!("polls.{name}_{:04}", count - 1));
            let question = format!(r#"{{"permissions":["{last}"]}}"#);
            let app = &self.house.app;
            let figures = [
                self.get("/v1/session", &own),
                self.request(|| ask(Method::POST, "/v1/permissions/check", &own, &question)),
                self.request(|| {
                    let request = Request::builder().uri_str(format!("/v1/verify?permission={last}"));
                    request.header("cookie", &own).header("x-forwarded-method", "GET").finish()
                }),
                call(|| app.tokens().verify_anew(session.token().unwrap(), app.now()).unwrap()),
            ];
            keep(&mut rows, figures);
        }
        told("Permissions of a group", &counts, &rows, &[]);
    }

    fn sessions(&self) {
        let counts = [1_000, 10_000, 100_000];
        let mut rows = requests([
            ("`GET /v1/session`", "the other sessions are not looked at"),
            ("a log-in without its hash, work", "one more key; the others are not looked at"),
            ("a log-out, work", "one key less; as well"),
            ("`DELETE /v1/sessions/{sid}`, work", "its key is made of the user and the session"),
            ("`GET /v1/sessions`, a page", "a step into the index, and as many records as are on the page"),
            ("… the last page", "as well: the cursor is a key"),
        ]);
        // What ends as many is not held against a target.
        let mut ends =
            requests([("`DELETE /v1/sessions`, work", "each of those that end leaves the list: as many records")]);
        for count in counts {
            let house = &self.house;
            let name = format!("busy{count}");
            let username = signet::user::Username::parse(&name).unwrap();
            let id = signet::claims::UserId::random();
            let user = User { id, username, ..house.plain.clone() };
            let open = |_| OpenSession {
                id: SessionId::random(),
                user: id,
                created: house.app.now(),
                ends: house.app.now() + TimeDelta::days(14),
                epoch: house.app.revocations().epoch(),
                address: "192.0.2.1".to_owned(),
                agent: "curl/8.0".to_owned(),
            };
            let restored = (0..count).map(open).map(|open| Write::Restore(Box::new(Record::Session(open))));
            let created = std::iter::once(Write::CreateUser(Box::new(user.clone())));
            self.runtime.block_on(house.commit(created.chain(restored)));
            let member = Member { user, groups: Vec::new() };
            let some = || self.runtime.block_on(support::sessions(&house.app, &member, AT_ONCE));
            let own = cookie_of(&some()[0]);
            let sid = |session: &Session| session.claims().unwrap().sid;
            let figures = [
                self.get("/v1/session", &own),
                self.work(|| (0..AT_ONCE).map(|_| House::login(&name)).collect()),
                self.work(|| {
                    let log_out = |session: &Session| ask(Method::POST, "/v1/logout", &cookie_of(session), "");
                    some().iter().map(log_out).collect()
                }),
                self.work(|| {
                    let end =
                        |session: &Session| ask(Method::DELETE, &format!("/v1/sessions/{}", sid(session)), &own, "");
                    some().iter().take(4).map(end).collect()
                }),
                self.get("/v1/sessions", &own),
                self.get(&self.runtime.block_on(house.last_page("/v1/sessions?limit=50", &own)), &own),
            ];
            keep(&mut rows, figures);
            let work = Work::of(std::process::id());
            self.runtime.block_on(house.answer(ask(Method::DELETE, "/v1/sessions", &own, "")));
            keep(&mut ends, [work.more()]);
        }
        told("Open sessions of one user", &counts, &rows, &ends);
    }

    fn tokens(&self) {
        let counts = [1_000, 30_000, 300_000];
        let mut rows = requests([
            (
                "`GET /v1/session`",
                "a token that is not remembered any more costs its signature, however many there are",
            ),
            ("first sight of a token, alone", "it is the signature"),
        ]);
        let (_, session) = self.runtime.block_on(self.house.member("crowded", 1));
        for count in counts {
            let token = |_| {
                let claims = Claims { sid: SessionId::random(), ..session.claims().unwrap().clone() };
                support::cookie_of(&self.house.app.tokens().mint(&claims).unwrap())
            };
            let cookies: Vec<String> = (0..count).map(token).collect();
            let turns = std::cell::RefCell::new(cookies.iter().cycle());
            // Each of them once, so that as many are remembered as can be; many more than that are.
            for cookie in cookies.iter().take(counts[1]) {
                self.runtime.block_on(self.house.answer(ask(Method::GET, "/v1/session", cookie, "")));
            }
            let next = || ask(Method::GET, "/v1/session", turns.borrow_mut().next().unwrap(), "");
            let app = &self.house.app;
            let first = call(|| app.tokens().verify_anew(session.token().unwrap(), app.now()).unwrap());
            keep(&mut rows, [self.request(next), first]);
        }
        told("Tokens in use, in turn", &counts, &rows, &[]);
    }
}
