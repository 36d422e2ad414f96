//! A clock that is wrong, told to whoever runs the server.
//!
//! Owns the words in the log. What a wrong clock does to tokens is decided by `token.rs` and `revocation.rs`, which
//! believe it as little as they can; nothing here changes what is let in.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::{App, unavailable};
use crate::audit::Filter;
use crate::error::Error;
use crate::store::Slice;

/// How far a clock may be off, or drift, until it is told.
const TOLD: TimeDelta = TimeDelta::minutes(1);

/// Holds the clock against one that nobody sets.
pub(super) struct Watch {
    began: DateTime<Utc>,
    since: Instant,
}

impl Watch {
    pub(super) fn begun(now: DateTime<Utc>) -> Self {
        Self { began: now, since: Instant::now() }
    }

    /// Tells of a clock that was set since the last look.
    pub(super) fn look(&mut self, now: DateTime<Utc>) {
        let passed = TimeDelta::from_std(self.since.elapsed()).unwrap_or(TimeDelta::MAX);
        let off = now.signed_duration_since(self.began) - passed;
        if off.abs() > TOLD {
            let seconds = off.num_seconds();
            if seconds < 0 {
                tracing::warn!(
                    seconds,
                    "the clock was set back: tokens of its future count only once it is there again"
                );
            } else {
                tracing::warn!(seconds, "the clock was set forward: sessions may be over before their time");
            }
            *self = Self::begun(now);
        }
    }
}

impl App {
    /// Tells of a clock that is behind what the store knows.
    pub(super) async fn look_at_the_clock(&self) -> Result<(), Error> {
        let newest = self.store().events(Filter::default(), Slice { limit: 1, ..Slice::default() }).await;
        let newest = newest.map_err(unavailable)?.items.pop();
        let ahead = newest.map(|event| event.at.signed_duration_since(self.now()));
        if let Some(ahead) = ahead.filter(|ahead| *ahead > TOLD) {
            let seconds = ahead.num_seconds();
            tracing::warn!(
                seconds,
                "the clock is behind the audit log: tokens of its future count only once it is there"
            );
        }
        Ok(())
    }
}
