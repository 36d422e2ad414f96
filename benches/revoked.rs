//! Ten million sessions that ended before their time: what they cost in memory, a request, and a start.
//!
//! `cargo bench --bench revoked` fills the list of what has ended, by as many users, and judges claims beside it; then
//! half of them are over and are forgotten while claims are judged without a pause. `cargo bench --bench revoked --
//! --load` starts with as many in each store: in sled, and in PostgreSQL where that is installed (Debian: `postgresql`);
//! it takes some minutes. `--revocations N` is another number.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use server::Server as Database;
use signet::app::{App, Parts};
use signet::claims::{Claims, Lifetime, SessionId, UserId};
use signet::keys::{self, Keyring};
use signet::password::Cost;
use signet::revocation::endings::Kind;
use signet::revocation::{Revocations, Standing};
use signet::store::embedded::Embedded;
use signet::store::postgres::{Address, Postgres, migrate};
use signet::store::{Revocation, SharedStore, Store as _, Write};
use tempfile::TempDir;

#[path = "../tests/it/postgres/server.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod server;

const REVOCATIONS: usize = 10_000_000;

/// Bytes that each may take, beside nothing else.
const BYTES_MAX: f64 = 24.0;

/// Judgements that are timed together.
const JUDGEMENTS: usize = 2_000_000;

/// Revocations that are committed at once, in the embedded store.
const COMMITTED: usize = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (load, count) = match arguments[..] {
        [] => (false, REVOCATIONS),
        ["--load"] => (true, REVOCATIONS),
        ["--revocations", count] => (false, count.parse().unwrap()),
        ["--load", "--revocations", count] => (true, count.parse().unwrap()),
        _ => panic!("only --load and --revocations N"),
    };
    println!("| {count} revocations | figure | target |\n| --- | --- | --- |");
    if load {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(from_sled(count));
        runtime.block_on(from_postgres(count));
    } else {
        in_memory(count);
    }
}

fn row(what: &str, figure: &str, target: &str) {
    println!("| {what} | {figure} | {target} |");
}

fn verdict(target: &str, is_reached: bool) -> String {
    format!("{target}: {}", if is_reached { "reached" } else { "missed" })
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_900_000_000 + seconds)
}

/// Bytes of this process in memory.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<f64>().unwrap() * 1024.0
}

fn random_id(random: &mut fastrand::Rng) -> [u8; 16] {
    random.u128(..).to_le_bytes()
}

fn claims() -> Vec<Claims> {
    let life = Lifetime { age: 3600, end: 1_209_600 };
    (0..1000).map(|_| Claims::anonymous("i", "a", 0, at(0), life)).collect()
}

