//! The export: everything that the store keeps, as JSON lines, for a backup and for the way out.
//!
//! Owns the writing; `import/signet.rs` owns the format and reads it back. The first line names the version, the time
//! and the epoch; then come permissions, groups and users, each kind in the order of its names; the last line
//! counts and sums them up, so that a file that was cut is noticed. Sessions and API tokens are not in it: a restore
//! ends them.

use std::io::Write;

use chrono::{DateTime, Utc};

use crate::app::unavailable;
use crate::error::Error;
use crate::import::record::{GroupRecord, PermissionRecord, Record, UserRecord};
use crate::import::signet::{Line, Sum, VERSION};
use crate::rights::GroupTable;
use crate::store::{Revocation, SharedStore, Slice};

/// Records that are read at once.
const PAGE: usize = 500;

/// Why an export was not made.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The store could not be read.
    #[error("{0}")]
    Store(#[from] Error),
    /// It could not be written.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes everything; gives the number of records.
///
/// # Errors
/// When the store cannot be read, or `to` not be written.
pub async fn export(store: &SharedStore, now: DateTime<Utc>, to: &mut dyn Write) -> Result<u64, Failed> {
    let state = store.state().await.map_err(unavailable)?;
    let epoch = |revocation: &Revocation| if let Revocation::Epoch(epoch) = revocation { Some(*epoch) } else { None };
    let epoch = state.revocations.iter().filter_map(epoch).max().unwrap_or(0);
    let table = GroupTable::new(&state.groups);
    let mut lines = Lines { to, sum: Sum::default() };
    line(&mut lines.to, &Line::Begin { signet_export: VERSION, made: now, epoch })?;
    let mut slice = Slice { limit: PAGE, ..Slice::default() };
    loop {
        let page = store.permissions(slice.clone()).await.map_err(unavailable)?;
        for entry in page.items {
            lines.record(Record::Permission(PermissionRecord::from(entry)))?;
        }
        slice.after = page.next;
        if slice.after.is_none() {
            break;
        }
    }
    let mut groups = state.groups;
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    for group in groups {
        lines.record(Record::Group(GroupRecord::from(group)))?;
    }
    loop {
        let page = store.users(slice.clone()).await.map_err(unavailable)?;
        for user in page.items {
            let names = table.names_of(&user.groups);
            lines.record(Record::User(Box::new(UserRecord::of(user, names))))?;
        }
        slice.after = page.next;
        if slice.after.is_none() {
            break;
        }
    }
    let end = lines.sum.end();
    let records = end.records;
    line(lines.to, &Line::End { end })?;
    lines.to.flush()?;
    Ok(records)
}

struct Lines<'a> {
    to: &'a mut dyn Write,
    sum: Sum,
}

impl Lines<'_> {
    fn record(&mut self, record: Record) -> Result<(), Failed> {
        let text = line(self.to, &Line::Record(record))?;
        self.sum.add(&text);
        Ok(())
    }
}

fn line(to: &mut dyn Write, line: &Line) -> Result<String, Failed> {
    let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
    to.write_all(text.as_bytes())?;
    to.write_all(b"\n")?;
    Ok(text)
}
