//! A whole Signet on the folders of a server that is stopped: what commands without a server work with.
//!
//! Owns how it is opened. Serves nobody, and makes no key and no superuser: that is `server.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::app::{App, Clock, Parts};
use crate::claims::Lifetime;
use crate::keys::{self, Keyring};
use crate::store::SharedStore;
use crate::store::embedded::Embedded;
use crate::store::postgres::{Postgres, Unread};

/// Bytes of records that the store keeps in memory.
pub const CACHE_BYTES: u64 = 8 << 20;

/// Where the folders are, and what tokens will say.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder of the embedded store.
    pub data: PathBuf,
    /// The store in its place.
    pub store: Option<Unread>,
    /// The folder of the keys, which may be missing.
    pub keys: PathBuf,
    /// The issuer of tokens.
    pub issuer: String,
    /// The audience of tokens.
    pub audience: String,
}

/// Why a store could not be opened: what, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotOpen(pub String);

/// A Signet that is not served. Dropping it closes the store.
pub struct Offline {
    /// The wired whole.
    pub app: App,
    /// Holds a folder that is only there for as long as this is.
    _scratch: Option<TempDir>,
}

/// Whether there is a store in the folder.
#[must_use]
pub fn has_store(data: &Path) -> bool {
    data.join("db").exists()
}

/// Opens the store of the place, which is made when it is missing.
///
/// # Errors
/// When the store is in use, damaged or of another version, or a key is not sound.
pub async fn open(place: &Place, clock: Clock) -> Result<Offline, CannotOpen> {
    open_at(&place.data, place, clock, None).await
}

/// As [`open`]; without a store, one that holds nothing and leaves nothing behind.
///
/// # Errors
/// As [`open`].
pub async fn look(place: &Place, clock: Clock) -> Result<Offline, CannotOpen> {
    if place.store.is_some() || has_store(&place.data) {
        return open(place, clock).await;
    }
    let scratch = scratch()?;
    let folder = scratch.path().join("data");
    open_at(&folder, place, clock, Some(scratch)).await
}

async fn open_at(folder: &Path, place: &Place, clock: Clock, scratch: Option<TempDir>) -> Result<Offline, CannotOpen> {
    let keyring = keyring(&place.keys, &clock)?;
    let failed = |e: &dyn std::fmt::Display| CannotOpen(e.to_string());
    let store: SharedStore = match &place.store {
        Some(address) => {
            let address = address.read().map_err(|e| failed(&format!("--store (SIGNET_STORE): {e}")))?;
            Arc::new(Postgres::open(&address).await.map_err(|e| failed(&e))?)
        }
        None => Arc::new(Embedded::open_with(folder, CACHE_BYTES).map_err(|e| failed(&e))?),
    };
    let parts = Parts {
        issuer: place.issuer.clone(),
        audience: place.audience.clone(),
        // No session is opened here: the longest life that the store knows stays as it is.
        life: Lifetime { age: 1, end: 1 },
        registration_open: false,
        hash_workers: 1,
        throttle: false,
        ..Parts::new(store, keyring, clock)
    };
    let app = App::open(parts).await.map_err(|e| CannotOpen(e.to_string()))?;
    Ok(Offline { app, _scratch: scratch })
}

/// The keys of the folder. Where there are none yet, a passing one of the kind that a server will make: the size of
/// tokens depends on it.
fn keyring(folder: &Path, clock: &Clock) -> Result<Keyring, CannotOpen> {
    let failed = |e: &dyn std::fmt::Display| CannotOpen(e.to_string());
    if folder.exists() && !keys::is_empty(folder).map_err(|e| failed(&e))? {
        return Keyring::load(folder).map_err(|e| failed(&e));
    }
    let scratch = scratch()?;
    keys::generate(scratch.path(), "eddsa", None, clock()).map_err(|e| failed(&e))?;
    Keyring::load(scratch.path()).map_err(|e| failed(&e))
}

fn scratch() -> Result<TempDir, CannotOpen> {
    TempDir::new().map_err(|e| CannotOpen(format!("cannot make a temporary folder: {e}; point TMPDIR to another one")))
}
