//! Commits in the making: what the writes of one commit change, seen over those that came before it and over the tree as
//! it stands.
//!
//! Only the writer makes drafts with changes, so nothing can move underneath one. Commits that share a flush share a
//! draft: sled writes each batch, and a mark before and after it, to the disk by itself.

use std::collections::BTreeMap;

use chrono::DateTime;
use sled::Tree;

use super::failed;
use super::layout::{self, Key, from_json, to_json};
use crate::claims::UserId;
use crate::rights::Group;
use crate::store::{Count, Member, Page, Revocation, Slice, StoreError, Tally, Witness, Write};
use crate::user::User;

mod catalogue;
mod challenge;
mod ended;
mod find;
mod log;
mod records;
mod session;
mod token;

pub(super) use find::order_keys;

/// Most records that one page of a search looks at before it stops and says where to go on.
const SEARCH_MAX: usize = 20_000;

/// Most records that one commit forgets, so that others do not wait long for it.
const FORGET_MAX: usize = 2_000;

pub(super) struct Draft<'a> {
    tree: &'a Tree,
    /// What the commits before have changed.
    before: Changed,
    /// What the present commit changes.
    changes: Changed,
}

/// The value under a key now; `None` when it was removed.
type Changed = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(super) type Outcome<T> = Result<T, StoreError>;

impl<'a> Draft<'a> {
    /// No change yet.
    pub(super) fn new(tree: &'a Tree) -> Self {
        Self { tree, before: Changed::new(), changes: Changed::new() }
    }

    /// Adds a commit: what `writes` change together, or nothing when they are refused.
    pub(super) fn add(&mut self, writes: Vec<Write>) -> Outcome<()> {
        let done = self.try_add(writes);
        let changes = std::mem::take(&mut self.changes);
        if done.is_ok() {
            self.before.extend(changes);
        }
        done
    }

    fn try_add(&mut self, writes: Vec<Write>) -> Outcome<()> {
        // Only a change of users can take a superuser away: a log-out need not count them.
        let before = if writes.iter().any(changes_users) { self.superusers()? } else { (0, 0) };
        for write in writes {
            self.write(write)?;
        }
        if before != (0, 0) {
            let after = self.superusers()?;
            let lost = |before: usize, after: usize| before > 0 && after == 0;
            if lost(before.0, after.0) || lost(before.1, after.1) {
                return Err(StoreError::LastSuperuser);
            }
        }
        Ok(())
    }

    /// Adds that the longest life of a session is raised to `seconds`. Gives what it is then.
    pub(super) fn raise_life(&mut self, seconds: u32) -> Outcome<u32> {
        let known = self.get(&Key::longest_life())?;
        let known = known.and_then(|v| v.try_into().ok()).map_or(0, u32::from_be_bytes);
        if seconds > known {
            self.before.insert(Key::longest_life(), Some(seconds.to_be_bytes().to_vec()));
        }
        Ok(known.max(seconds))
    }

    /// Keys that are changed.
    pub(super) fn changed(&self) -> usize {
        self.before.len()
    }

