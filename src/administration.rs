//! What staff does to users, groups and permissions.
//!
//! Without HTTP. The rules (OWASP ASVS 8.2): nobody grants, edits or ends beyond the own rights; only superusers
//! touch superusers, flags and the catalogue of permissions; the last active superuser stays one.

use std::collections::BTreeSet;

use crate::account::{self, Profile, differences, persist, revoking, signed};
use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Event, Target};
use crate::claims::{GroupId, UserId};
use crate::error::{Error, Fault};
use crate::password::policy::About;
use crate::rights::{Group, Permission, PermissionEntry, group_name};
use crate::session::{self, Session};
use crate::store::Write;
use crate::user::{UNUSABLE_PASSWORD, User, Username};

/// A change of a user by staff; `None` leaves a member as it is.
#[derive(Debug, Default)]
pub struct UserChange {
    /// The name that a log-in takes.
    pub username: Option<String>,
    /// Names and address.
    pub profile: Profile,
    /// Whether the user may log in.
    pub is_active: Option<bool>,
    /// Whether administration is open to the user.
    pub is_staff: Option<bool>,
    /// Whether the user has every permission.
    pub is_superuser: Option<bool>,
    /// All groups, by name.
    pub groups: Option<Vec<String>>,
    /// All direct permissions.
    pub permissions: Option<Vec<String>>,
}

/// A change of a group; `None` leaves a member as it is.
#[derive(Debug, Default)]
pub struct GroupChange {
    /// The name.
    pub name: Option<String>,
    /// All permissions.
    pub permissions: Option<Vec<String>>,
}

/// Staff at work: whose rights bound what can be done.
#[derive(Clone, Copy)]
pub struct Staff<'a> {
    app: &'a App,
    session: &'a Session,
    client: &'a Client,
}

impl<'a> Staff<'a> {
    /// Whoever is logged in to the session. That it is staff was checked by the caller.
    #[must_use]
    pub fn new(app: &'a App, session: &'a Session, client: &'a Client) -> Self {
        Self { app, session, client }
    }

    fn event(&self, action: Action) -> Event {
        self.session.event(self.app, action, self.client)
    }

    /// Does something, and records it when it is refused for want of rights.
    async fn watched<T>(
        &self,
        action: Action,
        target: Option<Target>,
        act: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let done = act.await;
        if matches!(done, Err(Error::BeyondOwnRights(_) | Error::LastSuperuser)) {
            let event = Event { target, ..self.event(action).refused() };
            self.app.commit(vec![Write::Record(Box::new(event))]).await?;
        }
        done
    }

    fn is_superuser(&self) -> bool {
        self.session.claims().is_some_and(|claims| claims.is_superuser)
    }

    fn superuser_only(&self, what: &str) -> Result<(), Error> {
        if self.is_superuser() {
            return Ok(());
        }
        Err(Error::BeyondOwnRights(format!("only a superuser may {what}")))
    }

