//! Known devices: whoever has logged in from one before is not held up by others who guess at the account.
//!
//! A device is known by a signed cookie that a log-in leaves on it. The cookie names the user and gives no right at
//! all: it only says which counter of failures is asked, so that it may outlive log-outs and changes of the password.
//! It is good for the one account, so that one's own says nothing about another's.

use crate::app::{App, unavailable};
use crate::audit::Client;
use crate::claims::{DeviceId, UserId};
use crate::error::Error;
use crate::store::Member;
use crate::throttle::{Place, Subject};
use crate::user::Username;

/// What a log-in says.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The name.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
    /// The token of the device, as it was sent.
    pub device: Option<&'a str>,
}

/// A place for the log-in, and who is meant, when that had to be looked up: by the device's own counter when the device is known, and otherwise by those of the
/// account and of the address, alike for names that exist and names that do not.
///
/// # Errors
/// `Throttled`; `Unavailable` when the store failed.
pub(super) async fn admit(app: &App, attempt: &Attempt<'_>, client: &Client) -> Result<(Place, Option<Member>), Error> {
    let name = Username::parse(attempt.username).ok();
    if let Some((device, member)) = known(app, attempt.device, name.as_ref()).await? {
        return Ok((app.admit(&[Subject::LogInOn(device)])?, Some(member)));
    }
    // A name under which nobody can be is counted as it is.
    let key = name.map_or_else(|| attempt.username.to_owned(), |name| name.key());
    let address = &client.address;
    let subjects = [Subject::LogInTo(&key), Subject::LogInToFrom(&key, address), Subject::LogInFrom(address)];
    Ok((app.admit(&subjects)?, None))
}

/// The device and its user, when the user has this name. Only the device's user is looked up, so that the time tells
/// nothing of the name.
async fn known(app: &App, token: Option<&str>, name: Option<&Username>) -> Result<Option<(DeviceId, Member)>, Error> {
    let (Some(token), Some(name)) = (token.filter(|_| app.is_throttled()), name) else { return Ok(None) };
    let Some((user, device)) = app.tokens().verify_device(token, app.now()) else { return Ok(None) };
    let member = app.store().member(user).await.map_err(unavailable)?;
    Ok(member.filter(|member| member.user.username == *name).map(|member| (device, member)))
}

/// The token by which the device is known from now on; `None` when it is known by the one that was sent, or when
/// nothing is throttled.
///
/// # Errors
/// `Internal` when the cryptographic library fails.
pub fn remember(app: &App, sent: Option<&str>, user: UserId) -> Result<Option<String>, Error> {
    let now = app.now();
    let is_known = || sent.and_then(|token| app.tokens().verify_device(token, now)).is_some_and(|(of, _)| of == user);
    if !app.is_throttled() || is_known() {
        return Ok(None);
    }
    app.tokens().mint_device(user, DeviceId::random(), now).map(Some)
}
