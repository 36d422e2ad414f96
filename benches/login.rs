//! Log-ins a second beside bare argon2 on as many threads, what they cost everybody else, and the memory that many at
//! once take.
//!
//! `cargo bench --bench login`. The server is a process of its own. In rounds that take turns, connections that are
//! kept alive log in without a pause, or this process does nothing but hash, in memory that it keeps. What is left
//! between the two is HTTP, the store with its flush to disk, and the queue. Then requests are verified at an even pace,
//! alone and while log-ins keep every hash worker busy. Then hundreds of clients log in at once, and the server's own
//! account of its memory is read: to hashes of its own cost, and to dearer ones from elsewhere.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use signet::password::Cost;
use signet::server::Server;
use signet::store::embedded::Embedded;
use signet::store::{Slice, Store as _, Write};
use support::{Compared, Line, PASSWORD, Running, answer_to, log_in, login, part, request, row, runtime};

mod support;

/// Rounds of each kind.
const ROUNDS: usize = 5;

/// How long a round takes.
const ROUND: Duration = Duration::from_secs(3);

/// Log-ins under way at any time.
const CONNECTIONS: usize = 16;

/// Requests that are verified meanwhile: connections, and the pause of each between two.
const READERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(4);

/// Log-ins at once, for the memory.
const CROWD: usize = 500;

/// The share of bare argon2 that log-ins have to reach.
const TARGET: f64 = 0.95;

/// How many times their quiet p99 verified requests may take while log-ins keep every worker busy.
const SLOWER: f64 = 3.0;

/// Memory that a crowd may take beside the hashes, in kibibytes: what the allocator keeps for the next one.
const SLACK: u64 = 16 * 1024;

/// Hashes from elsewhere that are dearer than the own: Django's argon2 and scrypt, of another password.
const DEAR: [&str; 2] = [
    "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$KniJIVF6kpiS7ExyM8rBBnFxoASOCTJcqAe//22LfSg",
    "scrypt$16384$saltSALT01234567890123$8$5$3WJdaktCTb8Ki1OipDQM3FOkYdgNRmIA1fgqcV1MBG1O3HbmVkIIsc71dHrTglxLDJYr+NoNtMRg+I01FE8C5g==",
];
/// What a worker needs for the dearest of them, in kibibytes, beside the memory that it keeps for the own.
const DEAR_MEMORY: u64 = 102_400;

fn main() {
    let arguments = support::arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--serve", kind] => serve(kind == "dear"),
        _ => runtime().block_on(compare()),
    }
}

fn serve(dear: bool) {
    let folder = tempfile::TempDir::new().unwrap();
    let flags = support::flags(folder.path());
    runtime().block_on(async {
        if dear {
            drop(Server::start(flags.clone().check().unwrap()).await.unwrap());
            dear_users(&flags.data).await;
        }
        support::serve(flags).await;
    });
}

/// Users whose hashes are dearer than the own.
async fn dear_users(data: &std::path::Path) {
    let store = Embedded::open(data).unwrap();
    let page = store.users(Slice { limit: 1, ..Slice::default() }).await.unwrap();
    for (n, encoded) in DEAR.iter().enumerate() {
        let mut user = page.items[0].clone();
        user.id = signet::claims::UserId::random();
        user.username = signet::user::Username::parse(&format!("dear{n}")).unwrap();
        user.password = (*encoded).to_owned();
        store.commit(vec![Write::CreateUser(Box::new(user))]).await.unwrap();
    }
}

/// Log-ins a second.
async fn log_ins(server: &Running) -> f64 {
    let start = Instant::now();
    let one = async || {
        let (mut line, login, mut done) = (Line::to(server.address).await, login("admin"), 0_u32);
        while start.elapsed() < ROUND {
            line.time(&login).await;
            done += 1;
        }
        done
    };
    let done = futures_util::future::join_all((0..CONNECTIONS).map(|_| one())).await;
    f64::from(done.iter().sum::<u32>()) / start.elapsed().as_secs_f64()
}