    /// Refuses what reaches beyond the own permissions.
    fn must_hold<'p>(&self, permissions: impl IntoIterator<Item = &'p str>) -> Result<(), Error> {
        match permissions.into_iter().find(|permission| !self.session.has_permission(permission)) {
            Some(lacking) => Err(Error::BeyondOwnRights(format!("you do not have the permission {lacking} yourself"))),
            None => Ok(()),
        }
    }

    /// Refuses to touch a user who has more rights.
    fn may_touch(&self, user: &User) -> Result<(), Error> {
        if user.is_superuser {
            return self.superuser_only("change a superuser");
        }
        self.must_hold(self.rights_of(user).iter().map(String::as_str))
    }

    fn rights_of(&self, user: &User) -> BTreeSet<String> {
        let table = self.app.groups();
        let names = table.names_of(&user.groups);
        let direct = user.permissions.iter().map(Permission::as_str);
        table.all(direct, names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect()
    }

    /// A new user. Without a password nobody can log in to the account.
    ///
    /// # Errors
    /// Faults of the members; `BeyondOwnRights`; `Taken`; `RightsTooLarge`; as [`App::commit`].
    pub async fn create_user(
        &self,
        username: &str,
        password: Option<&str>,
        change: &UserChange,
    ) -> Result<User, Error> {
        let act = async {
            let Profile { first_name, last_name, email } = &change.profile;
            let given = [first_name, last_name, email].map(|text| text.as_deref().unwrap_or_default());
            let [first_name, last_name, email] = given;
            let about = About { username, first_name, last_name, email };
            let mut user = account::new_user(self.app, &about, password).await?;
            self.resolve(change).await?;
            self.apply(change, &mut user)?;
            let event = self.event(Action::CreateUser).to(Target::user(user.id, user.username.as_str()));
            let event = event.with(differences(self.app, None, &user));
            self.commit(event, vec![Write::CreateUser(Box::new(user.clone()))]).await?;
            Ok(user)
        };
        self.watched(Action::CreateUser, Some(Target::attempted(username)), act).await
    }

    /// The user after the change. What it takes away has ended, or is renewed on the next request.
    ///
    /// # Errors
    /// `NotFound`; `PreconditionFailed` when `if_match` names another version; faults of the members;
    /// `BeyondOwnRights`; `Taken`; `LastSuperuser`; `RightsTooLarge`; as [`App::commit`].
    pub async fn change_user(&self, id: UserId, change: &UserChange, if_match: Option<u64>) -> Result<User, Error> {
        let event = self.event(Action::ChangeUser);
        let act = async {
            self.resolve(change).await?;
            account::change(self.app, self.session.witness(true)?, id, &event, |user| {
                at_version(if_match, user.version)?;
                self.may_touch(user)?;
                let was_active = user.is_active;
                self.apply(change, user)?;
                let disabled = was_active && !user.is_active;
                Ok(disabled.then_some(Write::CloseSessions { user: id, keep: None }).into_iter().collect())
            })
            .await
        };
        self.watched(Action::ChangeUser, Some(Target::user(id, "")), act).await
    }

    /// Whether the permissions and groups that a change names exist.
    async fn resolve(&self, change: &UserChange) -> Result<(), Error> {
        let table = self.app.groups();
        let mut faults = Vec::new();
        for (at, name) in change.groups.iter().flatten().enumerate() {
            if table.id(name).is_none() {
                faults.push(Fault::new(&format!("groups/{at}"), "unknown_group", "there is no group of this name"));
            }
        }
        if let Some(names) = &change.permissions {
            faults.extend(self.existing("user_permissions", names).await?.1);
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }

    /// The permissions of these names, and a fault for each that is none or is not in the catalogue.
    async fn existing(&self, field: &str, names: &[String]) -> Result<(BTreeSet<Permission>, Vec<Fault>), Error> {
        let (mut found, mut faults) = (BTreeSet::new(), Vec::new());
        for (at, name) in names.iter().enumerate() {
            let field = format!("{field}/{at}");
            match Permission::parse(&field, name) {
                Ok(permission) if self.app.store().permission(&permission).await.map_err(unavailable)?.is_some() => {
                    found.insert(permission);
                }
                Ok(_) => {
                    let message = "there is no such permission; a superuser can add it with POST /v1/permissions";
                    faults.push(Fault::new(&field, "unknown_permission", message));
                }
                Err(fault) => faults.push(fault),
            }
        }
        Ok((found, faults))
    }

    /// Writes the change into the record, within the own rights.
    fn apply(&self, change: &UserChange, user: &mut User) -> Result<(), Error> {
        let invalid = |fault| Error::Invalid(vec![fault]);
        if let Some(name) = &change.username {
            user.username = Username::parse(name).map_err(invalid)?;
        }
        change.profile.apply(user)?;
        let flags = (user.is_staff, user.is_superuser);
        user.is_active = change.is_active.unwrap_or(user.is_active);
        user.is_staff = change.is_staff.unwrap_or(user.is_staff);
        user.is_superuser = change.is_superuser.unwrap_or(user.is_superuser);
        if flags != (user.is_staff, user.is_superuser) {
            self.superuser_only("change is_staff or is_superuser")?;
        }
        if let Some(names) = &change.groups {
            let table = self.app.groups();
            let groups = names.iter().map(|name| table.id(name).ok_or(Error::Changed));
            user.groups = groups.collect::<Result<_, _>>()?;
        }
        if let Some(names) = &change.permissions {
            let permissions = names.iter().map(|name| Permission::parse("user_permissions", name));
            user.permissions = permissions.collect::<Result<_, _>>().map_err(invalid)?;
        }
        self.may_touch(user)?;
        session::rights_fit(self.app, user, self.app.groups().names_of(&user.groups))
    }

    /// Deletes the user, for good: the id is never used again, and every session has ended after `Ok`.
    ///
    /// # Errors
    /// `NotFound`; `BeyondOwnRights`; `LastSuperuser`; as [`App::commit`].
    pub async fn delete_user(&self, id: UserId) -> Result<(), Error> {
        let act = persist(|| async {
            let mut user = self.app.user(id).await?;
            self.may_touch(&user)?;
            let was = user.version;
            user.generation += 1;
            let event = self.event(Action::DeleteUser).to(Target::user(id, user.username.as_str()));
            self.commit(event, vec![self.app.mark(&user), Write::DeleteUser { id, was }]).await
        });
        self.watched(Action::DeleteUser, Some(Target::user(id, "")), act).await
    }

    /// The user without a password that anybody could know (Django's `set_unusable_password`). Every session has ended
    /// after `Ok`.
    ///
    /// # Errors
    /// `NotFound`; `BeyondOwnRights`; as [`App::commit`].
    pub async fn remove_password(&self, id: UserId) -> Result<(), Error> {
        let event = self.event(Action::ChangeUser);
        let witness = self.session.witness(true)?;
        let act = account::change(self.app, witness, id, &event, |user| {
            self.may_touch(user)?;
            user.password = UNUSABLE_PASSWORD.to_owned();
            Ok(vec![Write::CloseSessions { user: id, keep: None }])
        });
        self.watched(Action::ChangeUser, Some(Target::user(id, "")), act).await.map(drop)
    }

    /// Ends every session of the user.
    ///
    /// # Errors
    /// `NotFound`; `BeyondOwnRights`; as [`App::commit`].
    pub async fn end_sessions(&self, id: UserId) -> Result<(), Error> {
        let event = self.event(Action::EndSessions);
        let witness = self.session.witness(true)?;
        let act = account::change(self.app, witness, id, &event, |user| {
            self.may_touch(user)?;
            user.generation += 1;
            Ok(vec![Write::CloseSessions { user: id, keep: None }])
        });
        self.watched(Action::EndSessions, Some(Target::user(id, "")), act).await.map(drop)
    }

    /// A new group.
    ///
    /// # Errors
    /// Faults of the members; `BeyondOwnRights`; `Taken`; as [`App::commit`].
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
    /// `BeyondOwnRights` when the group grants, before or after, what one does not have; `Taken`;
    /// `RightsTooLarge` when a member's session could not carry the new name; as [`App::commit`].
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
    /// `NotFound`; `BeyondOwnRights`; as [`App::commit`].
    pub async fn delete_group(&self, id: GroupId) -> Result<(), Error> {
        let act = persist(|| async {
            let group = self.group(id).await?;
            self.must_hold(group.permissions.iter().map(Permission::as_str))?;
            let mut writes = Vec::new();
            for member in self.app.store().members(id).await.map_err(unavailable)? {
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

    /// Makes the writes and records the event, unless these staff's own session or rights are not what they were.
    async fn commit(&self, event: Event, mut writes: Vec<Write>) -> Result<(), Error> {
        writes.insert(0, Write::InNameOf(self.session.witness(true)?));
        writes.push(Write::Record(Box::new(event)));
        self.app.commit(writes).await
    }

    async fn group(&self, id: GroupId) -> Result<Group, Error> {
        let group = self.app.store().group(id).await.map_err(unavailable)?;
        group.ok_or(Error::NotFound("group"))
    }

    /// A new permission in the catalogue. Grants nothing to anybody.
    ///
    /// # Errors
    /// Faults of the members; `BeyondOwnRights` unless a superuser; `Taken`; as [`App::commit`].
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
    /// [`App::commit`].
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
    /// `NotFound`; `BeyondOwnRights` unless a superuser; as [`App::commit`].
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

    /// Ends every session of everybody, the own one included.
    ///
    /// # Errors
    /// `BeyondOwnRights` unless a superuser; as [`App::commit`].
    pub async fn end_everything(&self) -> Result<(), Error> {
        let only = async { self.superuser_only("end every session") };
        self.watched(Action::EndEverything, None, only).await?;
        let event = Write::Record(Box::new(self.event(Action::EndEverything)));
        self.app.end_everything(vec![Write::InNameOf(self.session.witness(true)?), event]).await
    }
}

fn at_version(wanted: Option<u64>, found: u64) -> Result<(), Error> {
    if wanted.is_none_or(|wanted| wanted == found) { Ok(()) } else { Err(Error::PreconditionFailed) }
}

fn describe(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.chars().count() > 255 || text.chars().any(char::is_control) {
        let message = "a description has at most 255 characters, without line breaks";
        return Err(Fault::new("description", "description", message));
    }
    Ok(text.to_owned())
}
