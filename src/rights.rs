//! Permissions, groups and what they allow.
//!
//! Pure. What a group grants is not in any token: every node holds the small table of groups in memory, so
//! that a change to a group acts at once on everybody in it.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::claims::{Claims, GroupId, SessionId, UserId};
use crate::error::Fault;

/// A permission's name: `app_label.codename`, matched exactly, without wildcards.
///
/// Each half has 1 to 100 characters of `[A-Za-z0-9_-]` (Django's limits; the narrower alphabet keeps the
/// name safe in a header).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permission(String);

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Permission {
    /// The permission that `name` names.
    ///
    /// # Errors
    /// A fault of `field` when the name is not of the form above.
    pub fn parse(field: &str, name: &str) -> Result<Self, Fault> {
        let half = |text: &str| {
            (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        match name.split_once('.') {
            Some((app, code)) if half(app) && half(code) => Ok(Self(name.to_owned())),
            _ => Err(Fault::new(
                field,
                "permission_name",
                "a permission is app_label.codename, each half of 1 to 100 letters, digits, _ or -",
            )),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A permission as it stands in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionEntry {
    /// Its name.
    pub name: Permission,
    /// What it allows, for people; at most 255 characters.
    pub description: String,
    /// Counts the changes of this record.
    pub version: u64,
}

/// A group: a name, and permissions that all its members have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its identifier, which outlives a change of name.
    pub id: GroupId,
    /// Its name, unique; 1 to 150 characters, none of them a control character.
    pub name: String,
    /// What it grants.
    pub permissions: BTreeSet<Permission>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Counts the changes of this record.
    pub version: u64,
}

/// The longest name of a group, in characters (Django's limit).
pub const GROUP_NAME_MAX: usize = 150;

/// A group's name as it is stored: trimmed.
///
/// # Errors
/// A fault when it is empty, longer than 150 characters, or holds what a header cannot carry.
pub fn group_name(text: &str) -> Result<String, Fault> {
    let name = text.trim();
    let fine =
        (1..=GROUP_NAME_MAX).contains(&name.chars().count()) && !name.chars().any(|c| c.is_control() || c == ',');
    if fine {
        Ok(name.to_owned())
    } else {
        Err(Fault::new(
            "name",
            "group_name",
            "a group's name has 1 to 150 characters, without commas, line breaks and other control characters",
        ))
    }
}

/// Whoever has rights: a session, or an API token of somebody's, which has some of theirs.
///
/// What an operation that takes both is given. A session has all that its user has. An API token has of its owner's
/// permissions those that are in its scope, and nothing else: it is never staff, and in no group for whoever asks by
/// group, as neither is in any scope.
pub trait Holder: Send + Sync {
    /// The user, or the owner of the API token; `None` for nobody.
    fn user(&self) -> Option<UserId>;
    /// The user's name; `None` for nobody.
    fn username(&self) -> Option<&str>;
    /// The session; `None` for nobody and for an API token.
    fn session(&self) -> Option<SessionId>;
    /// Names of the groups whose membership counts.
    fn groups(&self) -> &[String];
    /// Whether administration is open.
    fn is_staff(&self) -> bool;
    /// Whether every permission there is is held, so that [`Holder::granted`] does not name all.
    fn has_every_permission(&self) -> bool;
    /// Whether the permission is held (Django's `has_perm`); false for nobody.
    fn has_permission(&self, permission: &str) -> bool;
    /// Whether any permission of the application is held (Django's `has_module_perms`); false for nobody.
    fn has_module_permissions(&self, label: &str) -> bool;
    /// The permissions that are held, sorted. Not what a superuser's session has besides.
    fn granted(&self) -> BTreeSet<&str>;
    /// The same, unless the names have more than so many bytes together, one more for each counted in. What it costs
    /// does not grow with what one group grants.
    fn granted_within(&self, bytes: usize) -> Option<BTreeSet<&str>>;
}

/// What a list of the names takes: their bytes, and one more for each.
#[must_use]
pub fn listed_bytes<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    names.into_iter().map(|name| name.len() + 1).sum()
}

/// What each group grants, by the group's name as tokens carry it.
#[derive(Debug, Default)]
pub struct GroupTable {
    by_name: HashMap<String, Entry>,
    names: HashMap<GroupId, String>,
}

#[derive(Debug)]
struct Entry {
    id: GroupId,
    grants: HashSet<String>,
    /// The applications that they are of.
    labels: HashSet<String>,
    /// [`listed_bytes`] of them.
    bytes: usize,
}

impl Entry {
    fn new(group: &Group) -> Self {
        let names = || group.permissions.iter().map(Permission::as_str);
        Self {
            id: group.id,
            grants: names().map(str::to_owned).collect(),
            labels: names().filter_map(|name| name.split_once('.')).map(|(label, _)| label.to_owned()).collect(),
            bytes: listed_bytes(names()),
        }
    }
}

impl GroupTable {
    /// The table of `groups`.
    #[must_use]
    pub fn new<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Self {
        let mut table = Self::default();
        for group in groups {
            table.by_name.insert(group.name.clone(), Entry::new(group));
            table.names.insert(group.id, group.name.clone());
        }
        table
    }

    /// The present name of a group, if it still exists.
    #[must_use]
    pub fn name(&self, id: GroupId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// The groups that grant a permission.
    #[must_use]
    pub fn granting(&self, permission: &str) -> BTreeSet<GroupId> {
        let granting = self.by_name.values().filter(|entry| entry.grants.contains(permission));
        granting.map(|entry| entry.id).collect()
    }

    /// The group of a name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<GroupId> {
        self.by_name.get(name).map(|entry| entry.id)
    }

    /// The present names of groups, sorted; groups that are gone are left out.
    #[must_use]
    pub fn names_of(&self, ids: &BTreeSet<GroupId>) -> Vec<String> {
        let mut names: Vec<_> = ids.iter().filter_map(|id| self.name(*id)).map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// Whether the claims allow `permission` (Django's `has_perm`): the user is a superuser, was granted it
    /// directly, or is in a group that grants it. Nobody is allowed nothing.
    #[must_use]
    pub fn allows(&self, claims: &Claims, permission: &str) -> bool {
        claims.sub.is_some()
            && (claims.is_superuser
                || claims.permissions.iter().any(|p| p == permission)
                || claims
                    .groups
                    .iter()
                    .any(|group| self.by_name.get(group).is_some_and(|entry| entry.grants.contains(permission))))
    }

    /// Whether the claims allow any permission of an application (Django's `has_module_perms`). A superuser is
    /// allowed those of every application, also of one that does not exist.
    #[must_use]
    pub fn allows_any_of(&self, claims: &Claims, label: &str) -> bool {
        let of_it = |name: &str| name.strip_prefix(label).is_some_and(|rest| rest.starts_with('.'));
        let groups = || claims.groups.iter().filter_map(|group| self.by_name.get(group));
        claims.sub.is_some()
            && (claims.is_superuser
                || claims.permissions.iter().any(|name| of_it(name))
                || groups().any(|entry| entry.labels.contains(label)))
    }

    /// Every permission that direct grants and groups give together (Django's `get_all_permissions`, without
    /// the superuser's rule).
    pub fn all<'a>(
        &'a self,
        direct: impl IntoIterator<Item = &'a str>,
        groups: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<&'a str> {
        let of_groups = groups
            .into_iter()
            .filter_map(|group| self.by_name.get(group))
            .flat_map(|entry| entry.grants.iter().map(String::as_str));
        direct.into_iter().chain(of_groups).collect()
    }

    /// The same, unless a list of them takes more than so many bytes ([`listed_bytes`]).
    pub fn all_within<'a>(&'a self, claims: &'a Claims, bytes: usize) -> Option<BTreeSet<&'a str>> {
        let groups = || claims.groups.iter().map(String::as_str);
        if groups().filter_map(|group| self.by_name.get(group)).any(|entry| entry.bytes > bytes) {
            return None;
        }
        let all = self.all(claims.permissions.iter().map(String::as_str), groups());
        (listed_bytes(all.iter().copied()) <= bytes).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::Permission;

    #[test]
    fn a_permission_is_two_halves_of_plain_characters() {
        for good in ["polls.vote", "a.b", "auth.add_user", "x-1.y_2"] {
            assert!(Permission::parse("p", good).is_ok(), "{good}");
        }
        for bad in ["", "polls", "polls.", ".vote", "a.b.c", "polls.*", "a b.c", "a.b\r\n", "a.\u{ff4}"] {
            assert!(Permission::parse("p", bad).is_err(), "{bad:?}");
        }
        assert!(Permission::parse("p", &format!("{}.x", "a".repeat(101))).is_err());
    }
}
