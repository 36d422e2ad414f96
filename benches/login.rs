//! Log-ins a second beside bare argon2 on as many threads, and the memory that many log-ins at once take.
//!
//! `cargo bench --bench login`. The server is a process of its own. In rounds that take turns, connections that are
//! kept alive log in without a pause, or this process does nothing but hash, in memory that it keeps. What is left
//! between the two is HTTP, the store with its flush to disk, and the queue. Then hundreds of clients log in at once,
//! and the server's own account of its memory is read: to hashes of its own cost, and to dearer ones from elsewhere.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde_json::json;
use signet::config::Flags;
use signet::password::Cost;
use signet::server::Server;
use signet::store::embedded::Embedded;
use signet::store::{Slice, Store as _, Write};

/// Rounds of each kind.
const ROUNDS: usize = 5;

/// How long a round takes.
const ROUND: Duration = Duration::from_secs(3);

/// Log-ins under way at any time.
const CONNECTIONS: usize = 16;

/// Log-ins at once, for the memory.
const CROWD: usize = 500;

/// The share of bare argon2 that log-ins have to reach.
const TARGET: f64 = 0.9;

/// Memory that a crowd may take beside the hashes, in kibibytes: what the allocator keeps for the next one.
const SLACK: u64 = 16 * 1024;

const PASSWORD: &str = "correct horse battery";

/// Hashes from elsewhere that are dearer than the own: Django's argon2 and scrypt, of another password.
const DEAR: [&str; 2] = [
    "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$KniJIVF6kpiS7ExyM8rBBnFxoASOCTJcqAe//22LfSg",
    "scrypt$16384$saltSALT01234567890123$8$5$3WJdaktCTb8Ki1OipDQM3FOkYdgNRmIA1fgqcV1MBG1O3HbmVkIIsc71dHrTglxLDJYr+NoNtMRg+I01FE8C5g==",
];
/// What a worker needs for the dearest of them, in kibibytes, beside the memory that it keeps for the own.
const DEAR_MEMORY: u64 = 102_400;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).filter(|text| *text != "--bench").collect();
    match arguments[..] {
        ["--serve", dear] => serve(dear == "dear"),
        _ => runtime().block_on(compare()),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn serve(dear: bool) {
    let folder = tempfile::TempDir::new().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let config = || {
        let flags = Flags {
            listen: "127.0.0.1:0".to_owned(),
            data: folder.path().join("data"),
            keys: folder.path().join("keys"),
            admin_password_file: Some(password.clone()),
            throttle: "off".to_owned(),
            ..Flags::default()
        };
        flags.check().unwrap()
    };
    runtime().block_on(async {
        drop(Server::start(config()).await.unwrap());
        if dear {
            dear_users(&config().data).await;
        }
        let server = Server::start(config()).await.unwrap();
        println!("{}", server.address());
        std::io::stdout().flush().unwrap();
        let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        server.run(async { drop(ended.await) }).await.unwrap();
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

/// A server in another process.
struct Running {
    process: Child,
    base: String,
    http: reqwest::Client,
}

impl Running {
    fn start(kind: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--serve", kind]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, base: format!("http://{}", line.trim()), http: reqwest::Client::new() }
    }

    async fn log_in(&self, username: &str, password: &str) -> u16 {
        let body = json!({ "username": username, "password": password }).to_string();
        let request = self.http.post(format!("{}/v1/login", self.base)).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        drop(answer.bytes().await.unwrap());
        status
    }

    /// A number of kibibytes in the kernel's account of the process.
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

/// Log-ins a second.
async fn log_ins(server: &Running) -> f64 {
    let start = Instant::now();
    let one = async || {
        let mut done = 0_u32;
        while start.elapsed() < ROUND {
            assert_eq!(server.log_in("admin", PASSWORD).await, 200);
            done += 1;
        }
        done
    };
    let done = futures_util::future::join_all((0..CONNECTIONS).map(|_| one())).await;
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Many log-ins at once: how many were let in, failed, and were told to come again.
async fn crowd(server: &Running, names: &[&str], password: &str) -> [usize; 3] {
    let one = |n: usize| server.log_in(names[n % names.len()], password);
    let found = futures_util::future::join_all((0..CROWD).map(one)).await;
    [200, 401, 503].map(|status| found.iter().filter(|one| **one == status).count())
}

async fn compare() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Running::start("own");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    log_ins(&server).await;
    for _ in 0..ROUNDS {
        ours.push(log_ins(&server).await);
        bare.push(hashes(threads));
    }
    // Rounds that differ much among themselves were spoilt by something else on the machine.
    println!("log-ins by round {ours:.1?}, bare argon2 by round {bare:.1?}");
    let (ours, bare) = (median(ours), median(bare));
    let share = ours / bare;
    println!("log-ins {ours:.1}/s, bare argon2 {bare:.1}/s on {threads} threads: {share:.3} (target {TARGET})");
    drop(server);

    let workers = threads as u64;
    // A log-in holds a whole hash. When it seems to be quicker than one, something else on the machine took more from
    // one of the two than from the other, and nothing was measured.
    assert!(share <= 1.05, "not a measurement: the machine is too busy");
    let mut fine = share >= TARGET;
    let mut base = None;
    for (kind, names, each) in [("own", &["admin"][..], 0), ("dear", &["dear0", "dear1", "nobody"][..], DEAR_MEMORY)] {
        let server = Running::start(kind);
        // What so many connections take without a hash.
        let probe = || async { server.http.get(format!("{}/livez", server.base)).send().await.unwrap().bytes().await };
        futures_util::future::join_all((0..CROWD).map(|_| probe())).await;
        // With the memory that each worker keeps for the own hash. Of the server without dear hashes, which is not learning what they take meanwhile.
        let base = *base.get_or_insert(server.memory("VmRSS"));
        let [let_in, failed, busy] = crowd(&server, names, PASSWORD).await;
        let peak = server.memory("VmHWM");
        let bound = base + workers * each + SLACK;
        println!(
            "{kind}: {CROWD} at once ({let_in} let in, {failed} failed, {busy} told to wait): peak {} MiB, base {} MiB, bound {} MiB",
            peak / 1024,
            base / 1024,
            bound / 1024
        );
        fine &= peak <= bound;
        // What dearer hashes took is given back, but for what the allocator keeps for the next one of a worker: blocks
        // of up to 32 MiB (glibc's largest threshold).
        let after = server.memory("VmRSS");
        println!("{kind}: afterwards {} MiB", after / 1024);
        fine &= after <= base + workers * 32 * 1024 + SLACK;
    }
    assert!(fine, "a target was missed");
}
