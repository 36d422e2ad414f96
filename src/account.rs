//! Accounts: registering, one's own profile, passwords, and the rule that every change revokes what it takes away.
//!
//! Without HTTP. `administration.rs` holds what staff does to other people's accounts, by the same one change.

use std::collections::BTreeSet;

use crate::app::App;
use crate::audit::{Action, Client, Event, Target};
use crate::challenge;
use crate::claims::UserId;
use crate::error::{Error, Fault};
use crate::password::Password;
use crate::password::policy::About;
use crate::session::{self, Session};
use crate::store::{Member, Witness, Write};
use crate::throttle::Subject;
use crate::user::{self, UNUSABLE_PASSWORD, User, Username};

mod own;

pub use own::{PasswordCheck, change_password, change_profile, check_password, end_own_sessions};

/// How often a change is tried when somebody else is faster.
const TRIES: usize = 16;

/// What somebody who registers says.
pub struct Registration<'a> {
    /// The wished name.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
    /// An address, or empty.
    pub email: &'a str,
}

/// A new user without rights, logged in.
///
/// # Errors
/// `RegistrationClosed`; the faults of name, password and address, all of them together; `Taken` when the name
/// or a look-alike by case or width is in use, after the work of one hash; `Throttled` after too many from one
/// address, before any work; otherwise as [`session::log_in`].
pub async fn register(
    app: &App,
    registration: Registration<'_>,
    before: &Session,
    client: &Client,
) -> Result<(User, Session), Error> {
    if !app.registration_open() {
        return Err(Error::RegistrationClosed);
    }
    let Registration { username, password, email } = registration;
    let about = About { username, email, ..About::default() };
    let place = app.admit(&[Subject::RegisterFrom(&client.address)])?;
    let user = match new_user(app, &about, Some(password)).await {
        Ok(user) => user,
        // No account and no hash: somebody fills in a form, or nobody could be served.
        Err(error) => {
            app.give_back(place);
            return Err(error);
        }
    };
    // One commit: an account whose first session does not fit is not made.
    let made = vec![Write::CreateUser(Box::new(user.clone()))];
    let entered =
        session::enter(app, Member { user, groups: Vec::new() }, before, (Action::Register, client), made).await?;
    let email = &entered.0.email;
    // Nobody's mailbox is filled by accounts that others make with its address.
    if !email.is_empty() && app.admit(&[Subject::VerificationOf(email)]).is_ok() {
        challenge::ask_verification(app, entered.0.id);
    }
    Ok(entered)
}

/// The record of a new, active user without rights, of this name and address. Not stored yet. Without a password
/// nobody can log in. The person names only count when the password is judged.
///
/// # Errors
/// The faults of name, password and address, all of them together; `Busy` when too many hashes are waiting.
pub(crate) async fn new_user(app: &App, about: &About<'_>, password: Option<&str>) -> Result<User, Error> {
    let mut faults = Vec::new();
    let username = Username::parse(about.username).map_err(|fault| faults.push(fault));
    let password = password.map(|text| app.policy().judge("password", text, about)).transpose();
    let password = password.map_err(|found| faults.extend(found));
    let email = user::email(about.email).map_err(|fault| faults.push(fault));
    let (Ok(username), Ok(password), Ok(email)) = (username, password, email) else {
        return Err(Error::Invalid(faults));
    };
    let password = match password {
        Some(password) => app.pool().hash(password).await?,
        None => UNUSABLE_PASSWORD.to_owned(),
    };
    Ok(User {
        id: UserId::random(),
        version: 0,
        username,
        password,
        first_name: String::new(),
        last_name: String::new(),
        email,
        email_verified: false,
        is_active: true,
        is_staff: false,
        is_superuser: false,
        groups: BTreeSet::new(),
        permissions: BTreeSet::new(),
        generation: 0,
        rights_version: 0,
        last_login: None,
        date_joined: app.now(),
    })
}

/// What is known about the first superuser.
pub(crate) const ADMIN: About<'static> = About { username: "admin", first_name: "", last_name: "", email: "" };

