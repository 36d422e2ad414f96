//! What staff does to users, groups and permissions.
//!
//! Without HTTP. The rules (OWASP ASVS 8.2): nobody grants, edits or ends beyond the own rights; only superusers
//! touch superusers, flags and the catalogue of permissions; the last active superuser stays one.

use std::collections::BTreeSet;

use crate::account::{self, Profile, differences, persist};
use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Event, Target};
use crate::claims::{GroupId, SessionId, UserId};
use crate::error::{Error, Fault};
use crate::password::policy::About;
use crate::rights::Permission;
use crate::session::{self, Session};
use crate::store::Write;
use crate::user::{UNUSABLE_PASSWORD, User, Username};

mod catalogue;
mod tokens;

pub use catalogue::GroupChange;
pub(crate) use catalogue::describe;

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

    /// Refuses what reaches beyond the own permissions. By what groups grant now: a hash can have taken its time since
    /// these staff were let in, and no version of a user tells of a change of a group.
    fn must_hold<'p>(&self, permissions: impl IntoIterator<Item = &'p str>) -> Result<(), Error> {
        let table = self.app.groups();
        let holds = |permission: &str| self.session.claims().is_some_and(|claims| table.allows(claims, permission));
        match permissions.into_iter().find(|permission| !holds(permission)) {
            Some(lacking) => Err(Error::BeyondOwnRights(format!("you do not have the permission {lacking} yourself"))),
            None => Ok(()),
        }
    }

    /// Refuses groups that these staff are not in: what a group stands for elsewhere need not be among its permissions.
    fn must_be_in<'g>(&self, groups: impl IntoIterator<Item = &'g GroupId>) -> Result<(), Error> {
        let table = self.app.groups();
        let own: Vec<GroupId> = match self.session.claims() {
            _ if self.is_superuser() => return Ok(()),
            Some(claims) => claims.groups.iter().filter_map(|name| table.id(name)).collect(),
            None => Vec::new(),
        };
        match groups.into_iter().find(|group| !own.contains(group)) {
            Some(_) => Err(Error::BeyondOwnRights("you are not in every one of these groups yourself".to_owned())),
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
                let (was_active, address) = (user.is_active, user.email.clone());
                self.apply(change, user)?;
                self.keeps_own_address(user, &address)?;
                let disabled = was_active && !user.is_active;
                Ok(disabled.then_some(Write::CloseSessions { user: id, keep: None }).into_iter().collect())
            })
            .await
        };
        self.watched(Action::ChangeUser, Some(Target::user(id, "")), act).await
    }

    /// Refuses another address for these staff's own account: there the present password is asked for, which whoever
    /// found an open session does not know (ASVS 5.0, 7.5.1).
    fn keeps_own_address(&self, user: &User, before: &str) -> Result<(), Error> {
        if user.email != before && self.session.id()? == user.id {
            let how = "your own address is changed with PATCH /v1/me, which takes your present password";
            return Err(Error::BeyondOwnRights(how.to_owned()));
        }
        Ok(())
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
            let groups: BTreeSet<GroupId> = groups.collect::<Result<_, _>>()?;
            self.must_be_in(groups.difference(&user.groups))?;
            user.groups = groups;
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
            let mut writes = self.app.marks(&user);
            writes.push(Write::DeleteUser { id, was });
            self.commit(event, writes).await
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

    /// Ends one of the user's open sessions.
    ///
    /// # Errors
    /// `NotFound`, also when it is not one of the user's; `BeyondOwnRights`; as [`App::commit`].
    pub async fn end_session(&self, id: UserId, session: SessionId) -> Result<(), Error> {
        let details = vec![format!("session={session}")];
        let act = async {
            let user = self.app.user(id).await?;
            self.may_touch(&user)?;
            let event = self.event(Action::EndSession).to(Target::user(id, user.username.as_str()));
            session::end_one_of(self.app, id, session, self.session.witness(true)?, event.with(details)).await
        };
        self.watched(Action::EndSession, Some(Target::user(id, "")), act).await
    }

    /// Makes the writes and records the event, unless these staff's own session or rights are not what they were.
    async fn commit(&self, event: Event, mut writes: Vec<Write>) -> Result<(), Error> {
        writes.insert(0, Write::InNameOf(self.session.witness(true)?));
        writes.push(Write::Record(Box::new(event)));
        self.app.commit(writes).await
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
