//! API tokens: what machines act with in somebody's name, within a part of their rights. Without HTTP.
//!
//! Owns their life: made, listed, ended, and judged on each request. A verified request makes no call of the store;
//! the exception is the one read that renews the rights of a token whose owner's were changed. What ends all sessions
//! of a user ends the API tokens too: a new password, a disabled or deleted account, "log out everywhere", the epoch.
//! They are made and ended in the name of a session only, and nothing durable is done in theirs.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Target};
use crate::claims::{Claims, LIFE_MAX, SessionId, UserId, instant};
use crate::error::{Error, Fault, TokenFault};
use crate::revocation::Standing;
use crate::revocation::endings::Kind;
use crate::rights::{GroupTable, Holder, Permission, listed_bytes};
use crate::session::{Session, refreshed};
use crate::store::{ApiToken, Revocation, Write};
use crate::token::{TOKEN_BYTES_MAX, VerifiedApi};

/// How many API tokens a user may have at a time.
pub const TOKENS_MAX: usize = 100;

/// The longest name of an API token, in characters.
pub const NAME_MAX: usize = 150;

/// Seconds that an API token lives at least.
pub const LIFE_MIN: u32 = 60;

/// Seconds that an API token lives when nothing is said: 90 days.
pub const LIFE_USUAL: u32 = 90 * 24 * 3600;

/// What a request with an API token came with.
#[derive(Clone)]
pub struct Bearer {
    verified: Arc<VerifiedApi>,
    owner: Arc<Claims>,
    groups: Arc<GroupTable>,
}

impl Bearer {
    /// The API token.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.owner.sid
    }

    /// Whether another look at the same request found the same token with the same rights.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.id() == other.id() && Arc::ptr_eq(&self.owner, &other.owner) && Arc::ptr_eq(&self.groups, &other.groups)
    }
}

impl Holder for Bearer {
    fn user(&self) -> Option<UserId> {
        self.owner.sub
    }

    fn username(&self) -> Option<&str> {
        self.owner.preferred_username.as_deref()
    }

    fn session(&self) -> Option<SessionId> {
        None
    }

    fn groups(&self) -> &[String] {
        &[]
    }

    fn is_staff(&self) -> bool {
        false
    }

    fn has_every_permission(&self) -> bool {
        false
    }

    fn has_permission(&self, permission: &str) -> bool {
        self.verified.scope.contains(permission) && self.groups.allows(&self.owner, permission)
    }

    fn has_module_permissions(&self, label: &str) -> bool {
        let of_it = |name: &&str| name.strip_prefix(label).is_some_and(|rest| rest.starts_with('.'));
        self.granted().iter().any(of_it)
    }

    fn granted(&self) -> BTreeSet<&str> {
        let scope = self.verified.scope.iter().map(String::as_str);
        scope.filter(|name| self.groups.allows(&self.owner, name)).collect()
    }

    fn granted_within(&self, bytes: usize) -> Option<BTreeSet<&str>> {
        Some(self.granted()).filter(|all| listed_bytes(all.iter().copied()) <= bytes)
    }
}

/// The API token of a text, with the rights that it has at this moment.
///
/// # Errors
/// `NotAuthenticated` when it does not verify, is over, or was ended, by itself or with its owner's sessions;
/// `Unavailable` when the owner's rights were changed and the store cannot say to what, or when a shared store was not
/// heard from for too long.
pub async fn authenticate(app: &App, text: &str) -> Result<Bearer, Error> {
    let verified = app.tokens().verify_api(text, app.now()).map_err(Error::NotAuthenticated)?;
    let mut owner = verified.present();
    match app.judge(&owner)? {
        Standing::Dead => return Err(Error::NotAuthenticated(TokenFault::Revoked)),
        Standing::Stale => {
            let mut present = refreshed(app, Claims::clone(&owner)).await?;
            present.is_staff = false;
            owner = Arc::new(present);
            verified.renew(Arc::clone(&owner));
        }
        Standing::Live => {}
    }
    Ok(Bearer { verified, owner, groups: app.groups() })
}

/// A wish for an API token.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// What to call it: 1 to 150 characters, trimmed, none of them a control character.
    pub name: &'a str,
    /// The permissions that it is limited to.
    pub permissions: &'a [String],
    /// Seconds that it lives: [`LIFE_MIN`] to [`LIFE_MAX`]; [`LIFE_USUAL`] for `None`.
    pub expires_in: Option<u32>,
}

