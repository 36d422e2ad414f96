//! The program: starting, its configuration, its keys, stopping.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::plain_http;

/// The program, in a folder of its own, without variables that could change what it does.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// A serving program that ends with the test.
pub(crate) struct Serving {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) base: String,
    /// What it printed before the address.
    pub(crate) said: Vec<String>,
}

impl Serving {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_as(program(folder).args(["serve", "--listen", "127.0.0.1:0"]).args(arguments))
    }

    pub(crate) fn start_as(command: &mut Command) -> Self {
        Self::start_logging(command, Stdio::null())
    }

    /// The same, with its log there.
    pub(crate) fn start_logging(command: &mut Command, log: impl Into<Stdio>) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "ended early, after {said:?}");
            match line.trim().strip_prefix("listening on ") {
                Some(base) => return Self { child, out, base: base.to_owned(), said },
                None => said.push(line.trim().to_owned()),
            }
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Ends it by SIGTERM, and gives its exit code and what else it printed.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }

    /// What it prints.
    pub(crate) fn out(&mut self) -> &mut BufReader<ChildStdout> {
        &mut self.out
    }

    pub(crate) fn password(&self) -> &str {
        let line = self.said.iter().find(|line| line.starts_with("made the superuser admin")).unwrap();
        line.split_whitespace().nth(7).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn log_in(http: &reqwest::Client, base: &str, password: &str) -> reqwest::Response {
    let body = json!({ "username": "admin", "password": password }).to_string();
    let request = http.post(format!("{base}/v1/login")).header("content-type", "application/json").body(body);
    request.send().await.unwrap()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_first_start_makes_everything_and_a_second_one_nothing() {
    let folder = TempDir::new().unwrap();
    let server = Serving::start(folder.path(), &[]);
    let password = server.password().to_owned();
    assert_eq!(password.len(), 20);
    let key = entries(&folder.path().join("keys"));
    assert_eq!(key.len(), 1, "{key:?}");
    assert_eq!(key[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&key[0]).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(folder.path().join("data").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let http = plain_http().build().unwrap();
    let answer = log_in(&http, &server.base, &password).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    drop(http);
    let (code, rest) = server.stop();
    assert_eq!(code, Some(0));
    assert!(rest.contains("/docs") && rest.contains("mails go to the folder mail\n"), "{rest}");
    assert_eq!(folder.path().join("mail").metadata().unwrap().permissions().mode() & 0o777, 0o700);

    let server = Serving::start(folder.path(), &[]);
    assert!(server.said.is_empty(), "{:?}", server.said);
    let http = plain_http().build().unwrap();
    let me = http.get(format!("{}/v1/me", server.base)).header("cookie", cookie).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::OK, "the session lived through the restart");
    assert_eq!(entries(&folder.path().join("keys")), key);
}

#[tokio::test]
async fn every_flag_is_also_a_variable_and_serve_goes_without_saying() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("password"), "a password from a file\n").unwrap();
    let mut command = program(folder.path());
    command
        .env("SIGNET_LISTEN", "localhost:0")
        .env("SIGNET_DATA", "the data")
        .env("SIGNET_KEYS", "the keys")
        .env("SIGNET_ISSUER", "https://issuer.example")
        .env("SIGNET_AUDIENCE", "audience")
        .env("SIGNET_ORIGIN", "https://a.example,https://b.example")
        .env("SIGNET_SESSION_AGE", "90s")
        .env("SIGNET_SESSION_END", "3600")
        .env("SIGNET_ADMIN_PASSWORD_FILE", "password")
        .env("SIGNET_REGISTRATION", "closed")
        .env("SIGNET_TRUSTED_PROXY", "127.0.0.0/8, ::1")
        .env("SIGNET_THROTTLE", "off")
        .env("SIGNET_LOG", "json");
    let server = Serving::start_as(&mut command);
    assert!(server.base.starts_with("http://localhost:"), "{}", server.base);
    assert!(server.said.is_empty(), "a given password is not printed: {:?}", server.said);
    assert!(folder.path().join("the data").is_dir() && folder.path().join("the keys").is_dir());
    let http = plain_http().build().unwrap();
    let answer = log_in(&http, &server.base, "a password from a file").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()["set-cookie"].to_str().unwrap().contains("; Max-Age=90; "));
    // With a proxy in front that all origins say is https, browsers are told to stay with it.
    assert!(answer.headers().contains_key("strict-transport-security"));
    let post = |origin: &'static str| {
        let request = http.post(format!("{}/v1/register", server.base)).header("origin", origin);
        async move {
            let body = json!({ "username": "x", "password": "long enough" }).to_string();
            let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
            serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["code"].clone()
        }
    };
    assert_eq!(post("https://b.example").await, "registration_closed");
    assert_eq!(post("https://c.example").await, "cross_site");
}

