//! What the benches share: servers in processes of their own, load over connections that are kept alive, figures that
//! are taken in turns, and the one form in which all of them are told.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(dead_code, clippy::allow_attributes, reason = "each bench uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::DirEntry;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use poem::listener::{AcceptorExt as _, TcpAcceptor};
use rustix::thread::{CpuSet, sched_setaffinity};
use signet::api::front::Settings;
use signet::app::{App, Clock, Parts};
use signet::audit::{Action, Client};
use signet::claims::{GroupId, UserId};
use signet::config::Flags;
use signet::keys::{self, Keyring};
use signet::password::Cost;
use signet::rights::{Group, Permission, PermissionEntry};
use signet::server::Server;
use signet::session::{self, Session};
use signet::store::embedded::Embedded;
use signet::store::{Member, Write};
use signet::user::{User, Username};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The password of the superuser `admin` of every server.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A hash that costs nothing to speak of.
pub(crate) const CHEAP: Cost = Cost { memory: 8, passes: 1, lanes: 1 };

/// What was asked for on the command line, without what cargo adds.
pub(crate) fn arguments() -> Vec<String> {
    std::env::args().skip(1).filter(|text| text != "--bench").collect()
}

/// The number after a flag, or the usual one.
pub(crate) fn option(flag: &str, usual: usize) -> usize {
    let arguments = arguments();
    let given = arguments.iter().position(|text| text == flag).map(|at| &arguments[at + 1]);
    given.map_or(usual, |number| number.replace('_', "").parse().unwrap())
}

/// A folder on the disk that the project is on: what is temporary may be in memory only, where nothing is ever synced.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

// Tables.

/// Begins a table, under what it is about and the machine's name.
pub(crate) fn table(title: &str) {
    println!("\n{title} ({}, {} cores)\n", processor(), cores());
    println!("| what | figure | beside it | ratio (least to most) | target | |");
    println!("| --- | --- | --- | --- | --- | --- |");
}

/// Threads that run at the same time.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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
pub(crate) fn note(what: &str, figure: &str, beside: &str, ratio: &str) {
    println!("| {what} | {figure} | {beside} | {ratio} | | |");
}

/// A single figure that must not be above its bound.
pub(crate) fn within(what: &str, figure: f64, unit: &str, most: f64) {
    row(what, &shown(figure, unit), "", "", &format!("≤ {}", shown(most, unit)), figure <= most);
}

/// A number with as many digits as say something.
pub(crate) fn shown(value: f64, unit: &str) -> String {
    let digits = match value {
        _ if value.fract() == 0.0 => 0,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let space = if unit.starts_with('/') || unit.is_empty() { "" } else { " " };
    format!("{value:.digits$}{space}{unit}")
}

/// Nanoseconds in the unit that suits them.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => shown(nanoseconds, "ns"),
        ..1e6 => shown(nanoseconds / 1e3, "µs"),
        _ => shown(nanoseconds / 1e6, "ms"),
    }
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

    /// Nanoseconds of one call of each, in many short rounds: what else the machine does meets few of them.
    pub(crate) fn calls<A, B>(mut ours: impl FnMut() -> A, mut beside: impl FnMut() -> B) -> Self {
        let (count, other) = (a_round_of(&mut ours), a_round_of(&mut beside));
        Self::of(&take_turns(CALL_ROUNDS as usize, || each(count, &mut ours), || each(other, &mut beside)))
    }

    pub(crate) fn spread(&self) -> String {
        format!("{:.3} ({:.3} to {:.3})", self.ratio, self.least, self.most)
    }

    /// A row of rates, of which ours has to be at least this share of the other.
    pub(crate) fn at_least(&self, what: &str, beside: &str, share: f64) {
        let figures = (shown(self.ours, "/s"), format!("{beside}: {}", shown(self.beside, "/s")));
        row(what, &figures.0, &figures.1, &self.spread(), &format!("≥ {share}"), self.ratio >= share);
    }

    /// A row of times in nanoseconds, of which ours has to be at most so many times the other.
    pub(crate) fn at_most(&self, what: &str, beside: &str, times: f64) {
        let figures = (time(self.ours), format!("{beside}: {}", time(self.beside)));
        row(what, &figures.0, &figures.1, &self.spread(), &format!("≤ {times}"), self.ratio <= times);
    }

    /// A row of times in nanoseconds without a target.
    pub(crate) fn noted(&self, what: &str, beside: &str) {
        note(what, &time(self.ours), &format!("{beside}: {}", time(self.beside)), &self.spread());
    }
}

pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    part(values, 0.5)
}

/// The value below which this share of them lies.
pub(crate) fn part(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let values = sorted(values);
    assert!(!values.is_empty(), "nothing was measured");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
    let at = (values.len() as f64 * share) as usize;
    values[at.min(values.len() - 1)]
}

/// Rounds of two kinds. Each kind is the first one in every other round, so that what drifts meets both alike.
pub(crate) fn take_turns<T>(count: usize, mut ours: impl FnMut() -> T, mut beside: impl FnMut() -> T) -> Vec<(T, T)> {
    let mut round = |n: usize| {
        if n.is_multiple_of(2) {
            let first = ours();
            (first, beside())
        } else {
            let first = beside();
            (ours(), first)
        }
    };
    (0..count).map(&mut round).collect()
}

// Calls in this process.

const CALL_ROUNDS: u32 = 61;

/// How long a round of calls takes, roughly.
const CALL_ROUND: Duration = Duration::from_millis(8);

/// Nanoseconds of one of so many calls.
fn each<T>(count: u32, call: &mut impl FnMut() -> T) -> f64 {
    let begun = Instant::now();
    for _ in 0..count {
        black_box(call());
    }
    begun.elapsed().as_nanos() as f64 / f64::from(count)
}

/// How many calls a round takes. Warms them up as well.
fn a_round_of<T>(call: &mut impl FnMut() -> T) -> u32 {
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < CALL_ROUND {
        black_box(call());
        count += 1;
    }
    count
}

/// Nanoseconds of one call: of many short rounds, or of fewer when a call takes long, one of the quick ones, since what
/// else the machine does only adds to them.
pub(crate) fn call<T>(mut call: impl FnMut() -> T) -> f64 {
    let (count, begun) = (a_round_of(&mut call), Instant::now());
    let mut rounds = vec![each(count, &mut call)];
    while rounds.len() < CALL_ROUNDS as usize && begun.elapsed() < 2 * CALL_ROUND * CALL_ROUNDS {
        rounds.push(each(count, &mut call));
    }
    part(rounds, 0.2)
}

// A Signet in this process.

/// The clock of the machine.
pub(crate) fn clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "a bench runs on the real clock")]
    Arc::new(chrono::Utc::now)
}

/// A Signet in a folder, whose hashes cost nothing, with the superuser `admin`.
pub(crate) async fn wired(folder: &Path, clock: Clock) -> App {
    let keys = folder.join("keys");
    std::fs::create_dir(&keys).unwrap();
    keys::generate(&keys, "eddsa", Some("bench"), clock()).unwrap();
    keys::generate_sealing(&keys, None, clock()).unwrap();
    let store = Arc::new(Embedded::open(&folder.join("data")).unwrap());
    let keyring = Keyring::load(&keys).unwrap();
    let parts = Parts { hash_workers: 4, hash_cost: CHEAP, throttle: false, ..Parts::new(store, keyring, clock) };
    let app = App::open(parts).await.unwrap();
    signet::account::first_superuser(&app, Some(PASSWORD)).await.unwrap();
    app
}

/// Permissions of the application `polls`.
pub(crate) fn permissions(kind: &str, count: usize) -> BTreeSet<Permission> {
    let name = |n| Permission::parse("permission", &format!("polls.{kind}_{n:04}")).unwrap();
    (0..count).map(name).collect()
}

/// The writes that make these permissions.
pub(crate) fn made(permissions: &BTreeSet<Permission>) -> Vec<Write> {
    let entry = |name: &Permission| PermissionEntry { name: name.clone(), description: String::new(), version: 0 };
    permissions.iter().map(|name| Write::CreatePermission(entry(name))).collect()
}

