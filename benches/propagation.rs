//! How soon what ends at one node has ended at the others, and what sharing a store costs a verified request.
//!
//! `cargo bench --bench propagation`, where PostgreSQL is installed (Debian: `postgresql`). Three nodes in processes of
//! their own share a database that is started for it. Sessions are ended at one node while the two others are asked for
//! them without a pause, with `NOTIFY` and without. Then requests are verified by one, two and three nodes at once, and
//! the database counts its transactions meanwhile. Then it is killed. At last a node starts with a million revocations.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use server::Server as Database;
use signet::store::postgres::{Address, migrate};
use support::{Line, Running, note, part, row};

#[path = "../tests/it/postgres/server.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod server;
mod support;

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

fn resident(node: &Running) -> f64 {
    node.memory("VmRSS") as f64 / 1024.0
}

/// The request that looks at a session, or ends it.
fn about(method: &str, cookie: &str) -> String {
    support::request(method, "/v1/session", cookie, "", "")
}

/// The cookie of a new session.
async fn begin(line: &mut Line) -> String {
    let answer = line.ask(&support::request("PATCH", "/v1/session", "", "", r#"{"a":1}"#)).await;
    support::cookie(&answer).unwrap_or_else(|| panic!("no session: {answer}"))
}

/// How often a lane looks whether its session is over: as exact are the figures.
const GLANCE: Duration = Duration::from_micros(200);

/// How long it took from the answer to an ending until each of two other nodes refused the session, in milliseconds.
fn endings(nodes: &[Running], count: usize, lanes: usize) -> Vec<f64> {
    let lane = |lane: usize| {
        let addresses: Vec<_> = (0..3).map(|n| nodes[(lane + n) % 3].address).collect();
        // Each lane alone on a thread: it sleeps there.
        thread::spawn(move || support::runtime_here().block_on(end_some(&addresses, count.div_ceil(lanes))))
    };
    let running: Vec<_> = (0..lanes).map(lane).collect();
    running.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
}

async fn end_some(addresses: &[SocketAddr], count: usize) -> Vec<f64> {
    let (mut lines, mut took) = (Vec::new(), Vec::new());
    for address in addresses {
        lines.push(Line::to(*address).await);
    }
    for _ in 0..count {
        let cookie = begin(&mut lines[0]).await;
        let look = about("GET", &cookie);
        for line in &mut lines {
            line.succeed(&look).await;
        }
        lines[0].succeed(&about("DELETE", &cookie)).await;
        let ended = Instant::now();
        let mut open = vec![1, 2];
        while !open.is_empty() {
            // Lanes that ask without a pause leave the database no time on the cores that they share.
            thread::sleep(GLANCE);
            let mut left = Vec::new();
            for node in open {
                if support::status(&lines[node].ask(&look).await) == 401 {
                    took.push(ended.elapsed().as_secs_f64() * 1000.0);
                } else {
                    left.push(node);
                }
            }
            open = left;
        }
    }
    took
}

/// Requests that were verified in a second.
async fn verified(nodes: &[Running]) -> f64 {
    let cookie = begin(&mut Line::to(nodes[0].address).await).await;
    let request = about("GET", &cookie);
    let rounds = nodes.iter().map(|node| support::load(node, &request, CONNECTIONS, VERIFYING));
    futures_util::future::join_all(rounds).await.iter().map(|round| round.per_second).sum()
}

fn node(folder: &Path, store: &str, flags: &[&str]) -> Running {
    Running::program(folder, flags, Some(store))
}

#[expect(clippy::too_many_lines, reason = "a bench tells its story in one piece")]
fn main() {
    let runtime = support::runtime();
    let mut database = Database::start_with(&["fsync=on"]);
    let url = database.url("signet");
    let client = runtime.block_on(async {
        database.client("postgres").await.batch_execute("create database signet").await.unwrap();
        migrate(&Address::parse(&url).unwrap()).await.unwrap();
        database.client("signet").await
    });
    let folder = support::folder();
    fs::create_dir(folder.path().join("keys")).unwrap();
    signet::keys::generate(&folder.path().join("keys"), "eddsa", Some("bench"), support::clock()()).unwrap();
    let three =
        |store: &str, flags: &[&str]| -> Vec<Running> { (0..3).map(|_| node(folder.path(), store, flags)).collect() };
    let transactions = || -> i64 {
        let text = "select xact_commit from pg_stat_database where datname = 'signet'";
        // What a connection has done is counted a moment later, and a second after what came before.
        thread::sleep(Duration::from_millis(2_500));
        runtime.block_on(client.query_one(text, &[])).unwrap().get(0)
    };
    support::table("Three nodes that share a database, beside their clients on the same cores");

    let nodes = three(&url, &[]);
    drop(endings(&nodes, 100, LANES));
    let took = endings(&nodes, ENDINGS, LANES);
    let [half, most, last] = [0.5, 0.99, 1.0].map(|share| part(took.iter().copied(), share));
    row(
        &format!("{ENDINGS} endings seen by both other nodes, with NOTIFY: p50, p99, longest"),
        &format!("{half:.1}, {most:.1}, {last:.1} ms"),
        "",
        "",
        "p50 ≤ 20 ms, p99 ≤ 100 ms",
        half <= 20.0 && most <= 100.0,
    );

    let before = transactions();
    thread::sleep(VERIFYING);
    let idle = transactions() - before;
    for count in 1..=3 {
        let before = transactions();
        let rate = runtime.block_on(verified(&nodes[..count]));
        let more = transactions() - before - idle;
        let each = (more as f64 / (rate * VERIFYING.as_secs_f64())).max(0.0);
        row(
            &format!("verified requests with {count} node(s), and transactions for each"),
            &format!("{rate:.0}/s, {each:.5}"),
            "",
            "",
            "no transaction",
            each < 0.001,
        );
    }
    drop(nodes);

    let nodes = three(&format!("{url}&notify=off"), &[]);
    let took = endings(&nodes, ENDINGS_UNCALLED, LANES_UNCALLED);
    let [half, last] = [0.5, 1.0].map(|share| part(took.iter().copied(), share));
    row(
        &format!("{ENDINGS_UNCALLED} endings without NOTIFY: p50, longest"),
        &format!("{half:.0}, {last:.0} ms"),
        "",
        "",
        "≤ 15 s",
        last <= 15_000.0,
    );
    drop(nodes);

    let insert = format!(
        "insert into revocations (kind, id, generation, rights_version, until, changed) \
         select 1, decode(md5(n::text), 'hex'), 0, 0, now() + interval '10 days', now() - interval '1 hour' \
         from generate_series(1, {REVOCATIONS}) n; analyze revocations"
    );
    let small = node(folder.path(), &url, &[]);
    let without = resident(&small);
    runtime.block_on(client.batch_execute(&insert)).unwrap();
    let large = node(folder.path(), &url, &[]);
    row(
        &format!("start with {REVOCATIONS} revocations"),
        &format!("{:.2} s", large.began.as_secs_f64()),
        &format!("with none: {:.2} s", small.began.as_secs_f64()),
        "",
        "≤ 5 s",
        large.began <= Duration::from_secs(5),
    );
    let each = (resident(&large) - without) * 1024.0 * 1024.0 / REVOCATIONS as f64;
    note("memory of a node with them", &format!("{:.0} MiB, {each:.0} bytes each", resident(&large)), "", "");
    drop((small, large));

    let bound = format!("{}s", BOUND.as_secs());
    let nodes = three(&url, &["--max-staleness", &bound]);
    let (request, mut lines) = runtime.block_on(async {
        let mut lines = Vec::new();
        for node in &nodes {
            lines.push(Line::to(node.address).await);
        }
        (about("GET", &begin(&mut lines[0]).await), lines)
    });
    drop(client);
    database.kill();
    let killed = Instant::now();
    let mut last = [Duration::ZERO; 3];
    while killed.elapsed() < BOUND + Duration::from_secs(1) {
        for (line, last) in lines.iter_mut().zip(&mut last) {
            let asked = killed.elapsed();
            if support::status(&runtime.block_on(line.ask(&request))) == 200 {
                *last = asked;
            }
        }
    }
    let (first, last) = (last.iter().min().unwrap(), last.iter().max().unwrap());
    row(
        &format!("PostgreSQL killed: verified requests go on, with T = {} s", BOUND.as_secs()),
        &format!("{:.2} to {:.2} s", first.as_secs_f64(), last.as_secs_f64()),
        "",
        "",
        "until T, no longer",
        *last <= BOUND && *first > BOUND / 2,
    );
}
