//! The store: what Signet needs kept, and the contract that every store fulfils.
//!
//! Owns the trait and its nouns. `store/embedded.rs` fulfils it on sled, `store/postgres.rs` on PostgreSQL. Called by the rooms that change
//! users, rights and sessions; never by a verified request.
//!
//! The contract:
//! * `Ok` of [`Store::commit`] means that all of the writes are durable, and on any error none is visible.
//! * No read shows what is not durable yet.
//! * Absence is `None`; an error means that the store itself failed, or that a write's condition did not hold.
//! * Time is an argument.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::audit::{Event, Filter};
use crate::claims::{ChallengeKind, GroupId, SessionId, UserId};
use crate::metrics::{Gauge, Histogram, Registry, gauge, seconds, sizes};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::user::{User, Username};

pub mod embedded;
pub mod postgres;

/// A store, shared.
pub type SharedStore = Arc<dyn Store>;

/// What a call of the store gives, later.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The record is not at the version that the write expects, or is gone.
    #[error("changed in between")]
    Changed,
    /// Another record of the kind has the name.
    #[error("the name of the {0} is taken")]
    Taken(&'static str),
    /// No active superuser, or none that may enter administration, would be left.
    #[error("no active superuser would be left")]
    LastSuperuser,
    /// The session in whose name the writes are made has ended.
    #[error("the session has ended")]
    Ended,
    /// The rights of the session in whose name the writes are made were changed.
    #[error("the session's rights were changed")]
    Outdated,
    /// The challenge is not the newest one of its kind, was answered, or what it stood for has changed.
    #[error("the challenge is over")]
    Spent,
    /// The user has as many API tokens as the write allows.
    #[error("too many API tokens")]
    Full,
    /// A record that the call needs cannot be read. Others are not affected.
    #[error("{0}")]
    Damaged(String),
    /// The store failed. Nothing was acknowledged; it is not ready until it has recovered.
    #[error("{0}")]
    Failed(String),
}

/// The state of a session at which a decision was taken: the writes that follow from it are made at that state only.
///
/// Between the decision and the write there can be a body that arrives slowly, a password hash, or somebody else's
/// write: without this, what was ended meanwhile could still act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: u64,
    /// Its user.
    pub user: UserId,
    /// The user's generation.
    pub generation: u64,
    /// The user's rights version, when the decision rests on rights.
    pub rights_version: Option<u64>,
}

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
    /// [`State::forgotten`].
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

