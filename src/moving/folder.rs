//! A folder that is filled under another name, and gets its own when it is whole.
//!
//! Owns that name, the lock which keeps a second one out, and what an interrupted one has left there.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{NotMoved, failed};

/// The folder that is filled, empty at first, and locked for as long as this is there.
pub(super) struct Unfinished {
    name: PathBuf,
    path: PathBuf,
    /// The folder itself: its lock goes with it, whatever it is called.
    folder: File,
}

fn say(folder: &Path, what: &dyn std::fmt::Display, mend: &str) -> NotMoved {
    failed(format!("{}: {what}; {mend}", folder.display()))
}

impl Unfinished {
    /// Where a store is made that will have this name, when nothing has it. What an interrupted move left there is
    /// dropped.
    pub(super) fn of(name: &Path) -> Result<Self, NotMoved> {
        match std::fs::read_dir(name).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                let mend = "name a folder that is empty, or not there";
                return Err(say(name, &"there is something in it already", mend));
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(say(name, &e, "name another folder")),
            _ => {}
        }
        let mut path = name.file_name().ok_or_else(|| say(name, &"is no name of a folder", "name one"))?.to_owned();
        path.push(".unfinished");
        let path = name.with_file_name(path);
        let folder = taken(&path).map_err(|e| match e {
            e if e.kind() == io::ErrorKind::WouldBlock => say(&path, &"another move fills it", "wait for its end"),
            e => say(&path, &e, "check the disk"),
        })?;
        Ok(Self { name: name.to_owned(), path, folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name. After `Ok` that is durable.
    pub(super) fn named(self) -> Result<(), NotMoved> {
        let named = self.folder.sync_all().and_then(|()| {
            std::fs::rename(&self.path, &self.name)?;
            File::open(parent(&self.name))?.sync_all()
        });
        named.map_err(|e| say(&self.name, &format!("cannot be named: {e}"), "check the disk"))
    }
}

fn parent(of: &Path) -> &Path {
    of.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder, made if need be, locked and empty.
fn taken(path: &Path) -> io::Result<File> {
    std::fs::create_dir_all(path)?;
    let folder = File::open(path)?;
    folder.try_lock()?;
    // It may have got its name before it was locked here, and is somebody's store now.
    let (locked, named) = (folder.metadata()?, std::fs::metadata(path)?);
    if (locked.dev(), locked.ino()) != (named.dev(), named.ino()) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(folder)
}
