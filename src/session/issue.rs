//! The next issue of a session: a write, a renewal, other rights; and whether it fits into a cookie.

use std::sync::Arc;

use super::{COOKIE_BYTES_ALLOWED, COOKIE_FRAME, DATA_RESERVE, DEAD, Session};
use crate::app::App;
use crate::claims::{Claims, Data, Expiry};
use crate::error::{Error, TokenFault};
use crate::token::{Successor, Verified};
use crate::user::User;

/// Goes on with these claims. When they do not fit into a cookie, the client keeps what it has and the claims act
/// from memory.
pub(super) fn succeed(app: &App, session: &Session, claims: Claims) -> Result<Session, Error> {
    let (text, verified) = app.tokens().issue(claims)?;
    let length = text.len();
    let text = (length + COOKIE_FRAME <= COOKIE_BYTES_ALLOWED).then_some(text);
    let next = session.succeeded(verified, text, length);
    session.supersede(&next);
    Ok(next)
}

impl Session {
    /// The same session with another issue, which the client does not have.
    pub(super) fn succeeded(&self, current: Arc<Verified>, text: Option<Arc<str>>, length: usize) -> Self {
        let presented = self.presented.as_ref().or(self.current.as_ref()).cloned();
        Self { current: Some(current), text, length, presented, is_new: true, groups: Arc::clone(&self.groups) }
    }

    /// Remembers that `next` takes the place of this issue, and of the one that the client sent.
    fn supersede(&self, next: &Self) {
        let successor = match (&next.text, &next.current) {
            (Some(text), _) => Successor::Token(Arc::clone(text)),
            (None, Some(verified)) => Successor::InMemory(Arc::clone(verified), next.length),
            (None, None) => return,
        };
        for older in [&self.presented, &self.current].into_iter().flatten() {
            older.succeeded_by(successor.clone());
        }
    }
}

/// Writes the user's identity and rights into claims.
pub(super) fn identify(claims: &mut Claims, user: &User, groups: Vec<String>) {
    claims.sub = Some(user.id);
    claims.preferred_username = Some(user.username.as_str().to_owned());
    claims.is_staff = user.is_staff;
    claims.is_superuser = user.is_superuser;
    claims.groups = groups;
    claims.permissions = user.permissions.iter().map(|p| p.as_str().to_owned()).collect();
    claims.generation = user.generation;
    claims.rights_version = user.rights_version;
}

/// The session with these claims as its next issue, for the client to be given.
pub(super) fn issue(app: &App, session: &Session, claims: Claims) -> Result<Session, Error> {
    let (text, verified) = app.tokens().issue(claims)?;
    fits(text.len())?;
    let length = text.len();
    Ok(session.succeeded(verified, Some(text), length))
}

fn fits(length: usize) -> Result<(), Error> {
    let used = length + COOKIE_FRAME;
    if used > COOKIE_BYTES_ALLOWED {
        return Err(Error::CookieTooLarge { used, allowed: COOKIE_BYTES_ALLOWED });
    }
    Ok(())
}

/// Refuses rights that would leave the user's session no room for data.
///
/// # Errors
/// `RightsTooLarge`, with the bytes that the `Set-Cookie` line would take before any data.
pub fn rights_fit(app: &App, user: &User, groups: Vec<String>) -> Result<(), Error> {
    let used = rights_bytes(app, user, groups)?;
    let allowed = COOKIE_BYTES_ALLOWED - DATA_RESERVE;
    if used > allowed { Err(Error::RightsTooLarge { used, allowed }) } else { Ok(()) }
}

/// Bytes that the `Set-Cookie` line of the user's session takes before any data.
///
/// # Errors
/// When the cryptographic library fails.
pub fn rights_bytes(app: &App, user: &User, groups: Vec<String>) -> Result<usize, Error> {
    let mut claims = blank(app, app.revocations().epoch());
    identify(&mut claims, user, groups);
    Ok(app.tokens().mint(&claims)?.len() + COOKIE_FRAME)
}

/// The claims of a session that begins now.
///
/// # Errors
/// As [`App::epoch`].
pub(super) fn begin(app: &App) -> Result<Claims, Error> {
    Ok(blank(app, app.epoch()?))
}

fn blank(app: &App, epoch: u64) -> Claims {
    let tokens = app.tokens();
    Claims::anonymous(tokens.issuer(), tokens.audience(), epoch, app.now(), app.life())
}

