//! What users change in their own account: the profile, the password, the end of their sessions.
//!
//! Owns the proof by the present password, which guards what could take the account away.

use super::{Profile, about, change};
use crate::app::App;
use crate::audit::{Action, Client, Event};
use crate::error::{Error, Fault};
use crate::password::Password;
use crate::password::policy::{self, About};
use crate::session::{self, Session};
use crate::store::Write;
use crate::throttle::Subject;
use crate::user::User;

/// The user with another profile. Another address takes the present password, `old`: to whoever has the address a link
/// for a new password is sent (ASVS 5.0, 7.5.1).
///
/// # Errors
/// The faults of the profile; `WrongPassword` when the address is another one and the password is missing or wrong, which
/// is recorded; `Throttled` after too many wrong ones; and as [`App::commit`].
pub async fn change_profile(
    app: &App,
    session: &Session,
    profile: &Profile,
    old: Option<&str>,
    client: &Client,
) -> Result<User, Error> {
    let event = session.event(app, Action::ChangeProfile, client);
    let act = async {
        let id = session.id()?;
        let proven_at = match old.filter(|_| profile.email.is_some()) {
            Some(old) => {
                let user = session::own_user(app, session).await?;
                prove(app, &user, old).await?;
                Some(user.generation)
            }
            None => None,
        };
        let changed = change(app, session.witness(false)?, id, &event, |user| {
            let address = user.email.clone();
            profile.apply(user)?;
            if user.email == address || proven_at == Some(user.generation) {
                return Ok(Vec::new());
            }
            Err(Error::WrongPassword)
        });
        changed.await.map_err(session::own)
    };
    watched(app, &event, act).await
}

/// What a form may tell about a password before it is sent to be set.
#[derive(Debug)]
pub struct PasswordCheck {
    /// A fault of `password` for each rule of the policy that it breaks.
    pub faults: Vec<Fault>,
    /// How hard it is to guess, from 0 to 4.
    pub score: u8,
}

/// What the policy says about a password. When nothing is told about its owner and somebody is logged in, it is
/// judged as that user's.
///
/// # Errors
/// `NotAuthenticated` when the session's user is gone; `Unavailable` when the store failed; nothing else.
pub async fn check_password(
    app: &App,
    session: &Session,
    password: &str,
    told: Option<About<'_>>,
) -> Result<PasswordCheck, Error> {
    let user = match (told, session.user()) {
        (None, Some(_)) => Some(session::own_user(app, session).await?),
        _ => None,
    };
    let about = told.or_else(|| user.as_ref().map(about)).unwrap_or_default();
    let faults = app.policy().judge("password", password, &about).err().unwrap_or_default();
    Ok(PasswordCheck { faults, score: policy::score(password, &about) })
}

/// Another password for the session's user. All other sessions of the user have ended after `Ok`; this one goes
/// on with the issue that is returned (Django's `update_session_auth_hash`).
///
/// # Errors
/// `WrongPassword`, and `Throttled` before any work after too many of them; the fault of the new one; `Busy`;
/// `Unavailable`, and nothing has changed.
pub async fn change_password(
    app: &App,
    session: &Session,
    old: &str,
    new: &str,
    client: &Client,
) -> Result<Session, Error> {
    let event = session.event(app, Action::ChangePassword, client);
    let act = async {
        let user = session::own_user(app, session).await?;
        let id = user.id;
        let new = app.policy().judge("new_password", new, &about(&user)).map_err(Error::Invalid)?;
        prove(app, &user, old).await?;
        session::can_follow(app, session)?;
        let encoded = app.pool().hash(new).await?;
        let keep = session.claims().map(|claims| claims.sid);
        let changed = change(app, session.witness(false)?, id, &event, |now| {
            // The old password was judged at this generation; another one came in between. The hash alone may be
            // another one of the same password.
            if now.generation != user.generation {
                return Err(Error::WrongPassword);
            }
            now.password.clone_from(&encoded);
            Ok(vec![Write::CloseSessions { user: id, keep }])
        })
        .await
        .map_err(session::own)?;
        session::follow(app, session, changed.generation)
    };
    watched(app, &event, act).await
}

/// Ends every session of the session's own user, by a new generation: also those that nobody knows of. With `keep`,
/// this one goes on with the issue that is returned.
///
/// # Errors
/// `CookieTooLarge` when it could not go on, `NotAuthenticated` when it has ended, and as [`App::commit`]; nothing
/// has changed then.
pub async fn end_own_sessions(
    app: &App,
    session: &Session,
    keep: bool,
    client: &Client,
) -> Result<Option<Session>, Error> {
    if keep {
        session::can_follow(app, session)?;
    }
    let id = session.id()?;
    let kept = session.claims().map(|claims| claims.sid).filter(|_| keep);
    let event = session.event(app, Action::EndSessions, client);
    let user = change(app, session.witness(false)?, id, &event, |user| {
        user.generation += 1;
        Ok(vec![Write::CloseSessions { user: id, keep: kept }])
    })
    .await
    .map_err(session::own)?;
    if keep { session::follow(app, session, user.generation).map(Some) } else { Ok(None) }
}

/// Nothing, when this is the user's present password.
///
/// # Errors
/// `WrongPassword`; `Throttled` after too many wrong ones; as the pool of hashes.
async fn prove(app: &App, user: &User, old: &str) -> Result<(), Error> {
    // Counted before the work, so that guesses made at once are bounded too. Only wrong ones stay counted.
    let place = app.admit(&[Subject::OldPasswordOf(user.id)])?;
    let right = match Password::new(old) {
        Some(old) => app.pool().verify(old, Some(user.password.clone()), true).await.map(|verdict| verdict.right),
        None => app.pool().verify(Password::random()?, None, false).await.map(|verdict| verdict.right),
    };
    if matches!(right, Ok(false)) {
        return Err(Error::WrongPassword);
    }
    app.give_back(place);
    right.map(drop)
}

/// Does something; a password that was wrong is in the audit log.
async fn watched<T>(app: &App, event: &Event, act: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = act.await;
    if matches!(done, Err(Error::WrongPassword)) {
        app.commit(vec![Write::Record(Box::new(event.clone().refused()))]).await?;
    }
    done
}
