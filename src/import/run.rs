//! An import into the store of a stopped server: all or nothing, over any number of commits.
//!
//! Owns the order: everything is judged before anything is written; each commit is in the journal before it is made;
//! a failure takes back what was made, and an interruption leaves the journal to go on from or to take back by.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::input::Unreadable;
use super::journal::{self, Journal, Shelf};
use super::judge::Judge;
use super::outcome::{Existing, Traces};
use super::record::Item;
use super::report::{Report, Told};
use super::source::Source;
use crate::account::revoking;
use crate::app::{App, Clock, unavailable};
use crate::audit::{Action, Client, Event};
use crate::error::Error;
use crate::offline::{self, Offline, Place};
use crate::rights::{Group, PermissionEntry};
use crate::store::{Revocation, SharedStore, Write};
use crate::user::User;

/// Records of one commit.
const BATCH: usize = 500;

/// Batches that are read ahead.
const AHEAD: usize = 2;

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Whether to write; otherwise only to report.
    pub apply: bool,
    /// Whether to go without what cannot be carried.
    pub skip: bool,
    /// What becomes of what is there.
    pub existing: Existing,
}

/// Why an import was not done: what, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The source cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The server refused with this status.
    #[error("{1}")]
    Refused(u16, String),
    /// It failed. Nothing was left behind, or the text says what.
    #[error("{0}")]
    Failed(String),
}

fn failed(what: impl std::fmt::Display) -> NotDone {
    NotDone::Failed(what.to_string())
}

/// Told how many records are done, of how many.
pub type Progress<'p> = &'p (dyn Fn(u64, u64) + Sync);

/// Imports a source into the store of the place, or says what would come of it.
///
/// # Errors
/// When the source is unreadable, the store does not open, another import is unfinished, or the store fails; what
/// was made is taken back then.
pub async fn import(
    mut source: Source,
    place: &Place,
    wish: &Wish,
    clock: Clock,
    progress: Progress<'_>,
) -> Result<(Source, Report), NotDone> {
    let of = told(&source, wish);
    // Judged on what is there; a store is made only for what is written.
    let in_use = |e| failed(format!("{e}; to import into a running server, name it with --url"));
    let mut offline = offline::look(place, Arc::clone(&clock)).await.map_err(in_use)?;
    let shelf = Shelf::of(offline.app.store(), &place.data);
    let left = Journal::left(&shelf).await.map_err(|e| journal_failed(&shelf, &e))?;
    let resumed = left.is_some();
    if left.is_some_and(|left| left.of() != of) {
        return Err(failed(interrupted("an import of another file, or with other flags,", &shelf)));
    }
    let app = &offline.app;
    let judge = Judge::new(app, wish.existing).alone().await.map_err(failed)?;
    let mut dry = Pass { judge, report: Report::default(), progress, writer: None };
    source = dry.run(source).await?;
    // What was seen takes memory, and the next pass sees it again.
    let mut report = std::mem::take(&mut dry.report);
    let nobody = dry.judge.found_nobody();
    drop(dry);
    if nobody && report.users.created > 0 && report.masters == 0 {
        let remark = "no active superuser with a password comes with it, and the store has none: nobody could enter \
                      administration; start the server once before, which makes the superuser admin";
        report.remarks.push(remark.to_owned());
    }
    source.remark(&mut report);
    report.complete = report.lost() == 0;
    if wish.apply && (report.complete || wish.skip) {
        if report.changes_something() || resumed {
            if place.store.is_none() && !offline::has_store(&place.data) {
                offline = offline::open(place, clock).await.map_err(in_use)?;
            }
            source = write(source, &offline, &shelf, &of, wish, progress).await?;
        }
        report.applied = true;
    }
    if !report.applied && resumed {
        report.remarks.push("an import was interrupted: run it again with --apply, or take it back with --undo".into());
    }
    Ok((source, report))
}

/// What an import is told by: the file, and the flags that change what comes of it.
fn told(source: &Source, wish: &Wish) -> String {
    format!("{} {:?} {}", source.fingerprint(), wish.existing, wish.skip)
}