/// A group that is not stored yet.
pub(crate) fn group(app: &App, name: &str, permissions: BTreeSet<Permission>) -> Group {
    Group { id: GroupId::random(), name: name.to_owned(), permissions, created: app.now(), version: 0 }
}

/// A user who is not stored yet, without rights, as whom nobody can log in with a password.
pub(crate) fn user(app: &App, name: &str) -> User {
    User {
        id: UserId::random(),
        version: 0,
        username: Username::parse(name).unwrap(),
        password: "!".to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        email_verified: false,
        is_active: true,
        is_staff: false,
        is_superuser: false,
        groups: BTreeSet::new(),
        permissions: BTreeSet::new(),
        generation: 0,
        rights_version: 0,
        last_login: None,
        date_joined: app.now(),
    }
}

/// So many new sessions of a user, without a password.
pub(crate) async fn sessions(app: &App, member: &Member, count: usize) -> Vec<Session> {
    /// As many as share a flush of the store.
    const AT_ONCE: usize = 1000;
    let nobody = session::authenticate(app, None).await.unwrap();
    let from = Client::default();
    let mut made = Vec::with_capacity(count);
    while made.len() < count {
        let enter = |_| session::enter(app, member.clone(), &nobody, (Action::LogIn, &from), Vec::new());
        let some = (0..AT_ONCE.min(count - made.len())).map(enter);
        made.extend(futures_util::future::join_all(some).await.into_iter().map(|entered| entered.unwrap().1));
    }
    made
}

/// Serves over HTTP until whoever started this process is gone.
pub(crate) async fn serve_app(app: App) {
    let acceptor = TcpAcceptor::from_tokio(listener().await).unwrap().boxed();
    signet::server::serve(app, acceptor, Settings::default(), standard_input_ends()).await.unwrap();
}

/// Listens, and tells whoever started this process where.
pub(crate) async fn listener() -> tokio::net::TcpListener {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    tell(listener.local_addr().unwrap());
    listener
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

/// A runtime for this thread alone.
pub(crate) fn runtime_here() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn tell(address: SocketAddr) {
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

/// A server in another process.
pub(crate) struct Running {
    process: Child,
    pub(crate) address: SocketAddr,
    /// From before the process was started until it listened.
    pub(crate) began: Duration,
}

impl Running {
    /// This very program with these arguments after `--serve`, and this on its standard input.
    pub(crate) fn start(arguments: &[&str], input: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--serve").args(arguments).stderr(Stdio::null());
        Self::of(&mut command, input, "")
    }

    /// The program as it is shipped, with these flags, in a folder that has its keys.
    pub(crate) fn program(folder: &Path, flags: &[&str], store: Option<&str>) -> Self {
        let mut command = Command::new(program());
        command.env_clear().envs(store.map(|store| ("SIGNET_STORE", store)));
        command.args(["serve", "--listen", "127.0.0.1:0", "--throttle", "off"]).args(flags);
        command.arg("--keys").arg(folder.join("keys")).arg("--data").arg(folder.join("data"));
        let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
        Self::of(command.stderr(log), "", "listening on http://")
    }

    fn of(command: &mut Command, input: &str, before_address: &str) -> Self {
        let begun = Instant::now();
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        process.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
        let mut lines = BufReader::new(process.stdout.as_mut().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix(before_address)?.parse().ok());
        Self { address: address.expect("the server has not started"), began: begun.elapsed(), process }
    }

    /// Ends the process as its supervisor does, and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
    }

    /// A number of kibibytes in the kernel's account of the process.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        memory(self.process.id(), name)
    }

    /// The work of the process until now.
    pub(crate) fn work(&self) -> Work {
        Work::of(self.process.id())
    }
}