#[test]
fn a_bad_configuration_is_one_clear_line_exit_code_2_and_nothing_made() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "short").unwrap();
    let table: &[(&[&str], &str)] = &[
        (&["--listen", "nonsense"], "--listen"),
        (&["--listen", "localhost:99999"], "--listen"),
        (&["--session-age", "soon"], "--session-age"),
        (&["--session-age", "1s"], "--session-age"),
        (&["--session-age", "20d"], "--session-age"),
        (&["--session-end", "500d"], "--session-end"),
        (&["--origin", "example.org"], "--origin"),
        (&["--origin", "https://example.org/path"], "--origin"),
        (&["--issuer", ""], "--issuer"),
        (&["--audience", "a\nb"], "--audience"),
        (&["--registration", "maybe"], "--registration"),
        (&["--password-length", "7"], "--password-length"),
        (&["--password-length", "21"], "--password-length"),
        (&["--password-score", "5"], "--password-score"),
        (&["--password-score", "strong"], "--password-score"),
        (&["--hash-memory", "6MiB"], "--hash-memory"),
        (&["--hash-memory", "1GiB"], "--hash-memory"),
        (&["--hash-memory", "99999999GiB"], "--hash-memory"),
        (&["--hash-memory", "much"], "--hash-memory"),
        (&["--hash-memory", ""], "--hash-memory"),
        (&["--hash-passes", "0"], "--hash-passes"),
        (&["--hash-passes", "1"], "--hash-passes"),
        (&["--hash-memory", "256MiB", "--hash-passes", "5"], "--hash-passes"),
        (&["--hash-lanes", "17"], "--hash-lanes"),
        (&["--throttle", "maybe"], "--throttle"),
        (&["--admin", "maybe"], "--admin"),
        (&["--trusted-proxy", "proxy.example"], "--trusted-proxy"),
        (&["--trusted-proxy", "10.0.0.0/8,0.0.0.0/0"], "--trusted-proxy"),
        (&["--log", "xml"], "--log"),
        (&["--tls", "on"], "--tls"),
        (&["--tls", "files"], "--tls-cert"),
        (&["--tls", "files", "--tls-cert", "file"], "--tls-key"),
        (&["--tls", "files", "--tls-cert", "missing", "--tls-key", "file"], "--tls-cert"),
        (&["--tls-cert", "file"], "--tls-cert"),
        (&["--data", "file"], "--data"),
        (&["--keys", "file"], "--keys"),
        (&["--data", "keys"], "--data"),
        (&["--admin-password-file", "missing"], "--admin-password-file"),
        (&["--admin-password-file", "file"], "--admin-password-file"),
        (&["--mail", "mail"], "--mail"),
        (&["--mail", "folder:"], "--mail"),
        (&["--mail", "folder:file"], "--mail"),
        (&["--mail", "folder:data"], "--mail"),
        (&["--mail", "smtp://relay/path"], "--mail"),
        (&["--mail", "smtp://me:secret@relay"], "--mail-password-file"),
        (&["--mail", "smtp+plain://me@relay"], "--mail"),
        (&["--mail", "smtp://me@relay"], "--mail-password-file"),
        (&["--mail", "smtp://me@relay", "--mail-password-file", "missing"], "--mail-password-file"),
        (&["--mail", "smtp://relay", "--mail-password-file", "file"], "--mail-password-file"),
        (&["--mail-password-file", "file"], "--mail-password-file"),
        (&["--mail-from", "nobody"], "--mail-from"),
        (&["--mail-from", "A <a@b>\r\nBcc: c@d"], "--mail-from"),
        (&["--reset-page", "reset"], "--reset-page"),
        (&["--reset-page", "//evil.example"], "--reset-page"),
        (&["--reset-page", "/\\evil.example"], "--reset-page"),
        (&["--verify-page", "javascript:alert(1)"], "--verify-page"),
        (&["--verify-page", "/verify?to="], "--verify-page"),
        (&["--nonsense"], "--nonsense"),
        (&["nonsense"], "nonsense"),
    ];
    for (arguments, named) in table {
        let output = run(folder.path(), arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(said.contains(named) && said.contains(';') && !said.contains("secret"), "{arguments:?}: {said}");
        assert_eq!(entries(folder.path()).len(), 1, "{arguments:?}");
    }
}

