//! How soon what ends at one node has ended at the others, and what sharing a store costs a verified request.
//!
//! `cargo bench --bench propagation`, where PostgreSQL is installed (Debian: `postgresql`). Three nodes in processes of
//! their own share a database that is started for it. Sessions are ended at one node while the two others are asked for
//! them without a pause, with `NOTIFY` and without. Then requests are verified by one, two and three nodes at once, and
//! the database counts its transactions meanwhile. Then it is killed. At last a node starts with a million revocations.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chrono::DateTime;
use server::Server as Database;
use signet::store::postgres::{Address, migrate};
use tempfile::TempDir;

#[path = "../tests/it/postgres/server.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod server;

/// Sessions that are ended: with calls between the nodes, and without.
const ENDINGS: usize = 2_000;
const ENDINGS_UNCALLED: usize = 240;

/// Sessions that are ended at the same time.
const LANES: usize = 2;
const LANES_UNCALLED: usize = 24;

/// How long requests are verified for a figure, and by how many connections to each node.
const VERIFYING: Duration = Duration::from_secs(4);
const CONNECTIONS: usize = 8;

const REVOCATIONS: usize = 1_000_000;

/// For how long nodes rely on what they have heard, when the database is killed.
const BOUND: Duration = Duration::from_secs(3);

