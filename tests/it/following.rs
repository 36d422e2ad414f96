//! Two nodes on one store: what one ends the other refuses, and a node that hears nothing relies on nothing.

use std::time::{Duration, Instant};

use poem::http::StatusCode;
use serde_json::json;
use signet::claims::{SessionId, UserId, instant};
use signet::store::postgres::{Address, Postgres};
use signet::store::{Revocation, SharedStore, Write};
use tempfile::TempDir;

use crate::harness::{Client, Options, Server, folder_with_keys};
use crate::postgres::Server as Database;

/// Longer than two readings.
const SOON: Duration = Duration::from_secs(5);

/// Two nodes with the same keys on a database, the second one with a bound of its own.
async fn two(database: &Database, name: &str, bound: Duration) -> (Server, Server) {
    let first = database.store(name).await;
    let second: SharedStore = {
        let address = Address::parse(&database.url(name)).unwrap();
        std::sync::Arc::new(Postgres::open(&address).await.unwrap())
    };
    let keys = folder_with_keys(&[("shared", "eddsa")]);
    let other = TempDir::new().unwrap();
    std::fs::create_dir(other.path().join("keys")).unwrap();
    for entry in std::fs::read_dir(keys.path().join("keys")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), other.path().join("keys").join(entry.file_name())).unwrap();
    }
    let one = Server::start_with(Options { store: Some(first), folder: Some(keys), ..Options::default() }).await;
    let options = Options { store: Some(second), folder: Some(other), max_staleness: bound, ..Options::default() };
    (one, Server::start_with(options).await)
}

/// How long it took until it was so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

