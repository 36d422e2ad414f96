//! What a session costs: Signet beside bare routes that answer the very same bytes to the same requests.
//!
//! `cargo bench --bench http`. Each server is a process of its own on one core, the load comes from another: 32
//! connections that are kept alive, in rounds that take turns, so that the noise of the machine meets both alike.
//! What is left between the two is what Signet does: the front, the guard, the token, the answer. A write is held
//! against a route that does nothing but sign as many bytes; a server with ten million revocations in memory
//! (`--revocations N` for another number) against one with none.
//!
//! `cargo bench --bench http -- --calls session 100000` only calls the routes, in process, so that a profiler can
//! watch: `session`, `verify`, `write`, or `bare`, which answers as `session` does.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use chrono::TimeDelta;
use poem::http::{HeaderName, HeaderValue, Method};
use poem::listener::{AcceptorExt as _, TcpAcceptor};
use poem::{Endpoint, EndpointExt as _, Request, Response, Route};
use signet::api::front::{Front, Settings};
use signet::app::{App, Parts};
use signet::claims::SessionId;
use signet::keys::Keyring;
use signet::password::Cost;
use signet::store::Revocation;
use signet::store::embedded::Embedded;
use support::{Compared, PASSWORD, Running, answer_to, load, log_in, note, part, request, runtime, stay_on, tell};

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

/// Bytes that a route signs for each answer: those of the header and the claims of a session's token.
const SIGNED: usize = 600;

fn main() {
    let arguments = support::arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--serve", "session", revocations] => serve_session(revocations.parse().unwrap()),
        ["--serve", "bare", signs] => serve_bare(signs == "signs"),
        ["--calls", kind, times] => call(kind, times.parse().unwrap()),
        ["--revocations", count] => compare(count.parse().unwrap()),
        _ => compare(REVOCATIONS),
    }
}

// The servers.

fn serve_session(revocations: usize) {
    stay_on(0);
    let folder = tempfile::TempDir::new().unwrap();
    runtime().block_on(async {
        let app = wired(folder.path()).await;
        let until = app.now() + TimeDelta::days(10);
        for _ in 0..revocations {
            app.revocations().learn(&Revocation::Session { id: SessionId::random(), until });
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell(listener.local_addr().unwrap());
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap().boxed();
        let ended = support::standard_input_ends();
        signet::server::serve(app, acceptor, Settings::default(), ended).await.unwrap();
    });
}

/// Answers every request with the bytes that stand on standard input: a head and a body, the body's length first.
fn serve_bare(signs: bool) {
    stay_on(0);
    let mut input = BufReader::new(std::io::stdin());
    let mut length = String::new();
    input.read_line(&mut length).unwrap();
    let mut answer = vec![0; length.trim().parse().unwrap()];
    input.read_exact(&mut answer).unwrap();
    drop(input);
    let route = bare(&String::from_utf8(answer).unwrap(), signs);
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell(listener.local_addr().unwrap());
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap().boxed();
        let server = poem::Server::new_with_acceptor(acceptor);
        server.run_with_graceful_shutdown(route, support::standard_input_ends(), None).await.unwrap();
    });
}

/// A route that answers with these headers and this body, and signs something each time when it is asked to.
fn bare(answer: &str, signs: bool) -> Route {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let status = poem::http::StatusCode::from_u16(status).unwrap();
    // The date and the length are the work of the HTTP library, for both servers alike.
    let ours = |name: &str| !["date", "content-length"].contains(&name);
    let fields = lines.map(|line| line.split_once(": ").unwrap()).filter(|(name, _)| ours(name));
    let headers: Vec<(HeaderName, HeaderValue)> =
        fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let body = bytes::Bytes::from(body.to_owned());
    let pair = signs.then(|| std::sync::Arc::new(Ed25519KeyPair::generate().unwrap()));
    let handler = || {
        let (pair, headers, body) = (pair.clone(), headers.clone(), body.clone());
        poem::endpoint::make_sync(move |_: Request| {
            if let Some(pair) = &pair {
                std::hint::black_box(pair.sign(std::hint::black_box(&[b'x'; SIGNED])));
            }
            let response = Response::builder().status(status);
            let response = headers.iter().fold(response, |response, (name, value)| response.header(name, value));
            response.body(body.clone())
        })
    };
    let methods = || poem::get(handler()).patch(handler());
    Route::new().at("/v1/session", methods()).at("/v1/verify", methods())
}

