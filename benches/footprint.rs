//! How soon a server is there, and what it takes when it has nothing to do.
//!
//! `cargo bench --bench footprint`: the program as it is released, started anew each time.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Line, PASSWORD, answer_to, median, memory_of, note, request, row, runtime, sorted};
use tempfile::TempDir;

mod support;

const STARTS: usize = 21;

/// Targets: milliseconds, mebibytes and bytes.
const START_MAX: f64 = 50.0;
const MEMORY_MAX: f64 = 20.0;
const BINARY_MAX: f64 = 20.0;
const COOKIE_MAX: usize = 900;

const PROGRAM: &str = env!("CARGO_BIN_EXE_signet");

struct Program {
    process: Child,
    address: std::net::SocketAddr,
    began: Duration,
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Program {
    /// Started in a folder, and answering.
    fn start(folder: &Path, runtime: &tokio::runtime::Runtime) -> Self {
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let begun = Instant::now();
        let mut process = Command::new(PROGRAM)
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--throttle", "off", "--keys"])
            .arg(folder.join("keys"))
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--admin-password-file")
            .arg(password)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on http://")?.to_owned()));
        let address = address.unwrap().parse().unwrap();
        let answer = runtime.block_on(answer_to(address, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Self { process, address, began: begun.elapsed() }
    }
}

fn main() {
    let runtime = runtime();
    support::table("the program as it is released");
    let milliseconds = |program: &Program| program.began.as_secs_f64() * 1000.0;
    // A store that is empty: `admin` is made in it, at the price of a hash. Then one that has an account.
    let (mut first, mut empty, mut next, mut idle) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let folder = TempDir::new().unwrap();
        first.push(milliseconds(&Program::start(folder.path(), &runtime)));
        std::fs::remove_dir_all(folder.path().join("data")).unwrap();
        empty.push(milliseconds(&Program::start(folder.path(), &runtime)));
        let program = Program::start(folder.path(), &runtime);
        next.push(milliseconds(&program));
        idle.push(memory_of(program.process.id(), "VmRSS") as f64 / 1024.0);
    }
    let spread = |times: &[f64]| {
        let times = sorted(times.iter().copied());
        format!("{:.0} to {:.0} ms", times[0], times[times.len() - 1])
    };
    let took = median(empty.iter().copied());
    let target = format!("≤ {START_MAX} ms");
    row("start to first 200, empty store", &format!("{took:.0} ms"), &spread(&empty), "", &target, took <= START_MAX);
    note(
        "the very first start, which makes a key",
        &format!("{:.0} ms", median(first.iter().copied())),
        &spread(&first),
    );
    note("with an account in the store", &format!("{:.0} ms", median(next.iter().copied())), &spread(&next));
    let idle = median(idle);
    let target = format!("≤ {MEMORY_MAX} MiB");
    row("memory, idle", &format!("{idle:.1} MiB"), "", "", &target, idle <= MEMORY_MAX);
    let size = std::fs::metadata(PROGRAM).unwrap().len() as f64 / f64::from(1 << 20);
    row("the binary", &format!("{size:.1} MiB"), "", "", &format!("≤ {BINARY_MAX} MiB"), size <= BINARY_MAX);

    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path(), &runtime);
    let bytes = runtime.block_on(cookie(&program)).len();
    let what = "the cookie of a user in three groups with 100 bytes of data";
    row(what, &format!("{bytes} bytes"), "", "", &format!("≤ {COOKIE_MAX} bytes"), bytes <= COOKIE_MAX);
}

/// `name=value` of the session of a user in three groups, with 100 bytes of data in JSON.
async fn cookie(program: &Program) -> String {
    let admin = support::log_in(program.address, "admin").await;
    let mut line = Line::to(program.address).await;
    for group in ["editors", "reviewers", "support"] {
        let body = format!(r#"{{"name":"{group}"}}"#);
        line.time(&request("POST", "/v1/groups", &admin, "", &body)).await;
    }
    let user = format!(r#"{{"username":"alice","password":"{PASSWORD}","groups":["editors","reviewers","support"]}}"#);
    line.time(&request("POST", "/v1/users", &admin, "", &user)).await;
    let alice = support::log_in(program.address, "alice").await;
    let data = format!(r#"{{"theme":"dark","cart":[7,12],"note":"{}"}}"#, "x".repeat(60));
    assert_eq!(data.len(), 100);
    support::cookie(&line.ask(&request("PUT", "/v1/session", &alice, "", &data)).await).unwrap()
}
