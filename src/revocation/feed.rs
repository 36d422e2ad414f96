//! The feed of revocations: what was learned lately, in order, for those who follow it.
//!
//! Owns the bounded history, positions in it, and the number of followers. `revocation.rs` tells it what memory has
//! learned; `api/revocations.rs` follows. A follower has no queue of its own, so a slow one holds nobody up: it falls
//! out of the history and has to load the snapshot again.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::store::Revocation;

/// Revocations that are kept for those who come back.
const KEPT: usize = 8_192;
/// Revocations that a follower is given at once.
const BATCH: usize = 256;
/// Followers at the same time.
const FOLLOWERS_MAX: usize = 256;

/// A place in the feed of one run of the server: everything before it had been learned when it was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    run: u64,
    count: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.run, self.count)
    }
}

/// The text is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (run, count) = text.split_once('-').ok_or(NotAPosition)?;
        let run = u64::from_str_radix(run, 16).map_err(|_| NotAPosition)?;
        Ok(Self { run, count: count.parse().map_err(|_| NotAPosition)? })
    }
}

/// What a follower is given.
#[derive(Debug)]
pub enum News {
    /// What was learned since, in order, each with the position after it.
    Learned(Vec<(Position, Revocation)>),
    /// What lies between is not known any more: load a snapshot, and go on from this position.
    Lost(Position),
    /// The feed has ended with the server.
    Over,
}

/// The feed.
#[derive(Debug)]
pub struct Feed {
    run: u64,
    history: Mutex<History>,
    latest: watch::Sender<Latest>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct History {
    /// Revocations told in this run.
    count: u64,
    kept: VecDeque<Revocation>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Latest {
    count: u64,
    closed: bool,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            run: getrandom::u64().unwrap_or_default(),
            history: Mutex::default(),
            latest: watch::Sender::new(Latest::default()),
            places: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        }
    }
}

impl Feed {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the followers of what memory has learned. Waits for none of them.
    pub(super) fn tell(&self, revocation: Revocation) {
        let mut history = self.history();
        if history.kept.len() == KEPT {
            history.kept.pop_front();
        }
        history.kept.push_back(revocation);
        history.count += 1;
        let count = history.count;
        self.latest.send_modify(|latest| latest.count = count);
    }

    /// The present position: whatever was told before it is in memory.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { run: self.run, count: self.history().count }
    }

    /// How many follow it.
    #[must_use]
    pub fn followers(&self) -> usize {
        FOLLOWERS_MAX - self.places.available_permits()
    }

    /// Ends the feed: followers are given what is left, and then [`News::Over`].
    pub fn close(&self) {
        self.latest.send_modify(|latest| latest.closed = true);
    }

    /// Follows the feed from a position on, or from now on; `None` when there are too many followers already, or the
    /// feed has ended. A position that is not known comes to [`News::Lost`].
    #[must_use]
    pub fn follow(&self, from: Option<Position>) -> Option<Follower> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let latest = self.latest.subscribe();
        if latest.borrow().closed {
            return None;
        }
        Some(Follower { at: from.unwrap_or_else(|| self.position()), latest, _place: place })
    }

    /// What a follower has not been given yet; `None` when there is nothing.
    fn after(&self, at: Position) -> Option<News> {
        let history = self.history();
        let now = Position { run: self.run, count: history.count };
        let behind = history.count.checked_sub(at.count).and_then(|behind| usize::try_from(behind).ok());
        match behind {
            Some(0) if at.run == self.run => None,
            Some(behind) if at.run == self.run && behind <= history.kept.len() => {
                let news = history.kept.iter().skip(history.kept.len() - behind).take(BATCH);
                let place = |count| Position { run: self.run, count };
                Some(News::Learned((at.count + 1..).map(place).zip(news.copied()).collect()))
            }
            _ => Some(News::Lost(now)),
        }
    }
}

/// Somebody who follows the feed. Dropping it makes room for another one.
#[derive(Debug)]
pub struct Follower {
    at: Position,
    latest: watch::Receiver<Latest>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// What comes next, as soon as there is something. Nothing is lost when it is not waited for to the end.
    pub async fn next(&mut self, feed: &Feed) -> News {
        loop {
            let closed = self.latest.borrow_and_update().closed;
            if let Some(news) = feed.after(self.at) {
                match &news {
                    News::Learned(learned) => self.at = learned.last().map_or(self.at, |(at, _)| *at),
                    News::Lost(at) => self.at = *at,
                    News::Over => {}
                }
                return news;
            }
            if closed || self.latest.changed().await.is_err() {
                return News::Over;
            }
        }
    }

    /// The position up to which everything was given.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }
}
