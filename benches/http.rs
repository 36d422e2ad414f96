//! `GET /v1/session` of somebody logged in, beside a bare route that answers the very same bytes.
//!
//! `cargo bench --bench http`. The server is a process of its own on one core, the load comes from another: 32
//! connections that are kept alive, in rounds that take turns, so that the noise of the machine meets both alike.
//! What is left between the two is what Signet does: the front, the guard, the token, the answer in JSON.
//!
//! `cargo bench --bench http -- --calls session 100000` only calls the routes, in process, so that a profiler can
//! watch; `--calls bare` calls the other route.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use poem::http::{HeaderName, HeaderValue};
use poem::listener::{AcceptorExt as _, TcpAcceptor};
use poem::{Endpoint, EndpointExt as _, Request, Response, Route};
use rustix::thread::{CpuSet, sched_setaffinity};
use signet::api::front::{Front, Settings};
use signet::app::{App, Parts};
use signet::config::Flags;
use signet::keys::Keyring;
use signet::password::Cost;
use signet::server::Server;
use signet::store::embedded::Embedded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connections that are kept alive.
const CONNECTIONS: usize = 32;

/// Rounds of each kind.
const ROUNDS: usize = 7;

/// How long a round takes.
const ROUND: Duration = Duration::from_secs(2);

/// How long the servers are warmed up before the first round.
const WARM_UP: Duration = Duration::from_secs(1);

/// The share of the bare route's requests per second that the session has to reach.
const TARGET: f64 = 0.75;

const PASSWORD: &str = "correct horse battery";
const PATH: &str = "/v1/session";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).filter(|text| *text != "--bench").collect();
    match arguments[..] {
        ["--serve", "session"] => serve_session(),
        ["--serve", "bare"] => serve_bare(),
        ["--calls", kind, times] => call(kind, times.parse().unwrap()),
        _ => compare(),
    }
}

/// Runs this process, and all threads that it starts from now on, on one core.
fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).unwrap();
}

// The servers, each in a process of its own.

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn tell(address: SocketAddr) {
    println!("{address}");
    std::io::stdout().flush().unwrap();
}

fn serve_session() {
    stay_on(0);
    let folder = tempfile::TempDir::new().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let config = {
        let flags = Flags {
            listen: "127.0.0.1:0".to_owned(),
            data: folder.path().join("data"),
            keys: folder.path().join("keys"),
            admin_password_file: Some(password.clone()),
            ..Flags::default()
        };
        flags.check().unwrap()
    };
    runtime().block_on(async {
        let server = Server::start(config).await.unwrap();
        tell(server.address());
        server.run(standard_input_ends()).await.unwrap();
    });
}

/// Answers every request with the bytes that stand on standard input: a head and a body, the body's length first.
fn serve_bare() {
    stay_on(0);
    let mut input = BufReader::new(std::io::stdin());
    let mut length = String::new();
    input.read_line(&mut length).unwrap();
    let mut answer = vec![0; length.trim().parse().unwrap()];
    input.read_exact(&mut answer).unwrap();
    drop(input);
    let route = bare(&String::from_utf8(answer).unwrap());
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell(listener.local_addr().unwrap());
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap().boxed();
        let server = poem::Server::new_with_acceptor(acceptor);
        server.run_with_graceful_shutdown(route, standard_input_ends(), None).await.unwrap();
    });
}

/// The server's end: whoever started it is gone.
async fn standard_input_ends() {
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    drop(ended.await);
}

/// A route that answers with these headers and this body.
fn bare(answer: &str) -> Route {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    // The date and the length are the work of the HTTP library, for both servers alike.
    let ours = |name: &str| !["date", "content-length"].contains(&name);
    let fields = head.lines().skip(1).map(|line| line.split_once(": ").unwrap()).filter(|(name, _)| ours(name));
    let headers: Vec<(HeaderName, HeaderValue)> =
        fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let body = bytes::Bytes::from(body.to_owned());
    let handler = poem::endpoint::make_sync(move |_: Request| {
        let response = headers.iter().fold(Response::builder(), |response, (name, value)| response.header(name, value));
        response.body(body.clone())
    });
    Route::new().at(PATH, poem::get(handler))
}

// The comparison.

/// A server in another process.
struct Running {
    process: Child,
    address: SocketAddr,
}

