//! The wired whole: what every room above works with, cheap to clone.
//!
//! Owns the one door through which anything durable changes: store first, then memory. Knows no HTTP. What is done
//! beside the requests is in `tending.rs`, what ends many sessions at once in `marks.rs`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};

use crate::audit;
use crate::claims::{LIFE_MAX, Lifetime, UserId};
use crate::error::{Error, TokenFault};
use crate::keys::Keyring;
use crate::mail::Post;
use crate::password::{Cost, Policy, Pool};
use crate::request;
use crate::revocation::Revocations;
use crate::rights::{Group, GroupTable};
use crate::store::{Moment, Revocation, SharedStore, StoreError, Write};
use crate::throttle::{Place, Subject, Throttle};
use crate::token::Tokens;
use crate::user::User;

mod following;
mod marks;
mod measured;
mod memory;
mod tending;
mod watch;

use following::Following;
pub use measured::{Figures, Meters, Part};
use memory::{Changes, GroupFeed, recorded};

/// Gives the present instant. Only the edge of the program reads the real clock.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What an [`App`] is wired from.
pub struct Parts {
    /// Where everything durable is kept.
    pub store: SharedStore,
    /// The keys to sign and verify with.
    pub keyring: Keyring,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens.
    pub audience: String,
    /// How long sessions live.
    pub life: Lifetime,
    /// Whether anybody may register.
    pub registration_open: bool,
    /// Threads that hash passwords.
    pub hash_workers: usize,
    /// What a password hash costs.
    pub hash_cost: Cost,
    /// What a new password has to be.
    pub policy: Policy,
    /// What becomes of the audit log.
    pub audit: audit::Log,
    /// How mails go out; without it none does.
    pub post: Option<Post>,
    /// Whether whoever tries too often has to wait.
    pub throttle: bool,
    /// Whether the data of sessions is sealed in their tokens; a key of the keyring has to be able to.
    pub seal_data: bool,
    /// How long after it was made a key begins to sign or seal, when there is an older one: so long may it take to reach
    /// every node.
    pub key_lead: TimeDelta,
    /// For how long what was heard from a shared store is relied on. Without effect on a store that is not shared.
    pub max_staleness: Duration,
    /// The clock.
    pub clock: Clock,
}

impl Parts {
    /// What has to be given, and for everything else what `signet serve` has without flags.
    #[must_use]
    pub fn new(store: SharedStore, keyring: Keyring, clock: Clock) -> Self {
        Self {
            store,
            keyring,
            issuer: "signet".to_owned(),
            audience: "signet".to_owned(),
            life: Lifetime { age: 3600, end: 14 * 24 * 3600 },
            registration_open: true,
            hash_workers: std::thread::available_parallelism().map_or(1, usize::from),
            hash_cost: Cost::default(),
            policy: Policy::default(),
            audit: audit::Log::default(),
            post: None,
            throttle: true,
            seal_data: false,
            key_lead: TimeDelta::zero(),
            max_staleness: Duration::from_secs(15),
            clock,
        }
    }
}

/// Signet, without HTTP. Clones share everything.
#[derive(Clone)]
pub struct App(Arc<Wired>);

struct Wired {
    store: SharedStore,
    tokens: Tokens,
    revocations: Revocations,
    throttle: Throttle,
    groups: ArcSwap<GroupTable>,
    group_feed: Mutex<GroupFeed>,
    /// How far this node is, when the store is shared.
    following: Option<Following>,
    /// The incarnation of the store that memory was loaded from.
    loaded: AtomicU64,
    /// Held while everything is ended, so that two who do so at once end everything twice.
    epoch_step: tokio::sync::Mutex<()>,
    pool: Pool,
    policy: Policy,
    life: Lifetime,
    longest_life: u32,
    registration_open: bool,
    audit: audit::Log,
    post: Option<Post>,
    key_lead: TimeDelta,
    /// The server is about to stop.
    stopping: AtomicBool,
    meters: Meters,
    clock: Clock,
}