async fn wired(folder: &std::path::Path) -> App {
    let keys = folder.join("keys");
    std::fs::create_dir(&keys).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a bench runs on the real clock")]
    let clock = chrono::Utc::now;
    signet::keys::generate(&keys, "eddsa", None, clock()).unwrap();
    let store = std::sync::Arc::new(Embedded::open(&folder.join("data")).unwrap());
    let app = App::open(Parts {
        hash_workers: 1,
        hash_cost: Cost { memory: 8, passes: 1, lanes: 1 },
        ..Parts::new(store, Keyring::load(&keys).unwrap(), std::sync::Arc::new(clock))
    })
    .await
    .unwrap();
    app.hear().await.unwrap();
    signet::account::first_superuser(&app, Some(PASSWORD)).await.unwrap();
    app
}

// The comparison.

fn compare(revocations: usize) {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        println!("one core only: the load takes it from the server, so the ratios flatter");
    }
    let session = Running::start(&["session", "0"], "");
    let crowded = Running::start(&["session", &revocations.to_string()], "");
    stay_on(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let round = |server: &Running, request: &str| runtime.block_on(load(server.address, request, CONNECTIONS, ROUND));
    let warm = |server: &Running, request: &str| {
        drop(runtime.block_on(load(server.address, request, CONNECTIONS, WARM_UP)));
    };
    let cookie = runtime.block_on(log_in(session.address, "admin"));
    support::table(&format!("{CONNECTIONS} connections that are kept alive, the server on one core"));

    let proxied = "x-forwarded-method: GET\r\n";
    let questions = [
        ("GET /v1/session", request("GET", "/v1/session", &cookie, "", ""), "bare", 0.95),
        ("GET /v1/verify", request("GET", "/v1/verify", &cookie, proxied, ""), "bare", 0.95),
        ("PATCH /v1/session", request("PATCH", "/v1/session", &cookie, "", r#"{"theme":"dark"}"#), "signs", 0.9),
    ];
    for (name, question, kind, target) in &questions {
        let answer = runtime.block_on(answer_to(session.address, question));
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        let bare = Running::start(&["bare", kind], &format!("{}\n{answer}", answer.len()));
        let same = runtime.block_on(answer_to(bare.address, question));
        assert_eq!(without_date(&same), without_date(&answer), "the two have to answer with the same bytes");
        warm(&session, question);
        warm(&bare, question);
        let rounds: Vec<_> = (0..ROUNDS).map(|_| (round(&session, question), round(&bare, question))).collect();
        let rates: Vec<_> = rounds.iter().map(|(ours, bare)| (ours.per_second, bare.per_second)).collect();
        let beside = if *kind == "signs" { "a route that signs" } else { "a bare route" };
        Compared::of(&rates).at_least(name, beside, *target);
        let (ours, bare): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
        let times = |rounds: Vec<support::Round>| {
            let all: Vec<f64> = rounds.into_iter().flat_map(|round| round.latencies).collect();
            format!("{:.0} µs, {:.0} µs", part(all.iter().copied(), 0.5), part(all.iter().copied(), 0.99))
        };
        note("its p50 and p99", &times(ours), &times(bare));
    }

    let question = &questions[0].1;
    let other = runtime.block_on(log_in(crowded.address, "admin"));
    let same = request("GET", "/v1/session", &other, "", "");
    warm(&crowded, &same);
    let rounds: Vec<_> =
        (0..ROUNDS).map(|_| (round(&crowded, &same).per_second, round(&session, question).per_second)).collect();
    Compared::of(&rounds).at_least(&format!("GET /v1/session with {revocations} revocations"), "with none", 0.98);
}

fn without_date(answer: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = answer.lines().filter(|line| !line.starts_with("date: ")).collect();
    lines.sort_unstable();
    lines
}

// For a profiler: the routes alone, without sockets.

fn call(kind: &str, times: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::TempDir::new().unwrap();
        let app = wired(folder.path()).await;
        let routes = signet::api::routes().with(Front::new(app, Settings::default()).answering_again());
        let login = Request::builder()
            .uri_str("/v1/login")
            .method(Method::POST)
            .content_type("application/json")
            .body(format!(r#"{{"username":"admin","password":"{PASSWORD}"}}"#));
        let answer = routes.get_response(login).await;
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let get = |path: &str| Request::builder().uri_str(path).header("cookie", &cookie).finish();
        match kind {
            "session" => repeat(&routes, || get("/v1/session"), times).await,
            "verify" => repeat(&routes, || get("/v1/verify"), times).await,
            "write" => {
                let patch = || {
                    let request = Request::builder().uri_str("/v1/session").method(Method::PATCH);
                    request.header("cookie", &cookie).content_type("application/json").body(r#"{"theme":"dark"}"#)
                };
                repeat(&routes, patch, times).await;
            }
            "bare" => {
                let answer = routes.get_response(get("/v1/session")).await;
                let (parts, body) = answer.into_parts();
                let line =
                    |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}\r\n", value.to_str().unwrap());
                let head: Vec<String> = parts.headers.iter().map(line).collect();
                let head = head.concat();
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
