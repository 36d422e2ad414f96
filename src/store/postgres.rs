//! The shared store: PostgreSQL, for any number of nodes.
//!
//! Owns the connections and the reads; the writes of a commit are in `draft.rs`, addresses and TLS in `address.rs`,
//! the schema in `schema.rs`. Portable SQL: no extension, no prepared statement, nothing that outlives a transaction,
//! so that a pooler may stand in between.
//!
//! A commit that was lost on its way is a failure, as nobody knows whether it happened. Whatever is lost before is
//! done again. A connection goes back to the pool only when its transaction has ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::claims::SessionId;
use crate::metrics::Held;
use crate::store::{Meters, StoreError, Write};

mod address;
mod changes;
mod draft;
mod line;
mod reads;
mod rows;
mod schema;

pub use address::{Address, BadAddress, Unread};
use draft::{Draft, Value};
pub use schema::{CannotMigrate, migrate};

/// Connections of one node.
const CONNECTIONS: usize = 16;

/// How long a transaction may take, with the wait for a connection.
const PATIENCE: Duration = Duration::from_secs(PATIENCE_SECONDS.cast_unsigned());
const PATIENCE_SECONDS: i64 = 15;

/// How often a failed store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a commit is tried when others are in its way, or its connection was lost before the commit itself.
const TRIES: u32 = 8;

/// What begins a commit. The limits end what hangs at the server, too.
const BEGIN: &str = "begin isolation level read committed; set local synchronous_commit = on; \
    set local statement_timeout = 10000; set local idle_in_transaction_session_timeout = 10000";

/// What ends it. Without a limit: one that is reached while the server waits for its standbys ends the wait, and lets what
/// no standby has pass as committed.
const COMMIT: &str = "set local statement_timeout = 0; commit";

/// What begins a read of several statements.
const SNAPSHOT: &str = "begin isolation level repeatable read read only; set local statement_timeout = 10000";

/// How long it may take to read everything that a node holds.
const LOADING: Duration = Duration::from_mins(5);

/// What begins that.
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
    incarnation: AtomicU64,
    meters: Meters,
}

/// What stopped a transaction.
enum Fault {
    /// A condition, or a record that cannot be read.
    Store(StoreError),
    /// The database.
    Database(tokio_postgres::Error),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

/// A connection that goes back to the pool only when it was given back; otherwise it is closed, and the server
/// ends what it had begun.
struct Lease(Option<Object>);

impl Lease {
    fn client(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or_else(|| StoreError::Failed("a connection is gone".to_owned()))
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

impl Postgres {
    /// The store at the address, whose schema is the one of this program.
    ///
    /// # Errors
    /// When no host answers, or the schema is another one: `signet migrate` makes it.
    pub async fn open(address: &Address) -> Result<Self, CannotOpen> {
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_config(address.config(), address.tls(), ManagerConfig { recycling_method });
        let timeouts = Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
        let pool = Pool::builder(manager).max_size(CONNECTIONS).timeouts(timeouts).runtime(Runtime::Tokio1);
        let pool = pool.build().map_err(|e| CannotOpen(format!("cannot make connections: {e}")))?;
        let shared = Shared {
            pool,
            told: Notify::new(),
            is_ready: AtomicBool::new(true),
            incarnation: AtomicU64::new(1),
            meters: Meters::default(),
        };
        let shared = Arc::new(shared);
        let version = shared.rows(schema::VERSION, &[]).await;
        schema::check(version)?;
        let watch = tokio::spawn({
            let shared = Arc::downgrade(&shared);
            async move {
                loop {
                    tokio::time::sleep(LOOK_EVERY).await;
                    let Some(shared) = shared.upgrade() else { return };
                    shared.look().await;
                }
            }
        });
        let caller = tokio::spawn(call(Arc::downgrade(&shared), address.is_notified()));
        let node = SessionId::random();
        Ok(Self { shared, watch, caller, line: line::Place::new(address.clone()), node: *node.bytes() })
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
            && let Err(why) = shared.rows(&format!("notify {}", line::CHANNEL), &[]).await
        {
            tracing::debug!(%why, "the other nodes were not called; they hear it with their next reading");
        }
    }
}

impl Shared {
    async fn lease(&self) -> Result<Lease, StoreError> {
        let connection = self.pool.get().await.map_err(|e| match e {
            deadpool_postgres::PoolError::Backend(e) => failed(&e),
            deadpool_postgres::PoolError::Timeout(_) => StoreError::Failed("no connection in time".to_owned()),
            _ => StoreError::Failed("no connection".to_owned()),
        })?;
        Ok(Lease(Some(connection)))
    }

    /// Reads with one statement, which sees one moment.
    async fn rows(&self, text: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let [rows] = self.between("", &[(text, values)], "").await?;
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
                    self.incarnation.fetch_add(1, Ordering::SeqCst);
                    self.try_between(begin, statements, end).await
                }
                done => done,
            }
        };
        let read = async {
            read.await.map_err(|fault| match fault {
                Fault::Store(e) => e,
                Fault::Database(e) => failed(&e),
            })
        };
        self.judged(in_time(read).await)
    }

