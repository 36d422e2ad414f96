//! A cluster as it is run: two PostgreSQL servers, one of which stands by, and nodes of the real program that share them.

use std::fs;
use std::time::Duration;

use chrono::DateTime;
use signet::keys;
use signet::store::postgres::{Address, migrate};
use tempfile::TempDir;

use super::wire::{Way, Wire};
use crate::postgres::Server as Database;
use crate::program::{Program, command};

/// The folder of a node, and its ways to the databases.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    /// To the primary, and to the standby.
    wires: [Wire; 2],
    bound: Duration,
}

/// The databases and the sites.
pub(crate) struct Cluster {
    pub(crate) primary: Database,
    pub(crate) standby: Database,
    pub(crate) sites: Vec<Site>,
}

impl Cluster {
    /// So many sites, whose nodes rely on what they have heard for so long.
    pub(crate) async fn make(sites: usize, bound: Duration) -> Self {
        let primary = Database::start_with(&["max_connections=200"]);
        let maker = primary.client("postgres").await;
        maker.batch_execute("create database signet").await.unwrap();
        migrate(&Address::parse(&primary.url("signet")).unwrap()).await.unwrap();
        let standby = Database::standby_of(&primary);
        primary.waits_for_standby().await;
        let first = TempDir::new().unwrap();
        fs::create_dir(first.path().join("keys")).unwrap();
        keys::generate(&first.path().join("keys"), "eddsa", Some("shared"), DateTime::UNIX_EPOCH).unwrap();
        let mut folders = vec![first];
        while folders.len() < sites {
            let folder = TempDir::new().unwrap();
            fs::create_dir(folder.path().join("keys")).unwrap();
            for key in fs::read_dir(folders[0].path().join("keys")).unwrap() {
                let key = key.unwrap();
                fs::copy(key.path(), folder.path().join("keys").join(key.file_name())).unwrap();
            }
            folders.push(folder);
        }
        let mut all = Vec::new();
        for folder in folders {
            let wires = [Wire::to(primary.port).await, Wire::to(standby.port).await];
            all.push(Site { folder, wires, bound });
        }
        Self { primary, standby, sites: all }
    }

    /// A node on each site, one started after the other.
    pub(crate) fn nodes(&self) -> Vec<Program> {
        self.sites.iter().map(Site::node).collect()
    }
}

impl Site {
    /// Starts a node here.
    pub(crate) fn node(&self) -> Program {
        let folder = self.folder.path();
        let mut command = command(folder);
        let [primary, standby] = &self.wires;
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
        command.env("SIGNET_STORE", format!("postgres://signet@{hosts}/signet?sslmode=disable"));
        command.args(["--max-staleness", &format!("{}s", self.bound.as_secs()), "--stop-delay", "5s"]);
        // As cheap as a password hash may be.
        command.args(["--hash-memory", "7MiB", "--hash-passes", "5"]);
        Program::start_by(command, folder)
    }

    /// How both ways to the databases are.
    pub(crate) fn set(&self, way: Way) {
        self.set_each([way, way]);
    }

    /// How the way to the primary is, and that to the standby.
    pub(crate) fn set_each(&self, ways: [Way; 2]) {
        for (wire, way) in self.wires.iter().zip(ways) {
            wire.set(way);
        }
    }
}