/// Nanoseconds of one judgement, the least of some rounds.
fn judgement(revocations: &Revocations, claims: &[Claims]) -> f64 {
    let round = || {
        let begun = Instant::now();
        for claims in claims.iter().cycle().take(JUDGEMENTS) {
            assert_eq!(black_box(revocations.judge(black_box(claims))), Standing::Live);
        }
        begun.elapsed().as_nanos() as f64 / JUDGEMENTS as f64
    };
    (0..5).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn in_memory(count: usize) {
    let (revocations, claims) = (Arc::new(Revocations::default()), claims());
    let none = judgement(&revocations, &claims);
    let (before, mut random, begun) = (resident(), fastrand::Rng::with_seed(7), Instant::now());
    for n in 0..count {
        let (id, user) = (SessionId::from_bytes(random_id(&mut random)), UserId::from_bytes(random_id(&mut random)));
        let until = at(if n % 2 == 0 { 1000 } else { 2000 });
        revocations.learn(&Revocation::Session { id, until });
        revocations.count_for(user, Kind::Session, id, until);
    }
    let took = begun.elapsed();
    let each = (resident() - before) / count as f64;
    row("memory, each", &format!("{each:.1} bytes"), &verdict("≤ 24 bytes", each <= BYTES_MAX));
    row("taking them in, each", &format!("{:.0} ns", took.as_nanos() as f64 / count as f64), "");
    let many = judgement(&revocations, &claims);
    row("one judgement, with none and with all", &format!("{none:.0} ns, {many:.0} ns"), "see the bench `http`");

    let over = Arc::new(AtomicBool::new(false));
    let quiet = pauses(&revocations, &claims, || std::thread::sleep(Duration::from_secs(1)));
    let sweep = {
        let (revocations, over) = (Arc::clone(&revocations), Arc::clone(&over));
        move || {
            revocations.forget(at(1500));
            over.store(true, Ordering::SeqCst);
        }
    };
    let begun = Instant::now();
    let swept = pauses(&revocations, &claims, sweep);
    let took = begun.elapsed();
    assert!(over.load(Ordering::SeqCst) && revocations.count().0 == count / 2);
    row("forgetting half of them", &format!("{:.0} ms", took.as_secs_f64() * 1000.0), "");
    row(
        "one judgement meanwhile: p99.9, longest",
        &format!("{:.1} µs, {:.0} µs (before: {:.1} µs, {:.0} µs)", swept.0, swept.1, quiet.0, quiet.1),
        &verdict("p99.9 ≤ 100 µs", swept.0 <= 100.0),
    );
    let left = (resident() - before) / (count / 2) as f64;
    row("memory afterwards, each of the rest", &format!("{left:.1} bytes"), "");
}

/// The times of single judgements while something else happens on another thread: p99.9 and the longest, in microseconds.
fn pauses(revocations: &Revocations, claims: &[Claims], act: impl FnOnce() + Send + 'static) -> (f64, f64) {
    let act = std::thread::spawn(act);
    let mut times = Vec::new();
    while !act.is_finished() {
        for claims in claims {
            let begun = Instant::now();
            black_box(revocations.judge(black_box(claims)));
            times.push(begun.elapsed().as_nanos() as f64 / 1000.0);
        }
    }
    act.join().unwrap();
    times.sort_by(f64::total_cmp);
    (times[times.len() * 999 / 1000], times[times.len() - 1])
}

async fn started(store: SharedStore, folder: &TempDir) -> (App, Duration) {
    let keys = folder.path().join("keys");
    if !keys.exists() {
        std::fs::create_dir(&keys).unwrap();
        keys::generate(&keys, "eddsa", None, at(0)).unwrap();
    }
    let begun = Instant::now();
    let app = App::open(Parts {
        hash_workers: 1,
        hash_cost: Cost { memory: 8, passes: 1, lanes: 1 },
        ..Parts::new(store, Keyring::load(&keys).unwrap(), Arc::new(|| at(0)))
    })
    .await
    .unwrap();
    app.hear().await.unwrap();
    (app, begun.elapsed())
}

async fn from_sled(count: usize) {
    let folder = TempDir::new().unwrap();
    let (store, mut random) = (Embedded::open(&folder.path().join("data")).unwrap(), fastrand::Rng::with_seed(7));
    let mut left = count;
    while left > 0 {
        let some = left.min(COMMITTED);
        let revoke = |_| {
            let id = SessionId::from_bytes(random_id(&mut random));
            Write::Revoke(Revocation::Session { id, until: at(1000) })
        };
        store.commit((0..some).map(revoke).collect()).await.unwrap();
        left -= some;
    }
    drop(store);
    let before = resident();
    let begun = Instant::now();
    let store = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
    let opened = begun.elapsed();
    let (app, loaded) = started(store, &folder).await;
    assert_eq!(app.revocations().count().0, count);
    let all = opened + loaded;
    row(
        "loaded from sled: opening it, reading them",
        &format!("{:.1} s, {:.1} s", opened.as_secs_f64(), loaded.as_secs_f64()),
        &verdict("≤ 10 s", all <= Duration::from_secs(10)),
    );
    row("memory afterwards", &format!("{:.0} MiB more", (resident() - before) / f64::from(1 << 20)), "");
}

async fn from_postgres(count: usize) {
    let database = Database::start();
    let url = format!("postgres://signet@127.0.0.1:{}/signet?sslmode=disable", database.port);
    database.client("postgres").await.batch_execute("create database signet").await.unwrap();
    let address = Address::parse(&url).unwrap();
    migrate(&address).await.unwrap();
    let insert = format!(
        "insert into revocations (kind, id, generation, rights_version, until, changed) \
         select 1, decode(md5(n::text), 'hex'), 0, 0, to_timestamp(1900001000), now() - interval '1 hour' \
         from generate_series(1, {count}) n; analyze revocations"
    );
    database.client("signet").await.batch_execute(&insert).await.unwrap();
    let (before, folder) = (resident(), TempDir::new().unwrap());
    let store = Arc::new(Postgres::open(&address).await.unwrap());
    let (app, loaded) = started(store, &folder).await;
    assert_eq!(app.revocations().count().0, count);
    row(
        "loaded from PostgreSQL",
        &format!("{:.1} s", loaded.as_secs_f64()),
        &verdict("≤ 30 s", loaded <= Duration::from_secs(30)),
    );
    row("memory afterwards", &format!("{:.0} MiB more", (resident() - before) / f64::from(1 << 20)), "");
}
