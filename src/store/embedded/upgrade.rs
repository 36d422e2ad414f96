//! Brings a store of an older version up to this one, when it is opened and before anybody reads it.
//!
//! Each step adds what is missing, and the version says so at the very end: one that was cut short is begun again, and
//! does the same once more.

use serde::de::DeserializeOwned;

use super::draft::order_keys;
use super::failed;
use super::layout::{self, Key, from_json};
use super::writer::free_replaced;
use crate::store::{OpenSession, StoreError};
use crate::user::User;

/// Keys that one batch writes, and those of one record more at the most.
const BATCH: usize = 1_000;

/// From the version that was found. `sync` brings everything to the disk.
pub(super) fn bring_up(
    tree: &sled::Tree,
    found: &[u8],
    mut sync: impl FnMut() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    tracing::info!("the store is of an older version; it is brought up to this one");
    if found == layout::FORMAT_1 {
        // Users are found by address, and stand in orders.
        let keys = |user: User| Key::user_at_address(&user).into_iter().chain(order_keys(&user)).collect();
        index(tree, &Key::users(), keys)?;
    }
    // Open sessions are found by the time of the log-in.
    index(tree, &Key::all_sessions(), |session: OpenSession| vec![Key::session_by_time(&session)])?;
    // On disk before the version says that it is there.
    sync()?;
    tree.insert(Key::format(), layout::FORMAT).map_err(|e| failed(&e))?;
    sync()
}

/// Adds the keys under which each record below a prefix is found.
fn index<T: DeserializeOwned>(
    tree: &sled::Tree,
    prefix: &[u8],
    keys: impl Fn(T) -> Vec<Vec<u8>>,
) -> Result<(), StoreError> {
    let mut batch = sled::Batch::default();
    let mut changed = 0;
    for entry in tree.scan_prefix(prefix) {
        let (_, record) = entry.map_err(|e| failed(&e))?;
        // A record that cannot be read is refused where it is needed, and does not keep the others out.
        let Ok(record) = from_json::<T>(&record) else { continue };
        for key in keys(record) {
            batch.insert(key, b"");
            changed += 1;
        }
        if changed >= BATCH {
            tree.apply_batch(std::mem::take(&mut batch)).map_err(|e| failed(&e))?;
            free_replaced(std::mem::take(&mut changed));
        }
    }
    tree.apply_batch(batch).map_err(|e| failed(&e))
}
