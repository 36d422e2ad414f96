//! The way back: what was ended, asked and counted on PostgreSQL holds in a folder. And what is refused before anything
//! is copied.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use poem::http::StatusCode;
use serde_json::json;
use signet::claims::{SessionId, UserId, instant};
use signet::moving::Place;
use signet::store::embedded::Embedded;
use signet::store::postgres::{Address, Postgres};
use signet::store::{Revocation, Store, Tally, Write};
use tempfile::TempDir;

use super::{command, moved, odd, postgres, refusal};
use crate::harness::{Options, PASSWORD, Server};
use crate::postgres::Server as Database;

const NEW: &str = "a password that is new";

/// The token of the only mail in the folder.
fn mailed(folder: &Path) -> String {
    let mut mails = std::fs::read_dir(folder.join("mail")).unwrap();
    let text = std::fs::read_to_string(mails.next().unwrap().unwrap().path()).unwrap();
    assert!(mails.next().is_none(), "one mail");
    let text = text.replace("=\r\n", "").replace("=3D", "=");
    text.split_once("#token=").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ended_asked_and_counted_on_postgresql_holds_in_a_folder() {
    let database = Database::start();
    let address = database.database("there").await;
    let options = Options {
        throttle: true,
        store: Some(Arc::new(Postgres::open(&address).await.unwrap())),
        ..Options::default()
    };
    let server = Server::start_with(options).await;
    server.permissions(&["shop.sell"]).await;
    let (mut alice, _) = server.user("alice", json!({ "email": "a@example.com" })).await;
    let old = alice.cookie.clone().unwrap();
    let change = json!({ "old_password": PASSWORD, "new_password": NEW });
    alice.post("/v1/password", change).await.is(StatusCode::OK);
    let token = json!({ "name": "robot", "permissions": [] });
    let token = alice.post("/v1/tokens", token).await.is(StatusCode::CREATED).text("token");
    let (bob, bobs) = server.user("bob", json!({})).await;
    server.admin().await.delete(&format!("/v1/users/{bobs}/sessions")).await.is(StatusCode::NO_CONTENT);
    let mut carol = server.user("carol", json!({ "email": "c@example.com" })).await.0;
    let carols = carol.cookie.clone().unwrap();
    server.anonymous().post("/v1/password/reset", json!({ "email": "c@example.com" })).await.is(StatusCode::ACCEPTED);
    server.app.post().unwrap().settle().await;
    let guess = json!({ "username": "nobody", "password": "not the password" });
    while server.anonymous().post("/v1/login", guess.clone()).await.status != StatusCode::TOO_MANY_REQUESTS {}
    assert!(carol.is_somebody().await);
    let folder = server.stop().await;
    let client = database.client("there").await;
    // As half a minute later.
    client.execute("update nodes set beat = beat - interval '31 seconds'", &[]).await.unwrap();

    moved(&postgres(&database, "there"), &Place::Embedded(folder.path().join("data"))).await;
    let reset = mailed(folder.path());
    let server = Server::start_with(Options { throttle: true, folder: Some(folder), ..Options::default() }).await;
    let mut same = server.with_cookie(&alice.cookie.unwrap());
    assert!(same.is_somebody().await && server.with_cookie(&carols).is_somebody().await);
    for dead in [old, bob.cookie.unwrap()] {
        assert!(!server.with_cookie(&dead).is_somebody().await);
    }
    let bearer = format!("Bearer {token}");
    let asked = Some(json!({ "permissions": [] }));
    let headers = [("authorization", &*bearer)];
    let mut robot = server.anonymous();
    robot.call(reqwest::Method::POST, "/v1/permissions/check", asked, &headers).await.is(StatusCode::OK);
    // Some seconds later one may be tried again, and not ten.
    let mut guessed = Vec::new();
    for _ in 0..5 {
        guessed.push(server.anonymous().post("/v1/login", guess.clone()).await.status);
    }
    assert!(guessed.contains(&StatusCode::TOO_MANY_REQUESTS), "{guessed:?}");
    let confirm = json!({ "token": reset, "new_password": NEW });
    server.anonymous().post("/v1/password/reset/confirm", confirm.clone()).await.is(StatusCode::NO_CONTENT);
    server.anonymous().post("/v1/password/reset/confirm", confirm).await.is_problem("invalid_token");
    assert!(!server.with_cookie(&carols).is_somebody().await);
    let folder = server.stop().await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_within_a_second_come_back_as_nodes_judge_by_them() {
    let (database, folder) = (Database::start(), TempDir::new().unwrap());
    let store = database.store("fine").await;
    let until = instant(3_000_000_000) + chrono::TimeDelta::microseconds(987_654);
    let (id, key) = (UserId::random(), [7; 16]);
    let user = Revocation::User { id, generation: 3, rights_version: 2, until };
    let session = Revocation::Session { id: SessionId::random(), until };
    let gone = Revocation::Session { id: SessionId::random(), until: instant(1) + chrono::TimeDelta::microseconds(5) };
    store.commit(vec![Write::Revoke(gone), Write::Revoke(session), Write::Revoke(user)]).await.unwrap();
    store.commit(vec![Write::Forget(instant(2)), Write::Count(vec![Tally { key, until }.into()])]).await.unwrap();
    let before = store.state().await.unwrap();
    assert!(before.forgotten.is_some());
    drop(store);
    let back = folder.path().join("back");
    moved(&postgres(&database, "fine"), &Place::Embedded(back.clone())).await;
    let after = Embedded::open(&back).unwrap().state().await.unwrap();
    assert_eq!(after.forgotten, Some(instant(1)));
    assert_eq!(after.revocations.len(), 2);
    for revocation in &after.revocations {
        assert_eq!(revocation.until(), Some(instant(3_000_000_000)), "{revocation:?}");
    }
    assert_eq!(after.tallies.len(), 1);
    assert_eq!(after.tallies[0].until.timestamp_millis(), until.timestamp_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_nobody_would_serve_from_is_not_moved() {
    let (database, folder) = (Database::start(), TempDir::new().unwrap());
    let to = Place::Embedded(folder.path().join("to"));
    drop(database.database("half").await);
    let client = database.client("half").await;
    client.batch_execute("insert into journal values (0, '{\"signet_import\":1,\"of\":\"a file\"}')").await.unwrap();
    let said = refusal(&postgres(&database, "half"), &to).await;
    assert!(said.contains("interrupted") && said.contains("--undo"), "{said}");

    // No schema; and one of another version.
    client.batch_execute("create database bare").await.unwrap();
    for (from, to) in [(postgres(&database, "bare"), to.clone()), (here(&folder, 3).await, postgres(&database, "bare"))]
    {
        let said = refusal(&from, &to).await;
        assert!(said.contains("signet migrate"), "{said}");
    }
    assert!(!folder.path().join("to").exists());

    // A record that cannot be read.
    drop(database.database("odd").await);
    let client = database.client("odd").await;
    client.batch_execute("insert into events values (now(), '\\x01', 'no event')").await.unwrap();
    let said = refusal(&postgres(&database, "odd"), &to).await;
    assert!(said.contains("damaged"), "{said}");
    assert!(!folder.path().join("to").exists(), "what is there is whole");
}

async fn here(folder: &TempDir, users: usize) -> Place {
    let here = folder.path().join("here");
    odd(&here, users).await;
    Place::Embedded(here)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_only_counters_is_not_empty_and_stays_as_it_is() {
    let (database, folder) = (Database::start(), TempDir::new().unwrap());
    let store = database.store("counted").await;
    let tally = Tally { key: [1; 16], until: instant(3_000_000_000) };
    store.commit(vec![Write::Count(vec![tally.into()])]).await.unwrap();
    let said = refusal(&here(&folder, 1).await, &postgres(&database, "counted")).await;
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(store.state().await.unwrap().tallies, [tally]);
    drop(Postgres::open(&Address::parse(&database.url("counted")).unwrap()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_moves_into_one_place_do_not_both_succeed() {
    let (database, folder) = (Database::start(), TempDir::new().unwrap());
    drop(database.database("one").await);
    let address = Address::parse(&database.url("one")).unwrap();
    // Both have begun; the second has taken over.
    let first = Postgres::open_to_fill(&address).await.unwrap();
    let second = Postgres::open_to_fill(&address).await.unwrap();
    let said = first.filled().await.unwrap_err().to_string();
    assert!(said.contains("another"), "{said}");
    let kept_out = Postgres::open(&address).await.err().unwrap().to_string();
    assert!(kept_out.contains("signet migrate-store"), "{kept_out}");
    second.filled().await.unwrap();
    second.filled().await.unwrap();
    drop(Postgres::open(&address).await.unwrap());

    // Into a folder, the second waits for nobody, and takes nothing away.
    let unfinished = folder.path().join("to.unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("half"), "half").unwrap();
    let held = File::open(&unfinished).unwrap();
    held.try_lock().unwrap();
    let (from, to) = (database.url("one"), format!("sled:{}", folder.path().join("to").display()));
    let done = command(&from, &to).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(1) && said.contains("another"), "{said}");
    assert!(unfinished.join("half").exists());
    drop(held);
    let done = command(&from, &to).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!unfinished.exists() && !folder.path().join("to/half").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_begins_to_serve_from_the_source_meanwhile_is_noticed() {
    let (database, folder) = (Database::start(), TempDir::new().unwrap());
    drop(database.database("read").await);
    let client = database.client("read").await;
    let to = folder.path().join("to");
    let begun = std::sync::atomic::AtomicBool::new(false);
    let tell = |what: &str, _| {
        if what.starts_with("comparing") && !begun.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let beat = "insert into nodes (id, version, beat) values ('\\x01', '1', clock_timestamp())";
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(client.batch_execute(beat)).unwrap();
            });
        }
    };
    let from = postgres(&database, "read");
    let said = signet::moving::migrate(&from, &Place::Embedded(to.clone()), tell).await.unwrap_err().to_string();
    assert!(said.contains("a node serves"), "{said}");
    assert!(begun.into_inner() && !to.exists());
}
