//! A server that is slow, full, read-only, stopped or hanging, and answers that are lost on their way: what the caller is
//! told, what is not done twice, and that the store is there again without a restart.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use signet::claims::{GroupId, UserId};
use signet::store::postgres::{Address, Postgres};
use signet::store::{SharedStore, StoreError, Write};
use signet::user::{User, Username};

use super::proxy::{Cut, Proxy};
use super::{Server, is_ready_again, until};

pub(super) fn user(name: &str) -> User {
    User {
        id: UserId::random(),
        version: 0,
        username: Username::parse(name).unwrap(),
        password: "!".to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        email_verified: false,
        is_active: true,
        is_staff: false,
        is_superuser: false,
        groups: BTreeSet::new(),
        permissions: BTreeSet::new(),
        generation: 0,
        rights_version: 0,
        last_login: None,
        date_joined: chrono::DateTime::UNIX_EPOCH,
    }
}

pub(super) async fn create(store: &SharedStore, name: &str) -> Result<(), StoreError> {
    store.commit(vec![Write::CreateUser(Box::new(user(name)))]).await
}

pub(super) fn why<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn count(client: &tokio_postgres::Client, what: &str) -> i64 {
    client.query_one(&format!("select count(*) from {what}"), &[]).await.unwrap().get(0)
}

/// What of the store waits at the server.
const WAITING: &str = "pg_stat_activity where application_name = 'signet' and wait_event_type = 'Lock'";

#[tokio::test]
async fn a_statement_that_is_stopped_or_given_up_is_its_callers_alone_and_the_server_does_not_go_on_with_it() {
    let server = Server::start();
    let store = server.store("slow").await;
    let (other, mut holder) = (server.client("slow").await, server.client("slow").await);
    let all_locks = holder.transaction().await.unwrap();
    all_locks.batch_execute("lock table users in access exclusive mode").await.unwrap();
    let is_waiting = async || count(&other, WAITING).await > 0;
    // The server stops it, as it does at the limit that each statement has.
    for writes in [false, true] {
        let job = tokio::spawn({
            let store = Arc::clone(&store);
            async move { if writes { create(&store, "late").await } else { store.user_named("a").await.map(drop) } }
        });
        until("it does not wait", is_waiting).await;
        let stop = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'";
        other.batch_execute(stop).await.unwrap();
        let said = why(job.await.unwrap());
        assert!(said.contains("57014"), "{said}");
        assert!(store.is_ready(), "one statement says nothing of the others");
    }
    // Nobody waits for it any more.
    for writes in [false, true] {
        let job = tokio::spawn({
            let store = Arc::clone(&store);
            async move { if writes { create(&store, "late").await } else { store.user_named("a").await.map(drop) } }
        });
        until("it does not wait", is_waiting).await;
        job.abort();
        let given_up = Instant::now();
        until("the server goes on with what nobody waits for", async || !is_waiting().await).await;
        assert!(given_up.elapsed() < Duration::from_secs(5), "only its own limit has ended it");
    }
    // Nor when our own patience is over. The clock of the runtime jumps there, as there is nothing else to do.
    assert_eq!(store.group(GroupId::random()).await, Ok(None), "there is a connection to ask on");
    tokio::time::pause();
    let read = store.user_named("a").await;
    tokio::time::resume();
    let said = why(read);
    assert!(said.contains("PostgreSQL did not answer in time"), "{said}");
    until("the server goes on with what nobody waits for", async || !is_waiting().await).await;
    // It was looked at meanwhile, and answered.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        assert!(store.is_ready(), "a late answer to one is no failure of the store");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let incarnation = store.incarnation();
    all_locks.rollback().await.unwrap();
    create(&store, "late").await.unwrap();
    assert_eq!(store.incarnation(), incarnation, "no connection was lost by all that");
}

#[tokio::test]
async fn an_answer_that_is_lost_on_its_way_is_a_failure_and_nothing_is_done_twice() {
    let server = Server::start();
    drop(server.store("ways").await);
    let proxy = Proxy::to(server.port).await;
    let address = server.url("ways").replace(&server.port.to_string(), &proxy.port.to_string());
    let store: SharedStore = Arc::new(Postgres::open(&Address::parse(&address).unwrap()).await.unwrap());
    let client = server.client("ways").await;
    let named = async |name: &str| count(&client, &format!("users where username = '{name}'")).await;
    // Before the commit, nothing has happened: it is done again.
    for (n, words) in ["begin isolation", "insert into users"].into_iter().enumerate() {
        proxy.cut(Cut::Before(words));
        let name = format!("again{n}");
        create(&store, &name).await.unwrap();
        assert_eq!((named(&name).await, proxy.cuts.swap(0, Ordering::SeqCst)), (1, 1), "{words}");
        assert!(store.is_ready());
    }
    // At the commit, nobody knows: it is not.
    let commit = "commit\0";
    for (name, cut, done) in [("lost", Cut::Before(commit), 0), ("unheard", Cut::After(commit), 1)] {
        let incarnation = store.incarnation();
        proxy.cut(cut);
        let said = why(create(&store, name).await);
        assert!(said.contains("committed"), "{said}");
        assert_eq!((named(name).await, proxy.cuts.swap(0, Ordering::SeqCst)), (done, 1), "{name}");
        is_ready_again(&store).await;
        assert!(store.incarnation() > incarnation, "what memory holds is read again");
        let again = create(&store, name).await;
        assert_eq!(again, if done == 1 { Err(StoreError::Taken("user")) } else { Ok(()) });
    }
    // A read is made again, whatever was lost.
    for cut in [Cut::Before("from users"), Cut::After("from users")] {
        proxy.cut(cut);
        assert!(store.user_named("lost").await.unwrap().is_some());
        assert_eq!(proxy.cuts.swap(0, Ordering::SeqCst), 1);
        assert!(store.is_ready());
    }
}