/// One write of a commit. `was` is the version that the record must have; the new one is one more, whatever
/// the record says.
#[derive(Debug, Clone)]
pub enum Write {
    /// Writes nothing: `Ended` when the session, its epoch or its user's generation has ended or the user is gone
    /// or disabled, `Outdated` when the rights version is another one. Judged before the writes that follow.
    InNameOf(Witness),
    /// A new user. `Taken` when the name's key is in use; `Changed` when one of the groups or permissions is gone.
    CreateUser(Box<User>),
    /// Another state of a user. `Changed` when the version differs, or when a group or permission that is new
    /// to the user is gone; `Taken` when the new name's key is in use.
    /// The time of the latest log-in stays as it is, and so does the password when the generation does: a change of
    /// password is a new generation, and a hash that was made anew meanwhile is not lost. A new generation drops the
    /// user's API tokens. Drops the challenges whose ground is gone: both by another address or a disabled account, the reset also by another password.
    ChangeUser {
        /// The new state.
        user: Box<User>,
        /// The version that it was made from.
        was: u64,
    },
    /// The same password under another hash, known to be right at a log-in. Neither the version nor the generation
    /// moves on, as nothing has changed for anybody. Does nothing when the user's hash is not `was` any more, or
    /// the user is gone.
    UpgradePassword {
        /// The user.
        user: UserId,
        /// The encoded hash that the password was judged by.
        was: String,
        /// The encoded hash to be stored in its place.
        now: String,
    },
    /// No such user any more, nor the user's open sessions, API tokens and challenges.
    DeleteUser {
        /// The user.
        id: UserId,
        /// The version at which the decision was taken.
        was: u64,
    },
    /// A log-in: records the session and the time, and drops an open reset: whoever knows the password needs none.
    /// `Changed` unless the user is active and at the version: the token says what the user was then, and nobody tells it
    /// of what was changed before it was issued.
    OpenSession {
        /// The session.
        session: OpenSession,
        /// The version at which the user was read for the token.
        was: u64,
    },
    /// The session is not open any more. Does nothing when it was not.
    CloseSession {
        /// Whose it is.
        user: UserId,
        /// The session.
        id: SessionId,
    },
    /// None of the user's sessions is open any more, but the one to keep.
    CloseSessions {
        /// Whose they are.
        user: UserId,
        /// The one that stays.
        keep: Option<SessionId>,
    },
    /// A new API token. `Changed` unless the owner is active; `Full` when the owner has `most` already that have not
    /// ended when this one is made.
    KeepToken {
        /// The API token.
        token: ApiToken,
        /// How many its owner may have.
        most: usize,
    },
    /// No such API token any more. Does nothing when there was none.
    DropToken {
        /// Whose it is.
        owner: UserId,
        /// The API token.
        id: SessionId,
    },
    /// No API token of the user's any more. `Changed` when there is one beside those that are named: all of them are
    /// ended in the same commit.
    DropTokens {
        /// Whose they are.
        owner: UserId,
        /// All that are known.
        ids: BTreeSet<SessionId>,
    },
    /// The newest challenge of its kind; the one before is dropped. `Changed` unless the user is active and at the
    /// challenge's address. The version of the user stays as it is: anybody can have a reset asked for.
    Challenge {
        /// Who is asked.
        user: UserId,
        /// What for.
        kind: ChallengeKind,
        /// The challenge.
        challenge: Challenge,
    },
    /// An answer to a challenge, which is dropped. `Spent` unless it is the newest one of its kind: of two answers at
    /// once, one commit happens.
    Answer {
        /// Who was asked.
        user: UserId,
        /// What for.
        kind: ChallengeKind,
        /// Its [`Challenge::digest`].
        digest: [u8; 32],
    },
    /// A new group. `Taken` when the name is in use; `Changed` when the identity is, or a permission is gone.
    CreateGroup(Group),
    /// Another state of a group. `Changed` when the version differs, when a permission is gone, or when the name
    /// is another one and the commit does not change every member before.
    ChangeGroup {
        /// The new state.
        group: Group,
        /// The version that it was made from.
        was: u64,
    },
    /// No such group any more. `Changed` when the version differs, or when it still has members.
    DeleteGroup {
        /// The group.
        id: GroupId,
        /// The version at which the decision was taken.
        was: u64,
    },
    /// A new permission. `Taken` when the name is in use.
    CreatePermission(PermissionEntry),
    /// Another description of a permission.
    ChangePermission {
        /// The new state.
        permission: PermissionEntry,
        /// The version that it was made from.
        was: u64,
    },
    /// No such permission any more. `Changed` when the version differs, or when a user or group still has it.
    DeletePermission {
        /// The permission.
        name: Permission,
        /// The version at which the decision was taken.
        was: u64,
    },
    /// Something ended.
    Revoke(Revocation),
    /// Drops the revocations of single sessions and API tokens of the user, as the user's own covers them: those of which
    /// it lasts as long, and none when there is none. Whoever writes this raises the user's generation in the same commit.
    DropCovered {
        /// Whose they are.
        user: UserId,
        /// Which ones.
        ids: Vec<SessionId>,
    },
    /// Attempts that were counted. What several nodes count comes together.
    Count(Vec<Count>),
    /// Drops revocations, open sessions, API tokens and counters that ended before the instant: the oldest ones first, and not all at
    /// once when there are many.
    Forget(DateTime<Utc>),
    /// A record as it stood in another store, without a condition but that its user is there.
    Restore(Box<Record>),
    /// An event of the audit log.
    Record(Box<Event>),
    /// Drops events of before the instant, the oldest ones first, and not all at once when there are many.
    ForgetEvents(DateTime<Utc>),
}

