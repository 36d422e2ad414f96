//! What must survive: a killed process, a full house, a damaged store, a broken key.
//!
//! These tests run the program itself, on folders of their own. `SIGNET_KILLS` sets how often the long one kills it.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use signet::claims::SessionId;
use signet::store::embedded::Embedded;
use signet::store::{Revocation, Store as _, Write};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::PASSWORD;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program, running on a folder.
struct Program {
    process: Child,
    base: String,
    address: String,
}

/// The command that serves from the folder, on a free port.
fn command(folder: &Path) -> Command {
    command_at(folder, "127.0.0.1:0")
}

/// The command that serves from the folder at an address.
fn command_at(folder: &Path, address: &str) -> Command {
    let password = folder.join("password");
    fs::write(&password, PASSWORD).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    // They log in hundreds of times, from one address.
    command
        .env_clear()
        .args(["serve", "--listen", address, "--throttle", "off"])
        .arg("--data")
        .arg(folder.join("data"));
    command.arg("--keys").arg(folder.join("keys")).arg("--admin-password-file").arg(password);
    command.stdin(Stdio::null());
    command
}

impl Program {
    /// Starts it, and waits until it listens.
    fn start(folder: &Path) -> Self {
        let log = File::options().append(true).create(true).open(folder.join("log")).unwrap();
        let mut process = command(folder).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned()));
        let Some(base) = listening else {
            let log = fs::read_to_string(folder.join("log")).unwrap();
            panic!("it does not start: {:?}\n{log}", process.wait());
        };
        Self { process, address: base.strip_prefix("http://").unwrap().to_owned(), base }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// SIGKILL: it gets no chance to put anything in order.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for its end.
    fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.end().code(), Some(0));
    }

    fn door(&self) -> Door {
        // Gives up at last: nothing here may hang.
        Door { http: reqwest::Client::builder().timeout(PATIENCE).build().unwrap(), base: self.base.clone() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Where a running program is called.
#[derive(Clone)]
struct Door {
    http: reqwest::Client,
    base: String,
}

impl Door {
    fn with_cookie(&self, token: &str) -> Caller {
        Caller { door: self.clone(), cookie: token.to_owned(), tokens: Vec::new() }
    }

    fn anonymous(&self) -> Caller {
        self.with_cookie("")
    }

    async fn accepts(&self, token: &str) -> bool {
        match self.with_cookie(token).call(Method::GET, "/v1/session", Value::Null).await.unwrap() {
            (200, _) => true,
            (401, _) => false,
            (status, body) => panic!("{status}: {body}"),
        }
    }
}

/// A caller whose server may be gone at any moment.
struct Caller {
    door: Door,
    cookie: String,
    /// Every token that was set.
    tokens: Vec<String>,
}

impl Caller {
    /// The answer, when there was one.
    async fn call(&mut self, method: Method, path: &str, body: Value) -> Option<(u16, Value)> {
        let mut request = self.door.http.request(method, format!("{}{path}", self.door.base));
        if !self.cookie.is_empty() {
            request = request.header("cookie", format!("__Host-signet={}", self.cookie));
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let lines = answer.headers().get_all("set-cookie").iter();
        for line in lines.map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>() {
            let token = line.strip_prefix("__Host-signet=").unwrap().split(';').next().unwrap();
            token.clone_into(&mut self.cookie);
            if !token.is_empty() {
                self.tokens.push(token.to_owned());
            }
        }
        // The head alone is an acknowledgement: the status was sent.
        let body = answer.bytes().await.unwrap_or_default();
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// The body of an answer with this status, when there was an answer.
    async fn want(&mut self, status: u16, method: Method, path: &str, body: Value) -> Option<Value> {
        let (found, answer) = self.call(method.clone(), path, body).await?;
        assert_eq!(found, status, "{method} {path}: {answer}");
        Some(answer)
    }

    async fn log_in(&mut self, name: &str, password: &str) -> Option<u16> {
        let credentials = json!({ "username": name, "password": password });
        Some(self.call(Method::POST, "/v1/login", credentials).await?.0)
    }
}

/// A random number below `end`.
fn random(end: u64) -> u64 {
    getrandom::u64().unwrap() % end
}

/// What was acknowledged, and what was asked for without an answer.
#[derive(Default)]
struct Ledger {
    /// Changes that were acknowledged.
    acknowledged: usize,
    /// Tokens of sessions that have ended.
    ended: Vec<String>,
    /// Tokens that nothing has ended.
    alive: Vec<String>,
    /// The tokens of each session whose end was asked for without an answer: all of them live, or none.
    unsure: Vec<Vec<String>>,
    /// Names that were registered.
    accounts: Vec<String>,
    /// Names that may have been registered.
    begun: Vec<String>,
    /// Passwords that may have been changed.
    changes: Vec<Change>,
    /// Whose rights were changed.
    targets: Vec<Target>,
    /// The present passwords, where they are not the usual one.
    passwords: HashMap<String, String>,
}

/// A change of a password without an answer.
struct Change {
    name: String,
    old: String,
    new: String,
    /// Tokens that it ends.
    tokens: Vec<String>,
}

impl Ledger {
    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.ended.extend(other.ended);
        self.alive.extend(other.alive);
        self.unsure.extend(other.unsure);
        self.accounts.extend(other.accounts);
        self.begun.extend(other.begun);
        self.changes.extend(other.changes);
        self.targets.extend(other.targets);
        self.passwords.extend(other.passwords);
    }
}

/// Anonymous sessions, begun, written and ended, until the server is gone.
async fn visit(door: Door) -> Ledger {
    let mut ledger = Ledger::default();
    for round in 0u64.. {
        let mut caller = door.anonymous();
        let begun = async {
            caller.want(200, Method::PUT, "/v1/session/data/round", json!({ "value": round })).await?;
            caller.want(200, Method::PATCH, "/v1/session", json!({ "a": round })).await
        };
        if begun.await.is_none() {
            ledger.alive.extend(caller.tokens);
            break;
        }
        if round % 8 == 7 {
            ledger.alive.extend(caller.tokens);
            continue;
        }
        let (method, path) =
            if round % 2 == 0 { (Method::POST, "/v1/logout") } else { (Method::DELETE, "/v1/session") };
        if caller.want(204, method, path, Value::Null).await.is_none() {
            ledger.unsure.push(caller.tokens);
            break;
        }
        ledger.acknowledged += 1;
        ledger.ended.extend(caller.tokens);
    }
    ledger
}

/// Registrations, each with a second log-in that ends the first one everywhere else, until the server is gone.
async fn register(door: Door) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        let name = format!("user{:016x}", random(u64::MAX));
        let (mut here, mut there) = (door.anonymous(), door.anonymous());
        let account = json!({ "username": name, "password": PASSWORD });
        let Some(_) = here.want(201, Method::POST, "/v1/register", account).await else {
            ledger.begun.push(name);
            return ledger;
        };
        ledger.acknowledged += 1;
        ledger.accounts.push(name.clone());
        let Some(status) = there.log_in(&name, PASSWORD).await else {
            ledger.alive.extend(here.tokens);
            return ledger;
        };
        assert_eq!(status, 200);
        let Some(_) = there.want(204, Method::DELETE, "/v1/sessions?keep=current", Value::Null).await else {
            ledger.unsure.push([here.tokens, there.tokens].concat());
            return ledger;
        };
        ledger.acknowledged += 1;
        let last = there.tokens.pop().unwrap();
        ledger.ended.extend([here.tokens, std::mem::take(&mut there.tokens)].concat());
        if there.want(204, Method::POST, "/v1/logout", Value::Null).await.is_none() {
            ledger.unsure.push(vec![last]);
            return ledger;
        }
        ledger.acknowledged += 1;
        ledger.ended.push(last);
    }
}

/// Changes of one account's password, until the server is gone.
async fn change_password(door: Door, name: String, mut password: String) -> Ledger {
    let mut ledger = Ledger::default();
    let (mut here, mut there) = (door.anonymous(), door.anonymous());
    if here.log_in(&name, &password).await != Some(200) {
        return ledger;
    }
    loop {
        if there.log_in(&name, &password).await != Some(200) {
            break;
        }
        let next = format!("{PASSWORD} {:x}", random(u64::MAX));
        let before = std::mem::take(&mut here.tokens);
        let body = json!({ "old_password": password, "new_password": next });
        let Some(_) = here.want(200, Method::POST, "/v1/password", body).await else {
            let tokens = [before, std::mem::take(&mut there.tokens)].concat();
            ledger.changes.push(Change { name: name.clone(), old: password.clone(), new: next, tokens });
            break;
        };
        ledger.acknowledged += 1;
        ledger.ended.extend(before);
        ledger.ended.append(&mut there.tokens);
        // The log-in that is about to come ends the session that it comes from; it comes without one.
        there.cookie.clear();
        password = next;
    }
    ledger.alive.append(&mut here.tokens);
    ledger.passwords.insert(name, password);
    ledger
}

/// Whose password is changed all the time.
const CHANGER: &str = "changer";

/// What is granted and withdrawn.
const CATALOGUE: [&str; 6] = ["polls.a", "polls.b", "polls.c", "polls.d", "polls.e", "polls.f"];

/// Somebody whose rights are changed all the time, directly or through a group.
#[derive(Clone)]
struct Target {
    /// The resource of the user or the group.
    path: String,
    /// Its member with the permissions.
    member: &'static str,
    /// A token of the user.
    token: String,
    /// The sets that may be in force: more than one after a change without an answer.
    possible: Vec<BTreeSet<String>>,
}

/// Grants and withdrawals, until the server is gone.
async fn grant(mut admin: Caller, mut target: Target) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        let set = CATALOGUE.iter().filter(|_| random(2) == 0).map(|name| (*name).to_owned());
        let set: BTreeSet<String> = set.collect();
        if admin.want(200, Method::PATCH, &target.path, json!({ target.member: set })).await.is_none() {
            target.possible.push(set);
            ledger.targets.push(target);
            return ledger;
        }
        ledger.acknowledged += 1;
        target.possible = vec![set];
    }
}

