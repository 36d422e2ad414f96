//! `signet user`: accounts on the command line, while the server is stopped.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Serving, program};
use crate::harness::{PASSWORD, plain_http};

/// Runs `signet user …` with a line on standard input.
fn user(folder: &Path, arguments: &[&str], line: &str) -> Output {
    let mut command = program(folder);
    command.arg("user").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses before it asks has gone away.
    child.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).ok();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("signet: ") && text.contains(why), "{text}");
}

/// A log-in at the running server: its status, and the token it set.
async fn log_in(base: &str, name: &str, password: &str) -> (StatusCode, String) {
    let body = json!({ "username": name, "password": password }).to_string();
    let request =
        plain_http().build().unwrap().post(format!("{base}/v1/login")).header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    let lines = answer.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned());
    let token = lines.filter_map(|line| Some(line.strip_prefix("__Host-signet=")?.split(';').next()?.to_owned()));
    let token = token.collect::<Vec<_>>().pop();
    (answer.status(), token.unwrap_or_default())
}

async fn get(base: &str, path: &str, token: &str) -> (StatusCode, Value) {
    let request =
        plain_http().build().unwrap().get(format!("{base}{path}")).header("cookie", format!("__Host-signet={token}"));
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn the_operator_makes_lists_disables_accounts_and_sets_passwords() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    refused(&user(folder, &["list"], ""), "there is no store in ");
    let serving = Serving::start(folder, &[]);
    let admin = serving.password().to_owned();
    refused(&user(folder, &["list"], ""), "another process has it open; stop that one");
    let (_, before) = log_in(&serving.base, "admin", &admin).await;
    assert_eq!(serving.stop().0, Some(0));

    assert_eq!(done(&user(folder, &["create", "bob", "--email", "bob@example.com"], PASSWORD)), "made bob\n");
    done(&user(folder, &["create", "carol", "--superuser", "--no-password"], ""));
    let file = folder.join("secret");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    done(&user(folder, &["create", "dave", "--staff", "--password-file", file.to_str().unwrap()], ""));
    refused(&user(folder, &["create", "BOB"], PASSWORD), "is taken");
    refused(&user(folder, &["create", "erin"], "12345678"), "password_entirely_numeric");
    refused(&user(folder, &["password", "Bob"], PASSWORD), "there is no user \"Bob\"");
    refused(&user(folder, &["disable", "nobody"], ""), "there is no user");
    done(&user(folder, &["password", "admin"], PASSWORD));
    let list = done(&user(folder, &["list"], ""));
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    let short: Vec<_> = lines.iter().map(|line| (line[0], line[2])).collect();
    assert_eq!(
        short,
        [("admin", "superuser, staff"), ("bob", ""), ("carol", "superuser, staff, no password"), ("dave", "staff")]
    );

    let serving = Serving::start(folder, &[]);
    assert_eq!(get(&serving.base, "/v1/me", &before).await.0, StatusCode::UNAUTHORIZED, "the old session has ended");
    assert_eq!(log_in(&serving.base, "admin", &admin).await.0, StatusCode::UNAUTHORIZED);
    let (status, token) = log_in(&serving.base, "admin", PASSWORD).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(log_in(&serving.base, "bob", PASSWORD).await.0, StatusCode::OK);
    let (_, log) = get(&serving.base, "/v1/audit?action=create_user&user=bob", &token).await;
    assert_eq!(log["items"][0]["actor"], Value::Null, "the operator has no account");
    let (_, bob) = log_in(&serving.base, "bob", PASSWORD).await;
    serving.stop();

    // The last superusers stay: carol's account is one too, until it is disabled.
    done(&user(folder, &["disable", "carol"], ""));
    refused(&user(folder, &["disable", "admin"], ""), "no active superuser would be left");
    done(&user(folder, &["disable", "bob"], ""));
    done(&user(folder, &["password", "dave", "--unusable"], ""));
    let serving = Serving::start(folder, &[]);
    assert_eq!(get(&serving.base, "/v1/me", &bob).await.0, StatusCode::UNAUTHORIZED);
    for name in ["bob", "dave"] {
        assert_eq!(log_in(&serving.base, name, PASSWORD).await.0, StatusCode::UNAUTHORIZED, "{name}");
    }
    serving.stop();
    done(&user(folder, &["enable", "bob"], ""));
    let serving = Serving::start(folder, &[]);
    assert_eq!(log_in(&serving.base, "bob", PASSWORD).await.0, StatusCode::OK);
    assert_eq!(get(&serving.base, "/v1/me", &bob).await.0, StatusCode::UNAUTHORIZED, "what had ended stays ended");
    serving.stop();
}

#[tokio::test]
async fn events_are_written_to_standard_output_as_lines_of_json_when_asked_for() {
    let folder = TempDir::new().unwrap();
    let serving = Serving::start(folder.path(), &["--audit-stdout"]);
    let password = serving.password().to_owned();
    assert_eq!(log_in(&serving.base, "admin", "wrong\nhere").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&serving.base, "admin", &password).await.0, StatusCode::OK);
    let before = serving.said.join("\n");
    let (code, rest) = serving.stop();
    assert_eq!(code, Some(0));
    let said = format!("{before}\n{rest}");
    let events: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let short: Vec<_> = events.iter().map(|event| (&event["action"], &event["outcome"])).collect();
    let (refused, done) = (json!("refused"), json!("done"));
    let log_in = json!("login");
    assert_eq!(short, [(&json!("create_user"), &done), (&log_in, &refused), (&log_in, &done)]);
    assert!(!rest.contains(&password));
}
