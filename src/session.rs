//! The life of a session: authenticate; in `issue.rs`, write and renew; in `entry.rs`, log in and log out. Without HTTP.
//!
//! Called by `api/`. A verified request makes no call of the store here; the exceptions are named: log-in,
//! log-out, devices, and the one read that renews the claims of a token whose rights were changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Event};
use crate::claims::{Claims, SessionId, UserId};
use crate::error::{Error, TokenFault};
use crate::revocation::Standing;
use crate::rights::{GroupTable, Holder};
use crate::store::{Member, Slice, Witness};
use crate::token::{Beside, Successor, Verified};
use crate::user::User;

mod device;
mod ending;
mod entry;
mod issue;

pub use device::{Attempt, remember};
pub use entry::{all_devices, devices, end, end_one, end_one_of, enter, log_in, log_out};
pub(crate) use issue::{can_follow, follow};
use issue::{identify, succeed};
pub use issue::{merge, renew, rights_bytes, rights_fit, set_expiry, write};

/// Bytes that the whole `Set-Cookie` line may take: what every browser keeps (RFC 6265, section 6.1).
pub const COOKIE_BYTES_ALLOWED: usize = 4096;

/// Bytes of the `Set-Cookie` line around the token: the field's name, the cookie's name and its attributes.
pub const COOKIE_FRAME: usize = 128;

/// Bytes of the line that are kept free for session data when rights are granted: 768 bytes of JSON, or some 550 when
/// data is sealed, which base64url makes longer twice.
pub const DATA_RESERVE: usize = 1024;

/// What a request came with: nothing, an anonymous session, or somebody's.
#[derive(Clone)]
pub struct Session {
    /// The claims in force.
    current: Option<Arc<Verified>>,
    /// Their token; `None` when there is no session, or when it does not fit into a cookie.
    text: Option<Arc<str>>,
    /// Bytes of the token.
    length: usize,
    /// The token that the client sent, when it is another one.
    presented: Option<Arc<Verified>>,
    /// Whether the client does not have this token yet.
    is_new: bool,
    groups: Arc<GroupTable>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.claims().map(|c| c.sid))
    }
}

impl Session {
    /// No session yet.
    fn empty(app: &App) -> Self {
        Self { current: None, text: None, length: 0, presented: None, is_new: false, groups: app.groups() }
    }

    fn known(app: &App, current: Arc<Verified>, text: Arc<str>) -> Self {
        let length = text.len();
        Self { current: Some(current), text: Some(text), length, ..Self::empty(app) }
    }