#[tokio::test]
async fn a_server_without_connections_to_spare_is_a_failure_and_then_is_none() {
    let server = Server::start_with(&["max_connections=8", "superuser_reserved_connections=3"]);
    drop(server.store("crowd").await);
    let client = server.client("crowd").await;
    let role = "create role app login; grant select, insert, update, delete on all tables in schema public to app";
    client.batch_execute(role).await.unwrap();
    let url = server.url("crowd").replace("signet@", "app@");
    let store: SharedStore = Arc::new(Postgres::open(&Address::parse(&url).unwrap()).await.unwrap());
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'signet'";
    client.batch_execute(cut).await.unwrap();
    // It is told to end, and ends when it gets to it.
    let there = "select 1 from pg_stat_activity where application_name = 'signet'";
    until("it does not end", async || client.query(there, &[]).await.unwrap().is_empty()).await;
    // Others take every place that a role without special rights may have.
    let mut others = Vec::new();
    let plain = format!("postgres://app@127.0.0.1:{}/crowd", server.port);
    while let Ok((other, connection)) = tokio_postgres::connect(&plain, tokio_postgres::NoTls).await {
        tokio::spawn(connection);
        others.push(other);
    }
    let begun = Instant::now();
    let said = why(create(&store, "crowded").await);
    assert!(said.contains("53300") && said.contains("max_connections"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!store.is_ready());
    drop(others);
    is_ready_again(&store).await;
    create(&store, "crowded").await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_stopped_or_hangs_is_a_failure_and_then_is_none() {
    let mut server = Server::start();
    let store = server.store("gone").await;
    create(&store, "before").await.unwrap();
    // Stopped.
    server.stop();
    let begun = Instant::now();
    let said = why(create(&store, "meanwhile").await);
    assert!(said.contains("refused") && said.contains("check the host"), "{said}");
    why(store.user_named("before").await);
    assert!(begun.elapsed() < Duration::from_secs(3), "nobody waits for a server that is not there");
    assert!(!store.is_ready());
    let incarnation = store.incarnation();
    server.start_again();
    is_ready_again(&store).await;
    assert!(store.incarnation() > incarnation, "what memory holds is read again");
    assert!(store.user_named("before").await.unwrap().is_some());
    create(&store, "after").await.unwrap();
    // It hangs. Nothing answers, so that the clock of the runtime may jump.
    server.signal(Signal::STOP);
    tokio::time::pause();
    let (began, real) = (tokio::time::Instant::now(), Instant::now());
    let said = why(store.user_named("before").await);
    assert!(said.contains("in time"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(16), "{:?}", began.elapsed());
    // The one that was late is looked into.
    while store.is_ready() {
        assert!(began.elapsed() < Duration::from_secs(30), "a server that hangs is ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = why(create(&store, "hanging").await);
    assert!(said.contains("in time"), "{said}");
    tokio::time::resume();
    assert!(real.elapsed() < Duration::from_secs(10));
    server.signal(Signal::CONT);
    is_ready_again(&store).await;
    create(&store, "hanging").await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_a_failure_and_then_is_none() {
    let server = Server::start();
    let store = server.store("readonly").await;
    create(&store, "before").await.unwrap();
    let client = server.client("readonly").await;
    let set = async |to: &str| {
        client.batch_execute(&format!("alter system set default_transaction_read_only = {to}")).await.unwrap();
        client.batch_execute("select pg_reload_conf()").await.unwrap();
    };
    set("on").await;
    until("it takes writes", async || create(&store, "during").await.is_err_and(|e| e != StoreError::Taken("user")))
        .await;
    assert!(!store.is_ready());
    // It is looked at, and stays so.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!store.is_ready(), "a look finds a server that takes no writes ready");
    client.batch_execute("begin read write; alter system set default_transaction_read_only = off").await.unwrap_err();
    client.batch_execute("rollback; set default_transaction_read_only = off").await.unwrap();
    set("off").await;
    is_ready_again(&store).await;
    create(&store, "after").await.unwrap();
}