impl App {
    /// Wires the parts, and loads what every request needs into memory. After `Ok` the first request finds
    /// every revocation in place. On a shared store no session is accepted before [`App::hear`], or [`App::tend`], has
    /// heard from it.
    ///
    /// # Errors
    /// When the store cannot be read or the hash workers cannot be started, or data is to be sealed and no key can.
    pub async fn open(parts: Parts) -> Result<Self, Error> {
        if parts.seal_data && parts.keyring.sealer().is_none() {
            return Err(Error::Internal("no key can seal the data of sessions".to_owned()));
        }
        // An API token may live for as long as any token may, whatever a session's life is.
        let longest_life = parts.store.longest_life(LIFE_MAX.max(parts.life.end)).await.map_err(unavailable)?;
        let app = Self(Arc::new(Wired {
            tokens: Tokens::new(&parts.issuer, &parts.audience, parts.keyring).sealing(parts.seal_data),
            revocations: Revocations::default(),
            throttle: Throttle::new(parts.throttle),
            groups: ArcSwap::default(),
            group_feed: Mutex::default(),
            following: parts.store.follow().map(|_| Following::new(parts.max_staleness)),
            loaded: AtomicU64::new(0),
            epoch_step: tokio::sync::Mutex::new(()),
            pool: Pool::start(parts.hash_workers, parts.hash_cost)?,
            policy: parts.policy,
            store: parts.store,
            life: parts.life,
            longest_life,
            registration_open: parts.registration_open,
            audit: parts.audit,
            post: parts.post,
            key_lead: parts.key_lead,
            stopping: AtomicBool::new(false),
            meters: Meters::new((parts.clock)()),
            clock: parts.clock,
        }));
        app.show_meters();
        app.choose_keys(&app.tokens().keyring());
        let from = app.load().await?;
        app.go_on_from(from);
        Ok(app)
    }

    fn show_meters(&self) {
        let registry = self.0.meters.registry();
        self.0.pool.meters().show(registry);
        registry.add(&[self.0.throttle.refusals()]);
        if let Some(meters) = self.0.store.meters() {
            meters.show(registry);
        }
        if let Some(post) = &self.0.post {
            registry.add(&[post.mails()]);
        }
    }

    /// Reads into memory what the store holds for it, and gives the moment of it. Revocations that are in memory stay.
    async fn load(&self) -> Result<Moment, Error> {
        loop {
            let incarnation = self.0.store.incarnation();
            let before = self.feed().changes;
            let state = self.0.store.state().await.map_err(unavailable)?;
            for revocation in &state.revocations {
                self.0.revocations.learn(revocation);
            }
            if let Some(until) = state.forgotten {
                self.0.revocations.has_forgotten(until);
            }
            self.0.throttle.learn(&state.tallies, self.now());
            let is_same = self.0.store.incarnation() == incarnation;
            if self.replace_groups(state.groups, state.group_changes, before) && is_same {
                self.0.loaded.store(incarnation, Ordering::SeqCst);
                return Ok(state.moment);
            }
        }
    }

    /// Takes these groups in, unless one was changed since there were `before` changes: that may not be in what was read.
    fn replace_groups(&self, groups: Vec<Group>, counted: u64, before: u64) -> bool {
        let mut feed = self.feed();
        if feed.changes != before {
            return false;
        }
        feed.replace(groups, counted);
        self.0.groups.store(Arc::new(feed.table()));
        true
    }

