//! The database of the embedded store: opened with suspicion, and brought to the disk.
//!
//! Owns the folder: sled's files, and the mark beside them that says how much was acknowledged. A folder that is in
//! use, damaged, behind its mark, or of another version is refused with a reason; nothing is begun in its place.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::aside::Aside;
use super::failed;
use super::layout::{self, Key};
use super::upgrade;
use super::watch::{LOOK_EVERY, Watch};
use crate::store::StoreError;

/// Bytes of records that are kept in memory. What sled keeps beside them is several times as much.
pub(super) const CACHE_BYTES: u64 = 64 << 20;

/// What is said of a folder that is in use, and what to do about it.
pub(super) const IN_USE: &str = "another process has it open";
const ANOTHER: &str = "stop that one, or name another folder with --data";

/// How often, and with which pause, a folder that is in use is tried again.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What mends a damaged store.
const DAMAGED: &str = "restore it from a backup, or save what can be saved with `signet repair`; it is never replaced by an \
                       emptier or an older one";

/// Why a store could not be opened: what, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotOpen(pub(super) String);

pub(super) struct Database {
    pub(super) tree: sled::Tree,
    file: File,
    /// Where sled puts what is too large for its file, without syncing it.
    blobs: PathBuf,
    /// The names in it that are on disk.
    synced: HashSet<OsString>,
    /// The number of the newest batch that was acknowledged, beside the store: sled takes a file that has lost its
    /// end for one that was never longer.
    mark: File,
    /// The number of the newest batch when it was opened.
    pub(super) applied: u64,
    watch: Watch,
    /// Holds the folder's lock.
    _db: sled::Db,
}

impl Database {
    /// Brings everything that was applied to the disk, up to the batch of this number.
    pub(super) fn sync(&mut self, number: u64) -> Result<(), StoreError> {
        self.watch.over(|| self.tree.flush()).map_err(|e| failed(&e))?;
        let new = self.sync_blobs().map_err(|e| failed(&e))?;
        self.file.sync_data().map_err(|e| failed(&e))?;
        self.synced.extend(new);
        // Not synced: after a lost machine it may say less than is there, never more.
        self.mark.write_all_at(&number.to_be_bytes(), 0).map_err(|e| failed(&e))
    }

    /// Syncs the files that are new beside sled's own, and gives their names.
    fn sync_blobs(&self) -> std::io::Result<Vec<OsString>> {
        let mut new = Vec::new();
        for entry in std::fs::read_dir(&self.blobs)? {
            let entry = entry?;
            if self.synced.contains(&entry.file_name()) {
                continue;
            }
            match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // Written and superseded at once.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            }
            new.push(entry.file_name());
        }
        if !new.is_empty() {
            File::open(&self.blobs)?.sync_all()?;
        }
        Ok(new)
    }
}

/// What a folder is expected to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// A store, or nothing yet.
    Any,
    /// A store that was open a moment ago. When it is gone, its disk may be: another one is not begun in its place.
    Store,
}

/// Opens the store in the folder. A damaged one that is refused is as it was before.
pub(super) fn open(folder: &Path, expected: Expected, cache: u64) -> Result<Database, CannotOpen> {
    let say = |what: &str, mend: &str| CannotOpen(format!("the store in {}: {what}; {mend}", folder.display()));
    // Given back only when sled has begun: as soon as a block of its size is free, glibc puts others like it on the heap,
    // and would clear 5 MiB there for sled's counters, which nobody looks at.
    let mut segment = Vec::new();
    let aside = unlocked(|| Aside::of(folder, &mut segment)).map_err(|e| match e {
        e if e.kind() == ErrorKind::WouldBlock => say(IN_USE, ANOTHER),
        e if e.kind() == ErrorKind::StorageFull => say(&e.to_string(), "make room for it: it is removed again"),
        e => say(&format!("its file cannot be read, or a copy of it not be made: {e}"), "check the disk"),
    })?;
    let Some(aside) = aside else { return open_as_it_is(folder, expected, cache) };
    let opened = open_as_it_is(folder, expected, cache).and_then(|database| {
        // What is damaged may be a page that nobody has asked for yet.
        match database.tree.iter().try_for_each(|entry| entry.map(drop)) {
            Ok(()) => Ok(database),
            Err(e) => Err(say(&format!("a part of it cannot be read: {e}"), DAMAGED)),
        }
    });
    match opened {
        // Before anything is acknowledged that the next start would take away with it.
        Ok(database) => aside.forget().map(|()| database).map_err(|e| {
            say(
                &format!("what was kept of it in signet-aside cannot be removed: {e}"),
                "check the disk, and start again",
            )
        }),
        Err(refusal) => {
            if let Err(why) = aside.put_back() {
                tracing::warn!(%why, "what was kept of the store in signet-aside stays there");
            }
            Err(refusal)
        }
    }
}

