//! The meters of a store, which every store turns by itself. `app.rs` shows them.

use crate::metrics::{Gauge, Histogram, Registry, gauge, seconds, sizes};

/// What a store measures of its own work.
#[derive(Clone)]
pub struct Meters {
    /// Writes that wait to be durable.
    pub waiting: Gauge,
    /// How long a commit takes, from its arrival until it is durable or refused.
    pub commit: Histogram,
    /// How long it takes to make what was written durable.
    pub sync: Histogram,
    /// Writes that are made durable together.
    pub group: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            waiting: gauge("signet_store_waiting", "Commits that wait to be durable"),
            commit: seconds("signet_store_commit_seconds", "How long commits took until they were durable or refused"),
            sync: seconds("signet_store_sync_seconds", "How long it took to make a group of commits durable"),
            group: sizes("signet_store_group_size", "Commits that were made durable together"),
        }
    }
}

impl Meters {
    /// Shows them in a registry.
    pub fn show(&self, registry: &Registry) {
        registry.add(&[&self.waiting, &self.commit, &self.sync, &self.group]);
    }
}
