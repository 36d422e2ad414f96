//! Groups and permissions in a commit: the catalogue from which users are granted.

use super::{Draft, Outcome, at_version};
use crate::claims::GroupId;
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::StoreError;
use crate::store::embedded::layout::{Key, to_json};

impl Draft<'_> {
    pub(super) fn create_group(&mut self, group: &Group) -> Outcome<()> {
        if self.get(&Key::group(group.id))?.is_some() {
            return Err(StoreError::Changed);
        }
        self.store_group(None, group)
    }

    fn store_group(&mut self, old: Option<&Group>, new: &Group) -> Outcome<()> {
        for permission in &new.permissions {
            self.must_be_there(&Key::permission(permission.as_str()))?;
        }
        if let Some(old) = old {
            let prefix = Key::members(new.id);
            let changed = |member: &Vec<u8>| {
                let user = [b"u/", &member[prefix.len()..]].concat();
                self.changes.contains_key(&user)
            };
            if old.name != new.name && !self.scan(&prefix)?.keys().all(changed) {
                return Err(StoreError::Changed);
            }
            self.remove(Key::group_name(&old.name));
        }
        let name = Key::group_name(&new.name);
        if self.get(&name)?.is_some() {
            return Err(StoreError::Taken("group"));
        }
        self.put(name, new.id.bytes().to_vec());
        self.put(Key::group(new.id), to_json(new)?);
        Ok(())
    }

    pub(super) fn change_group(&mut self, mut group: Group, was: u64) -> Outcome<()> {
        let old: Group = self.json(&Key::group(group.id))?.ok_or(StoreError::Changed)?;
        at_version(old.version, was)?;
        group.version = was + 1;
        self.store_group(Some(&old), &group)
    }

    pub(super) fn delete_group(&mut self, id: GroupId, was: u64) -> Outcome<()> {
        let old: Group = self.json(&Key::group(id))?.ok_or(StoreError::Changed)?;
        at_version(old.version, was)?;
        if !self.scan(&Key::members(id))?.is_empty() {
            return Err(StoreError::Changed);
        }
        self.remove(Key::group_name(&old.name));
        self.remove(Key::group(id));
        Ok(())
    }

    pub(super) fn create_permission(&mut self, permission: &PermissionEntry) -> Outcome<()> {
        let key = Key::permission(permission.name.as_str());
        if self.get(&key)?.is_some() {
            return Err(StoreError::Taken("permission"));
        }
        self.put(key, to_json(permission)?);
        Ok(())
    }

    pub(super) fn change_permission(&mut self, mut permission: PermissionEntry, was: u64) -> Outcome<()> {
        let key = Key::permission(permission.name.as_str());
        let old: PermissionEntry = self.json(&key)?.ok_or(StoreError::Changed)?;
        at_version(old.version, was)?;
        permission.version = was + 1;
        self.put(key, to_json(&permission)?);
        Ok(())
    }

    pub(super) fn delete_permission(&mut self, name: &Permission, was: u64) -> Outcome<()> {
        let key = Key::permission(name.as_str());
        let old: PermissionEntry = self.json(&key)?.ok_or(StoreError::Changed)?;
        at_version(old.version, was)?;
        let groups: Vec<Group> = self.all(&Key::groups())?;
        let in_use = groups.iter().any(|group| group.permissions.contains(name));
        if in_use || !self.scan(&Key::holders(name))?.is_empty() {
            return Err(StoreError::Changed);
        }
        self.remove(key);
        Ok(())
    }
}
