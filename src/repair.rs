//! Repair: what can be saved of a damaged store, written into a new one.
//!
//! Owns what is written and in which order; `store/embedded/salvage.rs` owns what is believed. The damaged folder is
//! never changed, so that a repair can be tried without fear, and made again. Called by the command `repair`.
//!
//! The new store begins a new epoch that no token was of: revocations may be lost, so nothing that was issued before
//! lives, whether it was ended or not. Sessions, API tokens and questions asked by mail are not taken over.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::audit::{Action, Client, Event};
use crate::store::embedded::Embedded;
use crate::store::embedded::salvage::{Findings, Salvage, salvage};
use crate::store::{Count, Revocation, Store, StoreError, Write};

/// Records that one commit writes.
const BATCH: usize = 500;

/// Bytes of records that the new store keeps in memory meanwhile.
const CACHE_BYTES: u64 = 8 << 20;

/// Why nothing was repaired: what, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotRepaired(String);

/// What a repair has done.
#[derive(Debug)]
pub struct Repaired {
    /// The epoch of the new store.
    pub epoch: u64,
    /// Accounts that were saved, the closed ones included.
    pub users: usize,
    /// Active superusers who may enter administration.
    pub superusers: usize,
    /// Groups that were saved.
    pub groups: usize,
    /// Permissions of the catalogue, the rebuilt ones included.
    pub permissions: usize,
    /// Events of the audit log that were saved.
    pub events: usize,
    /// Counters of attempts that were saved.
    pub counters: usize,
    /// What was found out on the way.
    pub findings: Findings,
}

/// Writes what can be saved of the store in `data` into a new store in `into`, which is there, and durable, after `Ok`,
/// and not at all otherwise. Nothing in `data` is changed.
///
/// # Errors
/// When `into` is there, the store is in use or of another version, no account in it can be read, or the new one
/// cannot be written.
pub async fn repair(data: &Path, into: &Path, now: DateTime<Utc>) -> Result<Repaired, NotRepaired> {
    let say = |what: &str, mend: &str| NotRepaired(format!("{}: {what}; {mend}", into.display()));
    // A link that leads nowhere is there as well.
    if into.symlink_metadata().is_ok() {
        return Err(say("there is something already", "name a folder that is not there with --into"));
    }
    let salvage = salvage(data).map_err(|e| NotRepaired(e.to_string()))?;
    let unfinished = unfinished(into);
    let failed = |what: &dyn std::fmt::Display| say(&format!("cannot be made: {what}"), "check the disk");
    cleared(&unfinished).map_err(|e| failed(&e))?;
    let done = write(&unfinished, salvage, now).await.map_err(|e| failed(&e))?;
    // It has its name only when it is whole.
    std::fs::rename(&unfinished, into).map_err(|e| failed(&e))?;
    File::open(parent(into)).and_then(|folder| folder.sync_all()).map_err(|e| failed(&e))?;
    Ok(done)
}

/// Where the new store is while it is written; what an interrupted repair left there is begun anew.
fn unfinished(into: &Path) -> PathBuf {
    let mut name = into.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    into.with_file_name(name)
}

fn parent(of: &Path) -> &Path {
    of.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cleared(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

async fn write(folder: &Path, saved: Salvage, now: DateTime<Utc>) -> Result<Repaired, String> {
    let store = Embedded::open_with(folder, CACHE_BYTES).map_err(|e| e.to_string())?;
    let failed = |e: StoreError| e.to_string();
    // The time is an epoch that no token was of, however much is lost of what tells of them; and so is the one after
    // the latest that is known, wherever the clock stands.
    let epoch = u64::try_from(now.timestamp()).unwrap_or_default().max(saved.epoch + 1);
    let done = Repaired {
        epoch,
        users: saved.users.len(),
        superusers: saved.users.iter().filter(|user| user.is_active && user.is_staff && user.is_superuser).count(),
        groups: saved.groups.len(),
        permissions: saved.permissions.len(),
        events: saved.events.len(),
        counters: saved.tallies.len(),
        findings: saved.findings,
    };
    let event = Event::new(now, Action::Repair, &Client::default());
    store
        .commit(vec![Write::Revoke(Revocation::Epoch(epoch)), Write::Record(Box::new(event))])
        .await
        .map_err(failed)?;
    if let Some(life) = saved.longest_life {
        store.longest_life(life).await.map_err(failed)?;
    }
    // Users after what they refer to.
    let writes = (saved.permissions.into_iter().map(Write::CreatePermission))
        .chain(saved.groups.into_iter().map(Write::CreateGroup))
        .chain(saved.users.into_iter().map(|user| Write::CreateUser(Box::new(user))))
        .chain(saved.events.into_iter().map(|event| Write::Record(Box::new(event))))
        .chain(std::iter::once(Write::Count(saved.tallies.into_iter().map(Count::from).collect())));
    let mut batch = Vec::with_capacity(BATCH);
    for write in writes {
        batch.push(write);
        if batch.len() == BATCH {
            store.commit(std::mem::take(&mut batch)).await.map_err(failed)?;
        }
    }
    store.commit(batch).await.map_err(failed)?;
    Ok(done)
}
