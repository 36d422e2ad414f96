//! What is done to three nodes and the database that they share: nodes are killed, stopped and held up, ways to the
//! database cut, dead or slow, and the database is killed, the first time with its standby taking over.
//!
//! Owns the processes from their start to their end, and says where they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::desk::{Desk, Place};
use super::nemesis::Torments;
use super::record::Event;
use crate::nodes::cluster::Cluster;
use crate::nodes::wire::Way;
use crate::program::{Door, Program};

/// For how long a node relies on what it has heard.
const BOUND: Duration = Duration::from_secs(2);

const NODES: usize = 3;

pub(super) struct Many {
    cluster: Cluster,
    nodes: Vec<Program>,
    places: Vec<watch::Sender<Place>>,
    has_standby: bool,
    rng: Rng,
    acts: BTreeMap<&'static str, usize>,
}

impl Many {
    pub(super) async fn start(seed: u64) -> (Self, Vec<watch::Receiver<Place>>) {
        let cluster = Cluster::make(NODES, BOUND).await;
        let nodes = cluster.nodes();
        let (places, seen) = nodes.iter().map(|node| watch::channel(Some(node.base.clone()))).unzip();
        let rng = Rng::with_seed(seed);
        (Self { cluster, nodes, places, has_standby: true, rng, acts: BTreeMap::new() }, seen)
    }

    fn wait(&mut self, least: u64, most: u64) {
        sleep(Duration::from_millis(self.rng.u64(least..most)));
    }

    /// Ends the node, and starts the next one in its place.
    fn again(&mut self, at: usize, desk: &Desk, end: impl FnOnce(&mut Program)) {
        end(&mut self.nodes[at]);
        self.nodes[at].end();
        self.places[at].send_replace(None);
        desk.see(&Event::Died { node: at });
        let next = self.cluster.sites[at].node();
        self.places[at].send_replace(Some(next.base.clone()));
        self.nodes[at] = next;
    }

    fn spoil(&mut self, at: usize, way: Way) {
        self.cluster.sites[at].set(way);
        self.wait(100, 5_000);
        self.cluster.sites[at].set(Way::Open);
    }
}

impl Torments for Many {
    fn bound(&self) -> Duration {
        BOUND
    }

    /// At the end each node is one that was killed and started again.
    fn rage(mut self, desk: &Arc<Desk>, until: Instant) -> Self {
        while Instant::now() < until {
            self.wait(100, 1_200);
            let at = self.rng.usize(..NODES);
            let what = match self.rng.u8(..100) {
                0..20 => "node killed",
                20..28 => "node stopped in order",
                28..42 => "node held up",
                42..57 => "way cut",
                57..72 => "way dead",
                72..84 => "way slow",
                _ if self.has_standby => "primary killed, standby promoted",
                _ => "database killed",
            };
            desk.see(&Event::Act { what: format!("{what} ({at})") });
            *self.acts.entry(what).or_default() += 1;
            match what {
                "node killed" => self.again(at, desk, |node| node.signal(Signal::KILL)),
                "node stopped in order" => self.again(at, desk, |node| {
                    node.signal(Signal::TERM);
                    node.signal(Signal::INT);
                }),
                "node held up" => {
                    self.nodes[at].signal(Signal::STOP);
                    self.wait(50, 4_000);
                    self.nodes[at].signal(Signal::CONT);
                }
                "way cut" => self.spoil(at, Way::Cut),
                "way dead" => self.spoil(at, Way::Dead),
                "way slow" => {
                    let takes = Duration::from_millis(self.rng.u64(5..150));
                    self.spoil(at, Way::Slow(takes));
                }
                "primary killed, standby promoted" => {
                    self.cluster.primary.kill();
                    Handle::current().block_on(self.cluster.standby.promote());
                    self.has_standby = false;
                }
                _ => {
                    self.cluster.standby.kill();
                    self.wait(0, 1_500);
                    self.cluster.standby.start_again();
                    // A node does not start without it.
                    drop(Handle::current().block_on(self.cluster.standby.client("postgres")));
                }
            }
        }
        for at in 0..NODES {
            self.again(at, desk, |node| node.signal(Signal::KILL));
        }
        self
    }

    fn door(&self) -> Door {
        self.nodes[0].door()
    }

    fn acts(&self) -> BTreeMap<&'static str, usize> {
        self.acts.clone()
    }

    fn stop(self) {
        drop(self.nodes);
    }
}