/// A new API token of the session's user, and its text, which is kept nowhere: whoever has it acts with it.
///
/// # Errors
/// Faults of the members; `TokenTooLarge` when the text would have more than [`TOKEN_BYTES_MAX`] bytes;
/// `TooManyTokens` beyond [`TOKENS_MAX`], and after [`EACH_MAX`](crate::revocation::endings::EACH_MAX) that were ended
/// and would not be over yet; `NotAuthenticated` or `Outdated` when session or rights are not what they
/// were; `Unavailable` when it could not be made durable.
pub async fn make(
    app: &App,
    session: &Session,
    new: &NewToken<'_>,
    client: &Client,
) -> Result<(ApiToken, String), Error> {
    let owner = session.id()?;
    // Each of them is held until its own end.
    if app.revocations().endings().are_full(owner, Kind::ApiToken, app.now()) {
        return Err(Error::TooManyTokens);
    }
    let claims = session.claims().ok_or(Error::NotAuthenticated(TokenFault::Anonymous))?;
    let (scope, mut faults) = scope(app, session, new.permissions).await?;
    let name = name(new.name).map_err(|fault| faults.push(fault)).unwrap_or_default();
    let life = new.expires_in.unwrap_or(LIFE_USUAL);
    if !(LIFE_MIN..=LIFE_MAX).contains(&life) {
        let message = format!("an API token lives {LIFE_MIN} to {LIFE_MAX} seconds");
        faults.push(Fault::new("expires_in", "token_life", message));
    }
    if !faults.is_empty() {
        return Err(Error::Invalid(faults));
    }
    let created = app.now();
    let ends = instant(created.timestamp() + i64::from(life));
    let token = ApiToken { id: SessionId::random(), owner, name, scope, created, ends, epoch: claims.epoch };
    let names = token.scope.iter().map(Permission::as_str);
    let text = app.tokens().mint_api(token.id, claims, names, (created.timestamp(), ends.timestamp()))?;
    if text.len() > TOKEN_BYTES_MAX {
        return Err(Error::TokenTooLarge { used: text.len(), allowed: TOKEN_BYTES_MAX });
    }
    let event = session.event(app, Action::CreateToken, client).to(Target::token(token.id, &token.name));
    let event = event.with(token.scope.iter().map(|name| format!("+{name}")).collect());
    let writes = vec![
        Write::InNameOf(session.witness(true)?),
        Write::KeepToken { token: token.clone(), most: TOKENS_MAX },
        Write::Record(Box::new(event)),
    ];
    app.commit(writes).await?;
    Ok((token, text))
}

/// The permissions of these names, and a fault for each that the session's user does not have or that is not in the
/// catalogue, which only a superuser can tell apart.
async fn scope(app: &App, session: &Session, names: &[String]) -> Result<(BTreeSet<Permission>, Vec<Fault>), Error> {
    let (mut found, mut faults) = (BTreeSet::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        let field = format!("permissions/{at}");
        match Permission::parse(&field, name) {
            Ok(_) if !session.has_permission(name) => {
                faults.push(Fault::new(&field, "not_held", "you do not have this permission yourself"));
            }
            Ok(permission) if app.store().permission(&permission).await.map_err(unavailable)?.is_some() => {
                found.insert(permission);
            }
            Ok(_) => faults.push(Fault::new(&field, "unknown_permission", "there is no such permission")),
            Err(fault) => faults.push(fault),
        }
    }
    Ok((found, faults))
}

fn name(text: &str) -> Result<String, Fault> {
    let name = text.trim();
    let fine = (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    let message = "an API token's name has 1 to 150 characters, without line breaks and other control characters";
    if fine { Ok(name.to_owned()) } else { Err(Fault::new("name", "token_name", message)) }
}

/// The user's API tokens, the newest first, without those that have ended.
///
/// # Errors
/// `Unavailable` when the store failed.
pub async fn list(app: &App, owner: UserId) -> Result<Vec<ApiToken>, Error> {
    let mut tokens = app.store().api_tokens(owner).await.map_err(unavailable)?;
    let (now, epoch) = (app.now(), app.revocations().epoch());
    tokens.retain(|token| token.ends > now && token.epoch == epoch);
    Ok(tokens)
}

/// Ends one of the API tokens of the session's own user, on the very next request.
///
/// # Errors
/// `NotFound` when it is not one of the user's; `Unavailable` when this could not be made durable. The token lives on
/// then.
pub async fn end(app: &App, session: &Session, id: SessionId, client: &Client) -> Result<(), Error> {
    let owner = session.id()?;
    let tokens = list(app, owner).await?;
    let token = tokens.iter().find(|token| token.id == id).ok_or(Error::NotFound("API token"))?;
    let event = session.event(app, Action::EndToken, client).to(Target::token(id, &token.name));
    let writes = vec![
        Write::InNameOf(session.witness(false)?),
        ending(token),
        Write::DropToken { owner, id },
        Write::Record(Box::new(event)),
    ];
    app.commit(writes).await
}

/// The write by which the API token is dead.
pub(crate) fn ending(token: &ApiToken) -> Write {
    Write::Revoke(Revocation::Session { id: token.id, until: token.ends })
}