    fn feed(&self) -> MutexGuard<'_, GroupFeed> {
        self.0.group_feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the writes durable, all or none, then lets them act on the very next request. Runs to its end even
    /// when the caller goes away meanwhile: memory must never know less than the store.
    ///
    /// # Errors
    /// `Changed`, `Taken`, `LastSuperuser`, `Outdated` or `NotAuthenticated` when a condition does not hold;
    /// `Unavailable` when the store failed. Nothing has changed then.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        let app = self.clone();
        let job = async move {
            let mut changes = Changes::of(&writes);
            let done = std::mem::take(&mut changes.events);
            let events = app.0.audit.sink.as_ref().map(|sink| (sink, recorded(&writes)));
            app.0.store.commit(writes).await.map_err(unavailable)?;
            app.learn(changes);
            for (action, outcome) in done {
                app.0.meters.event(action, outcome).inc();
            }
            if let Some((sink, events)) = events {
                for event in &events {
                    sink(event);
                }
            }
            Ok(())
        };
        let done = tokio::spawn(request::carried(job)).await;
        done.unwrap_or_else(|e| Err(Error::Internal(format!("a commit ended early: {e}"))))
    }

    fn learn(&self, changes: Changes) {
        for revocation in &changes.revocations {
            self.0.revocations.learn(revocation);
        }
        for (user, kind, closed) in changes.closed {
            for revocation in &changes.revocations {
                if let Revocation::Session { id, until } = *revocation
                    && id == closed
                {
                    self.0.revocations.count_for(user, kind, id, until);
                }
            }
        }
        // Once the user's own is in force.
        for (user, ids) in changes.covered {
            self.0.revocations.cover(user, &ids);
        }
        if !changes.groups.is_empty() {
            let mut feed = self.feed();
            feed.learn(changes.groups);
            self.0.groups.store(Arc::new(feed.table()));
        }
    }

    /// A place for an attempt, counted for each of the subjects. Given back with [`App::give_back`] when there is
    /// nothing to hold against the caller; what is dropped stays counted.
    ///
    /// # Errors
    /// `Throttled` when there is none; nothing is counted then.
    pub fn admit(&self, subjects: &[Subject<'_>]) -> Result<Place, Error> {
        self.0.throttle.take(subjects, self.now())
    }

    /// Takes back what was counted for an attempt.
    pub fn give_back(&self, place: Place) {
        self.0.throttle.give_back(place);
    }

    /// Whether whoever tries too often has to wait.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.0.throttle.is_on()
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.0.clock)()
    }

    /// The store, for reading.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.0.store
    }

    /// Mints and verifies tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// What has ended.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// What groups grant at present.
    #[must_use]
    pub fn groups(&self) -> Arc<GroupTable> {
        self.0.groups.load_full()
    }

    /// The counters of attempts.
    fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// What is counted and measured of requests.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// From now on the server is about to stop, and says so to whoever asks whether it is ready.
    pub fn prepare_to_stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
    }

    /// The parts that cannot do their work at the moment.
    #[must_use]
    pub fn lacking(&self) -> Vec<Part> {
        let store = &self.0.store;
        let lacks = |part: &Part| match part {
            Part::Store => !store.is_ready(),
            Part::Memory => store.incarnation() != self.0.loaded.load(Ordering::SeqCst),
            Part::Following => !self.is_current(),
            Part::Passwords => !self.0.pool.is_whole(),
            Part::Server => self.0.stopping.load(Ordering::SeqCst),
        };
        Part::ALL.into_iter().filter(lacks).collect()
    }

    /// The parts for which nobody is to be sent here; none when Signet is ready.
    ///
    /// A store that all nodes share, and that fails, fails for all of them: as long as what was heard from it may be
    /// relied on, each goes on with what needs none.
    #[must_use]
    pub fn not_ready(&self) -> Vec<Part> {
        let is_shared = self.0.following.is_some();
        let mut lacking = self.lacking();
        lacking.retain(|part| !is_shared || !matches!(part, Part::Store | Part::Memory));
        lacking
    }

    /// The hash workers.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// What a new password has to be.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// How long sessions live.
    #[must_use]
    pub fn life(&self) -> Lifetime {
        self.0.life
    }

    /// Whether anybody may register.
    #[must_use]
    pub fn registration_open(&self) -> bool {
        self.0.registration_open
    }

    /// The way that mails go out, if there is one.
    #[must_use]
    pub fn post(&self) -> Option<&Post> {
        self.0.post.as_ref()
    }

    /// The user.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Unavailable` when the store failed.
    pub async fn user(&self, id: UserId) -> Result<User, Error> {
        let user = self.0.store.user(id).await.map_err(unavailable)?;
        user.ok_or(Error::NotFound("user"))
    }
}

/// A failure of the store, in the words of the domain.
#[must_use]
pub fn unavailable(error: StoreError) -> Error {
    match error {
        StoreError::Changed => Error::Changed,
        StoreError::Taken(what) => Error::Taken(what),
        StoreError::LastSuperuser => Error::LastSuperuser,
        StoreError::Ended => Error::NotAuthenticated(TokenFault::Revoked),
        StoreError::Outdated => Error::Outdated,
        StoreError::Spent => Error::InvalidToken,
        StoreError::Full => Error::TooManyTokens,
        StoreError::Damaged(why) => Error::Internal(why),
        StoreError::Failed(why) => Error::Unavailable(why),
    }
}