/// The p99 of requests that are verified at an even pace, in microseconds.
async fn verified(server: &Running, cookie: &str) -> f64 {
    let start = Instant::now();
    let one = async || {
        let (mut line, mut times) = (Line::to(server.address).await, Vec::new());
        let request = request("GET", "/v1/session", cookie, "", "");
        while start.elapsed() < ROUND {
            times.push(line.time(&request).await.as_secs_f64() * 1e6);
            tokio::time::sleep(PAUSE).await;
        }
        times
    };
    let times = futures_util::future::join_all((0..READERS).map(|_| one())).await;
    part(times.into_iter().flatten(), 0.99)
}

/// Hashes a second, on as many threads as the server has workers.
fn hashes(threads: usize) -> f64 {
    let start = Instant::now();
    let one = || {
        let Cost { memory, passes, lanes } = Cost::default();
        let params = Params::new(memory, passes, lanes, None).unwrap();
        let mut blocks = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (mut out, mut done) = ([0; 32], 0_u32);
        while start.elapsed() < ROUND {
            argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), &[7; 16], &mut out, &mut blocks).unwrap();
            done += 1;
        }
        done
    };
    let done: u32 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    f64::from(done) / start.elapsed().as_secs_f64()
}

/// Many log-ins at once: how many were let in, failed, and were told to come again.
async fn crowd(server: &Running, names: &[&str]) -> [usize; 3] {
    let one = async |n: usize| {
        let answer = answer_to(server.address, &login(names[n % names.len()])).await;
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let found = futures_util::future::join_all((0..CROWD).map(one)).await;
    [200, 401, 503].map(|status| found.iter().filter(|one| **one == status).count())
}

async fn compare() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    support::table("log-ins");
    let server = Running::start(&["own"], "");
    log_ins(&server).await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push((log_ins(&server).await, hashes(threads)));
    }
    let compared = Compared::of(&rounds);
    // A log-in holds a whole hash. When it seems to be quicker than one, something else on the machine took more from
    // one of the two than from the other, and nothing was measured.
    assert!(compared.ratio <= 1.05, "not a measurement: the machine is too busy");
    compared.at_least("log-ins", &format!("bare argon2id on {threads} threads"), TARGET);

    let cookie = log_in(server.address, "admin").await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let quiet = verified(&server, &cookie).await;
        let (busy, _) = futures_util::future::join(verified(&server, &cookie), log_ins(&server)).await;
        rounds.push((busy, quiet));
    }
    let Compared { ours, beside, ratio, .. } = Compared::of(&rounds);
    row(
        "p99 of verified requests while log-ins keep all workers busy",
        &format!("{ours:.0} µs"),
        &format!("quiet: {beside:.0} µs"),
        &Compared::of(&rounds).spread(),
        &format!("≤ {SLOWER}"),
        ratio <= SLOWER,
    );
    drop(server);

    let workers = threads as u64;
    let mut base = None;
    for (kind, names, each) in [("own", &["admin"][..], 0), ("dear", &["dear0", "dear1", "nobody"][..], DEAR_MEMORY)] {
        let server = Running::start(&[kind], "");
        // What so many connections take without a hash.
        let probe = |_| answer_to(server.address, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
        futures_util::future::join_all((0..CROWD).map(probe)).await;
        // With the memory that each worker keeps for the own hash. Of the server without dear hashes, which is not learning what they take meanwhile.
        let base = *base.get_or_insert(server.memory("VmRSS"));
        let [let_in, failed, busy] = crowd(&server, names).await;
        let (peak, bound) = (server.memory("VmHWM"), base + workers * each + SLACK);
        row(
            &format!("{CROWD} at once, {kind} hashes ({let_in} let in, {failed} failed, {busy} told to wait): peak"),
            &format!("{} MiB", peak / 1024),
            &format!("base: {} MiB", base / 1024),
            "",
            &format!("≤ {} MiB", bound / 1024),
            peak <= bound,
        );
        // What dearer hashes took is given back, but for what the allocator keeps for the next one of a worker: blocks
        // of up to 32 MiB (glibc's largest threshold).
        let (after, bound) = (server.memory("VmRSS"), base + workers * 32 * 1024 + SLACK);
        let figure = format!("{} MiB", after / 1024);
        row("afterwards", &figure, "", "", &format!("≤ {} MiB", bound / 1024), after <= bound);
    }
}