/// A page of a list, in the order of the key.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// Only what comes after this key.
    pub after: Option<String>,
    /// Only what contains this text, without regard to case.
    pub search: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// The orders in which users can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserOrder {
    /// By the key of the name.
    #[default]
    Username,
    /// By the time at which the account was made.
    DateJoined,
    /// By the latest log-in; who never logged in comes first.
    LastLogin,
}

/// A permission that is held, and the groups that grant it.
#[derive(Debug, Clone)]
pub struct Holding {
    /// The permission.
    pub permission: Permission,
    /// All groups that grant it.
    pub granted_by: BTreeSet<GroupId>,
}

/// Which users are wanted; `None` for any.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Members of this group.
    pub group: Option<GroupId>,
    /// Who has this permission: directly, by a group, or as a superuser.
    pub holds: Option<Holding>,
    /// With this flag so.
    pub is_active: Option<bool>,
    /// With this flag so.
    pub is_staff: Option<bool>,
    /// With this flag so.
    pub is_superuser: Option<bool>,
}

/// A page of users, in an order, of those that a filter wants.
#[derive(Debug, Clone, Default)]
pub struct UserQuery {
    /// Which page. The search looks at the name, the address and both person names.
    pub slice: Slice,
    /// In which order.
    pub order: UserOrder,
    /// Whether the order is turned round.
    pub descending: bool,
    /// Which users.
    pub filter: UserFilter,
}

impl UserQuery {
    /// Whether the user is one of those that filter and search want.
    #[must_use]
    pub fn wants(&self, user: &User) -> bool {
        let UserFilter { group, holds, is_active, is_staff, is_superuser } = &self.filter;
        let flag = |wanted: &Option<bool>, value: bool| wanted.is_none_or(|wanted| wanted == value);
        let has = |held: &Holding| {
            user.is_superuser
                || user.permissions.contains(&held.permission)
                || !user.groups.is_disjoint(&held.granted_by)
        };
        flag(is_active, user.is_active)
            && flag(is_staff, user.is_staff)
            && flag(is_superuser, user.is_superuser)
            && group.is_none_or(|group| user.groups.contains(&group))
            && holds.as_ref().is_none_or(has)
            && self.slice.search.as_ref().is_none_or(|text| user.mentions(&text.to_lowercase()))
    }
}

/// A page of a list, and the key to go on from.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Present when there may be more.
    pub next: Option<String>,
}

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

/// Lines of text that a shared store keeps beside its records, for whoever changes many of them and may be interrupted.
pub trait Ledger: Send + Sync {
    /// All lines, in order.
    fn lines(&self) -> Reply<'_, Vec<String>>;
    /// One more line, in this place, the first of which is 0. `Changed` when another one has it: somebody else writes too.
    fn write<'a>(&'a self, place: usize, line: &'a str) -> Reply<'a, ()>;
    /// There are none any more.
    fn clear(&self) -> Reply<'_, ()>;
}

