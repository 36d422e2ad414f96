//! Log-outs a second, each durable before it is answered, beside the bare disk.
//!
//! `cargo bench --bench logout`. 64 clients at once; in rounds that take turns they log out of sessions that they have
//! begun before, or as many threads hand a record of the same size to one that writes what waits and calls fdatasync.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::Write as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use support::{Compared, Line, Running, request, runtime};

mod support;

const CLIENTS: usize = 64;
const ROUNDS: usize = 7;

/// Sessions that each client ends in a round.
const EACH: usize = 60;

/// Bytes of a record: a revocation with its key, twice over for the store's own frame.
const RECORD: usize = 128;

const TARGET: f64 = 0.8;

fn main() {
    let arguments = support::arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Beside the build, on the disk that the project is on, for both.
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    match arguments[..] {
        ["--serve", _] => runtime().block_on(support::serve(support::flags(folder.path()))),
        _ => compare(folder.path()),
    }
}

fn compare(folder: &std::path::Path) {
    let server = Running::start(&["own"], "");
    support::table(&format!("durable log-outs, {CLIENTS} clients"));
    let runtime = runtime();
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let both = (runtime.block_on(log_outs(&server)), bare(&folder.join("log")));
        if round > 0 {
            rounds.push(both);
        }
    }
    Compared::of(&rounds).at_least("log-outs", "bare group commit with fdatasync", TARGET);
}

/// Log-outs a second. The sessions are anonymous, so that nothing but the end itself is durable in them.
async fn log_outs(server: &Running) -> f64 {
    let begin = request("PATCH", "/v1/session", "", "", r#"{"n":1}"#);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (mut line, mut ends) = (Line::to(server.address).await, Vec::new());
        for _ in 0..EACH {
            let cookie = support::cookie(&line.ask(&begin).await).unwrap();
            ends.push(request("POST", "/v1/logout", &cookie, "", ""));
        }
        clients.push((line, ends));
    }
    let begun = Instant::now();
    let run = |(mut line, ends): (Line, Vec<String>)| {
        tokio::spawn(async move {
            for end in ends {
                line.time(&end).await;
            }
        })
    };
    for client in clients.into_iter().map(run).collect::<Vec<_>>() {
        client.await.unwrap();
    }
    (CLIENTS * EACH) as f64 / begun.elapsed().as_secs_f64()
}

/// Records a second, each on the disk before its thread goes on.
fn bare(path: &std::path::Path) -> f64 {
    let (sender, records) = mpsc::channel::<([u8; RECORD], mpsc::SyncSender<()>)>();
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    let writer = std::thread::spawn(move || {
        while let Ok(first) = records.recv() {
            let waiting: Vec<_> = std::iter::once(first).chain(records.try_iter()).collect();
            file.write_all(&waiting.iter().flat_map(|(record, _)| *record).collect::<Vec<_>>()).unwrap();
            file.sync_data().unwrap();
            for (_, done) in waiting {
                done.send(()).unwrap();
            }
        }
    });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let sender = sender.clone();
            scope.spawn(move || {
                for _ in 0..EACH {
                    let (done, is_done) = mpsc::sync_channel(1);
                    sender.send(([7; RECORD], done)).unwrap();
                    is_done.recv_timeout(Duration::from_secs(30)).unwrap();
                }
            });
        }
    });
    let took = begun.elapsed();
    drop(sender);
    writer.join().unwrap();
    (CLIENTS * EACH) as f64 / took.as_secs_f64()
}
