//! The program itself, on a folder of its own, and callers whose server may be gone at any moment.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, plain_http};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program, running on a folder.
pub(crate) struct Program {
    pub(crate) process: Child,
    pub(crate) base: String,
    pub(crate) address: String,
}

/// The command that serves from the folder, on a free port.
pub(crate) fn command(folder: &Path) -> Command {
    command_at(folder, "127.0.0.1:0")
}

/// The command that serves from the folder at an address.
pub(crate) fn command_at(folder: &Path, address: &str) -> Command {
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

/// Whether a disk can be told to give errors: with Debian's fiu-utils.
pub(crate) fn disk_can_fail() -> bool {
    Path::new("/usr/lib/fiu/fiu_posix_preload.so").exists()
}

/// The command that serves from the folder, on a disk that can be full ([`Program::room`]) and, where that is possible,
/// give errors ([`Program::tell_disk`]).
pub(crate) fn command_on_a_bad_disk(folder: &Path) -> Command {
    let plain = command(folder);
    let mut shell = Command::new("/bin/sh");
    // A write beyond the limit is an error then, not the end of the process.
    shell.env_clear().env("PATH", "/usr/bin:/bin").args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    if disk_can_fail() {
        shell.args(["fiu-run", "-x", "-f"]).arg(folder.join("control"));
    }
    shell.arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null());
    shell
}

impl Program {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_by(command(folder), folder)
    }

    /// Starts it by a command of that folder, and waits until it listens.
    pub(crate) fn start_by(mut command: Command, folder: &Path) -> Self {
        let log = File::options().append(true).create(true).open(folder.join("log")).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned()));
        let Some(base) = listening else {
            let log = fs::read_to_string(folder.join("log")).unwrap();
            panic!("it does not start: {:?}\n{log}", process.wait());
        };
        Self { process, address: base.strip_prefix("http://").unwrap().to_owned(), base }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// How large its files may get from now on; `None` for any size.
    pub(crate) fn room(&self, most: Option<u64>) {
        let limit = Rlimit { current: most, maximum: None };
        prlimit(Some(Pid::from_child(&self.process)), Resource::Fsize, limit).unwrap();
    }

    /// Tells what stands between it and its disk to begin or end an error, as `enable name=POINT,failinfo=5`.
    pub(crate) fn tell_disk(&self, folder: &Path, what: &str) {
        let pipe = format!("{}-{}", folder.join("control").display(), self.process.id());
        fs::write(format!("{pipe}.in"), format!("{what}\n")).unwrap();
        assert_eq!(fs::read_to_string(format!("{pipe}.out")).unwrap().trim(), "0", "{what}");
    }

    /// SIGKILL: it gets no chance to put anything in order.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.end().code(), Some(0));
    }

    pub(crate) fn door(&self) -> Door {
        // Gives up at last: nothing here may hang.
        Door { http: plain_http().timeout(PATIENCE).build().unwrap(), base: self.base.clone() }
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
pub(crate) struct Door {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
}

impl Door {
    pub(crate) fn with_cookie(&self, token: &str) -> Caller {
        Caller { door: self.clone(), cookie: token.to_owned(), tokens: Vec::new() }
    }

    pub(crate) fn anonymous(&self) -> Caller {
        self.with_cookie("")
    }

    pub(crate) async fn accepts(&self, token: &str) -> bool {
        match self.with_cookie(token).call(Method::GET, "/v1/session", Value::Null).await.unwrap() {
            (200, _) => true,
            (401, _) => false,
            (status, body) => panic!("{status}: {body}"),
        }
    }
}

/// A caller whose server may be gone at any moment.
pub(crate) struct Caller {
    pub(crate) door: Door,
    pub(crate) cookie: String,
    /// Every token that was set.
    pub(crate) tokens: Vec<String>,
}

impl Caller {
    /// The answer, when there was one.
    pub(crate) async fn call(&mut self, method: Method, path: &str, body: Value) -> Option<(u16, Value)> {
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
    pub(crate) async fn want(&mut self, status: u16, method: Method, path: &str, body: Value) -> Option<Value> {
        let (found, answer) = self.call(method.clone(), path, body).await?;
        assert_eq!(found, status, "{method} {path}: {answer}");
        Some(answer)
    }

    pub(crate) async fn log_in(&mut self, name: &str, password: &str) -> Option<u16> {
        let credentials = json!({ "username": name, "password": password });
        Some(self.call(Method::POST, "/v1/login", credentials).await?.0)
    }
}

/// A random number below `end`.
pub(crate) fn random(end: u64) -> u64 {
    getrandom::u64().unwrap() % end
}

/// Whether the tokens live, all of them or none; nothing when there are none.
pub(crate) async fn fate(door: &Door, tokens: &[String]) -> Option<bool> {
    let accepted = join_all(tokens.iter().map(|token| door.accepts(token))).await;
    let alive = accepted.iter().filter(|accepted| **accepted).count();
    assert!(alive == 0 || alive == tokens.len(), "{alive} of {} tokens live", tokens.len());
    accepted.first().copied()
}

/// Starts the program and kills it somewhere on its way.
pub(crate) async fn cut_a_start_short(folder: &Path) {
    let mut process = command(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(Duration::from_micros(random(60_000))).await;
    process.kill().unwrap();
    process.wait().unwrap();
}
