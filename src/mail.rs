//! Mail: where it goes, what its links lead to, and the errands that are run for it beside the requests.
//!
//! Owns the mailers (`mail/folder.rs`, `mail/smtp.rs`), the form of a message and how often one is tried. What a mail
//! says, and to whom it goes, is decided in `challenge.rs`. No request waits here: an errand takes one of a bounded
//! number of places at once, or is not run at all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use lettre::Message;
use tokio::sync::Semaphore;

use crate::metrics::Counters;
use crate::request;

mod folder;
mod message;
mod route;
mod smtp;

pub use message::Sender;
pub use route::{NotARoute, Relay, Route, Security};

/// Errands that may be on their way at once, the ones that wait for another try included.
const ERRANDS_MAX: usize = 256;

/// Mails that are handed over at once.
const HANDS: usize = 4;

/// How long is waited before a mail is tried again, each time.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_mins(1)];

/// A mail in plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The one address that it goes to.
    pub to: String,
    /// The subject. Never holds what a user wrote.
    pub subject: String,
    /// The text.
    pub text: String,
    /// When it was written.
    pub date: DateTime<Utc>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text holds a link that opens an account, and no log shows an address.
        f.debug_struct("Mail").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Why a mail was not sent. The text is for the log, and names no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// It never will be.
    #[error("refused: {0}")]
    Refused(String),
    /// It may be, later.
    #[error("failed: {0}")]
    Failed(String),
}

/// Takes messages.
trait Mailer: Send + Sync + 'static {
    /// Hands the message over. After `Ok` it is the other side's to deliver.
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), NotSent>>;
}

/// The pages that the links in mails lead to. Set by whoever runs the server, never by a request: `Host` is the
/// caller's to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// Scheme, host and port.
    pub origin: String,
    /// The path of the page that asks for a new password.
    pub reset_page: String,
    /// The path of the page that confirms an address.
    pub verify_page: String,
}

impl Links {
    /// A link with a token. It stands behind `#`, which browsers send to nobody: not in a log, not in `Referer`.
    pub(crate) fn to(&self, page: &str, token: &str) -> String {
        format!("{}{page}#token={token}", self.origin)
    }
}

/// The way that mails go out, with the errands that use it.
pub struct Post {
    mailer: Box<dyn Mailer>,
    sender: Sender,
    links: Links,
    places: Arc<Semaphore>,
    hands: Semaphore,
    mails: Counters,
}

impl Post {
    /// Mails by this route, from this sender, with these links. Makes the folder of a route that is one.
    ///
    /// # Errors
    /// Why the route cannot be used: what, why, and how to mend it.
    pub fn open(route: &Route, sender: Sender, links: Links) -> Result<Self, String> {
        let mailer: Box<dyn Mailer> = match route {
            Route::Folder(folder) => Box::new(folder::Folder::open(folder)?),
            Route::Smtp(relay) => Box::new(smtp::Smtp::open(relay)?),
        };
        let (places, hands) = (Arc::new(Semaphore::new(ERRANDS_MAX)), Semaphore::new(HANDS));
        let mails = Counters::new("signet_mails_total", "Mails, by what became of them", &["outcome"]);
        for outcome in ["sent", "not_sent", "dropped"] {
            drop(mails.of(&[outcome]));
        }
        Ok(Self { mailer, sender, links, places, hands, mails })
    }

    /// Mails, by what became of them.
    #[must_use]
    pub fn mails(&self) -> &Counters {
        &self.mails
    }

    /// The pages that links lead to.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Runs an errand beside the request, whose caller neither waits for it nor learns what it came to. Gives whether
    /// there was a place for it.
    pub(crate) fn run(&self, errand: impl Future<Output = ()> + Send + 'static) -> bool {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.mails.of(&["dropped"]).inc();
            return false;
        };
        let errand = request::carried(errand);
        tokio::spawn(async move {
            errand.await;
            drop(place);
        });
        true
    }

    /// Done when no errand is on its way.
    pub async fn settle(&self) {
        drop(self.places.acquire_many(ERRANDS_MAX.try_into().unwrap_or(u32::MAX)).await);
    }

    /// Lets the errands that are on their way come to their end, for at most so long.
    pub async fn finish(&self, within: Duration) {
        if tokio::time::timeout(within, self.settle()).await.is_err() {
            let left = ERRANDS_MAX - self.places.available_permits();
            tracing::warn!(left, "stopped before all mails were sent");
        }
    }

    /// Sends a mail, by as many tries as it takes within reason. What comes of it stands in the log only.
    pub(crate) async fn deliver(&self, mail: &Mail) {
        match self.try_to_deliver(mail).await {
            Ok(()) => self.mails.of(&["sent"]).inc(),
            Err(why) => {
                self.mails.of(&["not_sent"]).inc();
                tracing::error!(%why, subject = mail.subject, "a mail was not sent");
            }
        }
    }

    async fn try_to_deliver(&self, mail: &Mail) -> Result<(), NotSent> {
        let message = message::compose(&self.sender, mail)?;
        let mut pauses = PAUSES.iter();
        loop {
            let hand = self.hands.acquire().await;
            let sent = self.mailer.send(&message).await;
            // Others go on while this one waits.
            drop(hand);
            match (sent, pauses.next()) {
                (Err(why @ NotSent::Failed(_)), Some(pause)) => {
                    tracing::warn!(%why, subject = mail.subject, "a mail will be tried again");
                    tokio::time::sleep(*pause).await;
                }
                (done, _) => return done,
            }
        }
    }
}
