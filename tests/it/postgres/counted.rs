//! What the server is asked: counted in its own log.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::{Server as Database, until};
use crate::harness::{Options, PASSWORD, Server};

/// The transactions in a part of the log that have to do with users, sessions or events: none of those by which a node
/// follows the others or drops what is over.
fn transactions(log: &str) -> Vec<Vec<String>> {
    let (mut running, mut done) = (BTreeMap::<&str, Vec<String>>::new(), Vec::new());
    for line in log.lines() {
        let Some((process, said)) = line.split_once("|signet|") else { continue };
        let marks = ["statement: ", "execute <unnamed>: "];
        let Some(text) = marks.iter().find_map(|mark| said.split_once(mark).map(|(_, text)| text)) else { continue };
        let transaction = running.entry(process).or_default();
        if text.starts_with("begin") {
            transaction.clear();
        } else if !text.ends_with("commit") && !text.ends_with("rollback") {
            transaction.push(text.to_owned());
            continue;
        }
        if !text.starts_with("begin") {
            done.push(std::mem::take(transaction));
        }
    }
    let tables = [" users", "into sessions", "from sessions where id = $1", "into revocations", "into events"];
    done.retain(|texts| texts.iter().any(|text| tables.iter().any(|table| text.contains(table))));
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_is_one_read_and_one_write_a_log_out_one_write_and_a_verified_request_nothing() {
    let database = Database::start_with(&["log_statement=all", "log_line_prefix=%p|%a|"]);
    let store = database.store("counted").await;
    let server = Server::start_with(Options { store: Some(store), ..Options::default() }).await;
    let (_, _) = server.user("alice", json!({})).await;
    let mut asked = database.log().len();
    let mut since = || {
        let log = database.log();
        let part = transactions(&log[asked..]);
        asked = log.len();
        part
    };
    let mut client = server.log_in("alice").await;
    let log_in = since();
    let [read, write] = &log_in[..] else { panic!("{log_in:#?}") };
    assert!(read.len() == 1 && read[0].starts_with("select"), "{read:#?}");
    let writes = |words: &str| write.iter().filter(|text| text.starts_with(words)).count();
    let found = ["insert into sessions", "update users", "insert into events"].map(writes);
    assert_eq!((found, write.len()), ([1, 1, 1], 4), "{write:#?}");
    for _ in 0..20 {
        client.get("/v1/session").await.is(StatusCode::OK);
        client.get("/v1/verify").await;
    }
    assert_eq!(since(), Vec::<Vec<String>>::new());
    let mut copy = client.clone();
    client.post("/v1/logout", json!(null)).await.is(StatusCode::NO_CONTENT);
    let log_out = since();
    assert!(log_out.len() == 1 && log_out[0].iter().any(|text| text.contains("revocations")), "{log_out:#?}");
    assert!(!log_out[0].iter().any(|text| text.starts_with("select")), "{log_out:#?}");
    copy.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    assert_eq!(since(), Vec::<Vec<String>>::new());
    // A wrong password is one read, and the event.
    let wrong = json!({ "username": "alice", "password": format!("{PASSWORD}!") });
    server.anonymous().post("/v1/login", wrong).await.is(StatusCode::UNAUTHORIZED);
    assert_eq!(since().len(), 2);
    // What is over is not looked for all the time, by every node.
    until("it is not tended", async || database.log().contains("insert into nodes")).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(!database.log().contains("delete from revocations"));
}
