//! Signet's own export, read back: whole, or not at all.
//!
//! Owns the check that nothing is missing. `export.rs` writes what this reads.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::input::{Input, Unreadable};
use super::record::{Item, Record};

/// The version of the export that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// One line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// The first one.
    Begin {
        /// The version of the format.
        signet_export: u32,
        /// When it was made.
        made: DateTime<Utc>,
        /// The epoch at that time.
        epoch: u64,
    },
    /// The last one.
    End {
        /// What stands between the first line and this.
        end: End,
    },
    /// A record.
    Record(Record),
}

/// What stands between the first line and the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many records.
    pub records: u64,
    /// SHA-256 of their lines, with the line ends, in hexadecimal digits.
    pub sha256: String,
}

/// The checksum of lines.
#[derive(Default)]
pub struct Sum {
    records: u64,
    hash: Sha256,
}

impl Sum {
    /// Takes in the next record's line, without its end.
    pub fn add(&mut self, line: &str) {
        self.records += 1;
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
    }

    /// The last line's contents.
    #[must_use]
    pub fn end(self) -> End {
        End { records: self.records, sha256: hex(&self.hash.finalize()) }
    }
}

/// Hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An export that was read once, and is whole.
#[derive(Debug)]
pub struct Backup {
    input: Input,
    /// Its epoch.
    pub epoch: u64,
    /// Its records.
    pub records: u64,
    /// SHA-256 of the whole.
    pub fingerprint: [u8; 32],
}

impl Backup {
    /// The export in a file, or on standard input for `-`.
    ///
    /// # Errors
    /// When it is cut, changed, of another version, or no export.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let mut input = Input::open(path)?;
        let wrong = |what: String| Unreadable(format!("{}: {what}", path.display()));
        let (mut begun, mut end, mut sum) = (None, None, Sum::default());
        let fingerprint = input.pass(|number, line: serde_json::Value| {
            if end.is_some() {
                return Err(wrong("there is something after its last line".to_owned()));
            }
            let text = line.to_string();
            match (number, serde_json::from_value::<Line>(line)) {
                (1, Ok(Line::Begin { signet_export: VERSION, epoch, .. })) => begun = Some(epoch),
                (1, Ok(Line::Begin { signet_export, .. })) => {
                    let what = format!("it is an export of version {signet_export}; this signet reads {VERSION}");
                    return Err(wrong(what));
                }
                (1, _) => return Err(wrong("it is no export of signet; `signet export FILE` makes one".to_owned())),
                (_, Ok(Line::Record(_))) => sum.add(&text),
                (_, Ok(Line::End { end: found })) => end = Some(found),
                (..) => return Err(wrong(format!("line {number} is no record of an export"))),
            }
            Ok(())
        })?;
        let found = sum.end();
        match (begun, end) {
            (Some(epoch), Some(end)) if end == found => Ok(Self { input, epoch, records: found.records, fingerprint }),
            (_, Some(_)) => Err(wrong("it was changed: its checksum is another one; use an untouched copy".to_owned())),
            _ => Err(wrong("it is cut: its last line is missing; use a whole copy".to_owned())),
        }
    }

    /// Gives each record to `each`.
    ///
    /// # Errors
    /// What `each` finds, and when the file has changed since it was opened.
    pub fn read(&mut self, each: &mut dyn FnMut(Item) -> Result<(), Unreadable>) -> Result<(), Unreadable> {
        let again = self.input.pass(|number, line: Line| match line {
            Line::Record(record) => {
                each(Item { locator: locator(number, &record), record: Some(record), losses: vec![] })
            }
            _ => Ok(()),
        })?;
        if again == self.fingerprint { Ok(()) } else { Err(Unreadable("the file changed meanwhile".to_owned())) }
    }
}

fn locator(line: u64, record: &Record) -> String {
    match record {
        Record::Permission(record) => format!("line {line}: permission {:?}", record.name),
        Record::Group(record) => format!("line {line}: group {:?}", record.name),
        Record::User(record) => format!("line {line}: user {:?}", record.username),
    }
}
