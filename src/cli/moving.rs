//! `signet migrate-store`: from where to where, and how far it is.

use std::cell::RefCell;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Ending, failed, print, runtime};
use crate::moving::{self, Place};
use crate::store::postgres::{Address, Unread};

#[derive(Debug, Args)]
pub(super) struct MigrateStore {
    /// The store to read, which is not changed: sled:FOLDER, or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(value_name = "FROM")]
    from: Unread,
    /// The empty store to fill, in the same forms; one on PostgreSQL has its schema from `signet migrate`
    #[arg(value_name = "TO")]
    to: Unread,
}

fn place(which: &str, text: &Unread) -> Result<Place, Ending> {
    if let Some(folder) = text.folder() {
        return Ok(Place::Embedded(folder));
    }
    let address: Result<Address, _> = text.read();
    let address = address.map_err(|e| Ending::Usage(format!("{which}: {e}; or sled:FOLDER for an embedded store")))?;
    Ok(Place::Postgres(Box::new(address)))
}

/// `signet migrate-store`.
pub(super) fn migrate_store(command: &MigrateStore) -> Result<(), Ending> {
    let (from, to) = (place("FROM", &command.from)?, place("TO", &command.to)?);
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}: {human_pos} ({per_sec})").map_err(failed)?);
    let last = RefCell::new(String::new());
    let tell = |what: &str, done: u64| {
        if *last.borrow() != what {
            what.clone_into(&mut last.borrow_mut());
            // Where nobody watches, a line for each part is enough.
            if bar.is_hidden() {
                drop(print(&format!("{what}\n")));
            }
            bar.set_message(what.to_owned());
        }
        bar.set_position(done);
    };
    let moved = runtime()?.block_on(moving::migrate(&from, &to, tell)).map_err(failed)?;
    bar.finish_and_clear();
    let lines = moved.iter().map(|(kind, sum)| format!("{:>9} {}\t{}\n", sum.count, kind.name(), &sum.text()[..16]));
    let next = "both stores hold the same; the one that was read is as it was\n";
    print(&format!("{}{next}", lines.collect::<String>()))
}