    /// What the session's token says; `None` when there is no session yet.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.current.as_ref().map(|verified| &verified.claims)
    }

    /// A place beside this issue for whoever answers with it; `None` when there is no session.
    #[must_use]
    pub fn beside(&self) -> Option<&Beside> {
        self.current.as_ref().map(|verified| &verified.beside)
    }

    /// What groups grant, as this session sees it.
    #[must_use]
    pub fn group_table(&self) -> &Arc<GroupTable> {
        &self.groups
    }

    /// Whether it stands as the client has it: there is no other issue that it has to be given.
    #[must_use]
    pub fn is_as_sent(&self) -> bool {
        self.presented.is_none() && !self.is_new
    }

    /// Who is logged in, if anybody.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.claims().and_then(|claims| claims.sub)
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// `NotAuthenticated` for nobody.
    pub fn id(&self) -> Result<UserId, Error> {
        self.user().ok_or(Error::NotAuthenticated(TokenFault::Anonymous))
    }

    /// The value under a key of the session's data.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&serde_json::Value> {
        self.claims().and_then(|claims| claims.data.get(key))
    }

    /// Whether the user has the permission (Django's `has_perm`); false for nobody.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.claims().is_some_and(|claims| self.groups.allows(claims, permission))
    }

    /// Whether the user has any permission of the application (Django's `has_module_perms`); false for nobody.
    #[must_use]
    pub fn has_module_permissions(&self, label: &str) -> bool {
        self.claims().is_some_and(|claims| self.groups.allows_any_of(claims, label))
    }

    /// What was granted to the user directly and through groups, sorted. Not what a superuser has besides.
    #[must_use]
    pub fn granted(&self) -> BTreeSet<&str> {
        let Some(claims) = self.claims().filter(|claims| claims.sub.is_some()) else { return BTreeSet::new() };
        let direct = claims.permissions.iter().map(String::as_str);
        self.groups.all(direct, claims.groups.iter().map(String::as_str))
    }

    /// The token that the client has to be given, when this is an issue that it does not have.
    #[must_use]
    pub fn token_to_send(&self) -> Option<&str> {
        if self.is_new { self.token() } else { None }
    }

    /// The text of this issue.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Bytes that the whole `Set-Cookie` line of this issue takes; zero when there is no session.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        if self.current.is_some() { self.length + COOKIE_FRAME } else { 0 }
    }

    /// The state at which decisions in the name of this session are taken; `with_rights` when they rest on its rights.
    ///
    /// # Errors
    /// `NotAuthenticated` for nobody.
    pub fn witness(&self, with_rights: bool) -> Result<Witness, Error> {
        let nobody = || Error::NotAuthenticated(TokenFault::Anonymous);
        let claims = self.claims().ok_or_else(nobody)?;
        Ok(Witness {
            session: claims.sid,
            epoch: claims.epoch,
            user: claims.sub.ok_or_else(nobody)?,
            generation: claims.generation,
            rights_version: with_rights.then_some(claims.rights_version),
        })
    }

    /// An event of what is done in the name of this session.
    #[must_use]
    pub fn event(&self, app: &App, action: Action, client: &Client) -> Event {
        let event = Event::new(app.now(), action, client);
        match self.claims().and_then(|claims| Some((claims, claims.sub?, claims.preferred_username.as_deref()?))) {
            Some((claims, id, name)) => event.by(id, name, Some(claims.sid)),
            None => event,
        }
    }

    /// Whether another look at the same request found the same user with the same rights.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let of = |claims: &Claims| (claims.sid, claims.sub, claims.generation, claims.rights_version);
        self.claims().map(of) == other.claims().map(of) && Arc::ptr_eq(&self.groups, &other.groups)
    }

    /// Whether another look at the token that the client sent would find this very session, with nothing to do.
    #[must_use]
    pub fn stands(&self, app: &App) -> bool {
        let sent = self.text.as_deref().filter(|_| self.is_as_sent());
        let found = sent.and_then(|text| in_force(app, text)).zip(self.current.as_ref());
        found.is_some_and(|(found, current)| Arc::ptr_eq(&found, current)) && Arc::ptr_eq(&self.groups, &app.groups())
    }

    /// Whether it was not ended since it was authenticated. Asked again just before a cookie is written.
    #[must_use]
    pub fn is_alive(&self, app: &App) -> bool {
        self.claims().is_none_or(|claims| app.revocations().judge(claims) != Standing::Dead)
    }
}

impl Holder for Session {
    fn user(&self) -> Option<UserId> {
        Self::user(self)
    }

    fn username(&self) -> Option<&str> {
        self.claims().and_then(|claims| claims.preferred_username.as_deref())
    }

    fn session(&self) -> Option<SessionId> {
        self.claims().map(|claims| claims.sid)
    }

    fn groups(&self) -> &[String] {
        self.claims().map_or(&[], |claims| &claims.groups)
    }

    fn is_staff(&self) -> bool {
        self.claims().is_some_and(|claims| claims.is_staff)
    }

    fn has_every_permission(&self) -> bool {
        self.claims().is_some_and(|claims| claims.is_superuser)
    }

    fn has_permission(&self, permission: &str) -> bool {
        Self::has_permission(self, permission)
    }

    fn has_module_permissions(&self, label: &str) -> bool {
        Self::has_module_permissions(self, label)
    }

    fn granted(&self) -> BTreeSet<&str> {
        Self::granted(self)
    }

    fn granted_within(&self, bytes: usize) -> Option<BTreeSet<&str>> {
        match self.claims().filter(|claims| claims.sub.is_some()) {
            Some(claims) => self.groups.all_within(claims, bytes),
            None => Some(BTreeSet::new()),
        }
    }
}

/// How many issues are followed from the one that a client sent to the one in force.
const SUCCESSORS_MAX: usize = 8;

const DEAD: Error = Error::NotAuthenticated(TokenFault::Revoked);