/// A node: a process of its own.
struct Node {
    process: Child,
    address: String,
    began: Duration,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Node {
    fn start(folder: &Path, store: &str, flags: &[&str]) -> Self {
        let begun = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_signet"))
            .env_clear()
            .env("SIGNET_STORE", store)
            .args(["serve", "--listen", "127.0.0.1:0", "--throttle", "off"])
            .arg("--keys")
            .arg(folder.join("keys"))
            .arg("--data")
            .arg(folder.join("data"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::options().append(true).create(true).open(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let base = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on http://")?.to_owned())).unwrap();
        Self { process, address: base, began: begun.elapsed() }
    }

    fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

/// A connection that is kept alive.
struct Line {
    stream: TcpStream,
    address: String,
    answer: Vec<u8>,
}

impl Line {
    fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, address: address.to_owned(), answer: Vec::new() }
    }

    fn expect(&mut self, status: u16, method: &str, token: &str) {
        let answered = self.ask(method, Some(token), "").0;
        assert!(answered == status, "{method}: {answered}\n{}", String::from_utf8_lossy(&self.answer));
    }

    /// The token of a new session.
    fn begin(&mut self) -> String {
        let (status, token) = self.ask("PATCH", None, r#"{"a":1}"#);
        token.unwrap_or_else(|| panic!("no session: {status}\n{}", String::from_utf8_lossy(&self.answer)))
    }

    /// The status of the answer, and the token that it sets.
    fn ask(&mut self, method: &str, token: Option<&str>, body: &str) -> (u16, Option<String>) {
        let cookie = token.map(|token| format!("cookie: __Host-signet={token}\r\n")).unwrap_or_default();
        let content = if body.is_empty() {
            String::new()
        } else {
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
        };
        let request = format!("{method} /v1/session HTTP/1.1\r\nhost: {}\r\n{cookie}{content}\r\n{body}", self.address);
        self.stream.write_all(request.as_bytes()).unwrap();
        self.answer.clear();
        let mut piece = [0; 4096];
        loop {
            let read = self.stream.read(&mut piece).unwrap();
            assert!(read > 0, "the connection ended");
            self.answer.extend_from_slice(&piece[..read]);
            let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.answer[..end]).into_owned();
            let field = |name: &str| {
                let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
                Some(line[name.len()..].trim().to_owned())
            };
            let length: usize = field("content-length:").map_or(0, |length| length.parse().unwrap());
            if self.answer.len() >= end + 4 + length {
                let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
                let set = field("set-cookie:")
                    .and_then(|line| Some(line.strip_prefix("__Host-signet=")?.split(';').next()?.to_owned()));
                return (status, set);
            }
        }
    }
}

/// How often a lane looks whether its session is over: as exact are the figures.
const GLANCE: Duration = Duration::from_micros(200);

/// How long it took from the answer to an ending until each of two other nodes refused the session.
fn endings(nodes: &[Node], count: usize, lanes: usize) -> Vec<Duration> {
    let lane = |lane: usize| {
        let addresses: Vec<String> = (0..3).map(|n| nodes[(lane + n) % 3].address.clone()).collect();
        thread::spawn(move || {
            let mut lines: Vec<Line> = addresses.iter().map(|address| Line::to(address)).collect();
            let mut took = Vec::new();
            for _ in 0..count.div_ceil(lanes) {
                let token = lines[0].begin();
                for line in &mut lines {
                    line.expect(200, "GET", &token);
                }
                lines[0].expect(204, "DELETE", &token);
                let ended = Instant::now();
                let mut open = vec![1, 2];
                while !open.is_empty() {
                    // Lanes that ask without a pause leave the database no time on the cores that they share.
                    thread::sleep(GLANCE);
                    open.retain(|node| {
                        let is_over = lines[*node].ask("GET", Some(&token), "").0 == 401;
                        if is_over {
                            took.push(ended.elapsed());
                        }
                        !is_over
                    });
                }
            }
            took
        })
    };
    let running: Vec<_> = (0..lanes).map(lane).collect();
    let mut took: Vec<Duration> = running.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
    took.sort_unstable();
    took
}

/// Requests that were verified in a second.
fn verified(nodes: &[Node]) -> f64 {
    let token = Line::to(&nodes[0].address).ask("PATCH", None, r#"{"a":1}"#).1.unwrap();
    let until = Instant::now() + VERIFYING;
    let lanes = nodes.iter().flat_map(|node| (0..CONNECTIONS).map(|_| node.address.clone()));
    let running: Vec<_> = lanes
        .map(|address| {
            let token = token.clone();
            thread::spawn(move || {
                let (mut line, mut count) = (Line::to(&address), 0u32);
                while Instant::now() < until {
                    line.expect(200, "GET", &token);
                    count += 1;
                }
                count
            })
        })
        .collect();
    let count: u32 = running.into_iter().map(|lane| lane.join().unwrap()).sum();
    f64::from(count) / VERIFYING.as_secs_f64()
}

fn part(of: &[Duration], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let place = ((of.len() - 1) as f64 * share) as usize;
    of[place].as_secs_f64() * 1000.0
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn row(what: &str, figure: &str, target: &str) {
    println!("| {what} | {figure} | {target} |");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut database = Database::start();
    let url = database.url("signet");
    let client = runtime.block_on(async {
        database.client("postgres").await.batch_execute("create database signet").await.unwrap();
        migrate(&Address::parse(&url).unwrap()).await.unwrap();
        database.client("signet").await
    });
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    signet::keys::generate(&folder.path().join("keys"), "eddsa", Some("bench"), DateTime::UNIX_EPOCH).unwrap();
    let three = |store: &str, flags: &[&str]| -> Vec<Node> {
        (0..3).map(|_| Node::start(folder.path(), store, flags)).collect()
    };
    let transactions = || -> i64 {
        let text = "select xact_commit from pg_stat_database where datname = 'signet'";
        // What a connection has done is counted a moment later, and a second after what came before.
        thread::sleep(Duration::from_millis(2_500));
        runtime.block_on(client.query_one(text, &[])).unwrap().get(0)
    };
    println!("| what | figure | target |\n| --- | --- | --- |");

    let nodes = three(&url, &[]);
    drop(endings(&nodes, 100, LANES));
    let took = endings(&nodes, ENDINGS, LANES);
    let (half, most, last) = (part(&took, 0.5), part(&took, 0.99), part(&took, 1.0));
    row(
        &format!("{ENDINGS} endings seen by both other nodes, with NOTIFY: p50, p99, longest"),
        &format!("{half:.1}, {most:.1}, {last:.1} ms"),
        &format!("p50 ≤ 20 ms, p99 ≤ 100 ms: {}", verdict(half <= 20.0 && most <= 100.0)),
    );

    let before = transactions();
    thread::sleep(VERIFYING);
    let idle = transactions() - before;
    for count in 1..=3 {
        let before = transactions();
        let rate = verified(&nodes[..count]);
        let more = transactions() - before - idle;
        let each = (more as f64 / (rate * VERIFYING.as_secs_f64())).max(0.0);
        row(
            &format!("verified requests with {count} node(s), beside their clients on the same cores"),
            &format!("{rate:.0} a second, {each:.5} transactions each"),
            &format!("no transaction: {}", verdict(each < 0.001)),
        );
    }
    drop(nodes);

    let nodes = three(&format!("{url}&notify=off"), &[]);
    let took = endings(&nodes, ENDINGS_UNCALLED, LANES_UNCALLED);
    let (half, last) = (part(&took, 0.5), part(&took, 1.0));
    row(
        &format!("{ENDINGS_UNCALLED} endings without NOTIFY: p50, longest"),
        &format!("{half:.0}, {last:.0} ms"),
        &format!("≤ 15 s: {}", verdict(last <= 15_000.0)),
    );
    drop(nodes);

    let insert = format!(
        "insert into revocations (kind, id, generation, rights_version, until, changed) \
         select 1, decode(md5(n::text), 'hex'), 0, 0, now() + interval '10 days', now() - interval '1 hour' \
         from generate_series(1, {REVOCATIONS}) n; analyze revocations"
    );
    let small = Node::start(folder.path(), &url, &[]);
    let without = small.resident();
    runtime.block_on(client.batch_execute(&insert)).unwrap();
    let large = Node::start(folder.path(), &url, &[]);
    row(
        &format!("start with {REVOCATIONS} revocations, and without"),
        &format!("{:.2} s, {:.2} s", large.began.as_secs_f64(), small.began.as_secs_f64()),
        &format!("≤ 5 s: {}", verdict(large.began <= Duration::from_secs(5))),
    );
    let each = (large.resident() - without) * 1024.0 * 1024.0 / REVOCATIONS as f64;
    row("memory of a node with them", &format!("{:.0} MiB, {each:.0} bytes each", large.resident()), "");
    drop((small, large));

    let bound = format!("{}s", BOUND.as_secs());
    let nodes = three(&url, &["--max-staleness", &bound]);
    let token = Line::to(&nodes[0].address).ask("PATCH", None, r#"{"a":1}"#).1.unwrap();
    let mut lines: Vec<Line> = nodes.iter().map(|node| Line::to(&node.address)).collect();
    drop(client);
    database.kill();
    let killed = Instant::now();
    let mut last = [Duration::ZERO; 3];
    while killed.elapsed() < BOUND + Duration::from_secs(1) {
        for (line, last) in lines.iter_mut().zip(&mut last) {
            let asked = killed.elapsed();
            if line.ask("GET", Some(&token), "").0 == 200 {
                *last = asked;
            }
        }
    }
    let (first, last) = (last.iter().min().unwrap(), last.iter().max().unwrap());
    row(
        &format!("PostgreSQL killed: verified requests go on, with T = {} s", BOUND.as_secs()),
        &format!("{:.2} to {:.2} s", first.as_secs_f64(), last.as_secs_f64()),
        &format!("until T, no longer: {}", verdict(*last <= BOUND && *first > BOUND / 2)),
    );
}