    async fn try_between<const N: usize>(
        &self,
        begin: &str,
        statements: &[(&str, &[Value<'_>]); N],
        end: &str,
    ) -> Result<[Vec<Row>; N], Fault> {
        let lease = self.lease().await?;
        let client = lease.client()?;
        if !begin.is_empty() {
            client.batch_execute(begin).await?;
        }
        let mut found = [const { Vec::new() }; N];
        for (rows, (text, values)) in found.iter_mut().zip(statements) {
            *rows = client.query_typed(text, values).await?;
        }
        if !end.is_empty() {
            client.batch_execute(end).await?;
        }
        lease.give_back();
        Ok(found)
    }

    async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let commit = async {
            let mut tries = 0;
            loop {
                tries += 1;
                match self.try_commit(writes).await {
                    Err(Fault::Store(e)) => return Err(e),
                    Err(Fault::Database(e)) if tries == TRIES || !may_be_tried_again(&e) => return Err(verdict(&e)),
                    Err(Fault::Database(_)) => {
                        // The one that was in the way comes first.
                        tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
                    }
                    Ok(()) => return Ok(()),
                }
            }
        };
        self.judged(in_time(commit).await)
    }

    async fn try_commit(&self, writes: &[Write]) -> Result<(), Fault> {
        let lease = self.lease().await?;
        let client = lease.client()?;
        client.batch_execute(BEGIN).await?;
        match Draft::new(client).apply(writes).await {
            Ok(()) => {}
            Err(fault) => {
                if client.batch_execute("rollback").await.is_ok() {
                    lease.give_back();
                }
                return Err(fault);
            }
        }
        match client.batch_execute(COMMIT).await {
            Ok(()) => {
                lease.give_back();
                Ok(())
            }
            // Said by the server: it did not happen.
            Err(e) if e.code().is_some_and(is_conflict) => Err(Fault::Database(e)),
            Err(e) => Err(Fault::Store(failed(&e))),
        }
    }

    /// Notes a failure of the store.
    fn judged<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(failure @ StoreError::Failed(_)) = &result
            && self.is_ready.swap(false, Ordering::SeqCst)
        {
            tracing::error!(%failure, "the store failed");
        }
        result
    }

    /// Finds out whether a failed store is back.
    async fn look(&self) {
        if !self.is_ready.load(Ordering::SeqCst) && self.rows(schema::VERSION, &[]).await.is_ok() {
            self.incarnation.fetch_add(1, Ordering::SeqCst);
            self.is_ready.store(true, Ordering::SeqCst);
            tracing::info!("the store answers again");
        }
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

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| StoreError::Failed("PostgreSQL did not answer in time".to_owned());
    tokio::time::timeout(PATIENCE, work).await.map_err(late)?
}

fn is_conflict(code: &SqlState) -> bool {
    [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
}

/// Whether the connection was lost, or its server is going away.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let gone = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
    error.is_closed()
        || error.code().map_or_else(
            || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>),
            |code| gone.contains(code),
        )
}

fn may_be_tried_again(error: &tokio_postgres::Error) -> bool {
    is_lost(error) || error.code().is_some_and(is_conflict)
}

/// What a refusal of the database means: the constraints are the conditions of the writes.
fn verdict(error: &tokio_postgres::Error) -> StoreError {
    let constraint = error.as_db_error().and_then(|e| e.constraint());
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => match constraint {
            Some("users_name") => StoreError::Taken("user"),
            Some("groups_name") => StoreError::Taken("group"),
            Some("permissions_pkey") => StoreError::Taken("permission"),
            _ => StoreError::Changed,
        },
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION || *code == SqlState::RESTRICT_VIOLATION => {
            StoreError::Changed
        }
        Some(code) if *code == SqlState::CHARACTER_NOT_IN_REPERTOIRE => {
            StoreError::Damaged("a text holds a character that cannot be kept".to_owned())
        }
        _ => failed(error),
    }
}

/// A failure without the details, which can name what was written.
fn failed(error: &tokio_postgres::Error) -> StoreError {
    StoreError::Failed(match error.as_db_error() {
        Some(said) => format!("PostgreSQL says {}: {}", said.code().code(), said.message()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("PostgreSQL: {error}: {source}"),
            None => format!("PostgreSQL: {error}"),
        },
    })
}
