//! The line: one connection of this node's own, over which it follows what others change.
//!
//! Owns the connection, what the server calls over it unasked, and how it ends: a statement that nobody waits for any
//! more is cancelled, as a server that waits for its standby would otherwise keep it, and its place, for ever.
//! Apart from the pool, so that a node still hears when all other connections are taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Error};

use super::Address;

/// What nodes call each other by, over the server.
pub(super) const CHANNEL: &str = "signet";

/// How long it is tried to cancel a statement.
const CANCEL: Duration = Duration::from_secs(5);

/// The place of the line, which is made when it is needed, and anew when it was lost.
pub(super) struct Place {
    address: Address,
    line: Mutex<Option<Line>>,
    stirred: Arc<Notify>,
    was_made: AtomicBool,
}

/// A connection, and what drives it.
struct Line {
    client: Client,
    driver: JoinHandle<()>,
}

impl Line {
    async fn make(address: &Address, stirred: Arc<Notify>) -> Result<Self, Error> {
        let (client, mut connection) = address.config().connect(address.tls()).await?;
        let driver = tokio::spawn(async move {
            let mut messages = poll_fn(|context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    stirred.notify_one();
                }
            }
            // Whoever looks now finds out that the line is gone.
            stirred.notify_one();
        });
        let line = Self { client, driver };
        if address.is_notified() {
            line.client.batch_execute(&format!("listen {CHANNEL}")).await?;
        }
        Ok(line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Place {
    pub(super) fn new(address: Address) -> Self {
        Self { address, line: Mutex::default(), stirred: Arc::default(), was_made: AtomicBool::new(false) }
    }

    /// Done when the server has called since the last time, or the line was lost.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// The line, for one question; and whether it is another one than before.
    pub(super) async fn take(&self) -> Result<(Taken<'_>, bool), Error> {
        let kept = self.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = kept.filter(|line| !line.client.is_closed()) {
            return Ok((Taken { place: self, line: Some(line) }, false));
        }
        let line = Line::make(&self.address, Arc::clone(&self.stirred)).await?;
        let is_another = self.was_made.swap(true, Ordering::SeqCst);
        Ok((Taken { place: self, line: Some(line) }, is_another))
    }
}

/// The line while a question is asked. It goes back with [`Taken::answered`]; dropped before, it is given up.
pub(super) struct Taken<'a> {
    place: &'a Place,
    line: Option<Line>,
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
            let (cancel, tls) = (line.client.cancel_token(), self.place.address.tls());
            tokio::spawn(async move { tokio::time::timeout(CANCEL, cancel.cancel_query(tls)).await });
        }
    }
}