/// The administrator's token, the catalogue, an account whose password is changed, and targets of grants.
async fn prepare(program: &Program) -> (String, Vec<Target>) {
    let door = program.door();
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    for name in CATALOGUE {
        admin.want(201, Method::POST, "/v1/permissions", json!({ "name": name })).await.unwrap();
    }
    let changer = json!({ "username": CHANGER, "password": PASSWORD });
    admin.want(201, Method::POST, "/v1/users", changer).await.unwrap();
    let mut targets = Vec::new();
    for number in 0..3 {
        let (name, through_group) = (format!("target{number}"), number == 2);
        let mut user = json!({ "username": name, "password": PASSWORD });
        let mut path = String::new();
        if through_group {
            let group = admin.want(201, Method::POST, "/v1/groups", json!({ "name": "polls" })).await.unwrap();
            path = format!("/v1/groups/{}", group["id"].as_str().unwrap());
            user["groups"] = json!(["polls"]);
        }
        let made = admin.want(201, Method::POST, "/v1/users", user).await.unwrap();
        if !through_group {
            path = format!("/v1/users/{}", made["id"].as_str().unwrap());
        }
        let member = if through_group { "permissions" } else { "user_permissions" };
        let mut user = door.anonymous();
        assert_eq!(user.log_in(&name, PASSWORD).await, Some(200));
        targets.push(Target { path, member, token: user.cookie, possible: vec![BTreeSet::new()] });
    }
    (admin.cookie, targets)
}

