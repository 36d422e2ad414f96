//! The shared store: PostgreSQL, for any number of nodes.
//!
//! Owns the transactions, and whether the store is ready. Reads are in `reads.rs`, the writes of a commit in `draft.rs`,
//! connections in `lease.rs`, what other nodes change in `changes.rs` and `line.rs`, what a failure means in `fault.rs`, addresses and TLS in `address.rs`, the schema in
//! `schema.rs`. Portable SQL: no extension, no prepared statement, nothing that outlives a transaction, so that a pooler
//! may stand in between.
//!
//! A commit that was lost on its way is a failure, as nobody knows whether it happened. Whatever is lost before is
//! done again. A connection goes back to the pool only when its transaction has ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::{join3, try_join_all};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::claims::SessionId;
use crate::metrics::Held;
use crate::store::{Meters, StoreError, Write};

mod address;
mod changes;
mod draft;
mod fault;
mod filling;
mod lease;
mod ledger;
mod line;
mod reads;
mod rows;
mod schema;

pub use address::{Address, BadAddress, Unread};
use draft::{Draft, Value};
use fault::{Fault, failed, is_conflict, is_lost, is_of_server, verdict};
use lease::Pool;
pub use schema::{CannotMigrate, migrate};

/// How long a transaction may take, with the wait for a connection.
const PATIENCE: Duration = Duration::from_secs(PATIENCE_SECONDS.cast_unsigned());
const PATIENCE_SECONDS: i64 = 15;

/// How often a failed store is looked at, and how long it may take to answer then.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// How often a commit is tried when others are in its way, or its connection was lost before the commit itself.
const TRIES: u32 = 8;

/// Most transactions that one call forgets by, each of them short.
const PASSES: u32 = 100;

/// What begins a commit. The limits end what hangs at the server, too.
const BEGIN: &str = "begin isolation level read committed; set local synchronous_commit = on; \
    set local statement_timeout = 10000; set local idle_in_transaction_session_timeout = 10000";

/// What ends it. Without a limit: one that is reached while the server waits for its standbys ends the wait, and lets what
/// no standby has pass as committed.
const COMMIT: &str = "set local statement_timeout = 0; commit";

/// What begins a read: of one statement, and of several.
const READ: &str = "begin read only; set local statement_timeout = 10000";
const SNAPSHOT: &str = "begin isolation level repeatable read read only; set local statement_timeout = 10000";

/// How long it may take to read everything that a node holds, and what begins that.
const LOADING: Duration = Duration::from_mins(5);
const LOAD: &str = "begin isolation level repeatable read read only; set local statement_timeout = 300000";

/// Why the store does not open: what, why, and how to mend it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CannotOpen(pub String);

/// The store on PostgreSQL.
pub struct Postgres {
    shared: Arc<Shared>,
    watch: JoinHandle<()>,
    caller: JoinHandle<()>,
    line: line::Place,
    /// What this node is called, in this run.
    node: [u8; 16],
}

struct Shared {
    pool: Pool,
    /// Something that others follow was committed here.
    told: Notify,
    is_ready: AtomicBool,
    /// A call was not answered in time: the next look tells whether others would be.
    is_doubted: AtomicBool,
    /// Wakes whoever looks.
    doubt: Arc<Notify>,
    incarnation: AtomicU64,
    meters: Meters,
}

impl Postgres {
    /// The store at the address, whose schema is the one of this program.
    ///
    /// # Errors
    /// When no host answers, or the schema is another one: `signet migrate` makes it.
    pub async fn open(address: &Address) -> Result<Self, CannotOpen> {
        let store = Self::open_at_version(address).await?;
        let marked = store.shared.rows(filling::MARK, &[]).await.map_err(|e| CannotOpen(e.to_string()))?;
        if marked.is_empty() { Ok(store) } else { Err(CannotOpen(filling::UNFINISHED.to_owned())) }
    }

    async fn open_at_version(address: &Address) -> Result<Self, CannotOpen> {
        let pool = Pool::to(address).ok_or_else(|| CannotOpen("cannot make connections".to_owned()))?;
        let doubt = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            pool,
            told: Notify::new(),
            is_ready: AtomicBool::new(true),
            is_doubted: AtomicBool::new(false),
            doubt: Arc::clone(&doubt),
            incarnation: AtomicU64::new(1),
            meters: Meters::default(),
        });
        let version = shared.rows(schema::VERSION, &[]).await;
        schema::check(version)?;
        let watch = tokio::spawn({
            let shared = Arc::downgrade(&shared);
            async move {
                loop {
                    // Also without a doubt: one that was told while nobody waited here is seen.
                    let _woken = tokio::time::timeout(LOOK_EVERY, doubt.notified()).await;
                    let Some(shared) = shared.upgrade() else { return };
                    shared.look().await;
                }
            }
        });
        let caller = tokio::spawn(call(Arc::downgrade(&shared), address.is_notified()));
        let node = *SessionId::random().bytes();
        Ok(Self { shared, watch, caller, line: line::Place::new(address), node })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.watch.abort();
        self.caller.abort();
    }
}