async fn write(
    source: Source,
    offline: &Offline,
    shelf: &Shelf,
    of: &str,
    wish: &Wish,
    progress: Progress<'_>,
) -> Result<Source, NotDone> {
    let app = &offline.app;
    let left = Journal::left(shelf).await.map_err(|e| journal_failed(shelf, &e))?;
    let journal = match left {
        Some(journal) => journal,
        None => Journal::begin(shelf, of).await.map_err(|e| journal_failed(shelf, &e))?,
    };
    if let Some(epoch) = source.epoch() {
        // Tokens of before the backup, and of after it, were ended by records that are not in it. The time is an epoch
        // that none of them is of, however often everything was ended since the backup.
        let time = u64::try_from(app.now().timestamp()).unwrap_or_default();
        let next = time.max(epoch.max(app.revocations().epoch()) + 1);
        app.commit(vec![Write::Revoke(Revocation::Epoch(next))]).await.map_err(failed)?;
    }
    let judge = Judge::new(app, wish.existing).alone().await.map_err(failed)?;
    let mut pass = Pass { judge, report: Report::default(), progress, writer: Some((app, journal)) };
    let done = pass.run(source).await;
    let Some((_, journal)) = pass.writer.take() else { return done };
    match done {
        Ok(source) => {
            let event = Event::new(app.now(), Action::Import, &Client::default());
            app.commit(vec![Write::Record(Box::new(event))]).await.map_err(failed)?;
            journal.end().await.map_err(|e| journal_failed(shelf, &e))?;
            Ok(source)
        }
        Err(why) => match take_back(app, journal).await {
            Ok(()) => Err(failed(format!("{why}; what was made is taken back"))),
            Err(e) => {
                Err(failed(format!("{why}; and it could not be taken back: {e}; {}", interrupted("the import", shelf))))
            }
        },
    }
}

/// One way through the source.
struct Pass<'a> {
    judge: Judge<'a>,
    report: Report,
    progress: Progress<'a>,
    writer: Option<(&'a App, Journal)>,
}

impl Pass<'_> {
    async fn run(&mut self, mut source: Source) -> Result<Source, NotDone> {
        let total = source.records();
        let (send, mut batches) = mpsc::channel::<Vec<Item>>(AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let mut batch = Vec::with_capacity(BATCH);
            let read = source.read(&mut |item| {
                batch.push(item);
                if batch.len() < BATCH {
                    return Ok(());
                }
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                send.blocking_send(full).map_err(|_| Unreadable("stopped".to_owned()))
            });
            // Who is gone needs nothing more.
            read.map(|()| drop(send.blocking_send(batch))).map(|()| source)
        });
        let mut done = 0;
        while let Some(batch) = batches.recv().await {
            done += batch.len() as u64;
            self.batch(batch).await?;
            (self.progress)(done, total);
        }
        Ok(reading.await.map_err(failed)??)
    }

    async fn batch(&mut self, items: Vec<Item>) -> Result<(), NotDone> {
        let records = items.iter().filter_map(|item| item.record.clone()).collect();
        let batch = self.judge.judge(records).await.map_err(failed)?;
        let mut outcomes = batch.outcomes.into_iter();
        for item in &items {
            let outcome = if item.record.is_some() { outcomes.next() } else { None };
            self.report.add(item, &outcome.map_or_else(Told::nothing, Told::from));
        }
        if let Some((app, journal)) = &mut self.writer
            && !batch.writes.is_empty()
        {
            let noted = journal.note(&batch.traces).await;
            noted.map_err(|e| failed(format!("the journal cannot be written: {e}")))?;
            app.commit(batch.writes).await.map_err(failed)?;
        }
        Ok(())
    }
}

/// Takes back what an interrupted import has made. Gives whether there was one.
///
/// # Errors
/// When the store does not open or fails; the journal stays then.
pub async fn undo(place: &Place, clock: Clock) -> Result<bool, NotDone> {
    // Without a journal in its folder, there may be no store either, and none is made.
    if place.store.is_none() && !journal::unfinished(&place.data) {
        return Ok(false);
    }
    let offline = offline::open(place, clock).await.map_err(failed)?;
    let shelf = Shelf::of(offline.app.store(), &place.data);
    let Some(journal) = Journal::left(&shelf).await.map_err(|e| journal_failed(&shelf, &e))? else {
        return Ok(false);
    };
    take_back(&offline.app, journal).await?;
    Ok(true)
}

