//! What sled finds when it opens a damaged store, kept aside until that has gone well.
//!
//! Owns the folder `signet-aside` in the store's. What sled makes nothing of when it opens a file, it clears: a store
//! that is refused then would have less in it than before. So a file that is not whole is copied first, and put back
//! when the store is refused; a start that is cut short in between is made up for by the next one. Called by
//! `database.rs`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::database::unlocked;
use super::salvage::{self, ASIDE};

/// What a copy's name ends in while it is made, and when it is needed no more.
const BEGUN: &str = ".new";
const ENDED: &str = ".old";

/// What is kept aside.
pub(super) struct Aside {
    folder: PathBuf,
}

impl Aside {
    /// Looks at the store's file, and keeps it aside when it is not whole. Nothing is done to a store that
    /// another process has open. `segment` is what is read into.
    ///
    /// # Errors
    /// When the file cannot be read, or the copy not be made.
    pub(super) fn of(folder: &Path, segment: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let db = match File::options().read(true).write(true).open(folder.join("db")) {
            Ok(db) => db,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        db.try_lock()?;
        let aside = Self { folder: folder.to_owned() };
        remove(&aside.place(BEGUN))?;
        remove(&aside.place(ENDED))?;
        // The last start was cut short before it knew whether the store opens.
        if aside.place("").exists() {
            aside.bring_back(&db)?;
            return Ok(Some(aside));
        }
        if salvage::is_whole(folder, &db, segment)? {
            return Ok(None);
        }
        let bytes = db.metadata()?.len();
        tracing::debug!(bytes, "the store's file is not whole; a copy is kept until it is known that it opens");
        if let Err(why) = aside.keep() {
            let _gone = remove(&aside.place(BEGUN));
            return Err(io::Error::new(why.kind(), format!("{why}, for a copy of its {bytes} bytes")));
        }
        Ok(Some(aside))
    }

    /// Copies by way of another folder: half of it must not be taken for the whole.
    fn keep(&self) -> io::Result<()> {
        let new = self.place(BEGUN);
        std::fs::create_dir_all(new.join("blobs"))?;
        std::fs::copy(self.folder.join("db"), new.join("db"))?;
        File::open(new.join("db"))?.sync_all()?;
        // sled writes these once, and removes them.
        link_all(&self.folder, &new, |name| name.starts_with("snap."))?;
        link_all(&self.folder.join("blobs"), &new.join("blobs"), |_| true)?;
        std::fs::rename(new, self.place(""))?;
        File::open(&self.folder)?.sync_all()
    }

    fn place(&self, state: &str) -> PathBuf {
        self.folder.join(format!("{ASIDE}{state}"))
    }

    /// The store is refused: it is as it was before.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it open. What is aside stays there.
    pub(super) fn put_back(self) -> io::Result<()> {
        let db = File::options().read(true).write(true).open(self.folder.join("db"))?;
        // sled may still be letting go of it.
        unlocked(|| Ok(db.try_lock()?))?;
        self.bring_back(&db)?;
        self.forget()
    }

    fn bring_back(&self, db: &File) -> io::Result<()> {
        let place = self.place("");
        // Into the very file that is locked.
        let (mut from, mut to) = (File::open(place.join("db"))?, db);
        io::Seek::rewind(&mut to)?;
        let length = io::copy(&mut from, &mut to)?;
        db.set_len(length)?;
        db.sync_all()?;
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b"snap.") && !place.join(&name).exists() {
                std::fs::remove_file(entry.path())?;
            }
        }
        link_all(&place, &self.folder, |name| name.starts_with("snap."))?;
        std::fs::create_dir_all(self.folder.join("blobs"))?;
        link_all(&place.join("blobs"), &self.folder.join("blobs"), |_| true)
    }

    /// What is aside is needed no more, as the store is open or as it was before. After `Ok` no later start brings it
    /// back.
    ///
    /// # Errors
    /// When it may still be there.
    pub(super) fn forget(self) -> io::Result<()> {
        // By another name first: half of it must not be taken for the whole.
        let old = self.place(ENDED);
        std::fs::rename(self.place(""), &old)?;
        File::open(&self.folder)?.sync_all()?;
        if let Err(why) = remove(&old) {
            tracing::warn!(%why, "what was kept of the store in signet-aside.old stays there until the next start");
        }
        Ok(())
    }
}

