//! The one thread that writes to the embedded store.
//!
//! Takes what waits, applies it commit by commit, makes it durable together, and answers; when the store has failed, tells
//! who waits, and opens it anew. `draft.rs` says what a commit changes, `database.rs` what is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::database::{Database, Expected, open};
use super::draft::Draft;
use super::layout::Key;
use super::{Shared, failed};
use crate::store::{StoreError, Write};

/// How long the writer waits, at the least, before it tries to open a failed store again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// Writers that share one flush, at the most.
const GROUP_MAX: usize = 1024;

/// For how many changed keys the collector runs once.
const FREE_EVERY: usize = 64;

/// What the writer is asked for.
pub(super) enum Job {
    Commit(Vec<Write>, oneshot::Sender<Result<(), StoreError>>),
    RaiseLife(u32, oneshot::Sender<Result<u32, StoreError>>),
    /// Answered when everything before it is durable.
    Settle(oneshot::Sender<Result<(), StoreError>>),
}

/// The writer's life: takes jobs, applies them one after the other, makes them durable together, answers.
pub(super) fn write(shared: &Shared, mut database: Database, queue: &mpsc::Receiver<Job>) {
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
            let begun = Instant::now();
            match open(&shared.folder, Expected::Store, shared.cache) {
                Ok(database) => break database,
                Err(why) => tracing::error!(%why, "the store does not open"),
            }
            // A try copies a store that is not whole: a large one keeps the disk busy for a quarter of the time at most.
            let (pause, length) = (Instant::now(), REOPEN_EVERY.max(3 * begun.elapsed()));
            while let Some(left) = length.checked_sub(pause.elapsed()) {
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
pub(super) fn free_replaced(keys: usize) {
    for _ in 0..keys / FREE_EVERY {
        crossbeam_epoch::pin().flush();
    }
}
