//! What records come to, and what carries them.
//!
//! Plain data. `judge` makes it, by the [`Existing`] that its caller wishes.

use serde::{Deserialize, Serialize};

use crate::claims::{GroupId, UserId};
use crate::error::Fault;
use crate::password::format::Format;
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::Write;
use crate::user::User;

/// What becomes of what is in the store already, under the identity or the name of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes what the record says; what that takes away from somebody ends at once.
    Replace,
}

/// What a record comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is new.
    Created,
    /// It changes what is there.
    Changed,
    /// It is there already.
    Kept,
    /// It cannot be carried.
    Refused,
}

/// The outcome of one record.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it comes to.
    pub fate: Fate,
    /// What cannot be carried: all of it when it is refused.
    pub losses: Vec<Fault>,
    /// The form of a user's password hash, when it is one of those that are known.
    pub format: Option<Format>,
}

impl Outcome {
    pub(super) fn refused(fault: Fault) -> Self {
        Self { fate: Fate::Refused, losses: vec![fault], format: None }
    }
}

/// What a batch made and changed, so that it can be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traces {
    /// Users that it makes.
    pub users: Vec<UserId>,
    /// Groups that it makes.
    pub groups: Vec<GroupId>,
    /// Permissions that it makes.
    pub permissions: Vec<Permission>,
    /// Users that it changes, as they were.
    pub users_before: Vec<User>,
    /// Groups that it changes, as they were.
    pub groups_before: Vec<Group>,
    /// Permissions that it changes, as they were.
    pub permissions_before: Vec<PermissionEntry>,
}

/// A judged batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// One for each record, in order.
    pub outcomes: Vec<Outcome>,
    /// What carries the records.
    pub writes: Vec<Write>,
    /// What they make and change.
    pub traces: Traces,
}
