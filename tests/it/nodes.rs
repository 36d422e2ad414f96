//! Several nodes of the real program on a primary and a standby: what is acknowledged holds on all of them within the
//! bound, whatever becomes of the ways, the servers and the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::harness::PASSWORD;
use crate::program::{Door, Program};
use cluster::Cluster;
use wire::Way;

pub(crate) mod cluster;
pub(crate) mod wire;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a busy machine may be late by.
const GRACE: Duration = Duration::from_millis(400);

fn doors(nodes: &[Program]) -> Vec<Door> {
    nodes.iter().map(Program::door).collect()
}

async fn session(door: &Door, token: &str) -> u16 {
    door.with_cookie(token).call(Method::GET, "/v1/session", Value::Null).await.map_or(0, |(status, _)| status)
}

async fn readiness(door: &Door) -> (u16, Value) {
    door.anonymous().call(Method::GET, "/readyz", Value::Null).await.unwrap()
}

/// A token of the superuser, made there.
async fn logged_in(door: &Door) -> String {
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    admin.cookie
}

async fn log_out(door: &Door, token: &str) -> Option<u16> {
    Some(door.with_cookie(token).call(Method::POST, "/v1/logout", Value::Null).await?.0)
}

/// How long it took until that was the answer.
async fn until(status: u16, door: &Door, token: &str) -> Duration {
    let began = Instant::now();
    loop {
        let answer = session(door, token).await;
        if answer == status {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{answer} in place of {status}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Asks for as long as it takes, and gives when the token was accepted for the last time, and what came then.
async fn accepted_last(door: &Door, token: &str, for_as_long: Duration) -> (Duration, u16) {
    let (began, mut last) = (Instant::now(), Duration::ZERO);
    loop {
        let asked = began.elapsed();
        let status = session(door, token).await;
        if status == 200 {
            last = asked;
        }
        if asked > for_as_long {
            return (last, status);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_cut_off_goes_on_until_the_bound_and_then_refuses_until_it_has_caught_up() {
    let bound = Duration::from_secs(3);
    let cluster = Cluster::make(3, bound).await;
    let nodes = cluster.nodes();
    let doors = doors(&nodes);
    for way in [Way::Cut, Way::Dead] {
        let (ended, lives) = (logged_in(&doors[0]).await, logged_in(&doors[1]).await);
        assert_eq!(session(&doors[2], &ended).await, 200);
        cluster.sites[2].set(way);
        assert_eq!(log_out(&doors[0], &ended).await, Some(204));
        let elsewhere = until(401, &doors[1], &ended).await;
        assert!(elsewhere <= bound, "{elsewhere:?}");
        // It cannot know, and says so in time.
        let (last, then) = accepted_last(&doors[2], &ended, bound + GRACE).await;
        assert!(last > bound / 3 && last <= bound, "{way:?}: accepted after {last:?}");
        assert_eq!(then, 503, "{way:?}");
        let (status, why) = readiness(&doors[2]).await;
        let parts = why["errors"].as_array().unwrap();
        assert!(status == 503 && parts.iter().any(|part| part["field"] == "following"), "{why}");
        for door in &doors[..2] {
            assert_eq!(
                (readiness(door).await.0, session(door, &lives).await),
                (200, 200),
                "the others are not touched"
            );
        }
        cluster.sites[2].set(Way::Open);
        let back = until(200, &doors[2], &lives).await;
        println!("{way:?}: refused from {last:?} on, back after {back:?}");
        assert_eq!(session(&doors[2], &ended).await, 401);
        assert_eq!(readiness(&doors[2]).await.0, 200);
    }
    // A slow way is late, and no more than that.
    cluster.sites.iter().for_each(|site| site.set(Way::Slow(Duration::from_millis(50))));
    let token = logged_in(&doors[2]).await;
    assert_eq!(session(&doors[0], &token).await, 200);
    assert_eq!(log_out(&doors[2], &token).await, Some(204));
    for door in &doors {
        let took = until(401, door, &token).await;
        assert!(took <= bound, "{took:?}");
        assert_eq!(readiness(door).await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_has_not_heard_of_a_new_epoch_acknowledges_no_log_out_of_it_and_begins_nothing_of_the_old_one() {
    let bound = Duration::from_secs(2);
    let cluster = Cluster::make(2, bound).await;
    let nodes = cluster.nodes();
    let doors = doors(&nodes);
    let admin = logged_in(&doors[0]).await;
    cluster.sites[1].set(Way::Cut);
    let ended = doors[0].with_cookie(&admin).call(Method::POST, "/v1/epoch", Value::Null).await.unwrap();
    assert_eq!(ended.0, 204);
    let mut nobody = doors[0].anonymous();
    nobody.want(200, Method::PATCH, "/v1/session", json!({ "a": 1 })).await.unwrap();
    let token = logged_in(&doors[0]).await;
    assert_eq!(session(&doors[1], &token).await, 503, "it cannot tell whether the epoch is one");
    for _ in 0..2 {
        for of in [&token, &nobody.cookie] {
            assert_eq!(log_out(&doors[1], of).await, Some(503), "it is open elsewhere, and stays so");
        }
        tokio::time::sleep(bound).await;
    }
    let begun = doors[1].anonymous().call(Method::PATCH, "/v1/session", json!({ "a": 1 })).await.unwrap();
    assert_eq!(begun.0, 503, "it would be of the old epoch");
    assert_eq!(session(&doors[0], &token).await, 200);
    cluster.sites[1].set(Way::Open);
    until(200, &doors[1], &token).await;
    assert_eq!(log_out(&doors[1], &token).await, Some(204));
    until(401, &doors[0], &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_left_with_a_server_that_others_have_replaced_refuses_within_the_bound() {
    let bound = Duration::from_secs(3);
    let cluster = Cluster::make(2, bound).await;
    let nodes = cluster.nodes();
    let doors = doors(&nodes);
    let token = logged_in(&doors[0]).await;
    assert_eq!(session(&doors[1], &token).await, 200);
    // Here the old primary, which still answers whoever reads, and there the rest of the world.
    cluster.sites[0].set_each([Way::Cut, Way::Open]);
    cluster.sites[1].set_each([Way::Open, Way::Cut]);
    cluster.standby.promote().await;
    let promoted = Instant::now();
    loop {
        if log_out(&doors[0], &token).await == Some(204) {
            break;
        }
        assert!(promoted.elapsed() < PATIENCE, "writes do not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (last, then) = accepted_last(&doors[1], &token, bound + GRACE).await;
    assert!(last <= bound, "accepted {last:?} after the log-out was acknowledged");
    assert_ne!(then, 200);
    // For as long as it hears the old primary alone.
    assert_eq!(accepted_last(&doors[1], &token, Duration::from_secs(2)).await, (Duration::ZERO, 503));
    cluster.sites[1].set_each([Way::Cut, Way::Open]);
    until(401, &doors[1], &token).await;
}

/// Somebody who logs in and out at one node after the other, and makes users, until told to rest; what was acknowledged.
struct Busy {
    ended: Vec<String>,
    users: Vec<String>,
}

async fn work(lane: usize, doors: Vec<Door>, rests: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Busy {
    let mut busy = Busy { ended: Vec::new(), users: Vec::new() };
    let mut turn = lane;
    while !rests.load(Ordering::SeqCst) {
        turn += 1;
        let mut admin = doors[turn % doors.len()].anonymous();
        if admin.log_in("admin", PASSWORD).await != Some(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let name = format!("user-{lane}-{turn}");
        admin.door = doors[(turn + 1) % doors.len()].clone();
        let new = json!({ "username": name, "password": PASSWORD });
        if let Some((201, _)) = admin.call(Method::POST, "/v1/users", new).await {
            busy.users.push(name);
        }
        let token = admin.cookie.clone();
        if log_out(&doors[turn % doors.len()], &token).await == Some(204) {
            busy.ended.push(token);
            done.fetch_add(1, Ordering::SeqCst);
        }
    }
    busy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_the_primary_dies_and_the_standby_takes_over_nothing_acknowledged_is_lost() {
    let bound = Duration::from_secs(15);
    let mut cluster = Cluster::make(3, bound).await;
    let nodes = cluster.nodes();
    let doors = doors(&nodes);
    let witness = logged_in(&doors[0]).await;
    let (rests, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let lanes = (0..6).map(|lane| tokio::spawn(work(lane, doors.clone(), Arc::clone(&rests), Arc::clone(&done))));
    let lanes: Vec<_> = lanes.collect();
    let failed = Arc::new(AtomicUsize::new(0));
    let verified = tokio::spawn({
        let (doors, witness, rests, failed) = (doors.clone(), witness.clone(), Arc::clone(&rests), Arc::clone(&failed));
        async move {
            while !rests.load(Ordering::SeqCst) {
                for door in &doors {
                    if session(door, &witness).await != 200 {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let so_many = async |more: usize| {
        let (before, began) = (done.load(Ordering::SeqCst), Instant::now());
        while done.load(Ordering::SeqCst) < before + more {
            assert!(began.elapsed() < PATIENCE, "writes do not come back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    so_many(20).await;
    cluster.primary.kill();
    let died = Instant::now();
    cluster.standby.promote().await;
    so_many(1).await;
    let back = died.elapsed();
    so_many(20).await;
    rests.store(true, Ordering::SeqCst);
    let lanes: Vec<Busy> = join_all(lanes).await.into_iter().map(Result::unwrap).collect();
    verified.await.unwrap();
    assert_eq!(failed.load(Ordering::SeqCst), 0, "verified requests went on");
    assert!(back < Duration::from_secs(10), "writes were back after {back:?}");
    let (mut ended, mut users) = (0, 0);
    for busy in &lanes {
        for token in &busy.ended {
            for door in &doors {
                until(401, door, token).await;
            }
        }
        let mut admin = doors[1].with_cookie(&witness);
        for name in &busy.users {
            let found = admin.want(200, Method::GET, &format!("/v1/users?search={name}"), Value::Null).await.unwrap();
            assert!(found["items"].as_array().unwrap().iter().any(|user| user["username"] == **name), "{name} is lost");
        }
        (ended, users) = (ended + busy.ended.len(), users + busy.users.len());
    }
    println!("writes were back after {back:?}; {ended} log-outs and {users} users held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_stood_still_accepts_nothing_that_was_ended_meanwhile() {
    let still = std::time::Duration::from_secs(stopped());
    let bound = Duration::from_secs(2);
    let cluster = Cluster::make(2, bound).await;
    let nodes = cluster.nodes();
    let doors = doors(&nodes);
    let (ended, lives) = (logged_in(&doors[0]).await, logged_in(&doors[1]).await);
    assert_eq!(session(&doors[1], &ended).await, 200);
    nodes[1].signal(Signal::STOP);
    assert_eq!(log_out(&doors[0], &ended).await, Some(204));
    // On their way while it stands still, and the first that it answers afterwards.
    let early: Vec<_> = (0..16)
        .map(|n| {
            let (door, ended) = (doors[1].clone(), ended.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(n * 50)).await;
                session(&door, &ended).await
            })
        })
        .collect();
    tokio::time::sleep(still).await;
    nodes[1].signal(Signal::CONT);
    for answer in join_all(early).await {
        let answer = answer.unwrap();
        assert!(answer == 503 || answer == 401, "{answer}");
    }
    until(401, &doors[1], &ended).await;
    until(200, &doors[1], &lives).await;
}

#[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
fn stopped() -> u64 {
    std::env::var("SIGNET_STOPPED").map_or(4, |seconds| seconds.parse().unwrap()).min(15)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_stops_takes_no_writes_or_is_full_stops_what_needs_it_and_nothing_for_good() {
    let bound = Duration::from_secs(3);
    let mut cluster = Cluster::make(2, bound).await;
    let nodes = cluster.nodes();
    let doors = doors(&nodes);
    let token = logged_in(&doors[0]).await;
    let wrong = async || doors[0].anonymous().log_in("admin", PASSWORD).await;
    let back = async || {
        let began = Instant::now();
        while wrong().await != Some(200) {
            assert!(began.elapsed() < PATIENCE, "log-ins do not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        until(200, &doors[1], &token).await;
    };

    // Without a connection to spare: whoever is connected hears on.
    let mut taken = Vec::new();
    let filler = format!("postgres://signet@127.0.0.1:{}/postgres", cluster.primary.port);
    while let Ok((client, connection)) = tokio_postgres::connect(&filler, tokio_postgres::NoTls).await {
        tokio::spawn(connection);
        taken.push(client);
    }
    let (last, then) = accepted_last(&doors[1], &token, bound + GRACE).await;
    assert!(then == 200 && last > bound, "{last:?} {then}");
    taken.clear();
    back().await;

    // Read-only: it might be a server that others have replaced.
    cluster.primary.set_read_only(true).await;
    assert_eq!(wrong().await, Some(503));
    assert_eq!(session(&doors[1], &token).await, 200, "what needs no store goes on");
    until(503, &doors[1], &token).await;
    cluster.primary.set_read_only(false).await;
    back().await;

    // Gone, and back.
    let stopping = Instant::now();
    cluster.primary.stop();
    let stopped = stopping.elapsed();
    let (last, then) = accepted_last(&doors[1], &token, bound + GRACE).await;
    assert!(stopped + last > bound / 3 && last <= bound && then == 503, "{stopped:?} {last:?} {then}");
    cluster.primary.start_again();
    back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_are_restarted_one_by_one_without_one_verified_request_failing() {
    let cluster = Cluster::make(3, Duration::from_secs(15)).await;
    let nodes = cluster.nodes();
    let token = logged_in(&nodes[0].door()).await;
    // Whoever calls goes where readiness was told last, as a balancer does.
    let places: Arc<Vec<RwLock<Option<Door>>>> =
        Arc::new(nodes.iter().map(|node| RwLock::new(Some(node.door()))).collect());
    let (rests, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (places, rests, asked, token) =
                (Arc::clone(&places), Arc::clone(&rests), Arc::clone(&asked), token.clone());
            tokio::spawn(async move {
                let mut turn = caller;
                while !rests.load(Ordering::SeqCst) {
                    turn += 1;
                    // Held until it is answered.
                    let place = places[turn % places.len()].read().await;
                    let Some(door) = &*place else { continue };
                    assert_eq!(session(door, &token).await, 200);
                    drop(place);
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    let mut again = Vec::new();
    for (at, node) in nodes.into_iter().enumerate() {
        let door = node.door();
        node.signal(Signal::TERM);
        // What a balancer sees of it, before it sends nobody there any more.
        while readiness(&door).await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What is on its way there is answered first.
        *places[at].write().await = None;
        node.stop();
        let next = cluster.sites[at].node();
        assert_eq!(readiness(&next.door()).await.0, 200);
        *places[at].write().await = Some(next.door());
        again.push(next);
    }
    rests.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(asked.load(Ordering::SeqCst) > 100);
}
