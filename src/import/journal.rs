//! The journal of an import: what it is about to make and change, on disk before the store hears of it.
//!
//! Owns the file `signet-import` in the folder of the store. While it is there, an import is neither finished nor taken
//! back: nothing is served from the store. Each line is synced before what it tells of is committed; a line that
//! was cut off tells of something that never was.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::judge::Traces;

const NAME: &str = "signet-import";

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begin {
    signet_import: u32,
    /// What is imported, and how.
    of: String,
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    folder: PathBuf,
    of: String,
}

/// Whether an import into the store of this folder is neither finished nor taken back.
#[must_use]
pub(super) fn unfinished(data: &Path) -> bool {
    data.join(NAME).exists()
}

impl Journal {
    /// A new one, of an import that is told by `of`.
    ///
    /// # Errors
    /// When it cannot be brought to the disk.
    pub(super) fn begin(data: &Path, of: &str) -> io::Result<Self> {
        let begun = data.join(format!("{NAME}.new"));
        let mut file = File::options().write(true).read(true).create(true).truncate(true).mode(0o600).open(&begun)?;
        let begin = Begin { signet_import: 1, of: of.to_owned() };
        writeln!(file, "{}", serde_json::to_string(&begin)?)?;
        file.sync_all()?;
        std::fs::rename(&begun, data.join(NAME))?;
        File::open(data)?.sync_all()?;
        Ok(Self { file, folder: data.to_owned(), of: of.to_owned() })
    }

    /// The one that an interrupted import has left, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is not of this version.
    pub(super) fn left(data: &Path) -> io::Result<Option<Self>> {
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
        let begin: Begin = serde_json::from_str(text.lines().next().unwrap_or_default())?;
        if begin.signet_import != 1 {
            return Err(io::Error::other("it is of another version of signet"));
        }
        Ok(Some(Self { file, folder: data.to_owned(), of: begin.of }))
    }

    /// What is imported, and how.
    #[must_use]
    pub(super) fn of(&self) -> &str {
        &self.of
    }

    /// Notes what the next commit makes and changes. After `Ok` it is on the disk.
    ///
    /// # Errors
    /// When it cannot be brought there.
    pub(super) fn note(&mut self, traces: &Traces) -> io::Result<()> {
        let mut line = serde_json::to_vec(traces)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }

    /// What was noted, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn traces(&self) -> io::Result<impl Iterator<Item = io::Result<Traces>> + use<>> {
        let text = std::fs::read_to_string(self.folder.join(NAME))?;
        // A line that is cut off tells of nothing.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines: Vec<String> = whole.lines().skip(1).map(str::to_owned).collect();
        lines.reverse();
        Ok(lines.into_iter().map(|line| Ok(serde_json::from_str(&line)?)))
    }

    /// That nothing is left to finish or to take back.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn end(self) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(NAME))?;
        File::open(&self.folder)?.sync_all()
    }
}
