//! A folder as a mailer: each message becomes a file that a mail program opens.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::Message;

use super::{Mailer, NotSent};
use crate::claims::TokenId;

/// Writes messages into a folder that only the server's own user reads.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder, made when it is missing.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let say = |what, e| format!("{}: {what}: {e}; name another folder with --mail", path.display());
        if !path.exists() {
            fs::create_dir_all(path).map_err(|e| say("cannot be made", e))?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|e| say("cannot be protected", e))?;
        }
        fs::read_dir(path).map_err(|e| say("cannot be read", e))?;
        Ok(Self(path.to_owned()))
    }
}

impl Mailer for Folder {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), NotSent>> {
        let (folder, content) = (self.0.clone(), message.formatted());
        async move {
            let failed = |e: &dyn std::fmt::Display| NotSent::Failed(format!("the folder of mails: {e}"));
            match tokio::task::spawn_blocking(move || write(&folder, &content)).await {
                Ok(written) => written.map_err(|e| failed(&e)),
                Err(e) => Err(failed(&e)),
            }
        }
        .boxed()
    }
}

/// Writes the whole file under another name before it gets its own: whoever watches the folder sees whole mails only.
fn write(folder: &Path, content: &[u8]) -> std::io::Result<()> {
    let name = TokenId::random().to_string();
    let (begun, whole) = (folder.join(format!(".{name}")), folder.join(format!("{name}.eml")));
    let written = File::options().write(true).create_new(true).mode(0o600).open(&begun).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&begun, &whole)
    });
    if written.is_err() {
        drop(fs::remove_file(&begun));
    }
    written
}