/// Users, groups, permissions, open sessions and revocations, kept durably. See the module for the contract.
pub trait Store: Send + Sync + 'static {
    /// Applies all of the writes, or none.
    fn commit(&self, writes: Vec<Write>) -> Reply<'_, ()>;
    /// The user.
    fn user(&self, id: UserId) -> Reply<'_, Option<User>>;
    /// The user with the names of the groups, as they were at one moment.
    fn member(&self, id: UserId) -> Reply<'_, Option<Member>>;
    /// The user under the key of a name.
    fn user_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<User>>;
    /// The user under the key of a name, as [`Store::member`].
    fn member_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Member>>;
    /// Users under the key of an address ([`crate::user::address_key`]), at most so many: those who have shown that it
    /// is theirs first, then those who have been there longest.
    fn users_at<'a>(&'a self, key: &'a str, limit: usize) -> Reply<'a, Vec<User>>;
    /// The newest challenge of a kind that is open to the user.
    fn challenge(&self, user: UserId, kind: ChallengeKind) -> Reply<'_, Option<Challenge>>;
    /// Users by the key of their name. The search looks at the name, the address and both person names.
    fn users(&self, slice: Slice) -> Reply<'_, Page<User>>;
    /// Users in an order, of those that a filter wants. A page of a narrow filter may be empty and have a next one.
    fn find_users(&self, query: UserQuery) -> Reply<'_, Page<User>>;
    /// All members of a group.
    fn members(&self, group: GroupId) -> Reply<'_, Vec<User>>;
    /// All to whom a permission is granted directly.
    fn holders<'a>(&'a self, permission: &'a Permission) -> Reply<'a, Vec<User>>;
    /// The group.
    fn group(&self, id: GroupId) -> Reply<'_, Option<Group>>;
    /// Groups by name.
    fn groups(&self, slice: Slice) -> Reply<'_, Page<Group>>;
    /// The permission.
    fn permission<'a>(&'a self, name: &'a Permission) -> Reply<'a, Option<PermissionEntry>>;
    /// Permissions by name.
    fn permissions(&self, slice: Slice) -> Reply<'_, Page<PermissionEntry>>;
    /// An open session of the user.
    fn session(&self, user: UserId, id: SessionId) -> Reply<'_, Option<OpenSession>>;
    /// A user's open sessions that are alive, the newest first. [`Slice::search`] is not looked at. A page may be empty and
    /// have a next one.
    fn sessions(&self, user: UserId, alive: Alive, slice: Slice) -> Reply<'_, Page<OpenSession>>;
    /// As [`Store::sessions`], of everybody, in an order of the store's own.
    fn open_sessions(&self, alive: Alive, slice: Slice) -> Reply<'_, Page<NamedSession>>;
    /// A user's API tokens, the newest first.
    fn api_tokens(&self, owner: UserId) -> Reply<'_, Vec<ApiToken>>;
    /// Events of the audit log, the newest first. [`Slice::search`] is not looked at.
    fn events(&self, filter: Filter, slice: Slice) -> Reply<'_, Page<Event>>;
    /// What hangs on users, of all of them, in an order of the store's own: at most so many, after the `next` of the page
    /// before.
    fn records(&self, after: Option<String>, limit: usize) -> Reply<'_, Page<Record>>;
    /// What every node holds in memory.
    fn state(&self) -> Reply<'_, State>;
    /// Raises the longest life of a token that any node was ever configured with to `seconds` at least,
    /// and gives the result: revocations of users are kept for so long.
    fn longest_life(&self, seconds: u32) -> Reply<'_, u32>;
    /// Counts the times that the store was opened: when it has changed, [`Store::state`] has to be read again.
    fn incarnation(&self) -> u64;
    /// Whether reads and writes are accepted.
    fn is_ready(&self) -> bool;
    /// What the store measures of its own work; `None` for one that measures nothing.
    fn meters(&self) -> Option<&Meters> {
        None
    }
    /// How to keep up with what other nodes change; `None` for a store that one process has alone.
    fn follow(&self) -> Option<&dyn Follow> {
        None
    }
    /// Where an import keeps its journal; `None` for a store that has a folder for it.
    fn ledger(&self) -> Option<&dyn Ledger> {
        None
    }
}

/// What a store measures of its own work.
#[derive(Clone)]
pub struct Meters {
    /// Writes that wait to be durable.
    pub waiting: Gauge,
    /// How long a commit takes, from its arrival until it is durable or refused.
    pub commit: Histogram,
    /// How long it takes to make what was written durable.
    pub sync: Histogram,
    /// Writes that are made durable together.
    pub group: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            waiting: gauge("signet_store_waiting", "Commits that wait to be durable"),
            commit: seconds("signet_store_commit_seconds", "How long commits took until they were durable or refused"),
            sync: seconds("signet_store_sync_seconds", "How long it took to make a group of commits durable"),
            group: sizes("signet_store_group_size", "Commits that were made durable together"),
        }
    }
}

impl Meters {
    /// Shows them in a registry.
    pub fn show(&self, registry: &Registry) {
        registry.add(&[&self.waiting, &self.commit, &self.sync, &self.group]);
    }
}
