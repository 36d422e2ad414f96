//! The embedded store: sled, in one process.
//!
//! Owns the folder. All writes go through one thread (`writer.rs`), which makes conditions easy (nobody else writes) and
//! lets many waiting writers share one flush. An acknowledged write is flushed *and* synced: sled's own flush
//! ends in `sync_file_range`, which survives a killed process but not a lost machine.
//!
//! A failed write or flush makes the store unready: every waiting writer is told, the database is closed and
//! opened again until that succeeds. A store that does not open is never replaced by an empty one, nor by an
//! older one: the mark beside it says how much was acknowledged.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use crate::audit::{Event, Filter};
use crate::claims::{ChallengeKind, GroupId, SessionId, UserId};
use crate::metrics::Held;
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::{
    Alive, ApiToken, Challenge, Member, Meters, NamedSession, OpenSession, Page, Record, Reply, Slice, State, Store,
    StoreError, UserQuery, Write,
};
use crate::user::User;

mod aside;
mod database;
mod draft;
mod layout;
pub mod salvage;
mod upgrade;
mod watch;
mod writer;

pub use database::CannotOpen;
use database::{CACHE_BYTES, Expected, open};
use draft::Draft;
use layout::Key;
use writer::Job;

/// The store in a folder. Dropping it ends the writer after the work that it already has.
pub struct Embedded {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    /// Bytes of records that are kept in memory.
    cache: u64,
    /// `None` while the store is failed.
    tree: RwLock<Option<sled::Tree>>,
    /// Numbers the batches handed to sled; raised before, so that whoever sees a batch's effect sees its number.
    applied: AtomicU64,
    /// The newest batch known to be on disk.
    durable: AtomicU64,
    /// Counts the times that the store was opened.
    incarnation: AtomicU64,
    meters: Meters,
}

