//! Recovery: what the answer to a mail does. A new password; a proven address.
//!
//! Without HTTP. Whatever is wrong with a token is one and the same `InvalidToken`. The answer and its effect are one
//! commit, so that of two at once one counts, and a token is used up by its effect only.

use crate::account;
use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Event};
use crate::challenge;
use crate::claims::{ChallengeKind, UserId};
use crate::error::Error;
use crate::keys::digest;
use crate::session::{self, Session};
use crate::store::Write;
use crate::throttle::Subject;
use crate::user::User;

/// A wish for a new password, by anybody, for whoever has the address. What comes of it is told by mail alone.
///
/// # Errors
/// A fault of `email` when it is not an address; `Throttled` after too many from the client's address.
pub fn request_reset(app: &App, address: &str, client: &Client) -> Result<(), Error> {
    app.admit(&[Subject::ResetFrom(&client.address)])?;
    challenge::ask_reset(app, address)
}

/// Another password for whoever was sent the token; gives who that is. After `Ok` every session of the user has
/// ended, the token is used up, and the address counts as proven, as the mail to it arrived.
///
/// # Errors
/// `InvalidToken`; `Throttled`, before any work, after too many of them from the client's address; a fault of
/// `new_password`, `Busy` or `Unavailable`, after which the token is as good as before.
pub async fn reset_password(app: &App, token: &str, new_password: &str, client: &Client) -> Result<UserId, Error> {
    let event = Event::new(app.now(), Action::ResetPassword, client);
    watched(app, &event, try_reset_password(app, token, new_password, &event)).await
}

async fn try_reset_password(app: &App, token: &str, new_password: &str, event: &Event) -> Result<UserId, Error> {
    let (user, answer) = answered(app, ChallengeKind::Reset, token).await?;
    if !user.has_usable_password() {
        return Err(Error::InvalidToken);
    }
    let new = app.policy().judge("new_password", new_password, &account::about(&user)).map_err(Error::Invalid)?;
    // One hash, for a token that is good.
    let encoded = app.pool().hash(new).await?;
    let id = user.id;
    let event = event.clone().by(id, user.username.as_str(), None);
    account::change_by(app, vec![answer], id, &event, |now| {
        now.password.clone_from(&encoded);
        now.email_verified = true;
        Ok(vec![Write::CloseSessions { user: id, keep: None }])
    })
    .await
    .map_err(gone)?;
    Ok(id)
}

/// Whether a mail is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is.
    Sent,
    /// There is nothing to ask: the address is proven.
    Verified,
}

/// Asks the session's user by mail whether the present address is theirs.
///
/// # Errors
/// A fault of `email` when the user has no address; `NotAuthenticated` for nobody; `Throttled` after too many from the
/// client's address or to this mailbox; `Unavailable`.
pub async fn request_verification(app: &App, session: &Session, client: &Client) -> Result<Asked, Error> {
    let user = session::own_user(app, session).await?;
    if user.email.is_empty() {
        return Err(Error::invalid("email", "no_address", "the account has no address; set one with PATCH /v1/me"));
    }
    if user.email_verified {
        return Ok(Asked::Verified);
    }
    app.admit(&[Subject::ResetFrom(&client.address), Subject::VerificationOf(&user.email)])?;
    challenge::ask_verification(app, user.id);
    Ok(Asked::Sent)
}

/// The address that the token was sent to is the user's. Works once; ends no session.
///
/// # Errors
/// `InvalidToken`; `Throttled`, before any work, after too many of them from the client's address; `Unavailable`,
/// after which the token is as good as before.
pub async fn verify_address(app: &App, token: &str, client: &Client) -> Result<(), Error> {
    let event = Event::new(app.now(), Action::VerifyEmail, client);
    watched(app, &event, try_verify_address(app, token, &event)).await
}

async fn try_verify_address(app: &App, token: &str, event: &Event) -> Result<(), Error> {
    let (user, answer) = answered(app, ChallengeKind::Verification, token).await?;
    let event = event.clone().by(user.id, user.username.as_str(), None);
    let verified = account::change_by(app, vec![answer], user.id, &event, |now| {
        now.email_verified = true;
        Ok(Vec::new())
    });
    verified.await.map(drop).map_err(gone)
}

/// Judges an answer, and records one that was refused. Only such are counted.
async fn watched<T>(app: &App, event: &Event, judge: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let place = app.admit(&[Subject::AnswerFrom(&event.address)])?;
    let done = judge.await;
    if matches!(done, Err(Error::InvalidToken)) {
        app.commit(vec![Write::Record(Box::new(event.clone().refused()))]).await?;
    } else {
        app.give_back(place);
    }
    done
}

/// Who answers with the token, and the write that uses it up.
async fn answered(app: &App, kind: ChallengeKind, token: &str) -> Result<(User, Write), Error> {
    let claims = app.tokens().verify_challenge(kind, token, app.now()).ok_or(Error::InvalidToken)?;
    let digest = digest(claims.jti.bytes());
    let open = app.store().challenge(claims.sub, kind).await.map_err(unavailable)?;
    let open = open.filter(|open| open.digest == digest).ok_or(Error::InvalidToken)?;
    let user = app.store().user(claims.sub).await.map_err(unavailable)?.ok_or(Error::InvalidToken)?;
    if !user.is_active || user.email != open.address {
        return Err(Error::InvalidToken);
    }
    Ok((user, Write::Answer { user: claims.sub, kind, digest }))
}

/// A user who was deleted meanwhile looks like any other reason.
fn gone(error: Error) -> Error {
    match error {
        Error::NotFound(_) => Error::InvalidToken,
        error => error,
    }
}
