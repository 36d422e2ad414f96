//! What the operator does to accounts on the server's own command line, while it is stopped.
//!
//! Without HTTP. Nobody's rights bound it, as whoever may do this may write to the store's files; the policy for
//! passwords and the last superuser bound it all the same, and everything is in the audit log.

use crate::account::{self, about, change_by, differences, new_user};
use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Event, Target};
use crate::error::Error;
use crate::password::policy::About;
use crate::store::{Slice, Write};
use crate::user::{UNUSABLE_PASSWORD, User, Username};

/// An account to make.
#[derive(Debug)]
pub struct NewAccount<'a> {
    /// The name that a log-in takes.
    pub username: &'a str,
    /// An address, or empty.
    pub email: &'a str,
    /// The password; without one nobody can log in.
    pub password: Option<&'a str>,
    /// Whether administration is open to the user.
    pub is_staff: bool,
    /// Whether the user has every permission.
    pub is_superuser: bool,
}

fn event(app: &App, action: Action) -> Event {
    Event::new(app.now(), action, &Client::default())
}

/// The account of this exact name.
///
/// # Errors
/// `NotFound` when there is none; `Unavailable` when the store failed.
pub async fn find(app: &App, username: &str) -> Result<User, Error> {
    let name = Username::parse(username).map_err(|_| Error::NotFound("user"))?;
    let user = app.store().user_named(&name.key()).await.map_err(unavailable)?;
    user.filter(|user| user.username == name).ok_or(Error::NotFound("user"))
}

/// All accounts, a page at a time, in the order of their names.
///
/// # Errors
/// What `show` finds; `Unavailable` when the store failed.
pub async fn each(app: &App, mut show: impl FnMut(&User) -> Result<(), Error>) -> Result<(), Error> {
    let mut slice = Slice { limit: 500, ..Slice::default() };
    loop {
        let page = app.store().users(slice.clone()).await.map_err(unavailable)?;
        page.items.iter().try_for_each(&mut show)?;
        match page.next {
            Some(next) => slice.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// A new account.
///
/// # Errors
/// The faults of name, password and address, all of them together; `Taken`; as [`App::commit`].
pub async fn create(app: &App, new: &NewAccount<'_>) -> Result<User, Error> {
    let about = About { username: new.username, email: new.email, ..About::default() };
    let mut user = new_user(app, &about, new.password).await?;
    user.is_staff = new.is_staff;
    user.is_superuser = new.is_superuser;
    let target = Target::user(user.id, user.username.as_str());
    let event = event(app, Action::CreateUser).to(target).with(differences(app, None, &user));
    app.commit(vec![Write::CreateUser(Box::new(user.clone())), Write::Record(Box::new(event))]).await?;
    Ok(user)
}

/// Another password for the account, or none. Every session of it has ended after `Ok`.
///
/// # Errors
/// `NotFound`; the faults of the password; as [`App::commit`].
pub async fn set_password(app: &App, username: &str, password: Option<&str>) -> Result<(), Error> {
    let user = find(app, username).await?;
    let encoded = match password {
        Some(text) => {
            let password = app.policy().judge("password", text, &about(&user)).map_err(Error::Invalid)?;
            app.pool().hash(password).await?
        }
        None => UNUSABLE_PASSWORD.to_owned(),
    };
    let id = user.id;
    change_by(app, Vec::new(), id, &event(app, Action::ChangePassword), |now| {
        now.password.clone_from(&encoded);
        // Also when the new one is as unusable as the old one was.
        now.generation += 1;
        Ok(vec![Write::CloseSessions { user: id, keep: None }])
    })
    .await
    .map(drop)
}

/// Lets the account log in, or not any more. Every session of a disabled one has ended after `Ok`, for good.
///
/// # Errors
/// `NotFound`; `LastSuperuser`; as [`App::commit`].
pub async fn set_active(app: &App, username: &str, is_active: bool) -> Result<(), Error> {
    let id = find(app, username).await?.id;
    account::change_by(app, Vec::new(), id, &event(app, Action::ChangeUser), |user| {
        user.is_active = is_active;
        Ok((!is_active).then_some(Write::CloseSessions { user: id, keep: None }).into_iter().collect())
    })
    .await
    .map(drop)
}