/// The line with which nothing is served from the store in a folder, when an import into it is unfinished.
#[must_use]
pub fn refusal(data: &Path) -> Option<String> {
    journal::unfinished(data).then(|| interrupted("an import", &Shelf::Folder(data.to_owned())))
}

/// The same of a store that has no folder; nothing for one that has.
///
/// # Errors
/// A line, too, when the store cannot be read.
pub async fn refusal_of(store: &SharedStore) -> Result<Option<String>, String> {
    if store.ledger().is_none() {
        return Ok(None);
    }
    let shelf = Shelf::Store(store.clone());
    let is_unfinished = shelf.unfinished().await.map_err(|e| format!("the journal of an import: {e}"))?;
    Ok(is_unfinished.then(|| interrupted("an import", &shelf)))
}

fn interrupted(what: &str, shelf: &Shelf) -> String {
    let (of, how) = match shelf {
        Shelf::Folder(data) => (format!(" in {}", data.display()), format!("--undo --data {}", data.display())),
        Shelf::Store(_) => (String::new(), "--undo --store URL".to_owned()),
    };
    format!(
        "{what} into the store{of} was interrupted; run it again to finish it, or `signet import {how}` to take it back"
    )
}

fn journal_failed(shelf: &Shelf, error: &std::io::Error) -> NotDone {
    failed(match shelf {
        Shelf::Folder(data) => format!("the journal of the import in {}: {error}; check the disk", data.display()),
        Shelf::Store(_) => format!("the journal of the import: {error}"),
    })
}

async fn take_back(app: &App, journal: Journal) -> Result<(), NotDone> {
    let damaged = |e: std::io::Error| failed(format!("the journal is damaged: {e}"));
    for traces in journal.traces().await.map_err(damaged)? {
        let traces = traces.map_err(damaged)?;
        let writes = reversal(app, traces).await.map_err(failed)?;
        if !writes.is_empty() {
            app.commit(writes).await.map_err(failed)?;
        }
    }
    journal.end().await.map_err(|e| failed(format!("the journal cannot be removed: {e}")))
}

/// The writes that undo what the traces tell of, as far as it was done.
async fn reversal(app: &App, traces: Traces) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    let store = app.store();
    for before in traces.users_before {
        if let Some(now) = store.user(before.id).await.map_err(unavailable)? {
            writes.extend(user_again(app, &now, before));
        }
    }
    for id in traces.users {
        if let Some(user) = store.user(id).await.map_err(unavailable)? {
            writes.push(Write::DeleteUser { id, was: user.version });
        }
    }
    for before in traces.groups_before {
        if let Some(now) = store.group(before.id).await.map_err(unavailable)?
            && now.permissions != before.permissions
        {
            let group = Group { permissions: before.permissions, ..now.clone() };
            writes.push(Write::ChangeGroup { group, was: now.version });
        }
    }
    for id in traces.groups {
        if let Some(group) = store.group(id).await.map_err(unavailable)? {
            writes.push(Write::DeleteGroup { id, was: group.version });
        }
    }
    for before in traces.permissions_before {
        if let Some(now) = store.permission(&before.name).await.map_err(unavailable)?
            && now.description != before.description
        {
            let permission = PermissionEntry { description: before.description, ..now.clone() };
            writes.push(Write::ChangePermission { permission, was: now.version });
        }
    }
    for name in traces.permissions {
        if let Some(entry) = store.permission(&name).await.map_err(unavailable)? {
            writes.push(Write::DeletePermission { name, was: entry.version });
        }
    }
    Ok(writes)
}

/// The writes by which a user becomes again what it was, but for the counters, which only rise.
fn user_again(app: &App, now: &User, before: User) -> Vec<Write> {
    let mut again = User {
        version: now.version,
        generation: now.generation,
        rights_version: now.rights_version,
        last_login: now.last_login,
        ..before
    };
    if again == *now { Vec::new() } else { revoking(app, now, &mut again) }
}