/// Whether the tokens live, all of them or none; nothing when there are none.
async fn fate(door: &Door, tokens: &[String]) -> Option<bool> {
    let accepted = join_all(tokens.iter().map(|token| door.accepts(token))).await;
    let alive = accepted.iter().filter(|accepted| **accepted).count();
    assert!(alive == 0 || alive == tokens.len(), "{alive} of {} tokens live", tokens.len());
    accepted.first().copied()
}

/// Holds the program, just started again, to what was acknowledged, and gives the number of judgements.
async fn judge(door: &Door, admin: &str, ledger: &mut Ledger) -> usize {
    let mut judged = 0;
    assert_ne!(fate(door, &ledger.ended).await, Some(true), "what was ended lives on");
    assert_ne!(fate(door, &ledger.alive).await, Some(false), "what nobody ended is dead");
    judged += ledger.ended.len() + ledger.alive.len();
    for tokens in &ledger.unsure {
        if fate(door, tokens).await == Some(false) {
            ledger.ended.extend_from_slice(tokens);
        }
        judged += tokens.len();
    }
    for name in &ledger.accounts {
        let mut caller = door.anonymous();
        assert_eq!(caller.log_in(name, PASSWORD).await, Some(200), "an acknowledged registration is lost");
        judged += 1;
    }
    for name in &ledger.begun {
        // There as a whole, so that it can log in, or not at all, so that it can be registered.
        let mut caller = door.anonymous();
        if caller.log_in(name, PASSWORD).await == Some(401) {
            let account = json!({ "username": name, "password": PASSWORD });
            caller.want(201, Method::POST, "/v1/register", account).await.unwrap();
        }
        judged += 1;
    }
    for change in &ledger.changes {
        let is_new = door.anonymous().log_in(&change.name, &change.new).await == Some(200);
        let is_old = door.anonymous().log_in(&change.name, &change.old).await == Some(200);
        assert_ne!(is_new, is_old, "one of the two passwords is right");
        let fate = fate(door, &change.tokens).await;
        assert!(fate.is_none_or(|alive| alive == is_old), "older sessions end with the old password");
        if is_new {
            ledger.ended.extend_from_slice(&change.tokens);
            ledger.passwords.insert(change.name.clone(), change.new.clone());
        }
        judged += 2;
    }
    if let Some(password) = ledger.passwords.get(CHANGER) {
        assert_eq!(door.anonymous().log_in(CHANGER, password).await, Some(200), "the password is another one");
        judged += 1;
    }
    for target in &mut ledger.targets {
        let mut admin = door.with_cookie(admin);
        let record = admin.want(200, Method::GET, &target.path, Value::Null).await.unwrap();
        let record = record[target.member].as_array().unwrap().iter();
        let record: BTreeSet<String> = record.map(|name| name.as_str().unwrap().to_owned()).collect();
        assert!(target.possible.contains(&record), "{record:?} is none of {:?}", target.possible);
        let mut user = door.with_cookie(&target.token);
        let asked = json!({ "permissions": CATALOGUE });
        let answer = user.want(200, Method::POST, "/v1/permissions/check", asked).await.unwrap();
        for name in CATALOGUE {
            assert_eq!(answer["results"][name], record.contains(name), "{name}; on record: {record:?}");
        }
        target.token = user.cookie;
        target.possible = vec![record];
        judged += 1 + CATALOGUE.len();
    }
    judged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_and_nothing_is_half_done() {
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    let kills = std::env::var("SIGNET_KILLS").map_or(25, |kills| kills.parse().unwrap());
    let begun = Instant::now();
    let folder = TempDir::new().unwrap();
    let mut program = Program::start(folder.path());
    let (admin, mut targets) = prepare(&program).await;
    let mut all = Ledger::default();
    let (mut judged, mut cut_short) = (0, 0);
    for _ in 0..kills {
        let door = program.door();
        let mut workers: Vec<BoxFuture<'static, Ledger>> = Vec::new();
        for _ in 0..4 {
            workers.push(Box::pin(visit(door.clone())));
        }
        workers.push(Box::pin(register(door.clone())));
        let password = all.passwords.get(CHANGER).map_or(PASSWORD, String::as_str);
        workers.push(Box::pin(change_password(door.clone(), CHANGER.to_owned(), password.to_owned())));
        for target in targets {
            workers.push(Box::pin(grant(door.with_cookie(&admin), target)));
        }
        let running: Vec<_> = workers.into_iter().map(tokio::spawn).collect();
        // Not to wait for anything, but to strike anywhere.
        tokio::time::sleep(Duration::from_millis(10 + random(250))).await;
        program.kill();
        let mut ledger = Ledger::default();
        for worker in join_all(running).await {
            ledger.add(worker.unwrap());
        }
        // Now and then a start is cut short as well.
        for _ in 0..random(3) {
            cut_a_start_short(folder.path()).await;
            cut_short += 1;
        }
        program = Program::start(folder.path());
        let door = program.door();
        judged += judge(&door, &admin, &mut ledger).await;
        targets = std::mem::take(&mut ledger.targets);
        // Some of what ended long ago, each time.
        for _ in 0..all.ended.len().min(30) {
            let token = &all.ended[usize::try_from(random(all.ended.len() as u64)).unwrap()];
            assert!(!door.accepts(token).await, "what was ended in an earlier round lives on");
            judged += 1;
        }
        all.add(ledger);
    }
    // Everything once more, at the end.
    let door = program.door();
    for tokens in all.ended.chunks(64) {
        let accepted = join_all(tokens.iter().map(|token| door.accepts(token))).await;
        assert!(accepted.iter().all(|accepted| !accepted), "what was ended lives on");
    }
    let mut names = BTreeSet::new();
    let mut page = String::new();
    loop {
        let mut admin = door.with_cookie(&admin);
        let users = admin.want(200, Method::GET, &format!("/v1/users?limit=200{page}"), Value::Null).await.unwrap();
        let items = users["items"].as_array().unwrap().iter();
        names.extend(items.map(|user| user["username"].as_str().unwrap().to_owned()));
        let Some(next) = users["next"].as_str() else { break };
        page = format!("&cursor={next}");
    }
    assert!(all.accounts.iter().all(|name| names.contains(name)), "an acknowledged registration is lost");
    judged += all.ended.len() + all.accounts.len();
    drop(door);
    program.stop();
    println!(
        "{kills} kills and {cut_short} starts cut short in {:.1?}: {} changes acknowledged, {} tokens ended, \
         {} accounts; {judged} judgements, 0 lost",
        begun.elapsed(),
        all.acknowledged,
        all.ended.len(),
        all.accounts.len(),
    );
}

/// Starts the program and kills it somewhere on its way.
async fn cut_a_start_short(folder: &Path) {
    let mut process = command(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(Duration::from_micros(random(60_000))).await;
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_can_be_made_again() {
    for _ in 0..8 {
        let folder = TempDir::new().unwrap();
        for _ in 0..4 {
            cut_a_start_short(folder.path()).await;
        }
        let program = Program::start(folder.path());
        assert_eq!(program.door().anonymous().log_in("admin", PASSWORD).await, Some(200));
    }
    // The states between which the store's folder is made.
    let whole = TempDir::new().unwrap();
    Program::start(whole.path()).stop();
    for lacking in [vec!["signet-store"], vec!["signet-store", "db"], vec!["signet-store", "db", "conf"]] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("blobs")).unwrap();
        for name in ["conf", "db", "signet-store"] {
            if !lacking.contains(&name) {
                fs::copy(whole.path().join("data").join(name), data.join(name)).unwrap();
            }
        }
        let program = Program::start(folder.path());
        assert_eq!(program.door().anonymous().log_in("admin", PASSWORD).await, Some(200));
        program.stop();
        // From now on it is a store like any other: it is not begun a second time.
        fs::write(data.join("db"), "").unwrap();
        refused(&mut command(folder.path()), "the store in ");
    }
}

#[tokio::test]
async fn files_that_a_killed_start_left_half_written_do_not_prevent_the_next_one() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    Program::start(folder.path()).stop();
    let named = |wanted: fn(&str) -> bool| {
        let names = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| wanted(name)).collect::<Vec<_>>()
    };
    let cut = |bytes: &[u8]| [0, 1, bytes.len() / 2, bytes.len() - 1].map(|end| bytes[..end].to_vec());
    // A snapshot is written under a name of its own, and takes the last one's place when it is whole.
    drop(Program::start(folder.path()));
    let snapshot = fs::read(data.join(&named(|name| name.starts_with("snap."))[0])).unwrap();
    for half in cut(&snapshot) {
        fs::write(data.join(format!("snap.{:016X}.generating", u32::MAX)), half).unwrap();
        let program = Program::start(folder.path());
        assert_eq!(program.door().anonymous().log_in("admin", PASSWORD).await, Some(200));
        program.stop();
        assert!(named(|name| name.ends_with(".generating")).is_empty());
    }
    // The settings are written in place, before there is anything else.
    for half in cut(&fs::read(data.join("conf")).unwrap()) {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("blobs")).unwrap();
        fs::write(data.join("conf"), half).unwrap();
        Program::start(folder.path()).stop();
    }
}

