//! Log-ins a second beside bare argon2 on as many threads, what they do to everybody else, and the memory that many
//! log-ins at once take.
//!
//! `cargo bench --bench login`. The server is a process of its own. In rounds that take turns, connections that are
//! kept alive log in without a pause, or this process does nothing but hash, in memory that it keeps. What is left
//! between the two is HTTP, the store with its flush to disk, and the queue. Then requests of somebody who is logged in
//! are sent at a steady rate, with nothing beside them or with log-ins that keep every worker busy. Then hundreds of
//! clients log in at once, and the server's own account of its memory is read: to hashes of its own cost, and to dearer
//! ones from elsewhere.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use futures_util::future::join_all;
use signet::config::Flags;
use signet::password::Cost;
use signet::server::Server;
use signet::store::embedded::Embedded;
use signet::store::{Slice, Store as _, Write};
use support::{Compared, Line, PASSWORD, Running, note, part, row};

mod support;

/// Rounds of each kind.
const ROUNDS: usize = 5;

/// How long a round takes.
const ROUND: Duration = Duration::from_secs(3);

/// Log-ins under way at any time.
const CONNECTIONS: usize = 16;

/// Connections over which requests are sent at a steady rate, and the time between two of each.
const VISITORS: u32 = 8;
const EVERY: Duration = Duration::from_millis(20);

/// How much dearer a verified request may be beside log-ins, at the 99th percentile.
const DEARER: f64 = 3.0;

/// Log-ins at once, for the memory.
const CROWD: usize = 500;

/// The share of bare argon2 that log-ins have to reach.
const TARGET: f64 = 0.95;

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
    if let ["--serve", kind] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return serve(kind == "dear");
    }
    support::table(&format!("{CONNECTIONS} clients that log in without a pause"));
    let server = Running::start(&["own"], "");
    rates(&server);
    beside_them(&server);
    drop(server);
    support::runtime_here().block_on(memory());
}

fn serve(is_dear: bool) {
    let folder = support::folder();
    let flags = || support::flags(folder.path());
    support::runtime().block_on(async {
        drop(Server::start(flags().check().unwrap()).await.unwrap());
        if is_dear {
            dear_users(&flags()).await;
        }
        support::serve(flags()).await;
    });
}

/// Users whose hashes are dearer than the own.
async fn dear_users(flags: &Flags) {
    let store = Embedded::open(&flags.data).unwrap();
    let page = store.users(Slice { limit: 1, ..Slice::default() }).await.unwrap();
    for (n, encoded) in DEAR.iter().enumerate() {
        let mut user = page.items[0].clone();
        user.id = signet::claims::UserId::random();
        user.username = signet::user::Username::parse(&format!("dear{n}")).unwrap();
        user.password = (*encoded).to_owned();
        store.commit(vec![Write::CreateUser(Box::new(user))]).await.unwrap();
    }
}

// How many.

fn rates(server: &Running) {
    let threads = support::cores();
    let runtime = support::runtime();
    let ours = || runtime.block_on(log_ins(server));
    ours();
    let compared = Compared::of(&support::take_turns(ROUNDS, ours, || hashes(threads)));
    // A log-in holds a whole hash. When it seems to be quicker than one, something else on the machine took more from
    // one of the two than from the other, and nothing was measured.
    assert!(compared.ratio <= 1.05, "not a measurement: the machine is too busy ({})", compared.spread());
    compared.at_least("log-ins", &format!("bare argon2id on {threads} threads"), TARGET);
}