/// The names of all permissions of the holder, sorted (Django's `get_all_permissions`): from the claims; for a
/// superuser's session, the catalogue.
///
/// # Errors
/// `Unavailable` when the store failed.
pub async fn permissions(app: &App, holder: &dyn Holder) -> Result<Vec<String>, Error> {
    if holder.has_every_permission() {
        let all = Slice { limit: usize::MAX, ..Slice::default() };
        let catalogue = app.store().permissions(all).await.map_err(unavailable)?.items;
        return Ok(catalogue.into_iter().map(|entry| entry.name.to_string()).collect());
    }
    Ok(holder.granted().into_iter().map(str::to_owned).collect())
}

/// The record of the session's user, as the store has it now.
///
/// # Errors
/// `NotAuthenticated` for nobody, and when the user was deleted meanwhile; `Unavailable` when the store failed.
pub async fn own_user(app: &App, session: &Session) -> Result<User, Error> {
    app.user(session.id()?).await.map_err(own)
}

/// What it means for a session that its own user is not there: it has ended.
pub(crate) fn own(error: Error) -> Error {
    match error {
        Error::NotFound("user") => Error::NotAuthenticated(TokenFault::UserGone),
        error => error,
    }
}

/// The session of a token, or the empty one when there is no token.
///
/// Past half of its time, or when its rights were changed, the session comes with a new issue that the client
/// has to be given ([`Session::token_to_send`]).
///
/// # Errors
/// `NotAuthenticated` when the token does not verify, is over, or was revoked; `Unavailable` when its rights
/// were changed and the store cannot say to what, or when a shared store was not heard from for too long.
pub async fn authenticate(app: &App, token: Option<&str>) -> Result<Session, Error> {
    let Some(text) = token else {
        return Ok(Session::empty(app));
    };
    let now = app.now();
    let presented = app.tokens().verify(text, now).map_err(Error::NotAuthenticated)?;
    let mut session = Session::known(app, Arc::clone(&presented), text.into());
    // What took the place of the token is in force, also for a client that does not have it yet.
    let mut current = presented;
    for _ in 0..SUCCESSORS_MAX {
        match current.successor().as_deref() {
            Some(Successor::Token(text)) => {
                let Ok(next) = app.tokens().verify(text, now) else { break };
                session = session.succeeded(Arc::clone(&next), Some(Arc::clone(text)), text.len());
                current = next;
            }
            Some(Successor::InMemory(next, length)) => {
                session = session.succeeded(Arc::clone(next), None, *length);
                break;
            }
            None => break,
        }
    }
    let current = session.claims().ok_or_else(|| Error::Internal("a session without claims".to_owned()))?;
    match app.judge(current)? {
        Standing::Dead => Err(DEAD),
        Standing::Stale => {
            let mut claims = refreshed(app, current.clone()).await?;
            claims.reissue(now, app.life());
            succeed(app, &session, claims)
        }
        Standing::Live if current.past_half(now) => {
            let mut claims = current.clone();
            claims.reissue(now, app.life());
            succeed(app, &session, claims)
        }
        Standing::Live => Ok(session),
    }
}

/// The token, when it has verified before, and [`authenticate`] would find the session as it was sent, with nothing to
/// do. `None` says nothing: that is for [`authenticate`] to find out.
#[must_use]
pub fn in_force(app: &App, text: &str) -> Option<Arc<Verified>> {
    let now = app.now();
    let known = app.tokens().remembered(text, now)?;
    let is_due = known.is_superseded() || known.claims.past_half(now);
    (!is_due && matches!(app.judge(&known.claims), Ok(Standing::Live))).then_some(known)
}

/// The claims with the user's present rights.
///
/// # Errors
/// `NotAuthenticated` when the user is gone, disabled or of another generation; `Unavailable` when the store failed.
pub(crate) async fn refreshed(app: &App, mut claims: Claims) -> Result<Claims, Error> {
    let gone = || Error::NotAuthenticated(TokenFault::UserGone);
    let id = claims.sub.ok_or_else(gone)?;
    let Member { user, groups } = app.store().member(id).await.map_err(unavailable)?.ok_or_else(gone)?;
    if !user.is_active || user.generation != claims.generation {
        return Err(gone());
    }
    identify(&mut claims, &user, groups);
    Ok(claims)
}
