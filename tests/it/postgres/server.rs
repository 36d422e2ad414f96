//! A server of the tests' own: in a temporary folder, on a free port, ended with the value.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signet::store::SharedStore;
use signet::store::postgres::{Address, Postgres, migrate};
use tempfile::TempDir;

pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) port: u16,
    settings: Vec<String>,
    folder: TempDir,
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL is not installed: Debian has it as `postgresql`, and tests/run installs it")
}

/// The program, as a user that PostgreSQL runs for.
fn as_postgres(program: &Path) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings, each as `name=value`.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let made = as_postgres(&binaries().join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=signet", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { child: None, port, settings, folder };
        server.start_again();
        server
    }

    /// A standby of the server, which has a copy of all that is committed there from now on, once it is asked to wait
    /// for it ([`Server::waits_for_standby`]).
    pub(crate) fn standby_of(primary: &Self) -> Self {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let copied = as_postgres(&binaries().join("pg_basebackup"))
            .args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--wal-method=stream", "--no-password"])
            .args(["-h", "127.0.0.1", "-U", "signet", "-p", &primary.port.to_string(), "-D"])
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut standby = Self { child: None, port, settings: primary.settings.clone(), folder };
        standby.start_again();
        standby
    }

    /// From now on a commit is acknowledged when a standby has it too.
    pub(crate) async fn waits_for_standby(&self) {
        let client = self.client("postgres").await;
        let until = Instant::now() + Duration::from_secs(30);
        let streams = "select 1 from pg_stat_replication where state = 'streaming'";
        while client.query(streams, &[]).await.unwrap().is_empty() {
            assert!(Instant::now() < until, "the standby does not follow\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client.execute("alter system set synchronous_standby_names = '*'", &[]).await.unwrap();
        client.execute("select pg_reload_conf()", &[]).await.unwrap();
        let waits = "select 1 from pg_stat_replication where sync_state = 'sync'";
        while client.query(waits, &[]).await.unwrap().is_empty() {
            assert!(Instant::now() < until, "the standby is not waited for\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes it take no writes, or take them again, from whoever connects from now on.
    pub(crate) async fn set_read_only(&self, to: bool) {
        let how = if to { "on" } else { "off" };
        let client = self.client("postgres").await;
        client.batch_execute("set default_transaction_read_only = off").await.unwrap();
        client.batch_execute(&format!("alter system set default_transaction_read_only = {how}")).await.unwrap();
        client.batch_execute("select pg_reload_conf()").await.unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let new = self.client("postgres").await;
            let said = new.query_one("show default_transaction_read_only", &[]).await.unwrap();
            if said.get::<_, &str>(0) == how {
                return;
            }
            assert!(Instant::now() < until, "it does not change\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a standby take writes.
    pub(crate) async fn promote(&self) {
        let client = self.client("postgres").await;
        let done: bool = client.query_one("select pg_promote()", &[]).await.unwrap().get(0);
        assert!(done, "{}", self.log());
    }

    /// Ends all of its processes where they stand.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().unwrap().wait().unwrap();
    }

    /// Starts it on the same folder and port.
    pub(crate) fn start_again(&mut self) {
        let mut command = as_postgres(&binaries().join("postgres"));
        command.arg("-D").arg(self.data());
        let port = format!("port={}", self.port);
        // No test takes the machine's power away, and what a killed process has written is there.
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", &port] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Puts a file into its folder, for it alone to read.
    pub(crate) fn put(&self, name: &str, text: &str) {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
        let (file, owner) = (self.data().join(name), fs::metadata(self.data()).unwrap());
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    /// Stops it in order, with everybody's connections ended.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if matches!(child.try_wait(), Ok(None)) {
            // SIGINT: a kill would leave its own processes behind.
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
            child.wait().unwrap();
        }
    }

    /// The signal, to all of its processes.
    pub(crate) fn signal(&self, signal: Signal) {
        let parent = self.child.as_ref().unwrap().id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let all = children.split_whitespace().map(|id| id.parse().unwrap());
        for id in std::iter::once(parent.cast_signed()).chain(all) {
            // One of them may end meanwhile.
            let _sent = kill_process(Pid::from_raw(id).unwrap(), signal);
        }
    }

    /// Its address for a store, by a role that may do everything.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://signet@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// A connection beside the store's.
    pub(crate) async fn client(&self, database: &str) -> tokio_postgres::Client {
        let until = Instant::now() + Duration::from_secs(30);
        let address = format!("postgres://signet@127.0.0.1:{}/{database}", self.port);
        loop {
            match tokio_postgres::connect(&address, tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(e) if Instant::now() > until => panic!("{e}\n{}", self.log()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// An empty store's database.
    pub(crate) async fn database(&self, name: &str) -> Address {
        self.client("postgres").await.batch_execute(&format!("create database {name}")).await.unwrap();
        let address = Address::parse(&self.url(name)).unwrap();
        let refused = Postgres::open(&address).await.err().unwrap().to_string();
        assert!(refused.contains("signet migrate"), "{refused}");
        assert_ne!(migrate(&address).await.unwrap(), 0);
        assert_eq!(migrate(&address).await.unwrap(), 0);
        address
    }

    /// An empty store in a database of its own.
    pub(crate) async fn store(&self, database: &str) -> SharedStore {
        Arc::new(Postgres::open(&self.database(database).await).await.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.signal(Signal::CONT);
            self.stop();
        }
    }
}