impl Embedded {
    /// The store in `folder`, which is made when it is missing.
    ///
    /// # Errors
    /// When the store is in use, damaged, of another version, or the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, CannotOpen> {
        Self::open_with(folder, CACHE_BYTES)
    }

    /// As [`Embedded::open`], with so many bytes of records in memory: for who passes over all of them once, and wins
    /// nothing by keeping them.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with(folder: &Path, cache: u64) -> Result<Self, CannotOpen> {
        let database = open(folder, Expected::Any, cache)?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            cache,
            tree: RwLock::new(Some(database.tree.clone())),
            applied: AtomicU64::new(database.applied),
            durable: AtomicU64::new(database.applied),
            incarnation: AtomicU64::new(1),
            meters: Meters::default(),
        });
        let (jobs, queue) = mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("signet-store".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::write(&shared, database, &queue)
            })
            .map_err(|e| CannotOpen(format!("cannot start the store's writer: {e}")))?;
        Ok(Self { shared, jobs: Some(jobs), writer: Some(writer) })
    }

    fn send<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job) -> Reply<'_, T>
    where
        T: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job(answer)).is_ok());
        async move {
            let gone = || StoreError::Failed("the store's writer has ended".to_owned());
            if !sent {
                return Err(gone());
            }
            answered.await.map_err(|_| gone())?
        }
        .boxed()
    }

    /// Reads off the async threads, and waits until what was read is durable.
    fn read<T, F>(&self, read: F) -> Reply<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Draft) -> Result<T, StoreError> + Send + 'static,
    {
        async move {
            let shared = Arc::clone(&self.shared);
            let job = move || {
                let tree = shared.tree.read().unwrap_or_else(PoisonError::into_inner).clone();
                let tree = tree.ok_or_else(|| StoreError::Failed("the store is closed".to_owned()))?;
                let incarnation = shared.incarnation.load(Ordering::SeqCst);
                let found = read(&Draft::new(&tree))?;
                Ok((found, shared.applied.load(Ordering::SeqCst), incarnation))
            };
            let (found, seen, incarnation) = tokio::task::spawn_blocking(job)
                .await
                .map_err(|e| StoreError::Failed(format!("a read ended early: {e}")))??;
            if self.shared.durable.load(Ordering::SeqCst) < seen {
                self.send(Job::Settle).await?;
            }
            if self.shared.incarnation.load(Ordering::SeqCst) != incarnation {
                return Err(StoreError::Failed("the store failed during a read".to_owned()));
            }
            Ok(found)
        }
        .boxed()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

fn failed(error: &dyn std::error::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Store for Embedded {
    fn commit(&self, writes: Vec<Write>) -> Reply<'_, ()> {
        let (began, waiting) = (Instant::now(), Held::new(&self.shared.meters.waiting));
        let commit = self.send(|answer| Job::Commit(writes, answer));
        async move {
            let done = commit.await;
            drop(waiting);
            self.shared.meters.commit.observe(began.elapsed().as_secs_f64());
            done
        }
        .boxed()
    }

    fn user(&self, id: UserId) -> Reply<'_, Option<User>> {
        self.read(move |draft| draft.user(id))
    }

    fn member(&self, id: UserId) -> Reply<'_, Option<Member>> {
        self.read(move |draft| draft.member(id))
    }

    fn user_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<User>> {
        let key = key.to_owned();
        self.read(move |draft| match draft.id_under(&Key::user_name(&key))? {
            Some(id) => draft.user(UserId::from_bytes(id)),
            None => Ok(None),
        })
    }

    fn member_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Member>> {
        let key = key.to_owned();
        self.read(move |draft| match draft.id_under(&Key::user_name(&key))? {
            Some(id) => draft.member(UserId::from_bytes(id)),
            None => Ok(None),
        })
    }

    fn users_at<'a>(&'a self, key: &'a str, limit: usize) -> Reply<'a, Vec<User>> {
        let key = key.to_owned();
        self.read(move |draft| draft.users_at(&key, limit))
    }

    fn challenge(&self, user: UserId, kind: ChallengeKind) -> Reply<'_, Option<Challenge>> {
        self.read(move |draft| draft.json(&Key::challenge(user, kind)))
    }

    fn users(&self, slice: Slice) -> Reply<'_, Page<User>> {
        self.read(move |draft| {
            let wanted = |user: &User, text: &str| user.mentions(text);
            let load = |id: &[u8]| match <[u8; 16]>::try_from(id) {
                Ok(id) => draft.user(UserId::from_bytes(id)),
                Err(_) => Err(StoreError::Damaged("a user's key is damaged".to_owned())),
            };
            draft.page(&Key::user_name(""), &slice, load, wanted)
        })
    }

    fn find_users(&self, query: UserQuery) -> Reply<'_, Page<User>> {
        self.read(move |draft| draft.find_users(&query))
    }

    fn members(&self, group: GroupId) -> Reply<'_, Vec<User>> {
        self.read(move |draft| draft.users_under(&Key::members(group)))
    }

    fn holders<'a>(&'a self, permission: &'a Permission) -> Reply<'a, Vec<User>> {
        let prefix = Key::holders(permission);
        self.read(move |draft| draft.users_under(&prefix))
    }

    fn group(&self, id: GroupId) -> Reply<'_, Option<Group>> {
        self.read(move |draft| draft.json(&Key::group(id)))
    }

    fn groups(&self, slice: Slice) -> Reply<'_, Page<Group>> {
        self.read(move |draft| {
            let load = |id: &[u8]| match <[u8; 16]>::try_from(id) {
                Ok(id) => draft.json(&Key::group(GroupId::from_bytes(id))),
                Err(_) => Err(StoreError::Damaged("a group's key is damaged".to_owned())),
            };
            let wanted = |group: &Group, text: &str| group.name.to_lowercase().contains(text);
            draft.page(&Key::group_name(""), &slice, load, wanted)
        })
    }

    fn permission<'a>(&'a self, name: &'a Permission) -> Reply<'a, Option<PermissionEntry>> {
        let key = Key::permission(name.as_str());
        self.read(move |draft| draft.json(&key))
    }

    fn permissions(&self, slice: Slice) -> Reply<'_, Page<PermissionEntry>> {
        self.read(move |draft| {
            let load = |record: &[u8]| layout::from_json(record).map(Some);
            let wanted = |entry: &PermissionEntry, text: &str| {
                entry.name.as_str().to_lowercase().contains(text) || entry.description.to_lowercase().contains(text)
            };
            draft.page(&Key::permission(""), &slice, load, wanted)
        })
    }

    fn session(&self, user: UserId, id: SessionId) -> Reply<'_, Option<OpenSession>> {
        self.read(move |draft| draft.json(&Key::session(user, id)))
    }

    fn sessions(&self, user: UserId, alive: Alive, slice: Slice) -> Reply<'_, Page<OpenSession>> {
        self.read(move |draft| draft.sessions(user, alive, &slice))
    }

    fn open_sessions(&self, alive: Alive, slice: Slice) -> Reply<'_, Page<NamedSession>> {
        self.read(move |draft| draft.open_sessions(alive, &slice))
    }

    fn api_tokens(&self, owner: UserId) -> Reply<'_, Vec<ApiToken>> {
        self.read(move |draft| {
            let mut tokens: Vec<ApiToken> = draft.all(&Key::tokens(owner))?;
            tokens.sort_by_key(|token| std::cmp::Reverse((token.created, token.id)));
            Ok(tokens)
        })
    }

    fn events(&self, filter: Filter, slice: Slice) -> Reply<'_, Page<Event>> {
        self.read(move |draft| draft.events(&filter, &slice))
    }

    fn records(&self, after: Option<String>, limit: usize) -> Reply<'_, Page<Record>> {
        self.read(move |draft| draft.records(after.as_deref(), limit))
    }

    fn state(&self) -> Reply<'_, State> {
        self.read(|draft| {
            let groups = draft.all(&Key::groups())?;
            let (revocations, forgotten) = (draft.revocations()?, draft.forgotten()?);
            Ok(State { revocations, forgotten, groups, tallies: draft.tallies()?, ..State::default() })
        })
    }

    fn longest_life(&self, seconds: u32) -> Reply<'_, u32> {
        self.send(|answer| Job::RaiseLife(seconds, answer))
    }

    fn incarnation(&self) -> u64 {
        self.shared.incarnation.load(Ordering::SeqCst)
    }

    fn is_ready(&self) -> bool {
        let is_open = self.shared.tree.read().unwrap_or_else(PoisonError::into_inner).is_some();
        is_open && !self.writer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn meters(&self) -> Option<&Meters> {
        Some(&self.shared.meters)
    }
}
