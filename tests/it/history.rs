//! Histories: what many clients were told by a server that is killed, held up and left without a disk, judged as a whole.
//!
//! Owns the course of a history, chapter by chapter; `SIGNET_HISTORY` says how many seconds it takes, and `SIGNET_SEED`
//! with what it begins. Each chapter is a new server, some dozen clients (`load.rs`), and what is done to it
//! (`nemesis.rs`); or three nodes on a shared store (`many.rs`), of which each may lag behind by the bound. Everything is written down (`record.rs`) and then judged by `model.rs`: whether what was acknowledged
//! holds, of revocations, users, passwords and rights, and nothing happened that nobody asked for. A file that does not
//! hold is kept, and judged again by `SIGNET_HISTORY_FILE`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::harness::PASSWORD;
use crate::model::History;
use crate::program::Door;
use desk::{Desk, Place};
use load::{Client, Scene};
use many::Many;
use nemesis::{Nemesis, Torments};
use record::Recorder;

mod desk;
mod itself;
mod load;
mod many;
mod nemesis;
mod record;

/// Clients, and how many of them administer.
const CLIENTS: usize = 32;
const ADMINISTRATORS: usize = 4;

/// Seconds of a chapter at the most: what is judged together is held in memory.
const CHAPTER: u64 = 60;

#[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What was seen of a chapter.
struct Chapter {
    history: History,
    acts: BTreeMap<&'static str, usize>,
    tokens: usize,
}

/// Runs a chapter, and writes it into the file.
async fn chapter<T: Torments>(
    (nemesis, places): (T, Vec<watch::Receiver<Place>>),
    seed: u64,
    seconds: u64,
    file: &Path,
) -> Chapter {
    let id = id_of_admin(&nemesis.door()).await;
    let recorder = Recorder::open(file, "admin", &id, PASSWORD, seed, nemesis.bound());
    let desk = Desk::open(recorder, places);
    let scene = Arc::new(Scene::make(&desk).await);
    let until = Instant::now() + Duration::from_secs(seconds);
    let raging = tokio::task::spawn_blocking({
        let desk = Arc::clone(&desk);
        move || nemesis.rage(&desk, until)
    });
    let client =
        |number: usize| Client::new(&desk, number, seed).run((number < ADMINISTRATORS).then(|| Arc::clone(&scene)));
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(number))).collect();
    let nemesis = raging.await.unwrap();
    desk.rest();
    for client in join_all(clients).await {
        client.unwrap();
    }
    // What was acknowledged last is known everywhere then.
    tokio::time::sleep(nemesis.bound()).await;
    look_back(&desk, &scene).await;
    let tokens = desk.tokens().len();
    let history = desk.close().close();
    let acts = nemesis.acts();
    nemesis.stop();
    Chapter { history, acts, tokens }
}

async fn id_of_admin(door: &Door) -> String {
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    let me = admin.want(200, reqwest::Method::GET, "/v1/me", Value::Null).await.unwrap();
    me["id"].as_str().unwrap().to_owned()
}

/// Asks, after all of it, for every token that was ever given out, for every user, and for their passwords.
async fn look_back(desk: &Arc<Desk>, scene: &Scene) {
    let tokens = desk.tokens();
    let lanes = (0..CLIENTS).map(|lane| {
        let (desk, tokens) = (Arc::clone(desk), &tokens);
        async move {
            let mut client = Client::new(&desk, lane, 0);
            for token in tokens.iter().skip(lane).step_by(CLIENTS) {
                client.ask(token.clone()).await;
            }
        }
    });
    join_all(lanes).await;
    let mut admin = Client::new(desk, 0, 0);
    // A node that is still behind says so, for as long as it is.
    let began = Instant::now();
    while !admin.log_in("admin").await {
        assert!(began.elapsed() < Duration::from_secs(20), "the superuser is lost");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for user in &scene.users {
        admin.call(&format!("GET {user}"), Value::Null).await;
    }
    for name in desk.names() {
        Client::new(desk, 0, 0).log_in(&name).await;
    }
}

fn complain(faults: &[String], file: &Path) {
    let first: Vec<&str> = faults.iter().take(5).map(String::as_str).collect();
    assert!(
        faults.is_empty(),
        "{} answers are wrong:\n{}\nto judge it again: SIGNET_HISTORY_FILE={} cargo test --test it -- a_history_that_was_kept",
        faults.len(),
        first.join("\n"),
        file.display()
    );
}

/// Runs chapters for so long, and judges each.
async fn run<T: Torments>(name: &str, seconds: u64, begin: impl AsyncFn(u64) -> (T, Vec<watch::Receiver<Place>>)) {
    let seed: u64 = setting("SIGNET_SEED").map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    let (mut left, mut number) = (seconds, 0);
    while left > 0 {
        let (now, begun) = (left.min(CHAPTER), Instant::now());
        let seed = seed.wrapping_add(number);
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}.jsonl"));
        println!("SIGNET_SEED={seed}, {now} s");
        let Chapter { mut history, acts, tokens } = chapter(begin(seed).await, seed, now, &file).await;
        let (ran, judging) = (begun.elapsed(), Instant::now());
        let faults = history.faults();
        let (acknowledged, open) = history.changes();
        println!(
            "{name}: {} calls in {ran:.1?}, {acknowledged} changes acknowledged and {open} that may have happened, {tokens} tokens; \
             done to it: {acts:?}; judged in {:.1?}: {} wrong",
            history.len(),
            judging.elapsed(),
            faults.len()
        );
        complain(&faults, &file);
        assert!(acknowledged > 100, "too little happened to say anything");
        std::fs::remove_file(&file).unwrap();
        (left, number) = (left - now, number + 1);
    }
}

fn seconds() -> u64 {
    setting("SIGNET_HISTORY").map_or(5, |seconds| seconds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_holds_whatever_is_done_to_the_server() {
    let folders = std::sync::Mutex::new(Vec::new());
    let begin = async |seed| {
        let folder = TempDir::new().unwrap();
        let begun = Nemesis::start(folder.path(), seed);
        folders.lock().unwrap().push(folder);
        begun
    };
    run("history", seconds(), begin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_at_one_node_holds_at_all_of_them_within_the_bound() {
    run("nodes", seconds().div_ceil(2), Many::start).await;
}

#[test]
fn a_history_that_was_kept_is_judged_again() {
    let Some(file) = setting("SIGNET_HISTORY_FILE").map(PathBuf::from) else { return };
    let faults = record::told(&record::read(&file)).faults();
    complain(&faults, &file);
}
