//! The embedded store: sled, in one process.
//!
//! Owns the folder. All writes go through one thread, which makes conditions easy (nobody else writes) and
//! lets many waiting writers share one flush. An acknowledged write is flushed *and* synced: sled's own flush
//! ends in `sync_file_range`, which survives a killed process but not a lost machine.
//!
//! A failed write or flush makes the store unready: every waiting writer is told, the database is closed and
//! opened again until that succeeds. A store that does not open is never replaced by an empty one, nor by an
//! older one: the mark beside it says how much was acknowledged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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

pub use database::CannotOpen;
use database::{CACHE_BYTES, Database, Expected, open};
use draft::Draft;
use layout::Key;

/// How long the writer waits before it tries to open a failed store again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// Writers that share one flush, at the most.
const GROUP_MAX: usize = 1024;

/// For how many changed keys the collector runs once.
const FREE_EVERY: usize = 64;

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

enum Job {
    Commit(Vec<Write>, oneshot::Sender<Result<(), StoreError>>),
    RaiseLife(u32, oneshot::Sender<Result<u32, StoreError>>),
    /// Answered when everything before it is durable.
    Settle(oneshot::Sender<Result<(), StoreError>>),
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
                move || write(&shared, database, &queue)
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

/// The writer's life: takes jobs, applies them one after the other, makes them durable together, answers.
fn write(shared: &Shared, mut database: Database, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let jobs = std::iter::once(first).chain(queue.try_iter().take(GROUP_MAX - 1));
        let jobs: Vec<Job> = jobs.collect();
        #[expect(clippy::cast_precision_loss, reason = "a group has a thousand jobs at the most")]
        shared.meters.group.observe(jobs.len() as f64);
        // Whoever waits for what was cut short is told that it failed: nothing of it was acknowledged.
        let done = catch_unwind(AssertUnwindSafe(|| write_group(shared, &mut database, jobs)));
        let failure = match done {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure,
            Err(_) => StoreError::Failed("the store's writer panicked".to_owned()),
        };
        tracing::error!(%failure, "the store failed; it will be opened again");
        *shared.tree.write().unwrap_or_else(PoisonError::into_inner) = None;
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::error!("the store panicked when it was closed");
        }
        database = loop {
            match open(&shared.folder, Expected::Store, shared.cache) {
                Ok(database) => break database,
                Err(why) => tracing::error!(%why, "the store does not open"),
            }
            let pause = std::time::Instant::now();
            while let Some(left) = REOPEN_EVERY.checked_sub(pause.elapsed()) {
                match queue.recv_timeout(left) {
                    Ok(job) => refuse(job, &failure),
                    Err(mpsc::RecvTimeoutError::Timeout) => break,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        *shared.tree.write().unwrap_or_else(PoisonError::into_inner) = Some(database.tree.clone());
        shared.durable.store(shared.applied.load(Ordering::SeqCst), Ordering::SeqCst);
        shared.incarnation.fetch_add(1, Ordering::SeqCst);
        tracing::info!("the store is open again");
    }
}

fn refuse(job: Job, failure: &StoreError) {
    // A caller that has gone away needs no answer.
    match job {
        Job::Commit(_, answer) | Job::Settle(answer) => drop(answer.send(Err(failure.clone()))),
        Job::RaiseLife(_, answer) => drop(answer.send(Err(failure.clone()))),
    }
}

/// What a job is told once everything is durable.
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>)>;

fn write_group(shared: &Shared, database: &mut Database, jobs: Vec<Job>) -> Result<(), StoreError> {
    let mut waiting: Vec<Acknowledge> = Vec::with_capacity(jobs.len());
    let mut failure = None;
    let tree = database.tree.clone();
    let mut draft = Draft::new(&tree);
    for job in jobs {
        if let Some(failure) = &failure {
            refuse(job, failure);
            continue;
        }
        let (verdict, acknowledge): (_, Acknowledge) = match job {
            Job::Commit(writes, answer) => {
                let verdict = draft.add(writes);
                (verdict, Box::new(|verdict| drop(answer.send(verdict))))
            }
            Job::RaiseLife(seconds, answer) => {
                let raised = draft.raise_life(seconds);
                let life = *raised.as_ref().unwrap_or(&seconds);
                let tell = move |verdict: Result<(), StoreError>| drop(answer.send(verdict.map(|()| life)));
                (raised.map(drop), Box::new(tell))
            }
            Job::Settle(answer) => (Ok(()), Box::new(|verdict| drop(answer.send(verdict)))),
        };
        match verdict {
            Err(e @ StoreError::Failed(_)) => {
                acknowledge(Err(e.clone()));
                failure = Some(e);
            }
            // A refusal may rest on a write of this very group, so it too waits for the flush.
            verdict => waiting.push(Box::new(move |flushed| acknowledge(flushed.and(verdict)))),
        }
    }
    let apply = |mut batch: sled::Batch| {
        let number = shared.applied.fetch_add(1, Ordering::SeqCst) + 1;
        batch.insert(Key::applied(), &number.to_be_bytes());
        tree.apply_batch(batch).map_err(|e| failed(&e))
    };
    let changed = draft.changed();
    let failure = failure.or_else(|| draft.into_batch().and_then(|batch| apply(batch).err()));
    let flushed = match failure {
        Some(failure) => Err(failure),
        None if shared.durable.load(Ordering::SeqCst) < shared.applied.load(Ordering::SeqCst) => {
            let began = Instant::now();
            let synced = database.sync(shared.applied.load(Ordering::SeqCst));
            shared.meters.sync.observe(began.elapsed().as_secs_f64());
            synced
        }
        None => Ok(()),
    };
    if flushed.is_ok() {
        shared.durable.store(shared.applied.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    for acknowledge in waiting {
        acknowledge(flushed.clone());
    }
    free_replaced(changed);
    flushed
}

/// Frees the memory of what batches of so many keys have replaced, but for the last ones, which go with the next.
///
/// sled leaves that to a collector that runs every 128th time that a thread begins to look at the tree, and frees some
/// 512 things then. A batch is one look, however much it replaces: ten million changes in large batches filled 23 GiB
/// (`cargo bench --bench revoked -- --load`).
fn free_replaced(keys: usize) {
    for _ in 0..keys / FREE_EVERY {
        crossbeam_epoch::pin().flush();
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
