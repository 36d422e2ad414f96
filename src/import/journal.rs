//! The journal of an import: what it is about to make and change, durable before the store hears of it.
//!
//! Owns the file `signet-import` in the folder of the store; a store without a folder keeps the lines itself. While
//! there is a journal, an import is neither finished nor taken back: no server starts on the store. Each line is
//! durable before what it tells of is committed; a line that was cut off tells of something that never was.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::outcome::Traces;
use crate::store::{Ledger, SharedStore, StoreError};

const NAME: &str = "signet-import";

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begin {
    signet_import: u32,
    /// What is imported, and how.
    of: String,
}

/// Where the journal of a store is: beside what it tells of, so that whoever opens the store finds it.
#[derive(Clone)]
pub(super) enum Shelf {
    /// In the store's folder.
    Folder(PathBuf),
    /// In the store, which has a ledger.
    Store(SharedStore),
}

enum Pen {
    File(File),
    /// How many lines there are.
    Lines(usize),
}

/// An open journal.
pub(super) struct Journal {
    shelf: Shelf,
    pen: Pen,
    of: String,
}

/// Whether an import into the store of this folder is neither finished nor taken back.
#[must_use]
pub(super) fn unfinished(data: &Path) -> bool {
    data.join(NAME).exists()
}

fn told(error: StoreError) -> io::Error {
    match error {
        StoreError::Changed => io::Error::other("another import into the store is under way"),
        error => io::Error::other(error.to_string()),
    }
}

fn ledger(store: &SharedStore) -> io::Result<&dyn Ledger> {
    store.ledger().ok_or_else(|| io::Error::other("the store keeps no journal"))
}

impl Shelf {
    /// That of a store, which lies in the folder when it has one.
    pub(super) fn of(store: &SharedStore, data: &Path) -> Self {
        match store.ledger() {
            Some(_) => Self::Store(store.clone()),
            None => Self::Folder(data.to_owned()),
        }
    }

    /// Whether an import is neither finished nor taken back.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn unfinished(&self) -> io::Result<bool> {
        match self {
            Self::Folder(data) => Ok(unfinished(data)),
            Self::Store(store) => Ok(!ledger(store)?.lines().await.map_err(told)?.is_empty()),
        }
    }

    async fn lines(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Folder(data) => {
                let text = std::fs::read_to_string(data.join(NAME))?;
                // A line that is cut off tells of nothing.
                let whole = text.rfind('\n').map_or("", |end| &text[..end]);
                Ok(whole.lines().map(str::to_owned).collect())
            }
            Self::Store(store) => ledger(store)?.lines().await.map_err(told),
        }
    }
}

impl Journal {
    /// A new one, of an import that is told by `of`.
    ///
    /// # Errors
    /// When it cannot be made durable, or there is one.
    pub(super) async fn begin(shelf: &Shelf, of: &str) -> io::Result<Self> {
        let begin = serde_json::to_string(&Begin { signet_import: 1, of: of.to_owned() })?;
        let pen = match shelf {
            Shelf::Folder(data) => {
                let begun = data.join(format!("{NAME}.new"));
                let mut file =
                    File::options().write(true).read(true).create(true).truncate(true).mode(0o600).open(&begun)?;
                writeln!(file, "{begin}")?;
                file.sync_all()?;
                std::fs::rename(&begun, data.join(NAME))?;
                File::open(data)?.sync_all()?;
                Pen::File(file)
            }
            Shelf::Store(store) => {
                ledger(store)?.write(0, &begin).await.map_err(told)?;
                Pen::Lines(1)
            }
        };
        Ok(Self { shelf: shelf.clone(), pen, of: of.to_owned() })
    }

    /// The one that an interrupted import has left, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is not of this version.
    pub(super) async fn left(shelf: &Shelf) -> io::Result<Option<Self>> {
        let (first, pen) = match shelf {
            Shelf::Folder(data) => {
                let mut file = match File::options().read(true).write(true).open(data.join(NAME)) {
                    Ok(file) => file,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(e) => return Err(e),
                };
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                let whole = text.rfind('\n').map_or(0, |at| at + 1);
                text.truncate(whole);
                file.set_len(whole as u64)?;
                file.seek(io::SeekFrom::End(0))?;
                (text.lines().next().unwrap_or_default().to_owned(), Pen::File(file))
            }
            Shelf::Store(_) => {
                let lines = shelf.lines().await?;
                let Some(first) = lines.first() else { return Ok(None) };
                (first.clone(), Pen::Lines(lines.len()))
            }
        };
        let begin: Begin = serde_json::from_str(&first)?;
        if begin.signet_import != 1 {
            return Err(io::Error::other("it is of another version of signet"));
        }
        Ok(Some(Self { shelf: shelf.clone(), pen, of: begin.of }))
    }

    /// What is imported, and how.
    #[must_use]
    pub(super) fn of(&self) -> &str {
        &self.of
    }

    /// Notes what the next commit makes and changes. After `Ok` it is durable.
    ///
    /// # Errors
    /// When it cannot be made so.
    pub(super) async fn note(&mut self, traces: &Traces) -> io::Result<()> {
        let line = serde_json::to_string(traces)?;
        match (&mut self.pen, &self.shelf) {
            (Pen::File(file), _) => {
                file.write_all(format!("{line}\n").as_bytes())?;
                file.sync_data()
            }
            (Pen::Lines(lines), Shelf::Store(store)) => {
                ledger(store)?.write(*lines, &line).await.map_err(told)?;
                *lines += 1;
                Ok(())
            }
            (Pen::Lines(_), Shelf::Folder(_)) => Err(io::Error::other("a journal without a place")),
        }
    }

    /// What was noted, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn traces(&self) -> io::Result<impl Iterator<Item = io::Result<Traces>> + use<>> {
        let mut lines: Vec<String> = self.shelf.lines().await?.into_iter().skip(1).collect();
        lines.reverse();
        Ok(lines.into_iter().map(|line| Ok(serde_json::from_str(&line)?)))
    }

    /// That nothing is left to finish or to take back.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) async fn end(self) -> io::Result<()> {
        match &self.shelf {
            Shelf::Folder(data) => {
                std::fs::remove_file(data.join(NAME))?;
                File::open(data)?.sync_all()
            }
            Shelf::Store(store) => ledger(store)?.clear().await.map_err(told),
        }
    }
}