/// Log-ins a second.
async fn log_ins(server: &Running) -> f64 {
    let start = Instant::now();
    let request = support::login("admin", PASSWORD);
    let one = async |_| {
        let (mut line, mut done) = (Line::to(server.address).await, 0_u32);
        while start.elapsed() < ROUND {
            line.succeed(&request).await;
            done += 1;
        }
        done
    };
    let done = join_all((0..CONNECTIONS).map(one)).await;
    f64::from(done.iter().sum::<u32>()) / start.elapsed().as_secs_f64()
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

// What they do to everybody else.

fn beside_them(server: &Running) {
    let cookie = support::runtime_here().block_on(support::log_in(server.address, "admin"));
    let request = support::request("GET", "/v1/session", &cookie, "", "");
    let busy = || {
        std::thread::scope(|scope| {
            let logging_in = scope.spawn(|| support::runtime_here().block_on(log_ins(server)));
            let times = visits(server, &request);
            logging_in.join().unwrap();
            times
        })
    };
    let rounds = support::take_turns(ROUNDS, busy, || visits(server, &request));
    let of = |share: f64| -> Vec<(f64, f64)> {
        let figure = |times: &Vec<f64>| part(times.iter().copied(), share);
        rounds.iter().map(|(busy, quiet)| (figure(busy), figure(quiet))).collect()
    };
    let visited = format!("{} verified requests a second beside log-ins", 1000 * VISITORS / 20);
    Compared::of(&of(0.99)).at_most(&format!("p99 of {visited}"), "nothing", DEARER);
    Compared::of(&of(0.5)).noted("… p50", "nothing");
}

/// How long requests took that were sent at a steady rate, in nanoseconds. One that had to wait for the answer before
/// counts from when it was due.
fn visits(server: &Running, request: &str) -> Vec<f64> {
    let visit = || {
        // As if the visitors were another machine: it is not their waiting for a core that is measured. Where it is not
        // allowed, that is in the figure.
        _ = rustix::process::setpriority_process(None, -10);
        support::runtime_here().block_on(async {
            let begun = Instant::now();
            let visitor = async |n| {
                let (mut line, mut times) = (Line::to(server.address).await, Vec::new());
                let mut due = begun + EVERY * n / VISITORS;
                while due < begun + ROUND {
                    let is_late = Instant::now() > due;
                    tokio::time::sleep_until(due.into()).await;
                    let sent = if is_late { due } else { Instant::now() };
                    line.succeed(request).await;
                    times.push(sent.elapsed().as_nanos() as f64);
                    due += EVERY;
                }
                times
            };
            join_all((1..=VISITORS).map(visitor)).await.concat()
        })
    };
    // On a thread of its own, which has that priority alone.
    std::thread::scope(|scope| scope.spawn(visit).join().unwrap())
}

// What they take.

async fn memory() {
    let workers = support::cores() as u64;
    let mut base = None;
    for (kind, names, each) in
        [("its own hashes", &["admin"][..], 0), ("dearer hashes", &["dear0", "dear1", "nobody"][..], DEAR_MEMORY)]
    {
        let server = Running::start(&[if each == 0 { "own" } else { "dear" }], "");
        // What so many connections take without a hash.
        join_all(
            (0..CROWD).map(|_| support::answer_to(server.address, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")),
        )
        .await;
        // And the memory that each worker keeps for the own hash, from its first one on. Of the server without dear
        // hashes, which is not learning what they take meanwhile.
        let base = *base.get_or_insert(server.memory("VmRSS") + workers * u64::from(Cost::default().memory));
        let [let_in, failed, busy] = crowd(&server, names).await;
        note(
            &format!("{CROWD} at once, {kind}: let in, failed, told to wait"),
            &format!("{let_in}, {failed}, {busy}"),
            "",
            "",
        );
        // What dearer hashes took is given back, but for what the allocator keeps for the next one of a worker: blocks
        // of up to 32 MiB (glibc's largest threshold).
        for (what, figure, bound) in [
            ("… memory at the most", server.memory("VmHWM"), base + workers * each + SLACK),
            ("… memory afterwards", server.memory("VmRSS"), base + workers * 32 * 1024 + SLACK),
        ] {
            let mebibytes = |kibibytes: u64| format!("{} MiB", kibibytes / 1024);
            let target = format!("≤ {}", mebibytes(bound));
            row(what, &mebibytes(figure), &format!("before: {}", mebibytes(base)), "", &target, figure <= bound);
        }
    }
}

/// Many log-ins at once: how many were let in, failed, and were told to come again.
async fn crowd(server: &Running, names: &[&str]) -> [usize; 3] {
    let one = async |n: usize| {
        let answer = support::answer_to(server.address, &support::login(names[n % names.len()], PASSWORD)).await;
        support::status(&answer)
    };
    let found = join_all((0..CROWD).map(one)).await;
    [200, 401, 503].map(|status| found.iter().filter(|one| **one == status).count())
}
