//! Identity tokens: who passed a proxy, signed, for the back end behind it.
//!
//! Owns their claims and their time. Nothing here or above reads one: back ends verify them with the public keys.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Tokens;
use crate::claims::{SessionId, UserId};
use crate::error::{Error, TokenFault};
use crate::keys::Kind;
use crate::rights::Holder;

/// Seconds for which an identity token is good: the time that a request takes on its way.
pub const IDENTITY_LIFE: i64 = 60;

/// What an identity token says (RFC 7519, section 4).
#[derive(Serialize)]
struct IdentityClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: UserId,
    /// Absent for an API token.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    iat: i64,
    exp: i64,
    preferred_username: &'a str,
    is_staff: bool,
    groups: &'a [String],
    permissions: &'a [&'a str],
}

impl Tokens {
    /// The text of a token that says to the back end `host` who the holder is and which of
    /// these permissions it has, valid for [`IDENTITY_LIFE`] from `now` on.
    ///
    /// # Errors
    /// `NotAuthenticated` for nobody; `Internal` when the cryptographic library fails.
    pub fn mint_identity(
        &self,
        host: &str,
        holder: &dyn Holder,
        permissions: &[&str],
        now: DateTime<Utc>,
    ) -> Result<String, Error> {
        let nobody = || Error::NotAuthenticated(TokenFault::Anonymous);
        let claims = IdentityClaims {
            iss: &self.issuer,
            aud: host,
            sub: holder.user().ok_or_else(nobody)?,
            sid: holder.session(),
            iat: now.timestamp(),
            exp: now.timestamp() + IDENTITY_LIFE,
            preferred_username: holder.username().ok_or_else(nobody)?,
            is_staff: holder.is_staff(),
            groups: holder.groups(),
            permissions,
        };
        let payload = serde_json::to_vec(&claims).map_err(|e| Error::Internal(e.to_string()))?;
        self.keyring.load().sign(Kind::Identity, &payload).map_err(Error::Internal)
    }
}
