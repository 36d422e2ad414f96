//! What the program takes before anybody uses it: time to start, memory, bytes on disk and in a cookie.
//!
//! `cargo bench --bench footprint`. The program as it is shipped is started again and again, in a folder that has its
//! keys, and asked whether it lives as soon as it says where. Its first start of all makes the store and the hash of
//! the first superuser's password.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use signet::claims::Claims;
use signet::session;
use signet::store::{Member, Write};
use support::{Running, note, row, within};

mod support;

/// Starts of each kind.
const STARTS: usize = 20;

/// How long the program is left alone before its memory is read: what it does beside the requests has been done by then.
const IDLE: Duration = Duration::from_secs(3);

const MEBIBYTE: f64 = 1024.0 * 1024.0;

fn main() {
    let runtime = support::runtime_here();
    support::table("What the program takes");
    let folders: Vec<_> = (0..STARTS).map(|_| support::folder()).collect();
    for folder in &folders {
        let keys = folder.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        signet::keys::generate(&keys, "eddsa", Some("bench"), support::clock()()).unwrap();
    }
    // Once for the files of the program to be in memory.
    drop(started(&runtime, support::folder().path()));

    let first: Vec<f64> = folders.iter().map(|folder| milliseconds(&runtime, folder.path())).collect();
    starts("first start in an empty folder, to the first 200", &first);
    let again: Vec<f64> = folders.iter().map(|_| milliseconds(&runtime, folders[0].path())).collect();
    starts("start with a store that has one user, to the first 200", &again);

    let (server, _) = started(&runtime, folders[0].path());
    let at_once = server.memory("VmRSS");
    std::thread::sleep(IDLE);
    let idle = server.memory("VmRSS");
    within("memory of the idle program", idle as f64 / 1024.0, "MiB", 20.0);
    let anonymous = server.memory("RssAnon") as f64 / 1024.0;
    note(
        "… right after the start; without what is mapped from files",
        &mebibytes(at_once),
        &support::shown(anonymous, "MiB"),
        "",
    );
    drop(server);

    let bytes = std::fs::metadata(support::program()).unwrap().len();
    within("the program on disk", bytes as f64 / MEBIBYTE, "MiB", 20.0);
    let (cookie, data) = runtime.block_on(cookie());
    within(&format!("a cookie of a user in three groups, {data} bytes of data"), cookie as f64, "bytes", 900.0);
}

fn mebibytes(kibibytes: u64) -> String {
    support::shown(kibibytes as f64 / 1024.0, "MiB")
}

fn starts(what: &str, times: &[f64]) {
    let (half, least, most) = (
        support::median(times.iter().copied()),
        support::part(times.iter().copied(), 0.0),
        support::part(times.iter().copied(), 1.0),
    );
    let figure = format!("{half:.1} ms ({least:.1} to {most:.1})");
    row(what, &figure, "", "", "≤ 50 ms", half <= 50.0);
}

/// A program that has answered, and how long that took from before its process was made.
fn started(runtime: &tokio::runtime::Runtime, folder: &Path) -> (Running, Duration) {
    let begun = Instant::now();
    let server = Running::program(folder, &[], None);
    let answer = runtime.block_on(support::answer_to(server.address, &support::request("GET", "/livez", "", "", "")));
    assert_eq!(support::status(&answer), 200, "{answer}");
    (server, begun.elapsed())
}

fn milliseconds(runtime: &tokio::runtime::Runtime, folder: &Path) -> f64 {
    let (server, took) = started(runtime, folder);
    server.stop();
    took.as_secs_f64() * 1000.0
}

/// The bytes of name and value of a cookie, and of the data in it.
async fn cookie() -> (usize, usize) {
    let folder = support::folder();
    let app = support::wired(folder.path(), support::clock()).await;
    let names = ["editors", "moderators", "translators"];
    let groups = names.map(|name| support::group(&app, name, BTreeSet::new()));
    let ids = groups.iter().map(|group| group.id).collect();
    let user = signet::user::User { groups: ids, ..support::user(&app, "alice.liddell") };
    let mut writes: Vec<_> = groups.into_iter().map(Write::CreateGroup).collect();
    writes.push(Write::CreateUser(Box::new(user.clone())));
    app.commit(writes).await.unwrap();
    let member = Member { user, groups: names.map(str::to_owned).to_vec() };
    let session = support::sessions(&app, &member, 1).await.remove(0);
    let note = "x".repeat(29);
    let data = serde_json::json!({ "theme": "dark", "language": "en-GB", "basket": [1001, 1002, 1003], "note": note });
    let bytes = data.to_string().len();
    assert_eq!(bytes, 100);
    let serde_json::Value::Object(data) = data else { unreachable!() };
    let write = |claims: &mut Claims| session::merge(&mut claims.data, data);
    let session = session::write(&app, &session, None, write).unwrap();
    (support::cookie_of(session.token().unwrap()).len(), bytes)
}