fn link_all(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(from) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(&wanted) && entry.file_type()?.is_file() {
            let to = to.join(&name);
            match std::fs::hard_link(entry.path(), &to) {
                // Not every file system has links.
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => drop(std::fs::copy(entry.path(), to)?),
                _ => {}
            }
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use tempfile::TempDir;

    use super::salvage;
    use crate::claims::{SessionId, instant};
    use crate::rights::{Permission, PermissionEntry};
    use crate::store::embedded::Embedded;
    use crate::store::{Revocation, Store as _, Tally, Write};

    fn is_whole(folder: &Path) -> bool {
        salvage::is_whole(folder, &File::open(folder.join("db")).unwrap(), &mut Vec::new()).unwrap()
    }

    #[tokio::test]
    async fn a_store_is_whole_although_sled_has_cleared_what_was_replaced_in_it() {
        let folder = TempDir::new().unwrap();
        for round in 0..6 {
            let store = Embedded::open(folder.path()).unwrap();
            // The same keys again and again, so that little of what was written before still counts.
            for second in 0..60 {
                let until = instant(1_900_000_000 + second);
                let tallies = (0..100).map(|n| Tally { key: [n; 16], until }.into()).collect();
                store.commit(vec![Write::Count(tallies)]).await.unwrap();
            }
            drop(store);
            for _ in 0..3 {
                assert!(is_whole(folder.path()), "{round}");
                drop(Embedded::open(folder.path()).unwrap());
            }
        }
    }

    #[tokio::test]
    async fn what_lies_in_a_file_of_its_own_counts_and_so_does_a_snapshot_of_more_than_there_is() {
        let folder = TempDir::new().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        let (name, description) = (Permission::parse("name", "polls.vote").unwrap(), "x".repeat(200_000));
        let large = Write::CreatePermission(PermissionEntry { name, description, version: 0 });
        store.commit(vec![large]).await.unwrap();
        drop(store);
        assert!(is_whole(folder.path()));
        let apart: Vec<_> = fs::read_dir(folder.path().join("blobs")).unwrap().map(|e| e.unwrap().path()).collect();
        let sound: Vec<_> = apart.iter().map(|path| fs::read(path).unwrap()).collect();
        for (path, content) in apart.iter().zip(&sound) {
            fs::write(path, &content[..content.len() / 2]).unwrap();
        }
        assert!(!apart.is_empty() && !is_whole(folder.path()));
        // It is refused, and is as it was before: what was lost can be brought back.
        assert!(Embedded::open(folder.path()).is_err());
        for (path, content) in apart.iter().zip(&sound) {
            fs::write(path, content).unwrap();
        }
        assert!(is_whole(folder.path()));
        fs::write(folder.path().join("snap.000000000FF80000"), "").unwrap();
        assert!(!is_whole(folder.path()));
        fs::remove_file(folder.path().join("snap.000000000FF80000")).unwrap();
        drop(Embedded::open(folder.path()).unwrap());
    }

    #[tokio::test]
    async fn a_batch_without_its_end_is_kept_only_when_it_was_acknowledged() {
        let folder = TempDir::new().unwrap();
        let (db, mark) = (folder.path().join("db"), folder.path().join("signet-store"));
        let ends = || Write::Revoke(Revocation::Session { id: SessionId::random(), until: instant(1_900_000_000) });
        let store = Embedded::open(folder.path()).unwrap();
        store.commit(vec![ends()]).await.unwrap();
        let before = fs::read(&mark).unwrap();
        store.commit((0..50).map(|_| ends()).collect()).await.unwrap();
        drop(store);
        let file = fs::read(&db).unwrap();
        let used = file.iter().rposition(|byte| *byte != 0).unwrap();
        fs::write(&db, &file[..used - 9]).unwrap();
        assert!(!is_whole(folder.path()));
        fs::write(&mark, before).unwrap();
        assert!(is_whole(folder.path()));
        drop(Embedded::open(folder.path()).unwrap());
    }
}