/// Runs the program, which must end with exit code 1 and one line that says why.
#[track_caller]
fn refused(command: &mut Command, why: &str) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("signet: ") && lines[0].contains(why), "{text}");
    assert!(output.stdout.is_empty(), "it says that it listens");
}

/// A way to damage a file that has these bytes.
type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;

#[tokio::test]
async fn a_damaged_store_is_refused_and_never_replaced_by_an_emptier_one() {
    let whole = TempDir::new().unwrap();
    let program = Program::start(whole.path());
    let door = program.door();
    for round in 0..20 {
        let mut caller = door.anonymous();
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": round })).await.unwrap();
        caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    }
    drop(door);
    program.stop();
    let damages: [(&str, Damage); 9] = [
        ("removed", |_| None),
        ("emptied", |_| Some(Vec::new())),
        ("cut in half", |db| Some(db[..db.len() / 2].to_vec())),
        ("cut after three quarters", |db| Some(db[..db.len() / 4 * 3].to_vec())),
        ("cut before the last bytes", |db| Some(db[..db.len() - 16].to_vec())),
        ("overwritten with zeros", |db| Some(vec![0; db.len()])),
        ("overwritten with noise", |db| Some(db.iter().map(|_| u8::try_from(random(256)).unwrap()).collect())),
        ("begun with zeros", |mut db| {
            let end = db.len().min(4096) / 4;
            db[..end].fill(0);
            Some(db)
        }),
        ("one bit of it turned over", |mut db| {
            let middle = db.len() / 2;
            db[middle] ^= 1;
            Some(db)
        }),
    ];
    for (name, damage) in damages {
        let folder = TempDir::new().unwrap();
        for room in ["data", "keys"] {
            fs::create_dir(folder.path().join(room)).unwrap();
            for entry in fs::read_dir(whole.path().join(room)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    fs::copy(entry.path(), folder.path().join(room).join(entry.file_name())).unwrap();
                }
            }
        }
        let db = folder.path().join("data/db");
        match damage(fs::read(&db).unwrap()) {
            Some(bytes) => fs::write(&db, bytes).unwrap(),
            None => fs::remove_file(&db).unwrap(),
        }
        println!("the store's file is {name}");
        // The second start finds what the first one left.
        for _ in 0..2 {
            refused(&mut command(folder.path()), "the store in ");
        }
    }
}

