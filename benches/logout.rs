//! Durable log-outs a second, beside the bare price of being durable: a file, and as many clients that wait for it.
//!
//! `cargo bench --bench logout`. 64 clients that stay connected log sessions out without a pause. Beside them, in
//! rounds that take turns, 64 threads hand a record to one that writes whatever waits to a file on the same disk, and
//! syncs it. What is left between the two is HTTP, the token, the store's index and the work of its log.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use signet::store::{Member, Write};
use support::{Compared, Line, Running};

mod support;

const CLIENTS: usize = 64;

/// Log-outs of each client in a round, of one user: after a thousand, all that a user has would be ended at once.
const EACH: usize = 150;

/// Rounds of each kind; one more warms up.
const ROUNDS: usize = 7;

/// Bytes that the embedded store keeps of a log-out, roughly: what has ended, which session is not open any more, and
/// an event of the audit log.
const RECORD: usize = 400;

fn main() {
    let arguments = support::arguments();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", folder] => serve(Path::new(folder)),
        _ => compare(),
    }
}

/// Serves in a folder, where it leaves a file of tokens first.
fn serve(folder: &Path) {
    support::runtime().block_on(async {
        let app = support::wired(folder, support::clock()).await;
        let user = |n| support::user(&app, &format!("user{n}"));
        let users: Vec<_> = (0..CLIENTS * (ROUNDS + 1)).map(user).collect();
        app.commit(users.iter().map(|user| Write::CreateUser(Box::new(user.clone()))).collect()).await.unwrap();
        let mut tokens = String::new();
        for user in users {
            let member = Member { user, groups: Vec::new() };
            for session in support::sessions(&app, &member, EACH).await {
                tokens.push_str(session.token().unwrap());
                tokens.push('\n');
            }
        }
        std::fs::write(folder.join("tokens"), tokens).unwrap();
        support::serve_app(app).await;
    });
}

fn compare() {
    let folder = support::folder();
    let server = Running::start(&[folder.path().to_str().unwrap()], "");
    let tokens = std::fs::read_to_string(folder.path().join("tokens")).unwrap();
    let request = |token| support::request("POST", "/v1/logout", &support::cookie_of(token), "", "");
    let mut requests = tokens.lines().map(request);
    let mut file = File::create(folder.path().join("records")).unwrap();
    let runtime = support::runtime_here();
    support::table(&format!("{CLIENTS} clients that log out, on one disk"));

    let (mut latencies, mut work) = (Vec::new(), Vec::new());
    let mut ours = || {
        let requests: Vec<_> = requests.by_ref().take(CLIENTS * EACH).collect();
        let before = server.work();
        let (rate, mut times) = runtime.block_on(log_outs(&server, requests));
        work.push(before.more() / times.len() as f64);
        latencies.append(&mut times);
        rate
    };
    let mut bare = || group_commits(&mut file);
    ours();
    bare();
    let rounds = support::take_turns(ROUNDS, &mut ours, &mut bare);
    Compared::of(&rounds).at_least("durable log-outs", "bare group commits", 0.8);
    let [half, most] = [0.5, 0.99].map(|share| support::time(support::part(latencies.iter().copied(), share)));
    support::note("… p50, p99", &format!("{half}, {most}"), "", "");
    support::note("… work of the server for each", &support::time(support::median(work)), "", "");
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert_eq!(size("records"), (RECORD * CLIENTS * EACH * (ROUNDS + 1)) as u64);
}

/// Log-outs a second, and how long each took, in nanoseconds.
async fn log_outs(server: &Running, requests: Vec<String>) -> (f64, Vec<f64>) {
    let mut clients = Vec::new();
    for some in requests.chunks(EACH) {
        clients.push((Line::to(server.address).await, some));
    }
    let begun = Instant::now();
    let client = async |(mut line, requests): (Line, &[String])| {
        let mut times = Vec::with_capacity(requests.len());
        for request in requests {
            let sent = Instant::now();
            line.succeed(request).await;
            times.push(sent.elapsed().as_nanos() as f64);
        }
        times
    };
    let times: Vec<f64> = futures_util::future::join_all(clients.into_iter().map(client)).await.concat();
    (times.len() as f64 / begun.elapsed().as_secs_f64(), times)
}

/// Records a second that are on disk before their clients go on.
fn group_commits(file: &mut File) -> f64 {
    let (records, queue) = mpsc::channel::<(Vec<u8>, mpsc::Sender<()>)>();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let records = records.clone();
            scope.spawn(move || {
                let (done, is_done) = mpsc::channel();
                for _ in 0..EACH {
                    records.send((vec![u8::try_from(client).unwrap(); RECORD], done.clone())).unwrap();
                    is_done.recv().unwrap();
                }
            });
        }
        drop(records);
        while let Ok(first) = queue.recv() {
            let (bytes, waiting): (Vec<_>, Vec<_>) = std::iter::once(first).chain(queue.try_iter()).unzip();
            file.write_all(&bytes.concat()).unwrap();
            file.sync_data().unwrap();
            for done in waiting {
                done.send(()).unwrap();
            }
        }
    });
    (CLIENTS * EACH) as f64 / begun.elapsed().as_secs_f64()
}
