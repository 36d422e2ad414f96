//! What whoever runs Signet is given: the dashboard and the alerts speak of what there is, and the page is true.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Server;
use crate::metrics::Reading;
use crate::readme::script;

fn operations(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("operations").join(name)).unwrap()
}

/// The words of a text that name meters.
fn meters(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("signet_") || word.starts_with("process_")).collect()
}

/// The meter that a series belongs to.
fn meter<'a>(series: &'a str, known: &BTreeSet<String>) -> &'a str {
    let stems = ["_bucket", "_sum", "_count"].iter().filter_map(|end| series.strip_suffix(end));
    stems.into_iter().find(|stem| known.contains(*stem)).unwrap_or(series)
}

#[tokio::test]
async fn every_meter_of_the_dashboard_and_the_alerts_is_there_and_every_meter_is_on_the_dashboard() {
    let server = Server::start().await;
    server.anonymous().get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
    // A limit that was reached makes the first of its series.
    let known: BTreeSet<String> = {
        let mut names = Reading::of(&server).await.names();
        names.push("signet_throttled_total".to_owned());
        names.into_iter().collect()
    };
    let dashboard: Value = serde_json::from_str(&operations("grafana.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() >= 20);
    let shown: BTreeSet<&str> =
        expressions.iter().flat_map(|text| meters(text)).map(|series| meter(series, &known)).collect();
    for name in &shown {
        assert!(known.contains(*name), "the dashboard speaks of {name}");
    }
    for name in &known {
        assert!(shown.contains(name.as_str()), "{name} is not on the dashboard");
    }
    let alerts = operations("prometheus-alerts.yml");
    let watched = meters(&alerts);
    assert!(watched.len() >= 10);
    for series in watched {
        assert!(known.contains(meter(series, &known)), "an alert speaks of {series}");
    }
    // What is compared with a label's value is a value that there is.
    let (text, all) = (Reading::of(&server).await.0, format!("{alerts}{}", expressions.join("\n")));
    for (label, value) in [("code", "internal"), ("role", "signs"), ("part", "server"), ("action", "login")] {
        let named = format!("{label}=\"{value}\"");
        assert!(text.contains(&named), "{named}");
        let compared = ["=\"", "!=\"", "=~\""].iter().any(|by| all.contains(&format!("{label}{by}{value}")));
        assert!(compared, "{named}");
    }
}

/// What the page's `systemctl` does.
const SYSTEMCTL: &str = r#"#!/bin/bash
case "$1" in
  start)
    : >out
    signet serve --listen "$LISTEN" --metrics-listen "$METRICS" >out 2>>log &
    echo $! >pid
    until grep -q '^metrics on' out; do kill -0 "$(cat pid)" || exit 1; sleep 0.05; done ;;
  stop) kill "$(cat pid)"; tail --pid="$(cat pid)" -f /dev/null ;;
  reload)
    before=$(grep -c 'keys read again' log)
    kill -HUP "$(cat pid)"
    until [ "$(grep -c 'keys read again' log)" -gt "$before" ]; do kill -0 "$(cat pid)" || exit 1; sleep 0.05; done ;;
  *) exit 2 ;;
esac
"#;

#[test]
fn every_command_of_the_page_answers_what_it_says() {
    if !Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: the page needs curl, which is not installed; tests/run installs it");
        return;
    }
    let folder = TempDir::new().unwrap();
    let (tools, home) = (folder.path().join("tools"), folder.path().join("home"));
    fs::create_dir(&tools).unwrap();
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_signet"), tools.join("signet")).unwrap();
    fs::write(tools.join("systemctl"), SYSTEMCTL).unwrap();
    fs::set_permissions(tools.join("systemctl"), PermissionsExt::from_mode(0o755)).unwrap();
    // Two ports that are free at this moment.
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap().to_string(), listener)
    };
    let ((listen, one), (metrics, two)) = (free(), free());
    drop((one, two));
    let page = operations("README.md");
    let commands: String = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let commands = commands
        .replace("http://localhost:8000", &format!("http://{listen}"))
        .replace("http://127.0.0.1:9464", &format!("http://{metrics}"))
        .replace("/var/lib/signet", home.to_str().unwrap());
    let (script, checks) = script(&commands);
    assert!(checks >= 12, "{checks}");
    let script = format!("trap 'kill $(cat pid) 2>/dev/null' EXIT\nset -e\n{script}");
    let path = format!("{}:{}", tools.display(), std::env::var_os("PATH").unwrap().to_str().unwrap());
    let mut command = Command::new("bash");
    command.args(["-c", &script]).env_clear().env("PATH", path).env("LISTEN", listen).env("METRICS", metrics);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let log = fs::read_to_string(home.join("log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{log}\n{script}", String::from_utf8_lossy(&output.stderr));
    // At the reloads, and whenever the folder was seen to have changed.
    assert!(log.matches("keys read again").count() >= 2, "{log}");
}

#[tokio::test]
async fn a_restore_with_a_new_key_leaves_no_token_of_before_alive_whatever_the_epoch() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let folder = server.stop().await;
    let run = |arguments: &[&str]| {
        let output = crate::cli::program(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["export", "backup.jsonl"]);
    let options = |folder| crate::harness::Options { folder: Some(folder), ..Default::default() };
    // The epoch is raised after the backup, and a session of that epoch is ended.
    let folder = {
        let server = Server::start_with(options(folder)).await;
        admin = admin.at(&server.base);
        admin.post("/v1/epoch", json!({})).await;
        let mut later = server.admin().await;
        admin.cookie = later.cookie.clone();
        later.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        server.stop().await
    };
    let run = |arguments: &[&str]| {
        let output = crate::cli::program(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    fs::remove_dir_all(folder.path().join("keys")).unwrap();
    run(&["import", "signet", "backup.jsonl", "--apply"]);
    run(&["keys", "generate"]);
    let server = Server::start_with(options(folder)).await;
    assert!(!admin.at(&server.base).is_somebody().await);
    assert!(server.admin().await.is_somebody().await);
}
