//! How users are found: by an order, from a position on, of those that a filter wants.
//!
//! A filter that names a group or a permission goes by their members and holders, when they are not too many;
//! everything else walks along the order and stops after so many looks, to go on from there with the next page.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::{Draft, Outcome, SEARCH_MAX, failed, leaf_through};
use crate::claims::UserId;
use crate::store::embedded::layout::{self, Key};
use crate::store::{Page, StoreError, UserFilter, UserOrder, UserQuery};
use crate::user::User;

/// Most members and holders that are looked at one by one.
const CANDIDATES_MAX: usize = SEARCH_MAX;

/// Where a user stands in an order: what follows the prefix of the order's index.
pub(super) fn position(order: UserOrder, user: &User) -> Vec<u8> {
    let at = |micros: i64| [&micros.max(0).to_be_bytes()[..], user.id.bytes()].concat();
    match order {
        UserOrder::Username => user.username.key().into_bytes(),
        UserOrder::DateJoined => at(user.date_joined.timestamp_micros()),
        // Who never logged in comes before everybody who did.
        UserOrder::LastLogin => at(user.last_login.map_or(0, |at| at.timestamp_micros())),
    }
}

/// The keys under which a user stands in the orders that have an index of their own.
pub(in crate::store::embedded) fn order_keys(user: &User) -> [Vec<u8>; 2] {
    [UserOrder::DateJoined, UserOrder::LastLogin].map(|order| [prefix(order), position(order, user)].concat())
}

fn prefix(order: UserOrder) -> Vec<u8> {
    match order {
        UserOrder::Username => Key::user_name(""),
        UserOrder::DateJoined => Key::joined(),
        UserOrder::LastLogin => Key::logged_in(),
    }
}

impl Draft<'_> {
    pub(in crate::store::embedded) fn find_users(&self, query: &UserQuery) -> Outcome<Page<User>> {
        let after = query.slice.after.as_deref().map(|text| layout::from_hex(text).unwrap_or_default());
        match self.candidates(&query.filter)? {
            Some(ids) => self.among(query, after.as_deref(), &ids),
            None => self.along(query, after.as_deref()),
        }
    }

    /// Those whom the filter can want; `None` when they are too many, or nothing narrows them down.
    fn candidates(&self, filter: &UserFilter) -> Outcome<Option<BTreeSet<UserId>>> {
        let mut prefixes = Vec::new();
        match (&filter.group, &filter.holds) {
            (Some(group), _) => prefixes.push(Key::members(*group)),
            // Only active superusers have an index.
            (None, Some(holds)) if filter.is_active == Some(true) => {
                prefixes.push(Key::holders(&holds.permission));
                prefixes.push(Key::superusers());
                prefixes.extend(holds.granted_by.iter().map(|group| Key::members(*group)));
            }
            _ => return Ok(None),
        }
        let mut ids = BTreeSet::new();
        for prefix in prefixes {
            for entry in self.tree.scan_prefix(&prefix) {
                let (key, _) = entry.map_err(|e| failed(&e))?;
                let id = <[u8; 16]>::try_from(&key[prefix.len()..]);
                ids.insert(UserId::from_bytes(id.map_err(|_| damaged())?));
                if ids.len() > CANDIDATES_MAX {
                    return Ok(None);
                }
            }
        }
        Ok(Some(ids))
    }

    fn among(&self, query: &UserQuery, after: Option<&[u8]>, ids: &BTreeSet<UserId>) -> Outcome<Page<User>> {
        let mut found = Vec::new();
        for id in ids {
            if let Some(user) = self.user(*id)?
                && query.wants(&user)
            {
                found.push((position(query.order, &user), user));
            }
        }
        found.sort_by(|(a, _), (b, _)| if query.descending { b.cmp(a) } else { a.cmp(b) });
        let beyond = |position: &[u8]| {
            after.is_none_or(|after| if query.descending { position < after } else { position > after })
        };
        let mut rest = found.into_iter().filter(|(position, _)| beyond(position));
        let mut page: Vec<_> = rest.by_ref().take(query.slice.limit).collect();
        let more = rest.next().is_some();
        let next = page.last().filter(|_| more).map(|(position, _)| layout::to_hex(position));
        Ok(Page { items: page.drain(..).map(|(_, user)| user).collect(), next })
    }

    fn along(&self, query: &UserQuery, after: Option<&[u8]>) -> Outcome<Page<User>> {
        let prefix = prefix(query.order);
        let mut end = prefix.clone();
        // The byte after the slash that every prefix ends with.
        *end.last_mut().ok_or_else(damaged)? += 1;
        let at = |after: &[u8]| Bound::Excluded([&prefix, after].concat());
        let range = match (after, query.descending) {
            (None, _) => (Bound::Included(prefix.clone()), Bound::Excluded(end)),
            (Some(after), false) => (at(after), Bound::Excluded(end)),
            (Some(after), true) => (Bound::Included(prefix.clone()), at(after)),
        };
        let entries = self.tree.range::<Vec<u8>, _>(range);
        let entries: Box<dyn Iterator<Item = _>> =
            if query.descending { Box::new(entries.rev()) } else { Box::new(entries) };
        leaf_through(entries, prefix.len(), query.slice.limit, |position, value| {
            let id = match query.order {
                UserOrder::Username => value,
                UserOrder::DateJoined | UserOrder::LastLogin => &position[8.min(position.len())..],
            };
            let user = self.user(UserId::from_bytes(id.try_into().map_err(|_| damaged())?))?;
            Ok(user.filter(|user| query.wants(user)))
        })
    }
}

fn damaged() -> StoreError {
    StoreError::Damaged("an index of users is damaged".to_owned())
}