#[tokio::test]
async fn a_second_process_on_a_store_is_refused_and_the_first_goes_on() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    refused(&mut command(folder.path()), "another process has it open; stop that one");
    let mut caller = program.door().anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    program.stop();
}

/// A kill at the very moment at which the end of an API token was acknowledged.
#[tokio::test]
async fn an_api_token_that_was_ended_is_dead_after_a_kill_and_one_that_was_made_lives() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let door = program.door();
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    let wish = json!({ "name": "n", "permissions": [] });
    let ended = admin.want(201, Method::POST, "/v1/tokens", wish.clone()).await.unwrap();
    let status = async |door: &Door, token: &Value| {
        let asked = door.http.get(format!("{}/v1/me/permissions", door.base));
        asked.bearer_auth(token["token"].as_str().unwrap()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(&door, &ended).await, 200);
    let made = admin.want(201, Method::POST, "/v1/tokens", wish).await.unwrap();
    let path = format!("/v1/tokens/{}", ended["id"].as_str().unwrap());
    admin.want(204, Method::DELETE, &path, Value::Null).await.unwrap();
    program.kill();
    let program = Program::start(folder.path());
    let door = program.door();
    assert_eq!((status(&door, &ended).await, status(&door, &made).await), (401, 200));
    let listed = door.with_cookie(&admin.cookie).want(200, Method::GET, "/v1/tokens", Value::Null).await.unwrap();
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["id"]), (1, &made["id"]));
    program.stop();
}