fn open_as_it_is(folder: &Path, expected: Expected, cache: u64) -> Result<Database, CannotOpen> {
    let say = |what: &str, mend: &str| CannotOpen(format!("the store in {}: {what}; {mend}", folder.display()));
    let mark = folder.join("signet-store");
    let known = mark.exists();
    let has_file = folder.join("db").exists();
    if expected == Expected::Store && !(known && has_file) {
        return Err(say("it is gone", "bring back its disk, or restore it from a backup"));
    }
    if known && !has_file {
        return Err(say("its file db is gone", DAMAGED));
    }
    // What sled makes before its file, when a first start was cut short.
    let begun = |name: &OsStr| name == "conf" || name == "blobs";
    let occupied = std::fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| !begun(&entry.file_name()))));
    if occupied && !known && !has_file {
        return Err(say("the folder holds other files and no store", "name an empty or a new folder with --data"));
    }
    let made = std::fs::create_dir_all(folder);
    made.map_err(|e| say(&format!("cannot make the folder: {e}"), "name another one with --data"))?;
    private(folder).map_err(|e| say(&format!("cannot protect the folder: {e}"), "own it"))?;
    let db = sled(folder, cache).map_err(|e| match e {
        e if is_locked(&e) => say(IN_USE, ANOTHER),
        e => say(&format!("it does not open: {e}"), DAMAGED),
    })?;
    let file = File::options().write(true).open(folder.join("db"));
    let file = file.map_err(|e| say(&format!("cannot open its file: {e}"), "check the disk"))?;
    let tree = (*db).clone();
    let format = tree.get(Key::format()).map_err(|e| say(&e.to_string(), "check the disk"))?;
    match format.as_deref() {
        Some(format) if layout::is_known(format) => {}
        Some(_) => {
            return Err(say("it was written by another version of signet", "use that version, or export from it"));
        }
        None if known || !tree.is_empty() => {
            return Err(say("it has lost its contents", DAMAGED));
        }
        None => {
            let begun = tree
                .insert(Key::format(), layout::FORMAT)
                .and_then(|_| tree.flush())
                .map_err(|e| e.to_string())
                .and_then(|_| file.sync_all().map_err(|e| e.to_string()))
                .and_then(|()| File::open(folder.join("conf")).and_then(|f| f.sync_all()).map_err(|e| e.to_string()));
            begun.map_err(|e| say(&format!("cannot begin it: {e}"), "check the disk"))?;
        }
    }
    let marked = File::options().read(true).write(true).create(true).truncate(false).open(&mark).and_then(|mark| {
        mark.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok((acknowledged(&mark)?, mark))
    });
    let (acknowledged, mark) = marked.map_err(|e| say(&format!("cannot mark it: {e}"), "check the disk"))?;
    let applied = tree.get(Key::applied()).map_err(|e| say(&e.to_string(), "check the disk"))?;
    let applied = applied.and_then(|number| number.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes);
    if applied < acknowledged {
        return Err(say("it has lost changes that were acknowledged", DAMAGED));
    }
    let blobs = folder.join("blobs");
    let watch = {
        let tree = tree.clone();
        Watch::start(LOOK_EVERY, move || drop(tree.flush()))
            .map_err(|e| say(&format!("cannot start its watch: {e}"), "end others"))?
    };
    let mut database = Database { tree, file, blobs, synced: HashSet::new(), mark, applied, watch, _db: db };
    if let Some(found) = format.filter(|format| *format != layout::FORMAT) {
        let tree = database.tree.clone();
        upgrade::bring_up(&tree, &found, || database.sync(applied))
            .map_err(|e| say(&format!("cannot bring it to this version: {e}"), "check the disk, and start again"))?;
    }
    Ok(database)
}

/// The number on the mark; zero on a new one.
pub(super) fn acknowledged(mark: &File) -> std::io::Result<u64> {
    let mut number = [0; 8];
    match mark.read_exact_at(&mut number, 0) {
        Ok(()) => Ok(u64::from_be_bytes(number)),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(0),
        Err(e) => Err(e),
    }
}

/// What needs the folder's lock, once nobody else has it: what had it a moment ago may still be letting go.
pub(super) fn unlocked<T>(mut attempt: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let mut tries = LOCK_TRIES;
    loop {
        match attempt() {
            Err(e) if e.kind() == ErrorKind::WouldBlock && tries > 0 => tries -= 1,
            done => return done,
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

fn sled(folder: &Path, cache: u64) -> sled::Result<sled::Db> {
    let config = sled::Config::default().path(folder).flush_every_ms(None).cache_capacity(cache);
    let open = || {
        clear_half_written(folder)?;
        // sled takes some damages for what cannot be.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened.unwrap_or_else(|_| Err(sled::Error::ReportableBug("it is damaged".to_owned()))) {
            Err(e) if is_locked(&e) => Err(ErrorKind::WouldBlock.into()),
            done => Ok(done),
        }
    };
    unlocked(open).map_err(sled::Error::Io)?
}

/// Removes what a start that was cut short had begun to write: sled writes its settings in place, and takes a
/// snapshot of its page table that was never finished for the newest one. Both are made again from its file.
fn clear_half_written(folder: &Path) -> std::io::Result<()> {
    let db = match File::open(folder.join("db")) {
        Ok(db) => db,
        // Without a file there is nothing yet that the settings could be about.
        Err(e) if e.kind() == ErrorKind::NotFound => return gone(&folder.join("conf")),
        Err(e) => return Err(e),
    };
    // Under sled's own lock: another process may be writing its snapshot now.
    db.try_lock()?;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.as_encoded_bytes().starts_with(b"snap.") && name.as_encoded_bytes().ends_with(b".generating") {
            gone(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Removes a file that may not be there.
fn gone(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.kind() == ErrorKind::WouldBlock || e.to_string().contains("lock"))
}

fn private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}
