//! The records that an import takes and an export gives: permissions, groups and users, in Signet's own words.
//!
//! Their JSON is a promise: backups are made of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::claims::{GroupId, UserId};
use crate::rights::{Group, PermissionEntry};
use crate::user::User;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A permission of the catalogue.
    Permission(PermissionRecord),
    /// A group.
    Group(GroupRecord),
    /// A user.
    User(Box<UserRecord>),
}

/// A permission of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionRecord {
    /// `app_label.codename`.
    pub name: String,
    /// What it allows, for people.
    #[serde(default)]
    pub description: String,
    /// Changes of the record so far.
    #[serde(default)]
    pub version: u64,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRecord {
    /// Its identity.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Names of the permissions that it grants.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// When it was made; when it is carried, if nobody knows.
    #[serde(default)]
    pub created: Option<DateTime<Utc>>,
    /// Changes of the record so far.
    #[serde(default)]
    pub version: u64,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, named as in Django")]
pub struct UserRecord {
    /// The identity.
    pub id: UserId,
    /// The name that a log-in takes.
    pub username: String,
    /// The encoded password hash.
    #[serde(default)]
    pub password: String,
    /// Given name.
    #[serde(default)]
    pub first_name: String,
    /// Family name.
    #[serde(default)]
    pub last_name: String,
    /// Address, or empty.
    #[serde(default)]
    pub email: String,
    /// Whether its owner has shown that the address is theirs.
    #[serde(default)]
    pub email_verified: bool,
    /// Whether the user may log in.
    #[serde(default = "yes")]
    pub is_active: bool,
    /// Whether administration is open to the user.
    #[serde(default)]
    pub is_staff: bool,
    /// Whether the user has every permission.
    #[serde(default)]
    pub is_superuser: bool,
    /// Names of the user's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Names of the permissions granted directly.
    #[serde(default)]
    pub user_permissions: Vec<String>,
    /// The latest log-in.
    #[serde(default)]
    pub last_login: Option<DateTime<Utc>>,
    /// When the account was made; when it is carried, if nobody knows.
    #[serde(default)]
    pub date_joined: Option<DateTime<Utc>>,
    /// Changes of the record so far.
    #[serde(default)]
    pub version: u64,
    /// A token of an older generation is dead.
    #[serde(default)]
    pub generation: u64,
    /// A token of an older rights version is stale.
    #[serde(default)]
    pub rights_version: u64,
}

const fn yes() -> bool {
    true
}

impl From<PermissionEntry> for PermissionRecord {
    fn from(entry: PermissionEntry) -> Self {
        let PermissionEntry { name, description, version } = entry;
        Self { name: name.as_str().to_owned(), description, version }
    }
}

impl From<Group> for GroupRecord {
    fn from(group: Group) -> Self {
        let Group { id, name, permissions, created, version } = group;
        let permissions = permissions.iter().map(|p| p.as_str().to_owned()).collect();
        Self { id, name, permissions, created: Some(created), version }
    }
}

impl UserRecord {
    /// The record of a user who is in the groups of these names.
    #[must_use]
    pub fn of(user: User, groups: Vec<String>) -> Self {
        // Whole on purpose: a member that a user gains has to be carried too.
        let User {
            id,
            version,
            username,
            password,
            first_name,
            last_name,
            email,
            email_verified,
            is_active,
            is_staff,
            is_superuser,
            groups: _,
            permissions,
            generation,
            rights_version,
            last_login,
            date_joined,
        } = user;
        Self {
            id,
            username: username.as_str().to_owned(),
            password,
            first_name,
            last_name,
            email,
            email_verified,
            is_active,
            is_staff,
            is_superuser,
            groups,
            user_permissions: permissions.iter().map(|p| p.as_str().to_owned()).collect(),
            last_login,
            date_joined: Some(date_joined),
            version,
            generation,
            rights_version,
        }
    }
}

/// A record as a source gives it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it stands, for people: `auth.user pk 5 "bob"`.
    pub locator: String,
    /// The record; `None` when nothing can be made of it.
    pub record: Option<Record>,
    /// What of it is lost already.
    pub losses: Vec<crate::error::Fault>,
}
