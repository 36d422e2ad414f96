//! Lists, page by page: which part is asked for, which users are wanted, and what is given.
//!
//! Data, and whom a question wants; a store that can ask its database so need not ask here.

use std::collections::BTreeSet;

use crate::claims::GroupId;
use crate::rights::Permission;
use crate::user::User;

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