#[tokio::test]
async fn a_request_in_flight_is_answered_after_the_signal_to_stop() {
    let folder = TempDir::new().unwrap();
    let mut program = Program::start(folder.path());
    let body = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let mut connection = TcpStream::connect(&program.address).await.unwrap();
    let head = format!(
        "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the request is in the middle of its operation.
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    program.signal(Signal::TERM);
    let begun = Instant::now();
    while TcpStream::connect(&program.address).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it goes on to accept connections");
        tokio::task::yield_now().await;
    }
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("__Host-signet="), "{answer}");
    assert_eq!(program.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_broken_key_on_hangup_changes_nothing_and_a_sound_one_signs() {
    let folder = TempDir::new().unwrap();
    let keys = folder.path().join("keys");
    let program = Program::start(folder.path());
    let door = program.door();
    let mut caller = door.anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    let before = caller.cookie.clone();
    let broken = keys.join("zzz.pem");
    fs::write(&broken, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    program.signal(Signal::HUP);
    until_logged(folder.path(), "keys not read again").await;
    caller.want(200, Method::POST, "/v1/session/renew", Value::Null).await.unwrap();
    assert!(door.accepts(&before).await);

    fs::remove_file(&broken).unwrap();
    let mut generate = Command::new(env!("CARGO_BIN_EXE_signet"));
    generate.env_clear().args(["keys", "generate", "--kid", "zzz", "--keys"]).arg(&keys);
    assert!(generate.output().unwrap().status.success());
    program.signal(Signal::HUP);
    until_logged(folder.path(), "keys read again").await;
    assert!(door.accepts(&before).await, "the older key goes on to verify");
    caller.want(200, Method::POST, "/v1/session/renew", Value::Null).await.unwrap();
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(header(&caller.cookie), header(&before), "the newer key signs");
    drop(door);
    program.stop();
}

/// Waits until the program has logged the text.
async fn until_logged(folder: &Path, text: &str) {
    let begun = Instant::now();
    while !fs::read_to_string(folder.join("log")).unwrap().contains(text) {
        assert!(begun.elapsed() < PATIENCE, "nothing was logged about: {text}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_at_once_share_a_sync_and_are_all_durable() {
    const AT_ONCE: usize = 64;
    const ROUNDS: usize = 20;
    let folder = TempDir::new().unwrap();
    let until = signet::claims::instant(1_900_000_000);
    let store = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
    let write = || Write::Revoke(Revocation::Session { id: SessionId::random(), until });
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        store.commit(vec![write()]).await.unwrap();
    }
    let alone = begun.elapsed() / u32::try_from(ROUNDS).unwrap();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for committed in join_all((0..AT_ONCE).map(|_| store.commit(vec![write()]))).await {
            committed.unwrap();
        }
    }
    let together = begun.elapsed();
    drop(store);
    let store = Embedded::open(&folder.path().join("data")).unwrap();
    assert_eq!(store.state().await.unwrap().revocations.len(), ROUNDS * (AT_ONCE + 1));
    println!(
        "a commit alone takes {alone:.2?}; {AT_ONCE} at once come to {:.0} commits a second",
        f64::from(u32::try_from(ROUNDS * AT_ONCE).unwrap()) / together.as_secs_f64()
    );
}

/// A request that waits while the server starts is answered by all that has ended.
#[tokio::test]
async fn the_first_request_after_a_start_finds_what_was_ended() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let door = program.door();
    let mut tokens = Vec::new();
    for round in 0..200 {
        let mut caller = door.anonymous();
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": round })).await.unwrap();
        caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
        tokens.append(&mut caller.tokens);
    }
    drop(door);
    program.stop();
    for round in 0..5 {
        // The address is taken before the store is opened: connections can be made from then on.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut start = command_at(folder.path(), &address);
        start.stdout(Stdio::null()).stderr(Stdio::null());
        let process = start.spawn().unwrap();
        let asked = tokens.iter().skip(round * 8).take(8).map(|token| {
            let (address, token) = (address.clone(), token.clone());
            async move {
                let begun = Instant::now();
                let mut connection = loop {
                    match TcpStream::connect(&address).await {
                        Ok(connection) => break connection,
                        Err(_) => assert!(begun.elapsed() < PATIENCE, "it does not listen"),
                    }
                    tokio::task::yield_now().await;
                };
                let head = format!(
                    "GET /v1/session HTTP/1.1\r\nhost: x\r\ncookie: __Host-signet={token}\r\nconnection: close\r\n\r\n"
                );
                connection.write_all(head.as_bytes()).await.unwrap();
                let mut answer = String::new();
                connection.read_to_string(&mut answer).await.unwrap();
                answer
            }
        });
        for answer in join_all(asked).await {
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
        Program { process, base: format!("http://{address}"), address }.stop();
    }
}

/// Connections that hold every descriptor hold up those who come after them, and nobody longer than they last.
#[tokio::test]
async fn a_server_without_descriptors_left_goes_on_when_there_are_some() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let pid = Pid::from_child(&program.process);
    let limit = |most: u64| {
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let limit = rustix::process::Rlimit { current: Some(most), maximum };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).unwrap()
    };
    let open = fs::read_dir(format!("/proc/{}/fd", program.process.id())).unwrap().count() as u64;
    let door = program.door();
    let mut caller = door.anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    // One that was there before goes on all the while.
    limit(open + 12);
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(&program.address).await.unwrap());
    }
    for round in 0..20 {
        caller.want(200, Method::PUT, "/v1/session/data/n", json!({ "value": round })).await.unwrap();
    }
    drop(held);
    for _ in 0..5 {
        let mut other = program.door().anonymous();
        assert_eq!(other.log_in("admin", PASSWORD).await, Some(200), "a new connection");
        other.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
        assert!(!program.door().accepts(&other.tokens[0]).await);
    }
    drop((door, caller));
    program.stop();
}