/// A number of kibibytes in the kernel's account of a process.
pub(crate) fn memory(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How long each thread of a process has been on a core, in nanoseconds.
pub(crate) struct Work {
    process: u32,
    threads: BTreeMap<OsString, u64>,
}

impl Work {
    pub(crate) fn of(process: u32) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let busy = |thread: DirEntry| -> Option<(OsString, u64)> {
            // A thread may end meanwhile. Those that do have been idle for long.
            let account = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            Some((thread.file_name(), account.split_whitespace().next()?.parse().ok()?))
        };
        Self { process, threads: threads.filter_map(|thread| busy(thread.unwrap())).collect() }
    }

    /// Nanoseconds of work since then.
    pub(crate) fn more(&self) -> f64 {
        let since = |(thread, now): (&OsString, &u64)| now - self.threads.get(thread).unwrap_or(&0);
        Self::of(self.process).threads.iter().map(since).sum::<u64>() as f64
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The program as it is shipped.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_signet"))
}

// Requests and answers, as they are on the wire.

/// A request with a cookie, a body in JSON and further fields; each may be empty.
pub(crate) fn request(method: &str, path: &str, cookie: &str, fields: &str, body: &str) -> String {
    let cookie = if cookie.is_empty() { String::new() } else { format!("cookie: {cookie}\r\n") };
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{cookie}{fields}{length}\r\n{body}")
}

/// The body that logs in.
pub(crate) fn credentials(username: &str, password: &str) -> String {
    format!(r#"{{"username":"{username}","password":"{password}"}}"#)
}

/// The request to log in.
pub(crate) fn login(username: &str, password: &str) -> String {
    request("POST", "/v1/login", "", "", &credentials(username, password))
}

/// The cookie of a token, as a client sends it.
pub(crate) fn cookie_of(token: &str) -> String {
    format!("__Host-signet={token}")
}

/// The cookie that an answer sets.
pub(crate) fn cookie(answer: &str) -> Option<String> {
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: __Host-signet="))?;
    Some(cookie_of(line.split(';').next()?))
}

/// The cookie of a new session.
pub(crate) async fn log_in(address: SocketAddr, username: &str) -> String {
    let answer = answer_to(address, &login(username, PASSWORD)).await;
    cookie(&answer).unwrap_or_else(|| panic!("{answer}"))
}

/// The answer to one request over a connection of its own.
pub(crate) async fn answer_to(address: SocketAddr, request: &str) -> String {
    Line::to(address).await.ask(request).await
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
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

    /// Sends a request that has to succeed, and throws the answer away.
    pub(crate) async fn succeed(&mut self, request: &str) {
        self.exchange(request).await;
        assert!(self.buffer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&self.buffer));
    }

    async fn exchange(&mut self, request: &str) -> usize {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        loop {
            assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "the server has hung up");
            let Some(head) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            let length = memchr::memmem::find(&self.buffer[..head], b"\r\ncontent-length: ").map(|at| {
                let digits = self.buffer[at + 18..head].iter().take_while(|byte| byte.is_ascii_digit());
                digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
            });
            let whole = head + 4 + length.unwrap_or_default();
            if self.buffer.len() >= whole {
                return whole;
            }
        }
    }
}

/// What a round of load came to.
pub(crate) struct Round {
    pub(crate) per_second: f64,
    /// In nanoseconds.
    pub(crate) latencies: Vec<f64>,
    /// Nanoseconds for which the server was on a core, for each request.
    pub(crate) work: f64,
    /// The server's time on a core by the time of the round.
    pub(crate) busy: f64,
}

/// Sends the request over so many connections for a time, again as soon as it is answered.
pub(crate) async fn load(server: &Running, request: &str, connections: usize, time: Duration) -> Round {
    let (begun, work) = (Instant::now(), server.work());
    let connection = |_| {
        let (address, request) = (server.address, request.to_owned());
        tokio::spawn(async move {
            let (mut line, mut latencies) = (Line::to(address).await, Vec::new());
            while begun.elapsed() < time {
                let sent = Instant::now();
                line.succeed(&request).await;
                latencies.push(sent.elapsed().as_nanos() as f64);
            }
            latencies
        })
    };
    let running: Vec<_> = (0..connections).map(connection).collect();
    let mut latencies = Vec::new();
    for connection in running {
        latencies.extend(connection.await.unwrap());
    }
    let (took, work, count) = (begun.elapsed().as_secs_f64(), work.more(), latencies.len() as f64);
    Round { per_second: count / took, latencies, work: work / count, busy: work / took / 1e9 }
}
