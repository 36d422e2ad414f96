//! The program itself on a store of PostgreSQL: every command that takes `--store`, a restart, and the refusals.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::Server;
use crate::harness::PASSWORD;
use crate::program::{Program, command};

fn run(folder: &Path, url: &str, arguments: &[&str]) -> Output {
    // None of these is to go on for long: a server that starts where it must not is ended.
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["20", env!("CARGO_BIN_EXE_signet")]);
    command.env_clear().env("SIGNET_STORE", url).current_dir(folder).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn serve(folder: &Path, url: &str) -> Program {
    let mut command = command(folder);
    command.env("SIGNET_STORE", url);
    Program::start_by(command, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_works_on_postgresql_from_the_schema_to_the_export() {
    let server = Server::start();
    let client = server.client("postgres").await;
    client.batch_execute("create database whole").await.unwrap();
    client.batch_execute("create role app login password 'the-secret'").await.unwrap();
    server.put("pg_hba.conf", "host all signet 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n");
    client.batch_execute("select pg_reload_conf()").await.unwrap();
    let place = TempDir::new().unwrap();
    let folder = place.path();
    let owner = server.url("whole");
    let url = owner.replace("signet@", "app:the-secret@");
    let fails = |url: &str, code: i32, words: &[&str]| {
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["user", "list"], &["export", "nothing.jsonl"]] {
            let output = run(folder, url, arguments);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
            assert!(words.iter().all(|word| text.contains(word)), "{arguments:?}: {text}");
            assert!(!text.contains("the-secret") && !text.contains("panicked"), "{arguments:?}: {text}");
        }
        assert!(!folder.join("nothing.jsonl").exists());
    };

    // No schema, and who may not make it.
    let told = run(folder, &url, &["migrate"]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    assert!(said(&told).contains("42501"), "{}", said(&told));
    fails(&url, 1, &["run signet migrate"]);
    let told = run(folder, &owner, &["migrate"]);
    assert!(told.status.success() && said(&told).contains("brought the store's schema up"), "{}", said(&told));
    assert!(said(&run(folder, &owner, &["migrate"])).contains("already"));
    let rights = "grant select, insert, update, delete on all tables in schema public to app";
    server.client("whole").await.batch_execute(rights).await.unwrap();

    // What is wrong with an address, and how it is mended.
    fails(&url.replace("the-secret", "the-secret-of-another"), 1, &["28P01", "check the user and the password"]);
    fails(&url.replace("127.0.0.1", "nowhere.invalid"), 1, &["check the host"]);
    fails(&url.replace(&server.port.to_string(), "1"), 1, &["check the host and the port"]);
    fails(&url.replace("/whole", "/hole"), 1, &["3D000", "check the database"]);
    fails(&url.replace("sslmode=disable", "sslmode=require"), 2, &["SIGNET_STORE", "verify-full"]);
    fails(&url.replace("?sslmode=disable", "?sslrootcert=/nowhere.pem"), 2, &["sslrootcert"]);

    // An account, made while nobody serves.
    let password = folder.join("password");
    fs::write(&password, PASSWORD).unwrap();
    let told = run(folder, &url, &["user", "create", "alice", "--password-file", password.to_str().unwrap()]);
    assert!(told.status.success(), "{}", said(&told));
    assert!(said(&run(folder, &url, &["user", "list"])).contains("alice"));

    let program = serve(folder, &url);
    let mut alice = program.door().anonymous();
    assert_eq!(alice.log_in("alice", PASSWORD).await, Some(200));
    let mut other = program.door().anonymous();
    assert_eq!(other.log_in("alice", PASSWORD).await, Some(200));
    let (ended, kept) = (alice.cookie.clone(), other.cookie.clone());
    alice.want(204, Method::POST, "/v1/logout", Value::Null).await;
    for program in [program, serve(folder, &url)] {
        let door = program.door();
        assert!(!door.accepts(&ended).await && door.accepts(&kept).await);
        program.stop();
    }
    assert!(!folder.join("data").join("db").exists(), "there is one store");
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(!log.contains("the-secret"), "{log}");

    let told = run(folder, &url, &["export", "all.jsonl"]);
    assert!(told.status.success(), "{}", said(&told));
    let exported = fs::read_to_string(folder.join("all.jsonl")).unwrap();
    assert!(exported.contains("\"alice\""), "{exported}");
    // And taken in again, by another store.
    client.batch_execute("create database again").await.unwrap();
    let again = server.url("again");
    assert!(run(folder, &again, &["migrate"]).status.success());
    let import = || run(folder, &again, &["import", "signet", "all.jsonl", "--apply"]);
    // What an import that was interrupted leaves behind is in the store: nobody serves from it, wherever they are.
    let there = server.client("again").await;
    let begin = "insert into journal values (0, '{\"signet_import\":1,\"of\":\"another file\"}')";
    there.batch_execute(begin).await.unwrap();
    fails(&again, 1, &["interrupted", "signet import --undo --store URL"]);
    assert!(said(&import()).contains("another file"), "{}", said(&import()));
    // Not what another store's has left in the folder.
    assert_eq!(
        said(&run(folder, &again, &["import", "--undo"])),
        "what the interrupted import had made is taken back\n"
    );
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("data/signet-import"), "").unwrap();
    let told = import();
    assert!(told.status.success(), "{}", said(&told));
    assert!(said(&run(folder, &again, &["user", "list"])).contains("alice"));
    assert!(there.query("select 1 from journal", &[]).await.unwrap().is_empty());
    // A failure in its midst takes back what was made.
    client.batch_execute("create database broken").await.unwrap();
    let broken = server.url("broken");
    assert!(run(folder, &broken, &["migrate"]).status.success());
    let there = server.client("broken").await;
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin \
        raise exception 'no more'; end $$; create trigger refuse before insert on users execute function refuse()";
    there.batch_execute(refuse).await.unwrap();
    let told = run(folder, &broken, &["import", "signet", "all.jsonl", "--apply"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(said(&told).contains("what was made is taken back"), "{}", said(&told));
    assert!(there.query("select 1 from journal", &[]).await.unwrap().is_empty());
}
