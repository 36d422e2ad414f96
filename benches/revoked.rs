//! Ten million sessions that ended before their time: what they cost in memory, a request, and a start.
//!
//! `cargo bench --bench revoked` fills the list of what has ended, by as many users, and judges claims beside it; then
//! half of them are over and are forgotten while claims are judged without a pause. `cargo bench --bench revoked --
//! --load` starts with as many in each store: in sled, and in PostgreSQL where that is installed (Debian: `postgresql`);
//! filling sled takes a quarter of an hour. `--revocations N` is another number.

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
use signet::revocation::endings::Kind;
use signet::revocation::{Revocations, Standing};
use signet::store::embedded::Embedded;
use signet::store::postgres::{Address, Postgres, migrate};
use signet::store::{Revocation, SharedStore, Store as _, Write};
use tempfile::TempDir;

mod support;

#[path = "../tests/it/postgres/server.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod server;

const REVOCATIONS: usize = 10_000_000;

/// Bytes that each may take, beside nothing else.
const BYTES_MAX: f64 = 24.0;

/// How long one judgement may take while half of all are forgotten, at the 99.9th percentile, in nanoseconds.
const PAUSE_MAX: f64 = 100e3;

/// Judgements that are timed together.
const JUDGEMENTS: usize = 2_000_000;

/// Revocations that are committed at once, in the embedded store.
const COMMITTED: usize = 20_000;

fn main() {
    let count = support::option("--revocations", REVOCATIONS);
    support::table(&format!("{count} ended sessions"));
    if support::arguments().iter().any(|argument| argument == "--load") {
        let runtime = support::runtime();
        runtime.block_on(from_sled(count));
        runtime.block_on(from_postgres(count));
    } else {
        in_memory(count);
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_900_000_000 + seconds)
}

/// Bytes of this process in memory.
fn resident() -> f64 {
    support::memory(std::process::id(), "VmRSS") as f64 * 1024.0
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
    support::within("memory, each", each, "bytes", BYTES_MAX);
    support::note("taking them in, each", &support::time(took.as_nanos() as f64 / count as f64), "", "");
    let many = judgement(&revocations, &claims);
    let none = format!("with none: {}", support::time(none));
    support::note("one judgement", &support::time(many), &none, "");

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
    support::note("forgetting half of them", &support::time(took.as_nanos() as f64), "", "");
    let before_it = |part: f64| format!("before: {}", support::time(part));
    let target = format!("≤ {}", support::time(PAUSE_MAX));
    let is_short = swept.0 <= PAUSE_MAX;
    support::row(
        "… one judgement meanwhile: p99.9",
        &support::time(swept.0),
        &before_it(quiet.0),
        "",
        &target,
        is_short,
    );
    support::note("… the longest", &support::time(swept.1), &before_it(quiet.1), "");
    let left = (resident() - before) / (count / 2) as f64;
    support::note("memory afterwards, each of the rest", &support::shown(left, "bytes"), "", "");
}

/// The times of single judgements while something else happens on another thread: p99.9 and the longest, in nanoseconds.
fn pauses(revocations: &Revocations, claims: &[Claims], act: impl FnOnce() + Send + 'static) -> (f64, f64) {
    let act = std::thread::spawn(act);
    let mut times = Vec::new();
    while !act.is_finished() {
        for claims in claims {
            let begun = Instant::now();
            black_box(revocations.judge(black_box(claims)));
            times.push(begun.elapsed().as_nanos() as f64);
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
        hash_cost: support::CHEAP,
        ..Parts::new(store, Keyring::load(&keys).unwrap(), Arc::new(|| at(0)))
    })
    .await
    .unwrap();
    app.hear().await.unwrap();
    (app, begun.elapsed())
}

async fn from_sled(count: usize) {
    let folder = support::folder();
    let (store, mut random) = (Embedded::open(&folder.path().join("data")).unwrap(), fastrand::Rng::with_seed(7));
    let (begun, mut left) = (Instant::now(), count);
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
    let each = support::time(begun.elapsed().as_nanos() as f64 / count as f64);
    let most = support::memory(std::process::id(), "VmHWM") as f64 / 1024.0;
    support::note("writing them into sled, each; memory at the most", &each, &support::shown(most.round(), "MiB"), "");
    let before = resident();
    let begun = Instant::now();
    let store = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
    let opened = begun.elapsed();
    let (app, loaded) = started(store, &folder).await;
    assert_eq!(app.revocations().count().0, count);
    support::within("loaded from sled", (opened + loaded).as_secs_f64(), "s", 10.0);
    support::note("… of which opening it", &support::shown(opened.as_secs_f64(), "s"), "", "");
    tell_memory(before);
}

async fn from_postgres(count: usize) {
    let database = Database::start_with(&["fsync=on"]);
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
    let (before, folder) = (resident(), support::folder());
    let store = Arc::new(Postgres::open(&address).await.unwrap());
    let (app, loaded) = started(store, &folder).await;
    assert_eq!(app.revocations().count().0, count);
    support::within("loaded from PostgreSQL", loaded.as_secs_f64(), "s", 30.0);
    tell_memory(before);
}

fn tell_memory(before: f64) {
    let more = (resident() - before) / f64::from(1 << 20);
    support::note("… memory more than before", &support::shown(more.round(), "MiB"), "", "");
}