#[test]
fn an_address_in_use_fails_and_makes_nothing() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run(folder.path(), &["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot listen on"), "{}", text(&output.stderr));
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn the_document_is_printed_without_a_store() {
    let folder = TempDir::new().unwrap();
    let output = run(folder.path(), &["openapi"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), signet::api::document::text());
    assert!(entries(folder.path()).is_empty());
    for arguments in [["--help"], ["--version"], ["help"]] {
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty());
    }
}

#[tokio::test]
async fn keys_are_made_listed_and_retired_and_a_running_server_follows_without_dropping_anybody() {
    let folder = TempDir::new().unwrap();
    let server = Serving::start(folder.path(), &[]);
    let http = plain_http().build().unwrap();
    let answer = log_in(&http, &server.base, server.password()).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let old = text(&run(folder.path(), &["keys", "list"]).stdout);
    assert!(old.trim_end().ends_with("\tEdDSA\tsigns"), "{old}");
    let old = old.split('\t').next().unwrap().to_owned();
    for algorithm in ["es256", "hs256"] {
        let output =
            run(folder.path(), &["keys", "generate", "--algorithm", algorithm, "--kid", &format!("x-{algorithm}")]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let retired = run(folder.path(), &["keys", "retire", &old]);
    assert_eq!(retired.status.code(), Some(0), "{}", text(&retired.stderr));
    let list = text(&run(folder.path(), &["keys", "list"]).stdout);
    assert_eq!(list, format!("{old}\tEdDSA\tverifies only\nx-es256\tES256\tcould sign\nx-hs256\tHS256\tsigns\n"));
    assert_eq!(run(folder.path(), &["keys", "retire", &old]).status.code(), Some(1));
    assert_eq!(run(folder.path(), &["keys", "retire", "nobody"]).status.code(), Some(1));
    assert_eq!(run(folder.path(), &["keys", "generate", "--algorithm", "none"]).status.code(), Some(2));

    let jwks = || async {
        let answer = http.get(format!("{}/.well-known/jwks.json", server.base)).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    while jwks().await["keys"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let published = jwks().await.to_string();
    assert!(published.contains(&old) && published.contains("x-es256") && !published.contains("x-hs256"), "{published}");
    let request = |cookie: &str| http.post(format!("{}/v1/session/renew", server.base)).header("cookie", cookie);
    let answer = request(&cookie).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "a session of the old key goes on");
    let renewed = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(request(&renewed).send().await.unwrap().status(), StatusCode::OK);

    // A key that others can read is refused by name, and the set in use stays.
    let weak = folder.path().join("keys/y.pem");
    std::fs::copy(folder.path().join("keys/x-es256.pem"), &weak).unwrap();
    std::fs::set_permissions(&weak, std::fs::Permissions::from_mode(0o644)).unwrap();
    server.signal(rustix::process::Signal::HUP);
    let output = run(folder.path(), &["keys", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("keys/y.pem"), "{}", text(&output.stderr));
    assert_eq!(request(&renewed).send().await.unwrap().status(), StatusCode::OK);
    drop(http);
    drop(server);
    let output = run(folder.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1), "a start with it fails");
    assert!(text(&output.stderr).contains("chmod 600"), "{}", text(&output.stderr));
}

// Connections are closed by a task, which has to run while this waits for the process.
#[tokio::test(flavor = "multi_thread")]
async fn the_development_certificate_is_made_once_and_serves_https_and_http2() {
    let folder = TempDir::new().unwrap();
    let server = Serving::start(folder.path(), &["--tls", "dev"]);
    assert!(server.base.starts_with("https://127.0.0.1:"), "{}", server.base);
    let certificate = folder.path().join("keys/tls/localhost.pem");
    let pem = std::fs::read(&certificate).unwrap();
    let mode = folder.path().join("keys/tls/localhost.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let trust = reqwest::Certificate::from_pem(&pem).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([trust]).build().unwrap();
    let answer = log_in(&http, &server.base, server.password()).await;
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, reqwest::Version::HTTP_2));
    assert!(!answer.headers().contains_key("strict-transport-security"), "not for localhost");
    let localhost = server.base.replace("127.0.0.1", "localhost");
    assert_eq!(http.get(format!("{localhost}/livez")).send().await.unwrap().status(), StatusCode::OK);
    drop(http);
    server.stop();
    let server = Serving::start(folder.path(), &["--tls", "dev"]);
    assert_eq!(std::fs::read(&certificate).unwrap(), pem);
    drop(server);

    let key = folder.path().join("keys/tls/localhost.key");
    let files = ["--tls", "files", "--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = Serving::start(folder.path(), &files);
    let trust = reqwest::Certificate::from_pem(&pem).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([trust]).build().unwrap();
    let answer = http.get(format!("{}/livez", server.base)).send().await.unwrap();
    assert!(answer.headers().contains_key("strict-transport-security"));
}
