//! The store on PostgreSQL: a server of the tests' own, in a temporary folder, and a database for each test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use signet::store::postgres::{Address, Postgres, migrate};
use signet::store::{SharedStore, Slice, UserOrder, UserQuery, Write};

use crate::store::{
    conforms, conforms_in_mail, drops_what_is_covered, keeps_the_log, knows_the_latest_end_that_it_forgot,
    pages_through_open_sessions,
};

mod counted;
mod hosts;
mod outages;
mod program;
mod proxy;
mod server;
mod tls;

pub(crate) use server::Server;

/// Waits until it is so; half a minute at most.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn is_ready_again(store: &SharedStore) {
    until("it is not ready again", async || store.is_ready()).await;
}

#[tokio::test]
async fn the_store_on_postgresql_conforms() {
    let server = Server::start();
    let store = server.store("one").await;
    conforms(&store).await;
    keeps_the_log(&store).await;
    conforms_in_mail(&server.store("two").await).await;
    knows_the_latest_end_that_it_forgot(&server.store("three").await).await;
    drops_what_is_covered(&server.store("four").await).await;
    pages_through_open_sessions(&server.store("five").await).await;
}

#[tokio::test]
async fn a_schema_of_the_version_before_is_refused_until_it_is_raised() {
    let server = Server::start();
    let address = server.database("former").await;
    let former = "delete from signet_migrations where version = 2; drop index sessions_user_created; \
        create index sessions_user on sessions (user_id)";
    server.client("former").await.batch_execute(former).await.unwrap();
    let refused = Postgres::open(&address).await.err().unwrap().to_string();
    assert!(refused.contains("older; run signet migrate"), "{refused}");
    assert_eq!(migrate(&address).await.unwrap(), 1);
    let store: SharedStore = Arc::new(Postgres::open(&address).await.unwrap());
    pages_through_open_sessions(&store).await;
}

#[tokio::test]
async fn a_store_whose_connections_are_cut_is_there_again_and_a_stopped_one_is_not_ready() {
    let mut server = Server::start();
    let store = server.store("cut").await;
    assert_eq!(store.longest_life(7).await.unwrap(), 7);
    let client = server.client("cut").await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'signet'";
    client.batch_execute(cut).await.unwrap();
    assert_eq!(store.longest_life(1).await.unwrap(), 7, "a read is made again");
    drop(client);
    server.stop();
    assert!(store.state().await.is_err());
    assert!(!store.is_ready());
}

#[tokio::test]
async fn a_role_that_may_not_change_the_schema_serves_and_cannot_migrate() {
    let server = Server::start();
    drop(server.store("rights").await);
    let client = server.client("rights").await;
    let role = "create role app login; grant select, insert, update, delete on all tables in schema public to app";
    client.batch_execute(role).await.unwrap();
    let address = |database: &str| Address::parse(&server.url(database).replace("signet@", "app@")).unwrap();
    let store: SharedStore = Arc::new(Postgres::open(&address("rights")).await.unwrap());
    conforms(&store).await;
    client.batch_execute("create database bare").await.unwrap();
    let refused = migrate(&address("bare")).await.unwrap_err().to_string();
    assert!(refused.contains("42501"), "{refused}");
    // A schema of a newer program is not served.
    let newer = "insert into signet_migrations (version, name, applied_on, checksum) values (99, 'later', '', '0')";
    client.batch_execute(newer).await.unwrap();
    let refused = Postgres::open(&address("rights")).await.err().unwrap().to_string();
    assert!(refused.contains("newer"), "{refused}");
}

#[test]
fn an_address_that_proves_nothing_or_is_none_is_refused_and_never_repeated() {
    for (text, why) in [
        ("postgres://a:secret@h/d?sslmode=require", "sslmode"),
        ("postgres://a:secret@h/d?sslmode=prefer", "sslmode"),
        ("postgres://a:secret@h/d?target_session_attrs=any", "read-write"),
        ("postgres://a:secret@h/d?sslrootcert=/nowhere.pem", "sslrootcert"),
        ("postgres://a:secret@h:secret/d?sslmode=disable", "not understood"),
        ("mysql://a:secret@h/d", "postgres://"),
    ] {
        let said = Address::parse(text).unwrap_err().to_string();
        assert!(said.contains(why) && !said.contains("secret"), "{text}: {said}");
    }
    let address = Address::parse("postgres://a:secret@h,i:5433/d?sslmode=disable").unwrap();
    assert_eq!(format!("{address:?}"), "postgres://***");
}

#[tokio::test]
async fn what_is_over_is_forgotten_in_one_call_and_a_cursor_that_is_no_text_finds_nothing() {
    let server = Server::start();
    let store = server.store("much").await;
    let client = server.client("much").await;
    let many = "insert into events select timestamptz '2020-01-01Z' + n * interval '1 s', decode(lpad(to_hex(n), 32, '0'), \
        'hex'), '{}' from generate_series(1, 4500) n; \
        insert into sessions select decode(lpad(to_hex(n), 32, '0'), 'hex'), u.id, now(), '2020-01-01Z', 0, '', '' \
        from users u, generate_series(1, 4500) n";
    outages::create(&store, "somebody").await.unwrap();
    client.batch_execute(many).await.unwrap();
    let left = async || {
        let count = "select (select count(*) from events), (select count(*) from sessions)";
        let row = client.query_one(count, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    assert_eq!(left().await, (4500, 4500));
    let now = chrono::DateTime::from_timestamp(1_600_000_000, 0).unwrap();
    store.commit(vec![Write::Forget(now), Write::ForgetEvents(now)]).await.unwrap();
    assert_eq!(left().await, (0, 0));
    for order in [UserOrder::Username, UserOrder::DateJoined, UserOrder::LastLogin] {
        let find = async |after: Option<&str>| {
            let slice = Slice { after: after.map(str::to_owned), search: None, limit: 5 };
            let query = UserQuery { slice, order, ..UserQuery::default() };
            store.find_users(query).await.unwrap().items.len()
        };
        assert_eq!((find(None).await, find(Some("a\0b")).await), (1, 0));
    }
}
