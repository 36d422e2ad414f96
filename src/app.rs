//! The wired whole: what every room above works with, cheap to clone.
//!
//! Owns the one door through which anything durable changes: store first, then memory. Knows no HTTP.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::claims::{Lifetime, UserId};
use crate::error::Error;
use crate::keys::{KeyFaults, Keyring};
use crate::password::{Cost, Pool};
use crate::revocation::Revocations;
use crate::rights::GroupTable;
use crate::store::{Revocation, SharedStore, Slice, StoreError, Write};
use crate::token::Tokens;
use crate::user::User;

/// Gives the present instant. Only the edge of the program reads the real clock.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How often memory is compared with the store and rid of what is over.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// How many rounds of tending pass between two sweeps of what is over.
const SWEEP_ROUNDS: u64 = 600;

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
    /// The clock.
    pub clock: Clock,
}

/// Signet, without HTTP. Clones share everything.
#[derive(Clone)]
pub struct App(Arc<Wired>);

struct Wired {
    store: SharedStore,
    tokens: Tokens,
    revocations: Revocations,
    groups: ArcSwap<GroupTable>,
    /// Held while the table of groups is read again, so that the latest reading is the one that stays.
    group_feed: Mutex<()>,
    pool: Pool,
    life: Lifetime,
    longest_life: u32,
    registration_open: bool,
    clock: Clock,
}

impl App {
    /// Wires the parts, and loads what every request needs into memory. After `Ok` the first request finds
    /// every revocation in place.
    ///
    /// # Errors
    /// When the store cannot be read or the hash workers cannot be started.
    pub async fn open(parts: Parts) -> Result<Self, Error> {
        let longest_life = parts.store.longest_life(parts.life.end).await.map_err(unavailable)?;
        let app = Self(Arc::new(Wired {
            tokens: Tokens::new(&parts.issuer, &parts.audience, parts.keyring),
            revocations: Revocations::default(),
            groups: ArcSwap::default(),
            group_feed: Mutex::new(()),
            pool: Pool::start(parts.hash_workers, parts.hash_cost)?,
            store: parts.store,
            life: parts.life,
            longest_life,
            registration_open: parts.registration_open,
            clock: parts.clock,
        }));
        app.load().await?;
        Ok(app)
    }

    /// Reads into memory what the store holds for it. Revocations that are in memory stay.
    async fn load(&self) -> Result<(), Error> {
        let state = self.0.store.state().await.map_err(unavailable)?;
        // Before the revocations: claims that they make stale are read again by the names of the new table.
        self.load_groups().await?;
        for revocation in &state.revocations {
            self.0.revocations.learn(revocation);
        }
        Ok(())
    }

    async fn load_groups(&self) -> Result<(), Error> {
        let _feed = self.0.group_feed.lock().await;
        let all = Slice { limit: usize::MAX, ..Slice::default() };
        let groups = self.0.store.groups(all).await.map_err(unavailable)?;
        self.0.groups.store(Arc::new(GroupTable::new(&groups.items)));
        Ok(())
    }

    /// Makes the writes durable, all or none, then lets them act on the very next request. Runs to its end even
    /// when the caller goes away meanwhile: memory must never know less than the store.
    ///
    /// # Errors
    /// `Changed`, `Taken` or `LastSuperuser` when a condition does not hold; `Unavailable` when the store
    /// failed. Nothing has changed then.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        let app = self.clone();
        let job = async move {
            let revoked: Vec<Revocation> = writes.iter().filter_map(revocation).collect();
            let regroups = writes.iter().any(|write| {
                matches!(write, Write::CreateGroup(_) | Write::ChangeGroup { .. } | Write::DeleteGroup { .. })
            });
            app.0.store.commit(writes).await.map_err(unavailable)?;
            // Before the revocations: claims that they make stale are read again by the names of the new table.
            let regrouped = if regroups { app.load_groups().await } else { Ok(()) };
            for revocation in &revoked {
                app.0.revocations.learn(revocation);
            }
            regrouped
        };
        let done = tokio::spawn(job).await;
        done.unwrap_or_else(|e| Err(Error::Internal(format!("a commit ended early: {e}"))))
    }

    /// Until dropped: keeps memory in step with a store that was opened again, and drops what is over.
    pub async fn tend(self) {
        let mut incarnation = self.0.store.incarnation();
        let mut rounds = 0u64;
        let mut tick = tokio::time::interval(TEND_EVERY);
        loop {
            tick.tick().await;
            let present = self.0.store.incarnation();
            if present != incarnation && self.0.store.is_ready() {
                match self.load().await {
                    Ok(()) => incarnation = present,
                    Err(why) => tracing::error!(%why, "memory could not be loaded from the store"),
                }
            }
            if rounds.is_multiple_of(SWEEP_ROUNDS)
                && let Err(why) = self.forget().await
            {
                tracing::warn!(%why, "what is over could not be dropped");
            }
            rounds += 1;
        }
    }

    /// Drops revocations and open sessions that cover nothing any more.
    ///
    /// # Errors
    /// `Unavailable` when the store failed.
    pub async fn forget(&self) -> Result<(), Error> {
        let now = self.now();
        self.commit(vec![Write::Forget(now)]).await?;
        self.0.revocations.forget(now);
        Ok(())
    }

    /// Reads the folder of keys again. When it is not sound, the keys in use stay.
    ///
    /// # Errors
    /// The faults of the folder.
    pub fn reload_keys(&self, folder: &std::path::Path) -> Result<(), KeyFaults> {
        self.0.tokens.replace_keyring(Keyring::load(folder)?);
        Ok(())
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

    /// The hash workers.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.0.pool
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

    /// The user.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Unavailable` when the store failed.
    pub async fn user(&self, id: UserId) -> Result<User, Error> {
        let user = self.0.store.user(id).await.map_err(unavailable)?;
        user.ok_or(Error::NotFound("user"))
    }

    /// The write that ends older generations of the user, or makes older rights stale, as the record says.
    #[must_use]
    pub fn mark(&self, user: &User) -> Write {
        Write::Revoke(Revocation::User {
            id: user.id,
            generation: user.generation,
            rights_version: user.rights_version,
            until: crate::claims::after(self.now(), self.0.longest_life),
        })
    }
}

fn revocation(write: &Write) -> Option<Revocation> {
    match write {
        Write::Revoke(revocation) => Some(*revocation),
        _ => None,
    }
}

/// A failure of the store, in the words of the domain.
#[must_use]
pub fn unavailable(error: StoreError) -> Error {
    match error {
        StoreError::Changed => Error::Changed,
        StoreError::Taken(what) => Error::Taken(what),
        StoreError::LastSuperuser => Error::LastSuperuser,
        StoreError::Failed(why) => Error::Unavailable(why),
    }
}
