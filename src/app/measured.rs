//! What the whole of Signet measures of itself: the meters of all rooms in one registry, and what is only looked at
//! when somebody reads them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::App;
use crate::audit::{Action, Outcome};
use crate::metrics::{Counter, Counters, Gauge, Gauges, Measure, Registry, Times, counter, gauge, measure};
use crate::password::Load;
use crate::store::Follow;

/// The meters that no room below has, and the registry of all.
pub struct Meters {
    registry: Registry,
    /// Requests by operation, method and class of status.
    pub requests: Counters,
    /// How long requests take, by operation.
    pub request_seconds: Times,
    /// Requests that were refused, and that failed, by the problem's code.
    pub problems: Counters,
    /// Connections that are open.
    pub connections: Gauge,
    events: Counters,
    key_reloads_failed: Counter,
    started: DateTime<Utc>,
    seen: Seen,
    /// Held by whoever reads, so that two who do so at once do not mix what they see.
    reading: Mutex<()>,
}

/// What is looked at when somebody reads.
struct Seen {
    ready: Gauges,
    revoked_sessions: Gauge,
    revoked_users: Gauge,
    followers: Gauge,
    counters: Gauge,
    keys: Gauges,
    store_opened: Gauge,
    staleness: Measure,
    memory: Gauge,
    files: Gauge,
    files_max: Gauge,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            ready: Gauges::new("signet_ready", "Whether this part can do its work: 1, or 0", &["part"]),
            revoked_sessions: gauge("signet_revoked_sessions", "Sessions that were ended before their time, in memory"),
            revoked_users: gauge("signet_revoked_users", "Users of whom tokens were ended or made stale, in memory"),
            followers: gauge("signet_revocation_followers", "Services that follow the stream of revocations"),
            counters: gauge("signet_throttle_counters", "Counters of attempts that are held"),
            keys: Gauges::new(
                "signet_key_created_timestamp_seconds",
                "When the key was made; role is signs, could_sign, verifies, seals, could_seal or opens",
                &["kid", "algorithm", "role"],
            ),
            store_opened: gauge("signet_store_opened", "Times that the store was opened since the start"),
            staleness: measure(
                "signet_staleness_seconds",
                "How long what other nodes have changed may be unknown here",
            ),
            memory: gauge("process_resident_memory_bytes", "Resident memory size in bytes"),
            files: gauge("process_open_fds", "Number of open file descriptors"),
            files_max: gauge("process_max_fds", "Maximum number of open file descriptors"),
        }
    }
}

impl Meters {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        let meters = Self {
            registry: Registry::default(),
            requests: Counters::new(
                "signet_http_requests_total",
                "Requests that were answered, by operation, method and class of status",
                &["operation", "method", "status"],
            ),
            request_seconds: Times::new(
                "signet_http_request_duration_seconds",
                "How long requests took, from the header's arrival to the answer's header",
                &["operation"],
            ),
            problems: Counters::new(
                "signet_problems_total",
                "Requests that were refused or failed, by the problem's code",
                &["code"],
            ),
            connections: gauge("signet_connections", "Connections that are open"),
            events: Counters::new(
                "signet_audit_events_total",
                "Actions that the audit log has, by action and outcome",
                &["action", "outcome"],
            ),
            key_reloads_failed: counter("signet_key_reloads_failed_total", "Times that the keys were not read again"),
            started: now,
            seen: Seen::default(),
            reading: Mutex::default(),
        };
        for action in Action::ALL {
            drop((meters.event(*action, Outcome::Done), meters.event(*action, Outcome::Refused)));
        }
        let build = Gauges::new("signet_build_info", "1; the version is a label", &["version"]);
        build.of(&[env!("CARGO_PKG_VERSION")]).set(1);
        let started = gauge("process_start_time_seconds", "Start time of the process since the epoch in seconds");
        started.set(now.timestamp());
        let Meters { requests, request_seconds, problems, connections, events, key_reloads_failed, seen, .. } = &meters;
        meters.registry.add(&[&build, &started, requests, request_seconds, problems, connections, events]);
        let Seen { ready, revoked_sessions, revoked_users, followers, counters, keys, .. } = seen;
        meters.registry.add(&[key_reloads_failed, ready, revoked_sessions, revoked_users, followers, counters, keys]);
        let Seen { store_opened, staleness, memory, files, files_max, .. } = seen;
        meters.registry.add(&[store_opened, staleness, memory, files, files_max]);
        meters
    }

    /// Where the meters of other rooms are added.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The counter of an action that ended so.
    pub(super) fn event(&self, action: Action, outcome: Outcome) -> Counter {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
        };
        self.events.of(&[action.name(), outcome])
    }

    /// The keys could not be read again.
    pub(super) fn keys_not_reloaded(&self) {
        self.key_reloads_failed.inc();
    }
}

