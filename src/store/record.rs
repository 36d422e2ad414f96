//! What a store keeps beside users, groups, permissions and the audit log, which have rooms of their own; and the forms in
//! which it is read.
//!
//! Data, and what it says of itself: when it is over, and whether it counts.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::claims::{ChallengeKind, SessionId, UserId};
use crate::rights::Permission;
use crate::user::{User, Username};

/// A user, and the names of the groups that the user is in, read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user: User,
    /// The groups' names at the same moment, sorted.
    pub groups: Vec<String>,
}

/// A session that somebody opened by logging in, for "my devices".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSession {
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// When the log-in was.
    pub created: DateTime<Utc>,
    /// When it ends in any case.
    pub ends: DateTime<Utc>,
    /// The epoch that it belongs to.
    pub epoch: u64,
    /// The address that the log-in came from.
    pub address: String,
    /// The client's own description of itself; at most 200 characters.
    pub agent: String,
}

/// An open session, and what its user is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSession {
    /// The session.
    pub session: OpenSession,
    /// The user's name.
    pub username: Username,
}

/// Which open sessions have not ended otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive {
    /// The present instant: those that end later.
    pub now: DateTime<Utc>,
    /// Those of this epoch.
    pub epoch: u64,
}

impl Alive {
    /// Whether the session is one of them.
    #[must_use]
    pub fn has(&self, session: &OpenSession) -> bool {
        session.ends > self.now && session.epoch == self.epoch
    }
}

/// An API token that somebody has made. Its text is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// The API token, in the space of sessions: a [`Revocation::Session`] ends it.
    pub id: SessionId,
    /// Whose it is.
    pub owner: UserId,
    /// What its owner calls it; 1 to 150 characters.
    pub name: String,
    /// The permissions that it is limited to.
    pub scope: BTreeSet<Permission>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it ends.
    pub ends: DateTime<Utc>,
    /// The epoch that it belongs to.
    pub epoch: u64,
}

/// What a user was asked by mail, as it is kept: enough to know the answer, not enough to give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The SHA-256 of the secret that the answer has to know.
    pub digest: [u8; 32],
    /// The address that it went to.
    pub address: String,
    /// When it was asked.
    pub asked: DateTime<Utc>,
}

/// A durable record that something ended, kept until `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Every token of a session is dead; or the API token of this id is.
    Session {
        /// The session, or the API token.
        id: SessionId,
        /// No token of it can be valid from this instant on.
        until: DateTime<Utc>,
    },
    /// Every token of the user with an older generation is dead, and with an older rights version is stale; API tokens
    /// as well as sessions.
    User {
        /// The user.
        id: UserId,
        /// The lowest generation that lives.
        generation: u64,
        /// The lowest rights version that is fresh.
        rights_version: u64,
        /// No token that this covers can be valid from this instant on.
        until: DateTime<Utc>,
    },
    /// Every token of an older epoch is dead. Kept for ever.
    Epoch(u64),
}

impl Revocation {
    /// The instant from which it covers nothing any more; `None` when it is kept for ever.
    #[must_use]
    pub fn until(&self) -> Option<DateTime<Utc>> {
        match *self {
            Self::Session { until, .. } | Self::User { until, .. } => Some(until),
            Self::Epoch(_) => None,
        }
    }
}

/// A record as it stands in a store, of the kinds that no other write makes as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An open session.
    Session(OpenSession),
    /// An API token.
    Token(ApiToken),
    /// What a user was asked by mail.
    Challenge {
        /// Who was asked.
        user: UserId,
        /// What for.
        kind: ChallengeKind,
        /// The challenge.
        challenge: Challenge,
    },
    /// [`State::forgotten`](super::State::forgotten).
    Forgotten(DateTime<Utc>),
}

/// A counter of attempts that somebody may be throttled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Names the counter.
    pub key: [u8; 16],
    /// When it is over, in whole milliseconds.
    pub until: DateTime<Utc>,
}

/// What was counted on a counter of attempts: it is over so much later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Names the counter.
    pub key: [u8; 16],
    /// From when on it counts, in whole milliseconds, where the counter is over by then, or is none yet.
    pub from: DateTime<Utc>,
    /// How much later, in whole milliseconds.
    pub added: TimeDelta,
}

impl Count {
    /// When the counter is over with this, which was over then before.
    #[must_use]
    pub fn end(&self, before: Option<DateTime<Utc>>) -> DateTime<Utc> {
        before.unwrap_or(self.from).max(self.from) + self.added
    }
}

impl From<Tally> for Count {
    /// What makes a counter that is over before then be over then.
    fn from(tally: Tally) -> Self {
        Self { key: tally.key, from: tally.until, added: TimeDelta::zero() }
    }
}