impl Running {
    fn start(kind: &str, input: &str) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut command = Command::new(this);
        command.args(["--serve", kind]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        process.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        Self { address: address.trim().parse().unwrap(), process }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a round came to.
struct Round {
    per_second: f64,
    /// In nanoseconds.
    latencies: Vec<u64>,
}

fn compare() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let session = Running::start("session", "");
    if cores > 1 {
        stay_on(1);
    } else {
        println!("one core only: the load takes it from the server, so the ratio flatters");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (request, answer) = runtime.block_on(log_in(session.address));
    let bare = Running::start("bare", &format!("{}\n{answer}", answer.len()));
    let same = runtime.block_on(answer_to(bare.address, &request));
    assert_eq!(without_date(&same), without_date(&answer), "the two have to answer with the same bytes");

    let load = |server: &Running, time| runtime.block_on(load(server.address, &request, time));
    drop((load(&session, WARM_UP), load(&bare, WARM_UP)));
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (load(&session, ROUND), load(&bare, ROUND))).collect();
    let mut ratios: Vec<f64> = rounds.iter().map(|(session, bare)| session.per_second / bare.per_second).collect();
    ratios.sort_by(f64::total_cmp);
    let (sessions, bares): (Vec<Round>, Vec<Round>) = rounds.into_iter().unzip();

    println!("{}, {cores} cores; the server on one of them", processor());
    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {ROUND:?} each, answers of {} bytes", answer.len());
    report("GET /v1/session", sessions);
    report("bare route", bares);
    let (least, most, ratio) = (ratios[0], ratios[ROUNDS - 1], ratios[ROUNDS / 2]);
    let verdict = if ratio >= TARGET { "reached" } else { "missed" };
    println!("ratio {ratio:.3} ({least:.3} to {most:.3}); target {TARGET}: {verdict}");
}

fn report(name: &str, rounds: Vec<Round>) {
    let mut rates: Vec<f64> = rounds.iter().map(|round| round.per_second).collect();
    rates.sort_by(f64::total_cmp);
    let mut latencies: Vec<u64> = rounds.into_iter().flat_map(|round| round.latencies).collect();
    latencies.sort_unstable();
    let share = |percent: usize| Duration::from_nanos(latencies[(latencies.len() - 1) * percent / 100]);
    println!(
        "{name:16} {:8.0} requests/s ({:.0} to {:.0})  p50 {:.0?}  p99 {:.0?}",
        rates[rates.len() / 2],
        rates[0],
        rates[rates.len() - 1],
        share(50),
        share(99),
    );
}

fn processor() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = about.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("an unknown processor", |(_, name)| name).to_owned()
}

fn without_date(answer: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = answer.lines().filter(|line| !line.starts_with("date: ")).collect();
    lines.sort_unstable();
    lines
}

/// The request of somebody who is logged in, and the answer to it.
async fn log_in(address: SocketAddr) -> (String, String) {
    let body = format!(r#"{{"username":"admin","password":"{PASSWORD}"}}"#);
    let login = format!(
        "POST /v1/login HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = answer_to(address, &login).await;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\n\r\n");
    let answer = answer_to(address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    (request, answer)
}

async fn answer_to(address: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    let length = read_answer(&mut connection, &mut buffer).await;
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// Sends the request over every connection, again as soon as it is answered.
async fn load(address: SocketAddr, request: &str, time: Duration) -> Round {
    let begun = Instant::now();
    let connection = |_| {
        let request = request.to_owned();
        tokio::spawn(async move {
            let mut connection = TcpStream::connect(address).await.unwrap();
            connection.set_nodelay(true).unwrap();
            let (mut buffer, mut latencies) = (Vec::new(), Vec::new());
            while begun.elapsed() < time {
                let sent = Instant::now();
                connection.write_all(request.as_bytes()).await.unwrap();
                read_answer(&mut connection, &mut buffer).await;
                assert!(buffer.starts_with(b"HTTP/1.1 200"));
                latencies.push(u64::try_from(sent.elapsed().as_nanos()).unwrap());
            }
            latencies
        })
    };
    let running: Vec<_> = (0..CONNECTIONS).map(connection).collect();
    let mut latencies = Vec::new();
    for connection in running {
        latencies.extend(connection.await.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
    let count = latencies.len() as f64;
    Round { per_second: count / begun.elapsed().as_secs_f64(), latencies }
}

/// Reads one answer to the front of the buffer, and gives its length.
async fn read_answer(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> usize {
    buffer.clear();
    loop {
        assert_ne!(connection.read_buf(buffer).await.unwrap(), 0, "the server has hung up");
        let Some(head) = buffer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let whole = head + 4 + length.parse::<usize>().unwrap();
        if buffer.len() >= whole {
            return whole;
        }
    }
}

// For a profiler: the routes alone, without sockets.

fn call(kind: &str, times: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::TempDir::new().unwrap();
        let routes = signet_routes(folder.path()).await;
        let login = Request::builder()
            .uri_str("/v1/login")
            .method(poem::http::Method::POST)
            .content_type("application/json")
            .body(format!(r#"{{"username":"admin","password":"{PASSWORD}"}}"#));
        let answer = routes.get_response(login).await;
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let request = || Request::builder().uri_str(PATH).header("cookie", &cookie).finish();
        match kind {
            "session" => repeat(&routes, request, times).await,
            "bare" => {
                let answer = routes.get_response(request()).await;
                let (parts, body) = answer.into_parts();
                let line =
                    |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}\r\n", value.to_str().unwrap());
                let head: Vec<String> = parts.headers.iter().map(line).collect();
                let head = head.concat();
                let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{}", body.into_string().await.unwrap());
                repeat(&bare(&answer), request, times).await;
            }
            kind => panic!("no such route: {kind}"),
        }
    });
}

async fn repeat(routes: &impl Endpoint, request: impl Fn() -> Request, times: usize) {
    let begun = Instant::now();
    for _ in 0..times {
        let answer = routes.get_response(request()).await;
        assert!(answer.status().is_success());
        drop(answer.into_body().into_bytes().await.unwrap());
    }
    println!("{times} calls in {:.2?}, {:.2?} each", begun.elapsed(), begun.elapsed() / u32::try_from(times).unwrap());
}

async fn signet_routes(folder: &std::path::Path) -> impl Endpoint {
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
    signet::account::first_superuser(&app, Some(PASSWORD)).await.unwrap();
    signet::api::routes().with(Front::new(app, Settings::default()))
}
