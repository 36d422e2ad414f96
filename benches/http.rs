//! What a session costs: Signet beside bare routes that answer the very same bytes to the same requests.
//!
//! `cargo bench --bench http`. Each server is a process of its own on one core, the load comes from another: 32
//! connections that are kept alive, in rounds that take turns, so that the noise of the machine meets both alike.
//! What is left between the two is what Signet does: the front, the guard, the token, the answer. A write is held
//! against a route that does nothing but sign the same message; a server with ten million revocations in memory
//! (`--revocations N` for another number) against one with none.
//!
//! The ratio of two rates says something only as long as the servers, and not the load, are what cannot go faster: how
//! long each was on its core is told beside them, and the work that each request was.
//!
//! `cargo bench --bench http -- --calls session 100000` only calls the routes, in process, so that a profiler can
//! watch: `session`, `verify`, `write`, or `bare`, which answers as `session` does.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::Bytes;
use chrono::TimeDelta;
use poem::http::{HeaderName, HeaderValue, Method, StatusCode};
use poem::listener::{AcceptorExt as _, TcpAcceptor};
use poem::{Endpoint, EndpointExt as _, Request, Response, Route};
use signet::api::front::{Front, Settings};
use signet::claims::SessionId;
use signet::store::Revocation;
use support::{Compared, PASSWORD, Round, Running};

mod support;

/// Connections that are kept alive.
const CONNECTIONS: usize = 32;

/// Rounds of each kind.
const ROUNDS: usize = 9;

/// How long a round takes.
const ROUND: Duration = Duration::from_secs(1);

/// How long the servers are warmed up before the first round.
const WARM_UP: Duration = Duration::from_millis(500);

const REVOCATIONS: usize = 10_000_000;

/// What a write merges into the session.
const PATCH: &str = r#"{"theme":"dark"}"#;

fn main() {
    let arguments = support::arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--serve", "session", revocations] => serve_session(revocations.parse().unwrap()),
        ["--serve", "bare", kind] => serve_bare(kind == "signs"),
        ["--calls", kind, times] => call(kind, times.parse().unwrap()),
        _ => compare(support::option("--revocations", REVOCATIONS)),
    }
}

// The servers.

fn serve_session(revocations: usize) {
    support::stay_on(0);
    let folder = support::folder();
    support::runtime().block_on(async {
        let app = support::wired(folder.path(), support::clock()).await;
        let until = app.now() + TimeDelta::days(10);
        for _ in 0..revocations {
            app.revocations().learn(&Revocation::Session { id: SessionId::random(), until });
        }
        support::serve_app(app).await;
    });
}

/// Answers every request with the bytes that stand on standard input: a head and a body, the body's length first.
fn serve_bare(signs: bool) {
    support::stay_on(0);
    let mut input = BufReader::new(std::io::stdin());
    let mut length = String::new();
    input.read_line(&mut length).unwrap();
    let mut answer = vec![0; length.trim().parse().unwrap()];
    input.read_exact(&mut answer).unwrap();
    drop(input);
    let route = bare(&String::from_utf8(answer).unwrap(), signs);
    support::runtime().block_on(async {
        let acceptor = TcpAcceptor::from_tokio(support::listener().await).unwrap().boxed();
        let server = poem::Server::new_with_acceptor(acceptor);
        server.run_with_graceful_shutdown(route, support::standard_input_ends(), None).await.unwrap();
    });
}

/// A route that answers with these headers and this body; with the work of signing the token in it, when it signs.
fn bare(answer: &str, signs: bool) -> Route {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = StatusCode::from_u16(support::status(answer)).unwrap();
    // The date and the length are the work of the HTTP library, for both servers alike.
    let ours = |name: &str| !["date", "content-length"].contains(&name);
    let fields = head.lines().skip(1).map(|line| line.split_once(": ").unwrap()).filter(|(name, _)| ours(name));
    let headers: Vec<(HeaderName, HeaderValue)> =
        fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let body = Bytes::from(body.to_owned());
    let signer = signs.then(|| {
        let cookie = support::cookie(answer).unwrap();
        (Ed25519KeyPair::generate().unwrap(), cookie.rsplit_once('.').unwrap().0.to_owned())
    });
    let handler = Arc::new(poem::endpoint::make_sync(move |_: Request| {
        if let Some((pair, message)) = &signer {
            black_box(pair.sign(black_box(message.as_bytes())));
        }
        let response = Response::builder().status(status);
        let response = headers.iter().fold(response, |response, (name, value)| response.header(name, value));
        response.body(body.clone())
    }));
    let methods = || poem::get(Arc::clone(&handler)).patch(Arc::clone(&handler));
    ["/v1/session", "/v1/verify"].into_iter().fold(Route::new(), |route, path| route.at(path, methods()))
}

// The comparison.

