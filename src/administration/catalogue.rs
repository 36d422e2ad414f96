//! What staff does to groups and to the catalogue of permissions.

use std::collections::BTreeSet;

use super::{Staff, at_version};
use crate::account::{persist, revoking, signed};
use crate::app::unavailable;
use crate::audit::{Action, Target};
use crate::claims::GroupId;
use crate::error::{Error, Fault};
use crate::rights::{Group, Permission, PermissionEntry, group_name};
use crate::session;
use crate::store::Write;
use crate::user::User;

/// A change of a group; `None` leaves a member as it is.
#[derive(Debug, Default)]
pub struct GroupChange {
    /// The name.
    pub name: Option<String>,
    /// All permissions.
    pub permissions: Option<Vec<String>>,
}

impl Staff<'_> {
    /// A new group.
    ///
    /// # Errors
    /// Faults of the members; `BeyondOwnRights`; `Taken`; as [`App::commit`](crate::app::App::commit).
    pub async fn create_group(&self, name: &str, permissions: &[String]) -> Result<Group, Error> {
        let (found, mut faults) = self.existing("permissions", permissions).await?;
        let name = group_name(name).map_err(|fault| faults.push(fault));
        let (Ok(name), true) = (name, faults.is_empty()) else {
            return Err(Error::Invalid(faults));
        };
        let group = Group { id: GroupId::random(), name, permissions: found, created: self.app.now(), version: 0 };
        let target = Target::group(group.id, &group.name);
        let act = async {
            self.must_hold(group.permissions.iter().map(Permission::as_str))?;
            let event = self.event(Action::CreateGroup).to(target.clone());
            let event = event.with(signed(&BTreeSet::new(), &group.permissions));
            self.commit(event, vec![Write::CreateGroup(group.clone())]).await
        };
        self.watched(Action::CreateGroup, Some(target.clone()), act).await?;
        Ok(group)
    }

    /// The group after the change, which acts at once on everybody in it.
    ///
    /// # Errors
    /// `NotFound`; `PreconditionFailed` when `if_match` names another version; faults of the members;
    /// `BeyondOwnRights` when the group grants, before or after, what one does not have, and when it gets another name,
    /// which proxies and programs may go by, unless a superuser gives it; `Taken`;
    /// `RightsTooLarge` when a member's session could not carry the new name; as [`App::commit`](crate::app::App::commit).
    pub async fn change_group(&self, id: GroupId, change: &GroupChange, if_match: Option<u64>) -> Result<Group, Error> {
        let found = match &change.permissions {
            Some(names) => {
                let (found, faults) = self.existing("permissions", names).await?;
                if !faults.is_empty() {
                    return Err(Error::Invalid(faults));
                }
                Some(found)
            }
            None => None,
        };
        let act = persist(|| async {
            let before = self.group(id).await?;
            at_version(if_match, before.version)?;
            self.must_hold(before.permissions.iter().map(Permission::as_str))?;
            let mut group = before.clone();
            if let Some(name) = &change.name {
                group.name = group_name(name).map_err(|fault| Error::Invalid(vec![fault]))?;
            }
            if let Some(found) = &found {
                group.permissions.clone_from(found);
            }
            self.must_hold(group.permissions.iter().map(Permission::as_str))?;
            if group == before {
                return Ok(group);
            }
            let mut writes = Vec::new();
            if group.name != before.name {
                self.superuser_only("rename a group")?;
                // Tokens name groups: every member's is stale now.
                for member in self.app.store().members(id).await.map_err(unavailable)? {
                    let mut names = self.app.groups().names_of(&member.groups);
                    names.retain(|name| *name != before.name);
                    names.push(group.name.clone());
                    session::rights_fit(self.app, &member, names)?;
                    writes.extend(self.stale(&member));
                }
            }
            writes.push(Write::ChangeGroup { group: group.clone(), was: before.version });
            let mut details = signed(&before.permissions, &group.permissions);
            details.extend((group.name != before.name).then(|| "name".to_owned()));
            let event = self.event(Action::ChangeGroup).to(Target::group(id, &before.name)).with(details);
            self.commit(event, writes).await?;
            group.version = before.version + 1;
            Ok(group)
        });
        self.watched(Action::ChangeGroup, Some(Target::group(id, "")), act).await
    }

    /// The writes that make the tokens of a user stale.
    fn stale(&self, user: &User) -> Vec<Write> {
        let mut after = user.clone();
        after.rights_version += 1;
        revoking(self.app, user, &mut after)
    }

    /// Deletes the group; its members lose what it granted on their next request.
    ///
    /// # Errors
    /// `NotFound`; `BeyondOwnRights`, also when it has a member whom one may not touch; as [`App::commit`](crate::app::App::commit).
    pub async fn delete_group(&self, id: GroupId) -> Result<(), Error> {
        let act = persist(|| async {
            let group = self.group(id).await?;
            self.must_hold(group.permissions.iter().map(Permission::as_str))?;
            let mut writes = Vec::new();
            for member in self.app.store().members(id).await.map_err(unavailable)? {
                self.may_touch(&member)?;
                let mut after = member.clone();
                after.groups.remove(&id);
                writes.extend(revoking(self.app, &member, &mut after));
            }
            writes.push(Write::DeleteGroup { id, was: group.version });
            let event = self.event(Action::DeleteGroup).to(Target::group(id, &group.name));
            self.commit(event, writes).await
        });
        self.watched(Action::DeleteGroup, Some(Target::group(id, "")), act).await
    }

    async fn group(&self, id: GroupId) -> Result<Group, Error> {
        let group = self.app.store().group(id).await.map_err(unavailable)?;
        group.ok_or(Error::NotFound("group"))
    }

    /// A new permission in the catalogue. Grants nothing to anybody.
    ///
    /// # Errors
    /// Faults of the members; `BeyondOwnRights` unless a superuser; `Taken`; as [`App::commit`](crate::app::App::commit).
    pub async fn create_permission(&self, name: &str, description: &str) -> Result<PermissionEntry, Error> {
        let only = async { self.superuser_only("add a permission") };
        self.watched(Action::CreatePermission, None, only).await?;
        let mut faults = Vec::new();
        let name = Permission::parse("name", name).map_err(|fault| faults.push(fault));
        let description = describe(description).map_err(|fault| faults.push(fault));
        let (Ok(name), Ok(description)) = (name, description) else {
            return Err(Error::Invalid(faults));
        };
        let permission = PermissionEntry { name, description, version: 0 };
        let event = self.event(Action::CreatePermission).to(Target::permission(permission.name.as_str()));
        self.commit(event, vec![Write::CreatePermission(permission.clone())]).await?;
        Ok(permission)
    }

    /// The permission with another description.
    ///
    /// # Errors
    /// `NotFound`; `PreconditionFailed`; a fault of the description; `BeyondOwnRights` unless a superuser; as
    /// [`App::commit`](crate::app::App::commit).
    pub async fn describe_permission(
        &self,
        name: &Permission,
        description: &str,
        if_match: Option<u64>,
    ) -> Result<PermissionEntry, Error> {
        let only = async { self.superuser_only("change a permission") };
        self.watched(Action::ChangePermission, Some(Target::permission(name.as_str())), only).await?;
        let mut permission = self.permission(name).await?;
        let was = permission.version;
        at_version(if_match, was)?;
        permission.description = describe(description).map_err(|fault| Error::Invalid(vec![fault]))?;
        let event = self.event(Action::ChangePermission).to(Target::permission(name.as_str()));
        self.commit(event, vec![Write::ChangePermission { permission: permission.clone(), was }]).await?;
        permission.version = was + 1;
        Ok(permission)
    }

    /// Deletes the permission, and takes it from every user and group that has it.
    ///
    /// # Errors
    /// `NotFound`; `BeyondOwnRights` unless a superuser; as [`App::commit`](crate::app::App::commit).
    pub async fn delete_permission(&self, name: &Permission) -> Result<(), Error> {
        let only = async { self.superuser_only("delete a permission") };
        self.watched(Action::DeletePermission, Some(Target::permission(name.as_str())), only).await?;
        persist(|| async {
            let permission = self.permission(name).await?;
            let mut writes = Vec::new();
            for holder in self.app.store().holders(name).await.map_err(unavailable)? {
                let mut after = holder.clone();
                after.permissions.remove(name);
                writes.extend(revoking(self.app, &holder, &mut after));
            }
            let all = crate::store::Slice { limit: usize::MAX, ..Default::default() };
            for mut group in self.app.store().groups(all).await.map_err(unavailable)?.items {
                if group.permissions.remove(name) {
                    let was = group.version;
                    writes.push(Write::ChangeGroup { group, was });
                }
            }
            writes.push(Write::DeletePermission { name: name.clone(), was: permission.version });
            let event = self.event(Action::DeletePermission).to(Target::permission(name.as_str()));
            self.commit(event, writes).await
        })
        .await
    }

    async fn permission(&self, name: &Permission) -> Result<PermissionEntry, Error> {
        let permission = self.app.store().permission(name).await.map_err(unavailable)?;
        permission.ok_or(Error::NotFound("permission"))
    }
}

pub(crate) fn describe(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.chars().count() > 255 || text.chars().any(char::is_control) {
        let message = "a description has at most 255 characters, without line breaks";
        return Err(Fault::new("description", "description", message));
    }
    Ok(text.to_owned())
}
