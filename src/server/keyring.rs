//! The folder of keys, beside the requests: opened with what it lacks, and followed while the server runs.
//!
//! Owns when the keys are read; what they are is `keys.rs`, what becomes of them `app.rs`. No request reads a key, whatever
//! name a token gives: the folder is looked at once a second, and read when it is another one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};

use super::{CannotServe, cannot, now};
use crate::app::App;
use crate::keys::{self, Keyring, Stamp};

/// How often the folder is looked at. Its files are opened when it has changed only.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keyring of the folder, which gets an Ed25519 key when it has no key at all, and a key that seals when one is
/// asked for and it has none of that kind.
pub(super) fn open(folder: &Path, seal: bool) -> Result<(Keyring, Folder), CannotServe> {
    std::fs::create_dir_all(folder)
        .map_err(|e| cannot(format!("{}: cannot be made: {e}; name another folder with --keys", folder.display())))?;
    if keys::is_empty(folder).map_err(cannot)? {
        let kid = keys::generate(folder, "eddsa", None, now()).map_err(cannot)?;
        tracing::info!(kid, "made a key");
    }
    let keyring = Keyring::load(folder).map_err(cannot)?;
    if seal {
        if keyring.sealing_keys().is_empty() {
            let kid = keys::generate_sealing(folder, None, now()).map_err(cannot)?;
            tracing::info!(kid, "made a key that seals the data of sessions");
        } else {
            keyring.must_seal(folder).map_err(cannot)?;
        }
    }
    // Looked at before it is read: what changes meanwhile is another folder.
    let seen = keys::stamp(folder).map_err(cannot)?;
    let keyring = Keyring::load(folder).map_err(cannot)?;
    Ok((keyring, Folder { path: folder.to_owned(), seen }))
}

/// The folder that the keys in use were read from.
pub(super) struct Folder {
    path: PathBuf,
    seen: Stamp,
}

/// Reads the keys again when the folder has changed, and on SIGHUP. A folder with a fault changes nothing; it is read
/// again when it is another one.
pub(super) async fn follow(mut folder: Folder, mut hangup: Signal, app: App) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_told = tokio::select! {
            Some(()) = hangup.recv() => true,
            _ = look.tick() => false,
        };
        match keys::stamp(&folder.path) {
            Ok(now) if now != folder.seen => folder.seen = now,
            _ if is_told => {}
            _ => continue,
        }
        match app.reload_keys(&folder.path) {
            Ok(()) => tracing::info!(signer = app.tokens().keyring().signer().kid(), "keys read again"),
            Err(faults) => tracing::error!(%faults, "keys not read again; the ones in use stay"),
        }
    }
}