/// The next issue of the session after `change`; the first write begins an anonymous session.
///
/// # Errors
/// `CookieTooLarge` when the data does not fit, `PreconditionFailed` when `if_match` names another issue, and
/// the session is as it was; `NotAuthenticated` when it was ended meanwhile; `Unavailable` when it would begin, and a
/// shared store was not heard from for too long.
pub fn write(
    app: &App,
    session: &Session,
    if_match: Option<&str>,
    change: impl FnOnce(&mut Claims),
) -> Result<Session, Error> {
    if let Some(wanted) = if_match {
        let present = session.claims().map(Claims::etag);
        let matches = |tag: &str| tag == "*" && present.is_some() || Some(tag) == present.as_deref();
        if !wanted.split(',').any(|tag| matches(tag.trim())) {
            return Err(Error::PreconditionFailed);
        }
    }
    let mut claims = match session.claims() {
        Some(claims) => claims.clone(),
        None => begin(app)?,
    };
    change(&mut claims);
    claims.reissue(app.now(), app.life());
    let next = issue(app, session, claims)?;
    if !session.is_alive(app) {
        return Err(DEAD);
    }
    // Another answer may be on its way with this renewed issue, and arrive later: it leads to `next` all the same.
    if session.presented.is_some() {
        session.supersede(&next);
    }
    Ok(next)
}

/// The next issue of the session, valid for its full time of inactivity again.
///
/// # Errors
/// `NotAuthenticated` when there is no session, or it was ended meanwhile.
pub fn renew(app: &App, session: &Session) -> Result<Session, Error> {
    if session.claims().is_none() {
        return Err(Error::NotAuthenticated(TokenFault::Anonymous));
    }
    write(app, session, None, |_| ())
}

/// The next issue of the session, ending as `expiry` says.
///
/// # Errors
/// A fault of `seconds` or `at` when it is over at once; otherwise as [`write()`].
pub fn set_expiry(app: &App, session: &Session, expiry: Expiry) -> Result<Session, Error> {
    match expiry {
        Expiry::Inactivity(0) => {
            let message = "a session lasts one second at least; to end it, use DELETE /v1/session";
            return Err(Error::invalid("seconds", "expiry_past", message));
        }
        Expiry::At(at) if at <= app.now().timestamp() => {
            return Err(Error::invalid("at", "expiry_past", "the instant is over; name a later one"));
        }
        _ => {}
    }
    write(app, session, None, |claims| claims.expiry = expiry)
}

/// The next issue of the session, for a user whose generation this very session has just raised. Its rights stay as
/// they are.
///
/// # Errors
/// `CookieTooLarge`, which [`can_follow`] finds out beforehand.
pub(crate) fn follow(app: &App, session: &Session, generation: u64) -> Result<Session, Error> {
    let mut claims = session.claims().cloned().ok_or(DEAD)?;
    claims.generation = generation;
    claims.reissue(app.now(), app.life());
    issue(app, session, claims)
}

/// Whether the session would fit into a cookie with a higher generation.
///
/// # Errors
/// `CookieTooLarge` when it would not.
pub(crate) fn can_follow(app: &App, session: &Session) -> Result<(), Error> {
    let mut claims = session.claims().cloned().ok_or(DEAD)?;
    // One digit more than now, whatever the number becomes.
    claims.generation = claims.generation.saturating_mul(10).max(10);
    fits(app.tokens().mint(&claims)?.len())
}

/// Merges a patch into the session's data (RFC 7396): `null` removes a member, objects merge, all else replaces.
pub fn merge(target: &mut Data, patch: Data) {
    use serde_json::Value;
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.remove(&key)),
            Value::Object(patch) => {
                let slot = target.entry(key).or_insert_with(|| Value::Object(Data::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Data::new());
                }
                if let Value::Object(slot) = slot {
                    merge(slot, patch);
                }
            }
            value => drop(target.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::merge;

    #[test]
    fn a_merge_patch_does_what_rfc_7396_says() {
        // The examples of the RFC's appendix A whose target and patch are objects.
        let table = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (target, patch, expected) in table {
            let (Value::Object(mut data), Value::Object(patch)) = (target, patch) else { panic!() };
            merge(&mut data, patch);
            assert_eq!(Value::Object(data), expected);
        }
    }
}