/// Calls the other nodes when something was committed that they follow: after the commit, so that none waits for it, and
/// once for all that came meanwhile.
async fn call(shared: Weak<Shared>, is_on: bool) {
    loop {
        let Some(shared) = shared.upgrade().filter(|_| is_on) else { return };
        // Looked at from time to time, to end with the store.
        if tokio::time::timeout(LOOK_EVERY, shared.told.notified()).await.is_ok()
            && let Err(why) = shared.notify().await
        {
            tracing::debug!(%why, "the other nodes were not called; they hear it with their next reading");
        }
    }
}

impl Shared {
    /// Calls whoever listens.
    async fn notify(&self) -> Result<(), StoreError> {
        let called = async {
            let lease = self.pool.lease().await?;
            lease.client()?.batch_execute(&format!("notify {}", line::CHANNEL)).await?;
            lease.rests();
            lease.give_back();
            Ok(())
        };
        self.judged(in_time(PATIENCE, called).await)
    }

    /// Reads with one statement, which sees one moment.
    async fn rows(&self, text: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let [rows] = self.between(READ, &[(text, values)], "commit").await?;
        Ok(rows)
    }

    /// Reads with several statements, which see the same moment.
    async fn at_one_moment<const N: usize>(&self, texts: [&str; N]) -> Result<[Vec<Row>; N], StoreError> {
        self.between(SNAPSHOT, &texts.map(|text| (text, &[] as &[Value])), "commit").await
    }

    /// What a statement gives that writes, when it is durable. It may be done twice.
    async fn durable_rows(&self, text: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let [rows] = self.between(BEGIN, &[(text, values)], COMMIT).await?;
        Ok(rows)
    }

