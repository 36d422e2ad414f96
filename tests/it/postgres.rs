//! The store on PostgreSQL: a server of the tests' own, in a temporary folder, and a database for each test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signet::store::SharedStore;
use signet::store::postgres::{Address, Postgres, migrate};
use tempfile::TempDir;

use crate::store::{
    conforms, conforms_in_mail, drops_what_is_covered, keeps_the_log, knows_the_latest_end_that_it_forgot,
};

/// A server, ended with the value.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    found.pop()
}

/// The program, as a user that PostgreSQL runs for.
fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|said| said.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Server {
    /// `None`, said loudly, where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = binaries() else {
            eprintln!("SKIPPED: PostgreSQL is not installed");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let data = folder.path().join("data");
        let made = as_postgres(&bin.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=signet", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = as_postgres(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", &format!("port={port}")])
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, port, _folder: folder })
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://signet@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    pub(crate) async fn client(&self, database: &str) -> tokio_postgres::Client {
        let until = Instant::now() + Duration::from_secs(30);
        let address = format!("postgres://signet@127.0.0.1:{}/{database}", self.port);
        loop {
            match tokio_postgres::connect(&address, tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(e) if Instant::now() > until => panic!("{e}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// An empty store in a database of its own.
    pub(crate) async fn store(&self, database: &str) -> SharedStore {
        self.client("postgres").await.batch_execute(&format!("create database {database}")).await.unwrap();
        let address = Address::parse(&self.url(database)).unwrap();
        let refused = Postgres::open(&address).await.err().unwrap().to_string();
        assert!(refused.contains("signet migrate"), "{refused}");
        assert_eq!(migrate(&address).await.unwrap(), 1);
        assert_eq!(migrate(&address).await.unwrap(), 0);
        Arc::new(Postgres::open(&address).await.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // SIGINT: ends connections, and itself in order; a kill would leave its own processes behind.
        let _ended = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _gone = self.child.wait();
    }
}

#[tokio::test]
async fn the_store_on_postgresql_conforms() {
    let Some(server) = Server::start() else { return };
    let store = server.store("one").await;
    conforms(&store).await;
    keeps_the_log(&store).await;
    conforms_in_mail(&server.store("two").await).await;
    knows_the_latest_end_that_it_forgot(&server.store("three").await).await;
    drops_what_is_covered(&server.store("four").await).await;
}

#[tokio::test]
async fn a_store_whose_connections_are_cut_is_there_again_and_a_stopped_one_is_not_ready() {
    let Some(mut server) = Server::start() else { return };
    let store = server.store("cut").await;
    assert_eq!(store.longest_life(7).await.unwrap(), 7);
    let client = server.client("cut").await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'signet'";
    client.batch_execute(cut).await.unwrap();
    assert_eq!(store.longest_life(1).await.unwrap(), 7, "a read is made again");
    drop(client);
    assert!(Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().unwrap().success());
    server.child.wait().unwrap();
    assert!(store.state().await.is_err());
    assert!(!store.is_ready());
}

#[tokio::test]
async fn a_role_that_may_not_change_the_schema_serves_and_cannot_migrate() {
    let Some(server) = Server::start() else { return };
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