#[tokio::test]
async fn a_process_that_was_stopped_and_goes_on_accepts_nothing_that_had_ended() {
    let folder = TempDir::new().unwrap();
    let program = Program::start(folder.path());
    let door = program.door();
    let (mut ended, mut alive) = (door.anonymous(), door.anonymous());
    for caller in [&mut ended, &mut alive] {
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": 1 })).await.unwrap();
    }
    ended.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    for _ in 0..3 {
        program.signal(Signal::STOP);
        // They wait in the process's queue.
        let asked: Vec<_> = (0..10)
            .map(|n| {
                let (door, token) =
                    (program.door(), if n % 2 == 0 { &ended.tokens[0] } else { &alive.tokens[0] }.clone());
                tokio::spawn(async move { door.accepts(&token).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        program.signal(Signal::CONT);
        for (n, asked) in asked.into_iter().enumerate() {
            assert_eq!(asked.await.unwrap(), n % 2 == 1);
        }
    }
    drop((door, ended, alive));
    program.stop();
}

/// A copy of the folder from before a log-out does not know of it: a new epoch ends what the copy lets live.
#[tokio::test]
async fn a_copy_of_the_folder_that_is_put_back_needs_a_new_epoch_and_then_nothing_of_before_lives() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(folder.path());
    let door = program.door();
    let mut caller = door.anonymous();
    assert_eq!(caller.log_in("admin", PASSWORD).await, Some(200));
    program.stop();
    let copy = TempDir::new().unwrap();
    let files = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    files(&data, copy.path());
    let program = Program::start(folder.path());
    let ended = caller.cookie.clone();
    let mut caller = program.door().with_cookie(&ended);
    caller.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    program.stop();
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir_all(data.join("blobs")).unwrap();
    files(copy.path(), &data);
    let program = Program::start(folder.path());
    let door = program.door();
    assert!(door.accepts(&ended).await, "the copy knows of no log-out");
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    admin.want(204, Method::POST, "/v1/epoch", Value::Null).await.unwrap();
    assert!(!door.accepts(&ended).await);
    drop((door, caller, admin));
    program.stop();
    let program = Program::start(folder.path());
    assert!(!program.door().accepts(&ended).await, "nor after a restart");
    program.stop();
}

/// No room for another byte: what is refused was not done, what needs no write goes on, and there is room again later.
#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_recovers() {
    let folder = TempDir::new().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    // A write beyond the limit is an error, not the end of the process.
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    shell.args(["-c", script]).arg(env!("CARGO_BIN_EXE_signet"));
    shell.args(["serve", "--listen", "127.0.0.1:0", "--throttle", "off", "--admin-password-file"]).arg(password);
    shell.arg("--data").arg(folder.path().join("data")).arg("--keys").arg(folder.path().join("keys"));
    let mut process = shell.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let base = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned())).unwrap();
    let program = Program { process, address: base.strip_prefix("http://").unwrap().to_owned(), base };
    let pid = Pid::from_child(&program.process);
    let limit = |most: Option<u64>| {
        let limit = rustix::process::Rlimit { current: most, maximum: None };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap()
    };
    let door = program.door();
    let mut sessions = Vec::new();
    for n in 0..60 {
        let mut caller = door.anonymous();
        caller.want(200, Method::PATCH, "/v1/session", json!({ "a": n })).await.unwrap();
        sessions.push(caller);
    }
    let (mut ended, mut alive) = (Vec::new(), Vec::new());
    for (n, mut caller) in sessions.into_iter().enumerate() {
        if n == 20 {
            limit(Some(0));
        }
        match caller.call(Method::POST, "/v1/logout", Value::Null).await.unwrap() {
            (204, _) => ended.append(&mut caller.tokens),
            (503, problem) => {
                assert_eq!(problem["code"], "unavailable", "{problem}");
                alive.append(&mut caller.tokens);
            }
            (status, body) => panic!("{status}: {body}"),
        }
    }
    assert!(ended.len() >= 20 && alive.len() >= 10, "{} ended, {} refused", ended.len(), alive.len());
    // What asks no store goes on.
    assert_eq!(fate(&door, &ended).await, Some(false), "acknowledged");
    assert_eq!(fate(&door, &alive).await, Some(true), "refused, and so not done");
    let (ready, _) = door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap();
    assert_eq!(ready, 503);
    let new = json!({ "username": "late", "password": PASSWORD });
    assert_eq!(door.anonymous().call(Method::POST, "/v1/register", new.clone()).await.unwrap().0, 503);
    limit(None);
    let begun = Instant::now();
    while door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap().0 != 200 {
        assert!(begun.elapsed() < PATIENCE, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for token in &alive[..10] {
        door.with_cookie(token).want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    }
    door.anonymous().want(201, Method::POST, "/v1/register", new).await.unwrap();
    ended.extend(alive.drain(..10));
    program.kill();
    let program = Program::start(folder.path());
    let door = program.door();
    assert_eq!(fate(&door, &ended).await, Some(false));
    assert_eq!(fate(&door, &alive).await, Some(true));
    assert_eq!(door.anonymous().log_in("late", PASSWORD).await, Some(200));
    program.stop();
}

/// The disk gives errors: nothing is acknowledged that may not be on it, and what was acknowledged stays.
#[tokio::test]
async fn what_the_disk_refuses_to_keep_is_not_acknowledged() {
    if !Path::new("/usr/lib/fiu/fiu_posix_preload.so").exists() {
        println!("skipped: without Debian's fiu-utils the disk gives no errors");
        return;
    }
    // Each of them fails with EIO while it is told to.
    for point in ["posix/io/sync/fdatasync", "posix/io/rw/pwrite"] {
        let folder = TempDir::new().unwrap();
        let control = folder.path().join("control");
        let plain = command(folder.path());
        let mut run = Command::new("fiu-run");
        run.env_clear().env("PATH", "/usr/bin:/bin").arg("-x").arg("-f").arg(&control).arg(plain.get_program());
        run.args(plain.get_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = run.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let base = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned())).unwrap();
        let program = Program { process, address: base.strip_prefix("http://").unwrap().to_owned(), base };
        let pipe = format!("{}-{}", control.display(), program.process.id());
        let tell = |what: &str| {
            fs::write(format!("{pipe}.in"), format!("{what}\n")).unwrap();
            assert_eq!(fs::read_to_string(format!("{pipe}.out")).unwrap().trim(), "0", "{what}");
        };
        let door = program.door();
        let mut sessions = Vec::new();
        for n in 0..40 {
            let mut caller = door.anonymous();
            caller.want(200, Method::PATCH, "/v1/session", json!({ "a": n })).await.unwrap();
            sessions.push(caller);
        }
        let (mut ended, mut refused) = (Vec::new(), Vec::new());
        for (n, caller) in sessions.iter_mut().take(30).enumerate() {
            match n {
                10 => tell(&format!("enable name={point},failinfo=5")),
                20 => {
                    tell(&format!("disable name={point}"));
                    let begun = Instant::now();
                    while door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap().0 != 200 {
                        assert!(begun.elapsed() < PATIENCE, "it does not recover from {point}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                _ => {}
            }
            let token = caller.tokens[0].clone();
            match caller.call(Method::POST, "/v1/logout", Value::Null).await.unwrap() {
                (204, _) => ended.push(token),
                (503, _) if (10..20).contains(&n) => refused.push(token),
                (status, body) => panic!("{point}, {n}: {status}: {body}"),
            }
        }
        assert_eq!((ended.len(), refused.len()), (20, 10), "{point}");
        let alive: Vec<String> = sessions.iter().skip(30).flat_map(|caller| caller.tokens.clone()).collect();
        assert_eq!(fate(&door, &ended).await, Some(false), "{point}");
        assert_eq!(fate(&door, &alive).await, Some(true), "{point}");
        drop((door, sessions));
        program.kill();
        let program = Program::start(folder.path());
        let door = program.door();
        assert_eq!(fate(&door, &ended).await, Some(false), "{point}: acknowledged, and alive after a kill");
        assert_eq!(fate(&door, &alive).await, Some(true), "{point}");
        let lives = join_all(refused.iter().map(|token| door.accepts(token))).await;
        println!(
            "{point}: of {} that were refused, {} live",
            refused.len(),
            lives.iter().filter(|lives| **lives).count()
        );
        drop(door);
        program.stop();
    }
}