fn compare(revocations: usize) {
    if support::cores() < 2 {
        println!("one core only: the load takes it from the server, so the ratios flatter");
    }
    support::table(&format!("{CONNECTIONS} connections that are kept alive, the server on one core"));
    let ours = Running::start(&["session", "0"], "");
    let crowded = Running::start(&["session", &revocations.to_string()], "");
    support::stay_on(1);
    let runtime = support::runtime_here();
    let round = |server: &Running, request: &str, time| {
        let load = support::load(server, request, CONNECTIONS, time);
        runtime.block_on(async { tokio::join!(load, stay_awake(time)).0 })
    };
    let rounds = |ours: (&Running, &str), beside: (&Running, &str)| {
        for (server, request) in [ours, beside] {
            drop(round(server, request, WARM_UP));
        }
        support::take_turns(ROUNDS, || round(ours.0, ours.1, ROUND), || round(beside.0, beside.1, ROUND))
    };

    let cookie = runtime.block_on(support::log_in(ours.address, "admin"));
    let questions = [
        ("`GET /v1/session`", support::request("GET", "/v1/session", &cookie, "", ""), "bare", "bare route", 0.95),
        (
            "`GET /v1/verify`",
            support::request("GET", "/v1/verify", &cookie, "x-forwarded-method: GET\r\n", ""),
            "bare",
            "bare route",
            0.95,
        ),
        (
            "`PATCH /v1/session`, a key merged and the token signed",
            support::request("PATCH", "/v1/session", &cookie, "", PATCH),
            "signs",
            "bare route that signs",
            0.9,
        ),
    ];
    for (name, question, kind, beside, target) in &questions {
        let answer = runtime.block_on(support::answer_to(ours.address, question));
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        let bare = Running::start(&["bare", kind], &format!("{}\n{answer}", answer.len()));
        let same = runtime.block_on(support::answer_to(bare.address, question));
        assert_eq!(without_date(&same), without_date(&answer), "the two have to answer with the same bytes");
        told(name, beside, *target, &rounds((&ours, question), (&bare, question)));
    }

    let question = &questions[0].1;
    let cookie = runtime.block_on(support::log_in(crowded.address, "admin"));
    let same = support::request("GET", "/v1/session", &cookie, "", "");
    let name = format!("`GET /v1/session` with {revocations} revocations");
    told(&name, "with none", 0.98, &rounds((&crowded, &same), (&ours, question)));
}

/// Keeps the load's core from going to sleep: a server that is slower than the load would pay for waking it with each
/// answer, which is dear on a virtual machine, and the bare one would not.
async fn stay_awake(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        tokio::task::yield_now().await;
    }
}

fn told(name: &str, beside: &str, target: f64, rounds: &[(Round, Round)]) {
    let of = |figure: fn(&Round) -> f64| -> Vec<(f64, f64)> {
        rounds.iter().map(|(ours, beside)| (figure(ours), figure(beside))).collect()
    };
    Compared::of(&of(|round| round.per_second)).at_least(name, beside, target);
    Compared::of(&of(|round| round.work)).noted("… work of the server for each", beside);
    let busy = Compared::of(&of(|round| round.busy));
    support::note("… the server was on its core", &format!("{:.2}", busy.ours), &format!("{:.2}", busy.beside), "");
    let times = |kind: fn(&(Round, Round)) -> &Round| {
        let all: Vec<f64> = rounds.iter().flat_map(|round| &kind(round).latencies).copied().collect();
        let [half, most] = [0.5, 0.99].map(|share| support::time(support::part(all.iter().copied(), share)));
        format!("{half}, {most}")
    };
    support::note("… p50, p99", &times(|round| &round.0), &times(|round| &round.1), "");
}

fn without_date(answer: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = answer.lines().filter(|line| !line.starts_with("date: ")).collect();
    lines.sort_unstable();
    lines
}

// For a profiler: the routes alone, without sockets.

fn call(kind: &str, times: usize) {
    support::runtime_here().block_on(async {
        let folder = support::folder();
        let app = support::wired(folder.path(), support::clock()).await;
        let routes = signet::api::routes().with(Front::new(app, Settings::default()).answering_again());
        let post = Request::builder().uri_str("/v1/login").method(Method::POST).content_type("application/json");
        let answer = routes.get_response(post.body(support::credentials("admin", PASSWORD))).await;
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let get = |path: &str| Request::builder().uri_str(path).header("cookie", &cookie).finish();
        let patch = || {
            let request = Request::builder().uri_str("/v1/session").method(Method::PATCH);
            request.header("cookie", &cookie).content_type("application/json").body(PATCH)
        };
        match kind {
            "session" => repeat(&routes, || get("/v1/session"), times).await,
            "verify" => repeat(&routes, || get("/v1/verify"), times).await,
            "write" => repeat(&routes, patch, times).await,
            "bare" => {
                let answer = routes.get_response(get("/v1/session")).await;
                let (parts, body) = answer.into_parts();
                let line =
                    |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}\r\n", value.to_str().unwrap());
                let head: String = parts.headers.iter().map(line).collect();
                let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{}", body.into_string().await.unwrap());
                repeat(&bare(&answer, false), || get("/v1/session"), times).await;
            }
            kind => panic!("no such route: {kind}"),
        }
    });
}

async fn repeat(routes: &impl Endpoint, request: impl Fn() -> Request, times: usize) {
    let begun = Instant::now();
    for _ in 0..times {
        let answer = routes.get_response(request()).await;
        assert!(answer.status().is_success(), "{}", answer.status());
        drop(answer.into_body().into_bytes().await.unwrap());
    }
    println!("{times} calls in {:.2?}, {:.2?} each", begun.elapsed(), begun.elapsed() / u32::try_from(times).unwrap());
}
