//! The store: what Signet needs kept, and the contract that every store fulfils.
//!
//! Owns the trait and, in the rooms behind it, its nouns. `store/embedded.rs` fulfils it on sled, `store/postgres.rs` on
//! PostgreSQL. Called by the rooms that change users, rights and sessions; never by a verified request.
//!
//! The contract:
//! * `Ok` of [`Store::commit`] means that all of the writes are durable, and on any error none is visible.
//! * No read shows what is not durable yet.
//! * Absence is `None`; an error means that the store itself failed, or that a write's condition did not hold.
//! * Time is an argument.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::audit::{Event, Filter};
use crate::claims::{ChallengeKind, GroupId, SessionId, UserId};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::user::User;

pub mod embedded;
mod follow;
mod list;
mod meters;
pub mod postgres;
mod record;
mod write;

pub use follow::{Follow, Moment, News, State, Sums};
pub use list::{Holding, Page, Slice, UserFilter, UserOrder, UserQuery};
pub use meters::Meters;
pub use record::{Alive, ApiToken, Challenge, Count, Member, NamedSession, OpenSession, Record, Revocation, Tally};
pub use write::{Witness, Write};

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