    /// The statements, between a begin and an end. Tried once more when the connection turns out to be dead: then others
    /// may have been lost as well, and what memory holds is read again.
    async fn between<const N: usize>(
        &self,
        begin: &str,
        statements: &[(&str, &[Value<'_>]); N],
        end: &str,
    ) -> Result<[Vec<Row>; N], StoreError> {
        let read = async {
            match self.try_between(begin, statements, end).await {
                Err(Fault::Database(e)) if is_lost(&e) => {
                    self.pool.forget();
                    self.incarnation.fetch_add(1, Ordering::SeqCst);
                    self.try_between(begin, statements, end).await
                }
                done => done,
            }
        };
        self.judged(in_time(PATIENCE, read).await)
    }

    /// Everything is sent at once, and answered in order. Should the begin fail, what follows it stands alone: these are
    /// reads, or a write that may be done twice.
    async fn try_between<const N: usize>(
        &self,
        begin: &str,
        statements: &[(&str, &[Value<'_>]); N],
        end: &str,
    ) -> Result<[Vec<Row>; N], Fault> {
        let lease = self.pool.lease().await?;
        let client = lease.client()?;
        let read = try_join_all(statements.iter().map(|(text, values)| client.query_typed(text, values)));
        let (begun, found, ended) = join3(client.batch_execute(begin), read, client.batch_execute(end)).await;
        lease.rests();
        let is_whole = begun.is_ok() && ended.is_ok() && found.as_ref().err().is_none_or(|e| !is_lost(e));
        if is_whole {
            lease.give_back();
        }
        begun?;
        let found = found?;
        ended?;
        found.try_into().map_err(|_| rows::damaged("the store").into())
    }

    async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let forgets = |write: &Write| matches!(write, Write::Forget(_) | Write::ForgetEvents(_));
        let passes = if writes.iter().all(forgets) { PASSES } else { 1 };
        for _ in 0..passes {
            if !self.commit_once(writes).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there may be more to forget.
    async fn commit_once(&self, writes: &[Write]) -> Result<bool, StoreError> {
        let is_ending = AtomicBool::new(false);
        let commit = async {
            let mut tries = 0;
            loop {
                tries += 1;
                match self.try_commit(writes, &is_ending).await {
                    Err(Fault::Database(e)) if tries < TRIES && (is_lost(&e) || is_conflict(&e)) => {
                        if is_lost(&e) {
                            self.pool.forget();
                        }
                        // The one that was in the way comes first.
                        tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
                    }
                    done => return done,
                }
            }
        };
        let done = in_time(PATIENCE, commit).await;
        if matches!(done, Err(Fault::Late)) && is_ending.load(Ordering::SeqCst) {
            // It may have happened, and memory does not know.
            self.incarnation.fetch_add(1, Ordering::SeqCst);
        }
        self.judged(done)
    }

    async fn try_commit(&self, writes: &[Write], is_ending: &AtomicBool) -> Result<bool, Fault> {
        let lease = self.pool.lease().await?;
        let client = lease.client()?;
        // Answered before anything else is sent: what follows a begin that failed would not be undone.
        let begun = client.batch_execute(BEGIN).await.map_err(Fault::from);
        let mut draft = Draft::new(client);
        let applied = match begun {
            Ok(()) => draft.apply(writes).await,
            Err(fault) => Err(fault),
        };
        // A commit that waits for a standby must not be cancelled: it would take effect with nobody having a copy.
        lease.rests();
        if let Err(fault) = applied {
            let stays = !matches!(&fault, Fault::Database(e) if is_lost(e));
            if stays && client.batch_execute("rollback").await.is_ok() {
                lease.give_back();
            }
            return Err(fault);
        }
        is_ending.store(true, Ordering::SeqCst);
        let ended = client.batch_execute(COMMIT).await;
        match ended {
            Ok(()) => {
                let is_more = draft.is_more_to_forget();
                lease.give_back();
                Ok(is_more)
            }
            // Said by the server: it did not happen.
            Err(e) if is_conflict(&e) => {
                is_ending.store(false, Ordering::SeqCst);
                Err(Fault::Database(e))
            }
            Err(e) => Err(Fault::Unknown(e)),
        }
    }

    /// What a failure means for the caller, noted when it means something for the store.
    fn judged<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| match fault {
            Fault::Store(failure) => failure,
            Fault::Down(failure) => self.is_down(failure),
            Fault::Database(e) if is_of_server(&e) => self.is_down(failed(&e)),
            Fault::Database(e) => verdict(&e),
            Fault::Unknown(e) => {
                let StoreError::Failed(why) = failed(&e) else { return failed(&e) };
                self.is_down(StoreError::Failed(format!("{why}, while it committed")))
            }
            Fault::Late => {
                if !self.is_doubted.swap(true, Ordering::SeqCst) {
                    self.doubt.notify_one();
                }
                StoreError::Failed("PostgreSQL did not answer in time".to_owned())
            }
        })
    }

    /// The store is not ready until it has answered a look.
    fn is_down(&self, failure: StoreError) -> StoreError {
        if self.is_ready.swap(false, Ordering::SeqCst) {
            tracing::error!(%failure, "the store failed");
            self.doubt.notify_one();
        }
        failure
    }

    /// Finds out whether a failed store is back, or whether one that was late has failed.
    async fn look(&self) {
        let is_ready = self.is_ready.load(Ordering::SeqCst);
        if is_ready && !self.is_doubted.load(Ordering::SeqCst) {
            return;
        }
        match in_time(LOOK_PATIENCE, self.takes_writes()).await {
            Ok(()) => {
                self.is_doubted.store(false, Ordering::SeqCst);
                if !is_ready {
                    self.incarnation.fetch_add(1, Ordering::SeqCst);
                    self.is_ready.store(true, Ordering::SeqCst);
                    tracing::info!("the store answers again");
                }
            }
            Err(fault) => {
                let failure = match fault {
                    Fault::Store(failure) | Fault::Down(failure) => failure,
                    Fault::Database(e) | Fault::Unknown(e) => failed(&e),
                    Fault::Late => StoreError::Failed("PostgreSQL does not answer".to_owned()),
                };
                self.pool.forget();
                if self.is_ready.swap(false, Ordering::SeqCst) {
                    tracing::error!(%failure, "the store failed");
                }
            }
        }
    }

    /// Whether there is a connection to a server that answers and takes writes.
    async fn takes_writes(&self) -> Result<(), Fault> {
        let lease = self.pool.lease().await?;
        let said = lease.client()?.simple_query("show transaction_read_only").await;
        lease.rests();
        let is_read_only = said?.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
            _ => false,
        });
        if is_read_only {
            return Err(Fault::Down(StoreError::Failed("PostgreSQL takes no writes".to_owned())));
        }
        lease.give_back();
        Ok(())
    }

    async fn measured_commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let (began, waiting) = (Instant::now(), Held::new(&self.meters.waiting));
        let is_news = writes.iter().any(is_followed);
        let done = self.commit(&writes).await;
        drop(waiting);
        if done.is_ok() && is_news {
            self.told.notify_one();
        }
        self.meters.commit.observe(began.elapsed().as_secs_f64());
        done
    }
}

/// Whether other nodes hold in memory what this changes. Counters may be late.
fn is_followed(write: &Write) -> bool {
    matches!(write, Write::Revoke(_) | Write::CreateGroup(_) | Write::ChangeGroup { .. } | Write::DeleteGroup { .. })
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(patience, work).await.unwrap_or(Err(Fault::Late))
}