/// How long it took until the cookie was refused.
async fn refused(client: &mut Client) -> Duration {
    until("it is refused", async || client.get("/v1/session").await.status == StatusCode::UNAUTHORIZED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_ends_or_changes_acts_on_the_other() {
    let database = Database::start();
    let (one, other) = two(&database, "twice", Duration::from_secs(15)).await;
    one.permissions(&["shop.sell", "shop.buy"]).await;
    let group = one.group("sellers", &["shop.sell"]).await;
    let (alice, id) = one.user("alice", json!({ "groups": ["sellers"] })).await;
    let there = |client: &Client| other.with_cookie(client.cookie.as_ref().unwrap());
    let mut admin = one.admin().await;

    // Log-outs. Without a call they would be heard of within a second, after half of one in the mean.
    let mut took = Vec::new();
    for mut client in [alice, one.log_in("alice").await, one.log_in("alice").await] {
        let mut same = there(&client);
        until("logged in", async || same.get("/v1/session").await.status == StatusCode::OK).await;
        client.post("/v1/logout", json!(null)).await.is(StatusCode::NO_CONTENT);
        took.push(refused(&mut same).await);
    }
    took.sort_unstable();
    assert!(took[1] < Duration::from_millis(300), "{took:?}: the other node is called");

    // What a group grants.
    let alice = one.log_in("alice").await;
    let mut same = there(&alice);
    until("sell", async || same.may("shop.sell").await).await;
    let path = format!("/v1/groups/{group}");
    admin.patch(&path, json!({ "permissions": ["shop.buy"] })).await.is(StatusCode::OK);
    until("no more", async || !same.may("shop.sell").await).await;
    until("buy", async || same.may("shop.buy").await).await;

    // Rights of a user: the other node renews the claims.
    let path = format!("/v1/users/{id}");
    admin.patch(&path, json!({ "user_permissions": ["shop.sell"] })).await.is(StatusCode::OK);
    until("sell", async || same.may("shop.sell").await).await;

    // All of a user's sessions, made anywhere.
    let far = other.log_in("alice").await;
    admin.delete(&format!("/v1/users/{id}/sessions")).await.is(StatusCode::NO_CONTENT);
    refused(&mut same).await;
    refused(&mut there(&far)).await;

    // Everything, for everybody.
    let mut mine = there(&admin);
    mine.get("/v1/session").await.is(StatusCode::OK);
    admin.post("/v1/epoch", json!(null)).await.is(StatusCode::NO_CONTENT);
    refused(&mut mine).await;
    let again = one.log_in("alice").await;
    there(&again).get("/v1/session").await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_refuses_after_the_bound_and_goes_on_when_it_hears_again() {
    let database = Database::start();
    let bound = Duration::from_secs(2);
    let (one, other) = two(&database, "cut", bound).await;
    let admin = one.admin().await;
    let mut same = other.with_cookie(admin.cookie.as_ref().unwrap());
    let mut nobody = other.anonymous();
    same.get("/v1/session").await.is(StatusCode::OK);
    let manager = database.client("postgres").await;
    manager.batch_execute("alter database cut with allow_connections false").await.unwrap();
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'cut'";
    manager.batch_execute(cut).await.unwrap();
    let began = Instant::now();
    // It goes on with what it knows, as long as it may, and no longer.
    let mut last = Duration::ZERO;
    loop {
        let asked = began.elapsed();
        assert!(asked < SOON, "nothing was heard");
        if nobody.get("/readyz").await.status != StatusCode::OK {
            assert!(other.app.staleness().unwrap() > bound, "after {asked:?}");
        }
        if same.get("/v1/session").await.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(other.app.staleness().unwrap() > bound, "after {asked:?}");
            break;
        }
        last = asked;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(last <= bound, "{last:?}");
    same.get("/v1/session").await.is_problem("unavailable");
    // What proxies ask is answered in their own terms: what cannot be judged does not pass.
    same.get("/v1/verify").await.is(StatusCode::FORBIDDEN);
    let lacking = nobody.get("/readyz").await.is(StatusCode::SERVICE_UNAVAILABLE).json();
    assert_eq!(lacking["errors"][0]["field"], "following");
    // What needs no session goes on.
    nobody.get("/livez").await.is(StatusCode::OK);
    nobody.get("/.well-known/jwks.json").await.is(StatusCode::OK);
    manager.batch_execute("alter database cut with allow_connections true").await.unwrap();
    until("it hears again", async || same.get("/v1/session").await.status == StatusCode::OK).await;
    nobody.get("/readyz").await.is(StatusCode::OK);
    one.log_in("admin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_late_or_without_a_call_is_seen_with_the_next_reading() {
    let database = Database::start();
    let (one, other) = two(&database, "late", Duration::from_secs(15)).await;
    let mut alice = one.user("alice", json!({})).await.0;
    let mut same = other.with_cookie(alice.cookie.as_ref().unwrap());
    let open = alice.get("/v1/sessions").await.is(StatusCode::OK).json();
    let sid: SessionId = open["items"][0]["id"].as_str().unwrap().parse().unwrap();
    let slow = database.client("late").await;
    slow.batch_execute("begin").await.unwrap();
    let text = "insert into revocations (kind, id, generation, rights_version, until) \
        values (1, $1, 0, 0, now() + interval '14 days')";
    slow.execute(text, &[&&sid.bytes()[..]]).await.unwrap();
    // Others commit, and are read, meanwhile.
    for _ in 0..3 {
        let mut bob = one.log_in("admin").await;
        let mut there = other.with_cookie(bob.cookie.as_ref().unwrap());
        bob.post("/v1/logout", json!(null)).await.is(StatusCode::NO_CONTENT);
        refused(&mut there).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    same.get("/v1/session").await.is(StatusCode::OK);
    slow.batch_execute("commit").await.unwrap();
    refused(&mut same).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_reading_tells_is_found_by_comparing_and_what_is_covered_is_no_difference() {
    let database = Database::start();
    let (one, other) = two(&database, "sums", Duration::from_secs(15)).await;
    let until = instant(one.now().timestamp() + 100_000);
    let (user, ids) = (UserId::random(), [SessionId::random(), SessionId::random()]);
    let ended = ids.map(|id| Write::Revoke(Revocation::Session { id, until }));
    one.app.commit(ended.to_vec()).await.unwrap();
    one.app
        .commit(vec![
            Write::Revoke(Revocation::User { id: user, generation: 3, rights_version: 4, until }),
            Write::DropCovered { user, ids: vec![ids[0]] },
        ])
        .await
        .unwrap();
    let from = one.now();
    let sums = one.app.store().follow().unwrap().sums(from).await.unwrap();
    assert_eq!((sums.sessions, sums.users, sums.versions), (1, 1, 7));
    let began = Instant::now();
    while other.app.revocations().sums(from) != sums {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(one.app.revocations().sums(from), sums);
    // Stamped long before anybody looks, as if it had been written by a clock that was far behind.
    let hidden = SessionId::random();
    let client = database.client("sums").await;
    let text = "insert into revocations (kind, id, generation, rights_version, until, changed) \
        values (1, $1, 0, 0, now() + interval '1 day', now() - interval '1 hour')";
    client.execute(text, &[&&hidden.bytes()[..]]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = |server: &Server| server.app.revocations().sums(from).sessions;
    assert_eq!(held(&other), 1);
    other.app.compare().await.unwrap();
    assert_eq!(held(&other), 2);
    assert_eq!(other.app.revocations().sums(from), other.app.store().follow().unwrap().sums(from).await.unwrap());
    // What the store has lost is not forgotten here.
    client.execute("delete from revocations where id = $1", &[&&hidden.bytes()[..]]).await.unwrap();
    other.app.compare().await.unwrap();
    assert_eq!(held(&other), 2);
}
