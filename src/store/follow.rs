//! What a node holds of a store in memory, and how it keeps up with a store that other nodes change too.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Reply, Revocation, Tally};
use crate::claims::SessionId;
use crate::rights::Group;

/// What a node holds in memory.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// All that is revoked.
    pub revocations: Vec<Revocation>,
    /// The latest end of a session's or user's revocation that was dropped since the present epoch began: what says
    /// whether the clock was set back behind it.
    pub forgotten: Option<DateTime<Utc>>,
    /// All groups.
    pub groups: Vec<Group>,
    /// Counters of attempts, some of which may be over.
    pub tallies: Vec<Tally>,
    /// Counts the changes of groups in a shared store.
    pub group_changes: u64,
    /// When it was so, by the clock of a shared store.
    pub moment: Moment,
}

/// An instant by the clock of a shared store, in microseconds. Told by the store only; a node's own clock is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub i64);

/// What was changed lately in a shared store, whoever did it.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// What ended or became stale, and the epoch. Mostly known already.
    pub revocations: Vec<Revocation>,
    /// Sessions and API tokens whose revocations were dropped, as their users' own cover them.
    pub covered: Vec<SessionId>,
    /// As [`State::forgotten`].
    pub forgotten: Option<DateTime<Utc>>,
    /// Counters of attempts.
    pub tallies: Vec<Tally>,
    /// As [`State::group_changes`]: when it has moved on, [`Follow::groups`] tells to what.
    pub group_changes: u64,
    /// Where to go on: nothing that is acknowledged later is left out by a reading from here.
    pub moment: Moment,
}

/// What is revoked, in numbers that two lists hardly share when they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// How many sessions and API tokens.
    pub sessions: u64,
    /// How many users.
    pub users: u64,
    /// The first three bytes of all identifiers, as numbers, added up.
    pub ids: u64,
    /// All generations and rights versions, added up.
    pub versions: u64,
    /// The ends of all, in whole seconds since 1970, added up.
    pub ends: i64,
}

/// How a node keeps up with a store that other nodes change too.
///
/// Every call gives what the store holds at an instant after the call began. What was acknowledged before it is in it.
pub trait Follow: Send + Sync {
    /// Everything that was acknowledged after `since`, and some of before. After `Ok` the store was, at an instant after
    /// the call began, the one that acknowledges: a node may rely on it for as long as it trusts what it knew at that
    /// instant. Writes a little.
    fn news(&self, since: Moment) -> Reply<'_, News>;
    /// What has probably changed since then: cheap, and may miss what took long to be committed.
    fn glance(&self, since: Moment) -> Reply<'_, News>;
    /// Done when somebody has probably changed something. May be early, late or never.
    fn stirred(&self) -> BoxFuture<'_, ()>;
    /// All groups at one moment, and their [`State::group_changes`].
    fn groups(&self) -> Reply<'_, (Vec<Group>, u64)>;
    /// The sums of what is revoked and ends at the instant or later. What is covered is left out.
    fn sums(&self, from: DateTime<Utc>) -> Reply<'_, Sums>;
    /// What this node is called, in this run.
    fn node(&self) -> String;
    /// This node follows no more.
    fn leave(&self) -> Reply<'_, ()>;
}
