//! Brings a store of an older version up to this one, when it is opened and before anybody reads it.
//!
//! Each step adds what is missing and says so at its very end: one that was cut short is begun again, and does the
//! same once more.

use super::draft::order_keys;
use super::failed;
use super::layout::{self, Key, from_json};
use crate::store::StoreError;
use crate::user::User;

/// Records that one batch writes.
const BATCH: usize = 1_000;

/// From `signet 1`: users are found by address, and stand in orders. `sync` brings everything to the disk.
pub(super) fn from_1(tree: &sled::Tree, mut sync: impl FnMut() -> Result<(), StoreError>) -> Result<(), StoreError> {
    tracing::info!("the store is of an older version; it is brought up to this one");
    let mut batch = sled::Batch::default();
    let mut waiting = 0;
    for entry in tree.scan_prefix(Key::users()) {
        let (_, record) = entry.map_err(|e| failed(&e))?;
        // A record that cannot be read is refused where it is needed, and does not keep the others out.
        let Ok(user) = from_json::<User>(&record) else { continue };
        for key in Key::user_at_address(&user).into_iter().chain(order_keys(&user)) {
            batch.insert(key, b"");
        }
        waiting += 1;
        if waiting == BATCH {
            tree.apply_batch(std::mem::take(&mut batch)).map_err(|e| failed(&e))?;
            waiting = 0;
        }
    }
    tree.apply_batch(batch).map_err(|e| failed(&e))?;
    // On disk before the version says that it is there.
    sync()?;
    tree.insert(Key::format(), layout::FORMAT).map_err(|e| failed(&e))?;
    sync()
}
