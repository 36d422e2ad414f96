//! What sled finds when it opens a damaged store, kept aside until that has gone well.
//!
//! Owns the folder `signet-aside` in the store's. sled takes the first message that it cannot read for the end of its
//! file, and clears what comes after it, and what is there of a batch that has lost its end: a store that is refused
//! then would have less in it than before. So a file that is not whole is copied first, and put back when the store is
//! refused; a start that is cut short in between is made up for by the next one. Called by `database.rs`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::salvage::{self, ASIDE};

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
        // The last start was cut short before it knew whether the store opens.
        if aside.place().exists() {
            aside.bring_back(&db)?;
            return Ok(Some(aside));
        }
        if salvage::is_whole(&db, segment)? {
            return Ok(None);
        }
        tracing::debug!("the store's file is not whole; a copy is kept until it is known that it opens");
        let new = folder.join(format!("{ASIDE}.new"));
        remove(&new)?;
        std::fs::create_dir_all(new.join("blobs"))?;
        std::fs::copy(folder.join("db"), new.join("db"))?;
        File::open(new.join("db"))?.sync_all()?;
        // sled writes these once, and removes them.
        link_all(folder, &new, |name| name.starts_with("snap."))?;
        link_all(&folder.join("blobs"), &new.join("blobs"), |_| true)?;
        std::fs::rename(new, aside.place())?;
        File::open(folder)?.sync_all()?;
        Ok(Some(aside))
    }

    fn place(&self) -> PathBuf {
        self.folder.join(ASIDE)
    }

    /// The store is refused: it is as it was before.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it open. What is aside stays there.
    pub(super) fn put_back(self) -> io::Result<()> {
        let db = File::options().read(true).write(true).open(self.folder.join("db"))?;
        db.try_lock()?;
        self.bring_back(&db)?;
        remove(&self.place())
    }

    fn bring_back(&self, db: &File) -> io::Result<()> {
        let place = self.place();
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

    /// The store is open: what is aside is needed no more.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn forget(self) -> io::Result<()> {
        // By another name first: half of it must not be taken for the whole.
        let old = self.folder.join(format!("{ASIDE}.old"));
        remove(&old)?;
        std::fs::rename(self.place(), &old)?;
        remove(&old)
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
            match std::fs::hard_link(entry.path(), to.join(&name)) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
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
