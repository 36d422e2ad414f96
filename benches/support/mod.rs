//! What the benches share: a server in a process of its own, load over connections that are kept alive, tables.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(dead_code, clippy::allow_attributes, reason = "each bench uses a part of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use signet::config::Flags;
use signet::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The password of the superuser `admin` of every server.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// What was asked for on the command line, without what cargo adds.
pub(crate) fn arguments() -> Vec<String> {
    std::env::args().skip(1).filter(|text| text != "--bench").collect()
}

// Tables.

/// Begins a table, under the machine's name.
pub(crate) fn table(title: &str) {
    // Not those that this process may run on: it may have been put on one of them.
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = about.lines().filter(|line| line.starts_with("processor")).count();
    println!("\n{title} ({}, {cores} cores)\n", processor());
    println!("| what | figure | beside it | ratio (least to most) | target | |\n| --- | --- | --- | --- | --- | --- |");
}

fn processor() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = about.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("an unknown processor", |(_, name)| name).to_owned()
}

/// A figure that has to reach, or to stay within, a target.
pub(crate) fn row(what: &str, figure: &str, beside: &str, ratio: &str, target: &str, is_reached: bool) {
    let verdict = if is_reached { "reached" } else { "**missed**" };
    println!("| {what} | {figure} | {beside} | {ratio} | {target} | {verdict} |");
}

/// A figure without a target.
pub(crate) fn note(what: &str, figure: &str, beside: &str) {
    println!("| {what} | {figure} | {beside} | | | |");
}

/// What rounds that took turns came to.
pub(crate) struct Compared {
    pub(crate) ours: f64,
    pub(crate) beside: f64,
    /// The median, the least and the most of the rounds' ratios.
    pub(crate) ratio: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Compared {
    /// Of one figure for each round and kind.
    pub(crate) fn of(rounds: &[(f64, f64)]) -> Self {
        let ratios = sorted(rounds.iter().map(|(ours, beside)| ours / beside));
        Self {
            ours: median(rounds.iter().map(|round| round.0)),
            beside: median(rounds.iter().map(|round| round.1)),
            ratio: ratios[ratios.len() / 2],
            least: ratios[0],
            most: ratios[ratios.len() - 1],
        }
    }

    pub(crate) fn spread(&self) -> String {
        format!("{:.3} ({:.3} to {:.3})", self.ratio, self.least, self.most)
    }

    /// A row of rates, of which ours has to be at least this share of the other.
    pub(crate) fn at_least(&self, what: &str, beside: &str, share: f64) {
        let figures = (format!("{:.0}/s", self.ours), format!("{beside}: {:.0}/s", self.beside));
        row(what, &figures.0, &figures.1, &self.spread(), &format!("≥ {share}"), self.ratio >= share);
    }
}

pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}

/// The value below which this share of them lies.
pub(crate) fn part(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let values = sorted(values);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
    let at = ((values.len() - 1) as f64 * share) as usize;
    values[at]
}

// The server, in a process of its own.

/// Runs this process, and all threads that it starts from now on, on one core.
pub(crate) fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).unwrap();
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Tells whoever started this process where it listens.
pub(crate) fn tell(address: SocketAddr) {
    println!("{address}");
    std::io::stdout().flush().unwrap();
}

/// The server's end: whoever started it is gone.
pub(crate) async fn standard_input_ends() {
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    drop(ended.await);
}

/// The settings of a server in this folder.
pub(crate) fn flags(folder: &Path) -> Flags {
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    Flags {
        listen: "127.0.0.1:0".to_owned(),
        data: folder.join("data"),
        keys: folder.join("keys"),
        admin_password_file: Some(password),
        throttle: "off".to_owned(),
        ..Flags::default()
    }
}

/// Serves until whoever started this process is gone.
pub(crate) async fn serve(flags: Flags) {
    let server = Server::start(flags.check().unwrap()).await.unwrap();
    tell(server.address());
    server.run(standard_input_ends()).await.unwrap();
}

/// This very program in another process, as a server.
pub(crate) struct Running {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// With these arguments after `--serve`, and this on its standard input.
    pub(crate) fn start(arguments: &[&str], input: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--serve").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        process.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        Self { address: address.trim().parse().unwrap(), process }
    }

    /// A number of kibibytes in the kernel's account of the process.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        memory_of(self.process.id(), name)
    }
}

/// A number of kibibytes in the kernel's account of a process.
pub(crate) fn memory_of(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        // It ends by itself, and takes its folder along.
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

// Requests and answers, as they are on the wire.

/// A request with the members of a session's client.
pub(crate) fn request(method: &str, path: &str, cookie: &str, fields: &str, body: &str) -> String {
    let cookie = if cookie.is_empty() { String::new() } else { format!("cookie: {cookie}\r\n") };
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{cookie}{fields}{length}\r\n{body}")
}

/// The request to log in.
pub(crate) fn login(username: &str) -> String {
    request("POST", "/v1/login", "", "", &format!(r#"{{"username":"{username}","password":"{PASSWORD}"}}"#))
}

/// The cookie that an answer sets, as a client sends it.
pub(crate) fn cookie(answer: &str) -> Option<String> {
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: __Host-signet="))?;
    Some(format!("__Host-signet={}", line.split(';').next()?))
}

/// The cookie of a new session.
pub(crate) async fn log_in(address: SocketAddr, username: &str) -> String {
    let answer = answer_to(address, &login(username)).await;
    cookie(&answer).unwrap_or_else(|| panic!("{answer}"))
}

/// The answer to one request over a connection of its own.
pub(crate) async fn answer_to(address: SocketAddr, request: &str) -> String {
    Line::to(address).await.ask(request).await
}

/// A connection that is kept alive.
pub(crate) struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn ask(&mut self, request: &str) -> String {
        let length = self.exchange(request).await;
        String::from_utf8(self.buffer[..length].to_vec()).unwrap()
    }

    /// Sends a request that has to succeed, and throws the answer away. Gives the time that it took.
    pub(crate) async fn time(&mut self, request: &str) -> Duration {
        let sent = Instant::now();
        self.exchange(request).await;
        assert!(self.buffer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&self.buffer));
        sent.elapsed()
    }

    async fn exchange(&mut self, request: &str) -> usize {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        loop {
            assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "the server has hung up");
            let Some(head) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.buffer[..head]).unwrap();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let whole = head + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap());
            if self.buffer.len() >= whole {
                return whole;
            }
        }
    }
}

/// What a round of load came to.
pub(crate) struct Round {
    pub(crate) per_second: f64,
    /// In microseconds.
    pub(crate) latencies: Vec<f64>,
}

/// Sends the request over so many connections for a time, again as soon as it is answered.
pub(crate) async fn load(address: SocketAddr, request: &str, connections: usize, time: Duration) -> Round {
    let begun = Instant::now();
    let connection = |_| {
        let request = request.to_owned();
        tokio::spawn(async move {
            let (mut line, mut latencies) = (Line::to(address).await, Vec::new());
            while begun.elapsed() < time {
                latencies.push(line.time(&request).await.as_nanos() as f64 / 1000.0);
            }
            latencies
        })
    };
    let running: Vec<_> = (0..connections).map(connection).collect();
    let mut latencies = Vec::new();
    for connection in running {
        latencies.extend(connection.await.unwrap());
    }
    Round { per_second: latencies.len() as f64 / begun.elapsed().as_secs_f64(), latencies }
}