/// The superuser `admin`, when there is no user at all: gives its random password, or nothing when the
/// password was given or there are users.
///
/// # Errors
/// `Unavailable` when the store failed; the fault of a given password.
pub async fn first_superuser(app: &App, given: Option<&str>) -> Result<Option<Password>, Error> {
    let any = crate::store::Slice { limit: 1, ..Default::default() };
    let users = app.store().users(any).await.map_err(crate::app::unavailable)?;
    if !users.items.is_empty() {
        return Ok(None);
    }
    let random = match given {
        Some(_) => None,
        None => Some(Password::random()?),
    };
    let password = given.or(random.as_ref().map(Password::reveal)).unwrap_or_default();
    let mut admin = new_user(app, &ADMIN, Some(password)).await?;
    admin.is_staff = true;
    admin.is_superuser = true;
    let event = Event::new(app.now(), Action::CreateUser, &Client::default());
    let event = event.to(Target::user(admin.id, admin.username.as_str())).with(differences(app, None, &admin));
    match app.commit(vec![Write::CreateUser(Box::new(admin)), Write::Record(Box::new(event))]).await {
        Ok(()) => Ok(random),
        // Another node on the same store was faster.
        Err(Error::Taken(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tries again while somebody else is faster.
///
/// # Errors
/// What the attempt finds; `Changed` when others were faster every time.
pub(crate) async fn persist<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 0..TRIES {
        match attempt().await {
            Err(Error::Changed) => {}
            done => return done,
        }
    }
    Err(Error::Changed)
}

/// What differs between two states of a user, for the audit log: names of members, flags with their values, groups
/// and permissions with a sign in front.
pub(crate) fn differences(app: &App, before: Option<&User>, after: &User) -> Vec<String> {
    let mut found = Vec::new();
    let mut member = |name: &str, text: fn(&User) -> &str| {
        if before.map_or("", text) != text(after) {
            found.push(name.to_owned());
        }
    };
    member("username", |user| user.username.as_str());
    member("password", |user| &user.password);
    member("first_name", |user| &user.first_name);
    member("last_name", |user| &user.last_name);
    member("email", |user| &user.email);
    let mut flag = |name: &str, value: fn(&User) -> bool| {
        if before.is_some_and(|before| value(before) != value(after)) || (before.is_none() && value(after)) {
            found.push(format!("{name}={}", value(after)));
        }
    };
    flag("email_verified", |user| user.email_verified);
    flag("is_active", |user| user.is_active);
    flag("is_staff", |user| user.is_staff);
    flag("is_superuser", |user| user.is_superuser);
    let none = BTreeSet::new();
    let table = app.groups();
    let groups = |user: &User| table.names_of(&user.groups).into_iter().collect::<BTreeSet<_>>();
    found.extend(signed(&before.map(groups).unwrap_or_default(), &groups(after)));
    found.extend(signed(before.map_or(&none, |before| &before.permissions), &after.permissions));
    found
}

/// What was added, with a plus, and what was taken away, with a minus.
pub(crate) fn signed<T: Ord + std::fmt::Display>(before: &BTreeSet<T>, after: &BTreeSet<T>) -> Vec<String> {
    let added = after.difference(before).map(|name| format!("+{name}"));
    let taken = before.difference(after).map(|name| format!("-{name}"));
    added.chain(taken).collect()
}

/// Reads a user, changes the record and stores it in the name of a session; gives the new state. The event is recorded
/// with what differs.
///
/// What the change takes away is revoked in the same commit: a new generation when the password changed, the
/// account was disabled or `change` says so; a new rights version when name, flags, groups or permissions did.
///
/// # Errors
/// What `change` finds; `NotFound`; `Changed` when others were faster every time; `NotAuthenticated` or `Outdated`
/// when the session is not what it was; otherwise as [`App::commit`].
pub(crate) async fn change(
    app: &App,
    by: Witness,
    id: UserId,
    event: &Event,
    change: impl Fn(&mut User) -> Result<Vec<Write>, Error>,
) -> Result<User, Error> {
    change_by(app, vec![Write::InNameOf(by)], id, event, change).await
}

/// [`change`], on the ground of whatever `conditions` ask: writes that come first in the same commit.
///
/// # Errors
/// As [`change`], and what the conditions refuse.
pub(crate) async fn change_by(
    app: &App,
    conditions: Vec<Write>,
    id: UserId,
    event: &Event,
    change: impl Fn(&mut User) -> Result<Vec<Write>, Error>,
) -> Result<User, Error> {
    persist(|| async {
        let before = app.user(id).await?;
        let mut user = before.clone();
        let mut writes = conditions.clone();
        writes.extend(change(&mut user)?);
        let event = event.clone().to(Target::user(id, before.username.as_str()));
        writes.push(Write::Record(Box::new(event.with(differences(app, Some(&before), &user)))));
        if user != before {
            writes.extend(revoking(app, &before, &mut user));
            user.version = before.version + 1;
        }
        app.commit(writes).await?;
        Ok(user)
    })
    .await
}

/// The writes that store `after` in the place of `before` and revoke what it takes away. Raises the versions.
pub(crate) fn revoking(app: &App, before: &User, after: &mut User) -> Vec<Write> {
    let ends = before.password != after.password || (before.is_active && !after.is_active);
    if ends && after.generation == before.generation {
        after.generation += 1;
    }
    let rights = |user: &User| {
        let User { username, is_staff, is_superuser, groups, permissions, .. } = user.clone();
        (username.as_str().to_owned(), is_staff, is_superuser, groups, permissions)
    };
    if rights(before) != rights(after) && after.rights_version == before.rights_version {
        after.rights_version += 1;
    }
    let versions = |user: &User| (user.generation, user.rights_version);
    let mut writes = vec![Write::ChangeUser { user: Box::new(after.clone()), was: before.version }];
    if before.generation != after.generation {
        writes.extend(app.marks(after));
    } else if versions(before) != versions(after) {
        writes.push(app.mark(after));
    }
    writes
}

/// What somebody changes in the own profile; `None` leaves a member as it is.
#[derive(Debug, Default)]
pub struct Profile {
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Address; empty for none.
    pub email: Option<String>,
}

impl Profile {
    /// Writes the profile into the record. Another address is one that nobody has proven.
    ///
    /// # Errors
    /// The faults of its members, all of them together.
    pub(crate) fn apply(&self, user: &mut User) -> Result<(), Error> {
        let mut faults = Vec::new();
        let address = user.email.clone();
        let mut set =
            |place: &mut String, given: &Option<String>, judge: &dyn Fn(&str) -> Result<String, Fault>| match given
                .as_deref()
                .map(judge)
            {
                Some(Ok(text)) => *place = text,
                Some(Err(fault)) => faults.push(fault),
                None => {}
            };
        set(&mut user.first_name, &self.first_name, &|text| user::person_name("first_name", text));
        set(&mut user.last_name, &self.last_name, &|text| user::person_name("last_name", text));
        set(&mut user.email, &self.email, &user::email);
        user.email_verified &= user.email == address;
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }
}

/// What is known about the user, for judging a password.
pub(crate) fn about(user: &User) -> About<'_> {
    About {
        username: user.username.as_str(),
        first_name: &user.first_name,
        last_name: &user.last_name,
        email: &user.email,
    }
}
