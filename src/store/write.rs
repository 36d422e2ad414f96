//! The writes of a commit, each with its condition.
//!
//! Plain data: every store applies them as they are described here.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{ApiToken, Challenge, Count, OpenSession, Record, Revocation};
use crate::audit::Event;
use crate::claims::{ChallengeKind, GroupId, SessionId, UserId};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::user::User;

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
