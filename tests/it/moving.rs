//! Moving a store: from sled to PostgreSQL and back, with everything that anybody holds.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use poem::http::StatusCode;
use serde_json::{Value, json};
use signet::claims::{ChallengeKind, SessionId, UserId};
use signet::moving::{Moved, Place, migrate};
use signet::store::embedded::Embedded;
use signet::store::postgres::{Address, Postgres};
use signet::store::{Challenge, OpenSession, Record, Revocation, Store, Tally, Write};
use signet::user::{User, Username};
use tempfile::TempDir;

use crate::harness::{Options, Server};
use crate::postgres::Server as Database;

mod back;

fn postgres(database: &Database, name: &str) -> Place {
    Place::Postgres(Box::new(Address::parse(&database.url(name)).unwrap()))
}

async fn moved(from: &Place, to: &Place) -> Moved {
    migrate(from, to, |_, _| {}).await.unwrap()
}

async fn refusal(from: &Place, to: &Place) -> String {
    migrate(from, to, |_, _| {}).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_logged_in_stays_so_and_what_was_ended_stays_ended() {
    let database = Database::start();
    drop(database.database("there").await);
    let server = Server::start_with(Options { throttle: true, ..Options::default() }).await;
    server.permissions(&["shop.sell", "shop.buy"]).await;
    server.group("sellers", &["shop.sell"]).await;
    let mut admin = server.admin().await;
    admin.post("/v1/epoch", Value::Null).await.is(StatusCode::NO_CONTENT);
    let (mut alice, id) = server.user("alice", json!({ "groups": ["sellers"], "email": "a@example.com" })).await;
    let wish = json!({ "name": "robot", "permissions": ["shop.sell"] });
    let token = alice.post("/v1/tokens", wish).await.is(StatusCode::CREATED).text("token");
    let mut ended = server.log_in("alice").await;
    let dead = ended.cookie.clone().unwrap();
    ended.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    let (bob, bobs) = server.user("bob", json!({})).await;
    server.admin().await.delete(&format!("/v1/users/{bobs}/sessions")).await.is(StatusCode::NO_CONTENT);
    // Somebody guesses until they have to wait.
    let mut guesser = server.anonymous();
    let guess = json!({ "username": "carol", "password": "not the password" });
    while guesser.post("/v1/login", guess.clone()).await.status != StatusCode::TOO_MANY_REQUESTS {}
    let cookie = alice.cookie.clone().unwrap();
    let folder = server.stop().await;

    let (here, there) = (Place::Embedded(folder.path().join("data")), postgres(&database, "there"));
    let first = moved(&here, &there).await;
    assert!(first.iter().all(|(_, sum)| sum.count > 0), "{first:?}");
    let said = refusal(&here, &there).await;
    assert!(said.contains("not empty"), "{said}");

    let address = Address::parse(&database.url("there")).unwrap();
    let store = std::sync::Arc::new(Postgres::open(&address).await.unwrap());
    let options = Options { throttle: true, store: Some(store), folder: Some(folder), ..Options::default() };
    let server = Server::start_with(options).await;
    let mut same = server.with_cookie(&cookie);
    assert!(same.may("shop.sell").await && !same.may("shop.buy").await);
    assert_eq!(same.get("/v1/me").await.is(StatusCode::OK).text("id"), id);
    assert!(
        !server.with_cookie(&dead).is_somebody().await && !server.with_cookie(&bob.cookie.unwrap()).is_somebody().await
    );
    let bearer = [("authorization", format!("Bearer {token}"))];
    let headers: Vec<(&str, &str)> = bearer.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let asked = Some(json!({ "permissions": ["shop.sell"] }));
    let check = server.anonymous().call(reqwest::Method::POST, "/v1/permissions/check", asked, &headers).await;
    assert_eq!(check.is(StatusCode::OK).json()["all"], true);
    // Some seconds later one may be tried again, and not ten.
    let mut guessed = Vec::new();
    for _ in 0..5 {
        guessed.push(server.anonymous().post("/v1/login", guess.clone()).await.status);
    }
    assert!(guessed.contains(&StatusCode::TOO_MANY_REQUESTS), "{guessed:?}");
    let said = refusal(&there, &Place::Embedded(TempDir::new().unwrap().path().join("back"))).await;
    assert!(said.contains("a node serves"), "{said}");
    let folder = server.stop().await;

    // The way back: what is there now, and then once more.
    let back = Place::Embedded(folder.path().join("back"));
    let second = moved(&there, &back).await;
    let said = refusal(&there, &back).await;
    assert!(said.contains("something in it"), "{said}");
    drop(database.database("again").await);
    let third = moved(&back, &postgres(&database, "again")).await;
    assert_eq!(second, third);
}

fn user(name: &str) -> User {
    User {
        id: UserId::random(),
        version: 7,
        username: Username::parse(name).unwrap(),
        password: "!".to_owned(),
        first_name: "\u{10348} \\ ' \" \u{1}".to_owned(),
        last_name: String::new(),
        email: format!("{}@example.com", UserId::random()),
        email_verified: true,
        is_active: false,
        is_staff: true,
        is_superuser: true,
        groups: std::collections::BTreeSet::default(),
        permissions: std::collections::BTreeSet::default(),
        generation: 1 << 40,
        rights_version: 9,
        last_login: Some(signet::claims::instant(4_000_000_000)),
        date_joined: signet::claims::instant(1) + TimeDelta::nanoseconds(123_456_789),
    }
}

/// A store that holds what is rare: far instants, other letters, nobody active, many of a kind.
async fn odd(folder: &Path, users: usize) {
    let store = Embedded::open(folder).unwrap();
    let at = signet::claims::instant(3_000_000_000) + TimeDelta::nanoseconds(999_999_999);
    let mut writes = vec![Write::Revoke(Revocation::Epoch(5)), Write::Restore(Box::new(Record::Forgotten(at)))];
    for n in 0..users {
        let user = user(&format!("{n}-\u{e4}"));
        let challenge = Challenge { digest: [n.to_le_bytes()[0]; 32], address: String::new(), asked: at };
        let id = SessionId::random();
        let (agent, address) = (String::new(), "\u{2028}".to_owned());
        let session = OpenSession { id, user: user.id, created: at, ends: at, epoch: 5, address, agent };
        let of = user.id;
        writes.push(Write::CreateUser(Box::new(user)));
        writes.push(Write::Restore(Box::new(Record::Session(session))));
        for kind in [ChallengeKind::Reset, ChallengeKind::Verification] {
            writes.push(Write::Restore(Box::new(Record::Challenge { user: of, kind, challenge: challenge.clone() })));
        }
        writes.push(Write::Revoke(Revocation::Session { id, until: signet::claims::instant(3_000_000_000) }));
        let until = signet::claims::instant(3_000_000_000);
        writes.push(Write::Revoke(Revocation::User {
            id: of,
            generation: 1,
            rights_version: u64::from(u32::MAX),
            until,
        }));
        writes.push(Write::Count(vec![Tally { key: *of.bytes(), until }.into()]));
        if writes.len() > 400 {
            store.commit(std::mem::take(&mut writes)).await.unwrap();
        }
    }
    store.commit(writes).await.unwrap();
    assert_eq!(store.longest_life(12_345).await.unwrap(), 12_345);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rare_moves_as_well_and_nothing_at_all_does_too() {
    let (database, folder) = (Database::start(), TempDir::new().unwrap());
    for (name, users) in [("nothing", 0), ("a_few", 1_300)] {
        drop(database.database(name).await);
        let (here, back) = (folder.path().join(name), Place::Embedded(folder.path().join(format!("{name}-back"))));
        if users > 0 {
            odd(&here, users).await;
        } else {
            drop(Embedded::open(&here).unwrap());
        }
        let (here, there) = (Place::Embedded(here), postgres(&database, name));
        let first = moved(&here, &there).await;
        assert_eq!(first, moved(&there, &back).await);
        assert_eq!(first[2].1.count, users as u64);
        assert_eq!(first[3].1.count, 3 * users as u64);
    }
}

fn command(from: &str, to: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.env_clear().args(["migrate-store", from, to]).stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cut_short_leaves_nothing_that_serves_and_is_begun_anew() {
    let (database, folder) = (Database::start(), TempDir::new().unwrap());
    drop(database.database("cut").await);
    let here = folder.path().join("here");
    odd(&here, 4_000).await;
    let (from, url) = (format!("sled:{}", here.display()), database.url("cut"));
    let client = database.client("cut").await;
    let count = async || client.query_one("select count(*) from users", &[]).await.unwrap().get::<_, i64>(0);
    let mut child = command(&from, &url).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while count().await == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(count().await < 4_000, "it was too fast to be cut short");
    let why = Postgres::open(&Address::parse(&url).unwrap()).await.err().unwrap().to_string();
    assert!(why.contains("signet migrate-store"), "{why}");
    let whole = command(&from, &url).output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let said = String::from_utf8_lossy(&whole.stdout);
    assert!(said.contains("4000 accounts") && said.contains("both stores hold the same"), "{said}");
    assert_eq!(count().await, 4_000);

    // The other way, into a folder.
    let back = folder.path().join("back");
    let to = format!("sled:{}", back.display());
    let mut child = command(&url, &to).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let unfinished = folder.path().join("back.unfinished");
    while !unfinished.join("db").exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!back.exists(), "what is there is whole");
    assert!(command(&url, &to).output().unwrap().status.success());
    assert!(back.join("db").exists() && !unfinished.exists());
    let missing = format!("sled:{}", folder.path().join("nowhere").display());
    for (from, to, code, says) in [
        (&*missing, &*url, 1, "there is no store"),
        ("mysql://u:secret@h/d", &*to, 2, "FROM"),
        (&*from, "postgres://u:secret@h/d?sslmode=prefer", 2, "TO"),
        (&*url, &*from, 1, "something in it"),
    ] {
        let done = command(from, to).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{said}");
        assert!(said.contains(says) && !said.contains("secret"), "{said}");
    }
}