/// A part of Signet that may not be able to do its work for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The store accepts no writes.
    Store,
    /// Memory has not been loaded from a store that was opened again.
    Memory,
    /// Nothing was heard from the shared store for longer than may be relied on it.
    Following,
    /// Workers that hash passwords have ended.
    Passwords,
    /// The server as a whole: it is stopping.
    Server,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Store, Self::Memory, Self::Following, Self::Passwords, Self::Server];

    /// The name that programs know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Memory => "memory",
            Self::Following => "following",
            Self::Passwords => "passwords",
            Self::Server => "server",
        }
    }
}

/// What is done and held at the moment, in numbers.
#[derive(Debug, Clone)]
pub struct Figures {
    /// When the server was started.
    pub started: DateTime<Utc>,
    /// Log-ins since then.
    pub log_ins: u64,
    /// Log-ins that were refused since then.
    pub log_ins_refused: u64,
    /// Endings of sessions, API tokens and users' generations that are held.
    pub revocations: usize,
    /// What the workers do that hash passwords.
    pub pool: Load,
    /// How long what other nodes have changed may be unknown here; `None` before anything was heard of them.
    pub staleness: Option<Duration>,
    /// What a shared store calls this node, in this run; `None` when the store is not shared.
    pub node: Option<String>,
}

impl App {
    /// What is done and held at the moment: read from what is counted anyway.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let meters = self.meters();
        let (sessions, users) = self.revocations().count();
        Figures {
            started: meters.started,
            log_ins: meters.event(Action::LogIn, Outcome::Done).get(),
            log_ins_refused: meters.event(Action::LogIn, Outcome::Refused).get(),
            revocations: sessions + users,
            pool: self.pool().load(),
            staleness: self.staleness(),
            node: self.store().follow().map(Follow::node),
        }
    }

    /// Everything that is measured, in the text format of Prometheus.
    ///
    /// # Errors
    /// When it cannot be written; the text is for the log.
    pub fn measured(&self) -> Result<String, String> {
        let meters = self.meters();
        let _reading = meters.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &meters.seen;
        let lacking = self.lacking();
        for part in Part::ALL {
            seen.ready.of(&[part.name()]).set(i64::from(!lacking.contains(&part)));
        }
        let (sessions, users) = self.revocations().count();
        seen.revoked_sessions.set(whole(sessions));
        seen.revoked_users.set(whole(users));
        seen.followers.set(whole(self.revocations().feed().followers()));
        seen.counters.set(whole(self.throttle().count()));
        seen.store_opened.set(i64::try_from(self.store().incarnation()).unwrap_or(i64::MAX));
        seen.staleness.set(self.staleness().map_or(f64::INFINITY, |staleness| staleness.as_secs_f64()));
        let keyring = self.tokens().keyring();
        seen.keys.clear();
        for key in keyring.inventory() {
            let Some(created) = key.created else { continue };
            seen.keys.of(&[key.kid, key.algorithm, key.role.name()]).set(created.timestamp());
        }
        let process = Process::read();
        seen.memory.set(process.memory);
        seen.files.set(process.files);
        seen.files_max.set(process.files_max);
        meters.registry.text()
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What the kernel says of this process (proc(5)); 0 for what it does not.
#[derive(Default)]
struct Process {
    memory: i64,
    files: i64,
    files_max: i64,
}

impl Process {
    fn read() -> Self {
        let text = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let kibibytes = number(&text("status"), "VmRSS:");
        let files_max = number(&text("limits"), "Max open files");
        // The folder that is read is open too.
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, |open| whole(open.count().saturating_sub(1)));
        Self { memory: kibibytes * 1024, files, files_max }
    }
}

/// The number that follows the name on its line.
fn number(text: &str, name: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}
