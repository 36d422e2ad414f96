//! The line: one connection of this node's own, over which it follows what others change.
//!
//! Owns its place, and how it ends: a statement that nobody waits for any more is cancelled, as a server that waits for
//! its standby would otherwise keep it, and its place, for ever. Apart from the pool, so that a node still hears when all
//! other connections are taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool::managed::Manager as _;
use tokio::sync::Notify;
use tokio_postgres::Client;

use super::Address;
use super::fault::failed;
use super::lease::{Connection, Hosts};
use crate::store::StoreError;

/// What nodes call each other by, over the server.
pub(super) const CHANNEL: &str = "signet";

/// The place of the line, which is made when it is needed, and anew when it was lost.
pub(super) struct Place {
    address: Address,
    hosts: Hosts,
    line: Mutex<Option<Connection>>,
    called: Arc<Notify>,
    was_made: AtomicBool,
}

impl Place {
    pub(super) fn new(address: &Address) -> Self {
        let called = Arc::new(Notify::new());
        Self {
            address: address.clone(),
            hosts: Hosts::of(address, Some(Arc::clone(&called))),
            line: Mutex::default(),
            called,
            was_made: AtomicBool::new(false),
        }
    }

    /// Done when the server has called since the last time, or the line was lost.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }

    /// The line, for one question; and whether it is another one than before.
    ///
    /// # Errors
    /// `Failed` when no host that takes writes is to be had.
    pub(super) async fn take(&self) -> Result<(Taken<'_>, bool), StoreError> {
        let kept = self.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = kept.filter(|line| !line.client.is_closed()) {
            return Ok((Taken { place: self, line: Some(line) }, false));
        }
        let line = self.hosts.create().await?;
        if self.address.is_notified() {
            line.client.batch_execute(&format!("listen {CHANNEL}")).await.map_err(|e| failed(&e))?;
        }
        let is_another = self.was_made.swap(true, Ordering::SeqCst);
        Ok((Taken { place: self, line: Some(line) }, is_another))
    }
}

/// The line while a question is asked. It goes back with [`Taken::answered`]; dropped before, it is given up.
pub(super) struct Taken<'a> {
    place: &'a Place,
    line: Option<Connection>,
}

impl Taken<'_> {
    pub(super) fn client(&self) -> Option<&Client> {
        self.line.as_ref().map(|line| &line.client)
    }

    /// Puts the line back.
    pub(super) fn answered(mut self) {
        *self.place.line.lock().unwrap_or_else(PoisonError::into_inner) = self.line.take();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            let address = self.place.address.clone();
            tokio::spawn(async move { line.cancel(&address).await });
        }
    }
}
