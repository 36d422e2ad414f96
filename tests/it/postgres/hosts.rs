//! Several hosts in one address: the one that takes writes is used, whatever the others do.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signet::store::SharedStore;
use signet::store::postgres::{Address, Postgres, migrate};

use super::outages::{create, why};
use super::{Server, is_ready_again};

fn address(ports: &[u16]) -> Address {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let text = format!("postgres://signet@{}/hosts?sslmode=disable&target_session_attrs=read-write", hosts.join(","));
    Address::parse(&text).unwrap()
}

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_used() {
    let (one, two) = (Server::start(), Server::start());
    one.database("hosts").await;
    two.database("hosts").await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|at| (at.port(), silent)).unwrap();
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    one.set_read_only(true).await;
    // The first is down, the second takes no writes, the third does. One that takes part in nothing is not waited for long.
    for before in [vec![refuses, one.port], vec![silent.0]] {
        let hosts = [before, vec![two.port]].concat();
        let begun = Instant::now();
        let store: SharedStore = Arc::new(Postgres::open(&address(&hosts)).await.unwrap());
        create(&store, &format!("u{}", hosts.len())).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(migrate(&address(&hosts)).await.unwrap(), 0);
    }
    let counted = two.client("hosts").await.query_one("select count(*) from users", &[]).await.unwrap();
    assert_eq!(counted.get::<_, i64>(0), 2);
    let refused = Postgres::open(&address(&[refuses, one.port])).await.err().unwrap().to_string();
    assert!(refused.contains("does not allow writes") && refused.contains("name the host"), "{refused}");

    // A server that ceases to take writes: the commit in which that shows is made at the next one.
    one.set_read_only(false).await;
    let store: SharedStore = Arc::new(Postgres::open(&address(&[one.port, two.port])).await.unwrap());
    // Several connections, each of which would be refused.
    for reply in futures_util::future::join_all((0..12).map(|_| store.user_named("first"))).await {
        reply.unwrap();
    }
    create(&store, "first").await.unwrap();
    one.set_read_only(true).await;
    two.set_read_only(true).await;
    why(create(&store, "nowhere").await);
    assert!(!store.is_ready());
    two.set_read_only(false).await;
    is_ready_again(&store).await;
    create(&store, "second").await.unwrap();
    one.set_read_only(false).await;
    two.set_read_only(true).await;
    create(&store, "third").await.unwrap();
    assert!(store.is_ready());
    let names = async |server: &Server| -> Vec<String> {
        let found = server.client("hosts").await.query("select username from users order by 1", &[]).await.unwrap();
        found.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(
        (names(&one).await, names(&two).await),
        (vec!["first".to_owned(), "third".to_owned()], ["second", "u2", "u3"].map(str::to_owned).to_vec())
    );
}