    /// All that was added as one atomic batch; `None` when that changes nothing.
    pub(super) fn into_batch(self) -> Option<sled::Batch> {
        if self.before.is_empty() {
            return None;
        }
        let mut batch = sled::Batch::default();
        for (key, value) in self.before {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Some(batch)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        match self.changes.get(key).or_else(|| self.before.get(key)) {
            Some(change) => Ok(change.clone()),
            None => Ok(self.tree.get(key).map_err(|e| failed(&e))?.map(|v| v.to_vec())),
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// Everything under a prefix, in order, the changes included.
    fn scan(&self, prefix: &[u8]) -> Outcome<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut found = BTreeMap::new();
        for entry in self.tree.scan_prefix(prefix) {
            let (key, value) = entry.map_err(|e| failed(&e))?;
            found.insert(key.to_vec(), value.to_vec());
        }
        for changed in [&self.before, &self.changes] {
            let under = changed.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
            for (key, value) in under {
                match value {
                    Some(value) => found.insert(key.clone(), value.clone()),
                    None => found.remove(key),
                };
            }
        }
        Ok(found)
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Outcome<Option<T>> {
        self.get(key)?.map(|record| from_json(&record)).transpose()
    }

    pub(super) fn all<T: serde::de::DeserializeOwned>(&self, prefix: &[u8]) -> Outcome<Vec<T>> {
        self.scan(prefix)?.values().map(|record| from_json(record)).collect()
    }

    pub(super) fn user(&self, id: UserId) -> Outcome<Option<User>> {
        self.json(&Key::user(id))
    }

    pub(super) fn id_under(&self, key: &[u8]) -> Outcome<Option<[u8; 16]>> {
        let damaged = |_| StoreError::Damaged("an index is damaged".to_owned());
        self.get(key)?.map(|id| id.try_into().map_err(damaged)).transpose()
    }

    /// The users whose ids end the keys under a prefix.
    pub(super) fn users_under(&self, prefix: &[u8]) -> Outcome<Vec<User>> {
        let keys = self.scan(prefix)?;
        let ids = keys.keys().filter_map(|key| <[u8; 16]>::try_from(&key[prefix.len()..]).ok());
        ids.filter_map(|id| self.user(UserId::from_bytes(id)).transpose()).collect()
    }

    pub(super) fn tallies(&self) -> Outcome<Vec<Tally>> {
        let entries = self.tree.scan_prefix(Key::tallies());
        let parse = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = entry.map_err(|e| failed(&e))?;
            layout::tally(&key, &value)
        };
        entries.map(parse).collect()
    }

    /// How many active superusers there are, and how many of them may enter administration.
    fn superusers(&self) -> Outcome<(usize, usize)> {
        let all = self.scan(&Key::superusers())?;
        let staff = all.values().filter(|value| value.as_slice() == layout::STAFF).count();
        Ok((all.len(), staff))
    }

    /// The user with the names of the groups. Whatever changes a group's name, or takes a group away, changes its
    /// members too: when the user is the same before and after, the names in between belong to it.
    pub(super) fn member(&self, id: UserId) -> Outcome<Option<Member>> {
        loop {
            let Some(user) = self.user(id)? else { return Ok(None) };
            let mut groups = Vec::with_capacity(user.groups.len());
            for group in &user.groups {
                let group: Option<Group> = self.json(&Key::group(*group))?;
                groups.extend(group.map(|group| group.name));
            }
            groups.sort_unstable();
            if self.user(id)?.is_some_and(|again| again.version == user.version) {
                return Ok(Some(Member { user, groups }));
            }
        }
    }

    /// A page of what lies under a prefix. `load` turns a value into a record, `wanted` judges it for a search.
    pub(super) fn page<T>(
        &self,
        prefix: &[u8],
        slice: &Slice,
        load: impl Fn(&[u8]) -> Outcome<Option<T>>,
        wanted: impl Fn(&T, &str) -> bool,
    ) -> Outcome<Page<T>> {
        let search = slice.search.as_ref().map(|text| text.to_lowercase());
        let mut from = prefix.to_vec();
        if let Some(after) = &slice.after {
            from.extend_from_slice(after.as_bytes());
            from.push(0);
        }
        let mut items = Vec::new();
        let mut last = None;
        for (looked_at, entry) in self.tree.range(from..).enumerate() {
            let (key, value) = entry.map_err(|e| failed(&e))?;
            let Some(name) = key.strip_prefix(prefix) else { break };
            if items.len() == slice.limit || (search.is_some() && looked_at == SEARCH_MAX) {
                return Ok(Page { items, next: last });
            }
            last = Some(String::from_utf8_lossy(name).into_owned());
            if let Some(item) = load(&value)?
                && search.as_ref().is_none_or(|text| wanted(&item, text))
            {
                items.push(item);
            }
        }
        Ok(Page { items, next: None })
    }

    fn write(&mut self, write: Write) -> Outcome<()> {
        match write {
            Write::InNameOf(witness) => self.in_name_of(&witness),
            Write::CreateUser(user) => {
                if self.user(user.id)?.is_some() {
                    return Err(StoreError::Changed);
                }
                self.store_user(None, &user)
            }
            Write::ChangeUser { mut user, was } => {
                let old = self.user_at(user.id, was)?;
                user.last_login = old.last_login;
                if user.generation == old.generation {
                    user.password.clone_from(&old.password);
                }
                user.version = was + 1;
                self.drop_groundless(&old, &user)?;
                if user.generation != old.generation {
                    self.drop_all_tokens(user.id)?;
                }
                self.store_user(Some(&old), &user)
            }
            Write::UpgradePassword { user, was, now } => self.upgrade_password(user, &was, now),
            Write::DeleteUser { id, was } => {
                let old = self.user_at(id, was)?;
                self.unindex(&old);
                self.remove(Key::user(id));
                self.drop_challenges(&Key::challenges(id))?;
                self.drop_all_tokens(id)?;
                self.close_all(id, None)
            }
            Write::OpenSession { session, was } => self.open_session(&session, was),
            Write::CloseSession { user, id } => self.close(&Key::session(user, id)),
            Write::CloseSessions { user, keep } => self.close_all(user, keep),
            Write::KeepToken { token, most } => self.keep_token(&token, most),
            Write::DropToken { owner, id } => self.drop_token(Key::token(owner, id)),
            Write::DropTokens { owner, ids } => self.drop_tokens(owner, &ids),
            Write::Challenge { user, kind, challenge } => self.ask(user, kind, &challenge),
            Write::Answer { user, kind, digest } => self.answer(user, kind, digest),
            Write::CreateGroup(group) => self.create_group(&group),
            Write::ChangeGroup { group, was } => self.change_group(group, was),
            Write::DeleteGroup { id, was } => self.delete_group(id, was),
            Write::CreatePermission(permission) => self.create_permission(&permission),
            Write::ChangePermission { permission, was } => self.change_permission(permission, was),
            Write::DeletePermission { name, was } => self.delete_permission(&name, was),
            Write::Revoke(revocation) => self.revoke(revocation),
            Write::DropCovered { user, ids } => self.drop_covered(user, &ids),
            Write::Count(counts) => counts.iter().try_for_each(|count| self.count(count)),
            Write::Restore(record) => self.restore(&record),
            Write::Forget(now) => self.forget(now),
            Write::Record(event) => {
                self.put(Key::event(&event), to_json(&event)?);
                Ok(())
            }
            Write::ForgetEvents(before) => self.forget_events(before),
        }
    }

    fn upgrade_password(&mut self, id: UserId, was: &str, now: String) -> Outcome<()> {
        if let Some(mut user) = self.user(id)?.filter(|user| user.password == was) {
            user.password = now;
            self.put(Key::user(id), to_json(&user)?);
        }
        Ok(())
    }

    fn in_name_of(&self, witness: &Witness) -> Outcome<()> {
        let revoked = |of: Revocation| self.get(&Key::revocation(&of));
        let session = revoked(Revocation::Session { id: witness.session, until: DateTime::UNIX_EPOCH })?;
        let epoch =
            revoked(Revocation::Epoch(0))?.and_then(|value| value.try_into().ok()).map_or(0, u64::from_be_bytes);
        let user = self.user(witness.user)?.ok_or(StoreError::Ended)?;
        let ended = session.is_some() || witness.epoch < epoch;
        if ended || !user.is_active || user.generation != witness.generation {
            return Err(StoreError::Ended);
        }
        match witness.rights_version {
            Some(version) if version != user.rights_version => Err(StoreError::Outdated),
            _ => Ok(()),
        }
    }

    fn count(&mut self, count: &Count) -> Outcome<()> {
        let key = Key::tally(count.key);
        let old = self.get(&key)?.map(|value| layout::tally(&key, &value)).transpose()?.map(|old| old.until);
        if let Some(old) = old {
            self.remove(Key::over_at(old, &key));
        }
        let now = Tally { key: count.key, until: count.end(old) };
        self.put(Key::over_at(now.until, &key), Vec::new());
        self.put(key, layout::tally_value(&now));
        Ok(())
    }

    fn user_at(&self, id: UserId, was: u64) -> Outcome<User> {
        let old = self.user(id)?.ok_or(StoreError::Changed)?;
        at_version(old.version, was)?;
        Ok(old)
    }

    /// Replaces `old` by `new`, with all the keys under which a user is found.
    fn store_user(&mut self, old: Option<&User>, new: &User) -> Outcome<()> {
        for group in &new.groups {
            if old.is_none_or(|old| !old.groups.contains(group)) {
                self.must_be_there(&Key::group(*group))?;
            }
        }
        for permission in &new.permissions {
            if old.is_none_or(|old| !old.permissions.contains(permission)) {
                self.must_be_there(&Key::permission(permission.as_str()))?;
            }
        }
        if let Some(old) = old {
            self.unindex(old);
        }
        let name = Key::user_name(&new.username.key());
        if self.get(&name)?.is_some() {
            return Err(StoreError::Taken("user"));
        }
        self.put(name, new.id.bytes().to_vec());
        if let Some(address) = Key::user_at_address(new) {
            self.put(address, Vec::new());
        }
        for group in &new.groups {
            self.put(Key::member(*group, new.id), Vec::new());
        }
        for permission in &new.permissions {
            self.put(Key::holder(permission, new.id), Vec::new());
        }
        if new.is_active && new.is_superuser {
            let value = if new.is_staff { layout::STAFF } else { b"" };
            self.put(Key::superuser(new.id), value.to_vec());
        }
        self.enter_orders(new);
        self.put(Key::user(new.id), to_json(new)?);
        Ok(())
    }

    fn enter_orders(&mut self, user: &User) {
        for key in find::order_keys(user) {
            self.put(key, Vec::new());
        }
    }

    fn leave_orders(&mut self, user: &User) {
        for key in find::order_keys(user) {
            self.remove(key);
        }
    }

    fn must_be_there(&self, key: &[u8]) -> Outcome<()> {
        self.get(key)?.map(drop).ok_or(StoreError::Changed)
    }

    fn unindex(&mut self, old: &User) {
        self.remove(Key::user_name(&old.username.key()));
        if let Some(address) = Key::user_at_address(old) {
            self.remove(address);
        }
        for group in &old.groups {
            self.remove(Key::member(*group, old.id));
        }
        for permission in &old.permissions {
            self.remove(Key::holder(permission, old.id));
        }
        self.remove(Key::superuser(old.id));
        self.leave_orders(old);
    }
}

/// A page of entries, of those that `load` makes something of: it gets their place, which is their key after so many
/// bytes, and what lies there. Looks at some of them only; the place is where the next page goes on.
fn leaf_through<T>(
    entries: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    prefix: usize,
    limit: usize,
    load: impl Fn(&[u8], &[u8]) -> Outcome<Option<T>>,
) -> Outcome<Page<T>> {
    let mut items = Vec::new();
    let mut last = None;
    for (looked_at, entry) in entries.enumerate() {
        let (key, value) = entry.map_err(|e| failed(&e))?;
        if items.len() == limit || looked_at == SEARCH_MAX {
            return Ok(Page { items, next: last });
        }
        let place = &key[prefix..];
        last = Some(layout::to_hex(place));
        items.extend(load(place, &value)?);
    }
    Ok(Page { items, next: None })
}

fn changes_users(write: &Write) -> bool {
    matches!(write, Write::CreateUser(_) | Write::ChangeUser { .. } | Write::DeleteUser { .. })
}

fn at_version(found: u64, was: u64) -> Outcome<()> {
    if found == was { Ok(()) } else { Err(StoreError::Changed) }
}
