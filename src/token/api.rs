//! The tokens of API tokens: what a machine sends in the `Authorization` field in the name of somebody.
//!
//! Owns their claims on the wire, and the memory of those that verified. Whether one was ended, and what its owner may
//! do at present, is judged above: here an owner's claims have the form that a session's have, so that one code judges
//! both.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use quick_cache::Weighter;
use serde::{Deserialize, Serialize};

use super::{BySize, TOKEN_BYTES_MAX, Tokens, VALUE_BYTES, in_time, object};
use crate::claims::{Claims, Data, Expiry, SessionId, TokenId, UserId};
use crate::error::{Error, TokenFault};
use crate::keys::{Keyring, Kind};

/// Memory that remembered API tokens may take, in bytes, roughly.
pub(super) const CACHE_BYTES: u64 = 8 << 20;

/// What an API token says on the wire. `scope` is one text, its names separated by spaces (RFC 8693, section 4.2).
#[derive(Serialize, Deserialize)]
struct ApiClaims {
    iss: String,
    aud: String,
    sub: UserId,
    jti: SessionId,
    iat: i64,
    exp: i64,
    #[serde(rename = "gen")]
    generation: u64,
    #[serde(rename = "rev")]
    rights_version: u64,
    epoch: u64,
    preferred_username: String,
    #[serde(default, skip_serializing_if = "is_false")]
    is_superuser: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<String>,
    scope: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// An API token that verified.
#[derive(Debug)]
pub struct VerifiedApi {
    /// Its owner as the token says; `sid` is the API token itself. Never staff.
    pub owner: Arc<Claims>,
    /// The permissions that it is limited to.
    pub scope: BTreeSet<String>,
    /// The owner with later rights than the token says.
    renewed: ArcSwapOption<Claims>,
}

impl VerifiedApi {
    /// The owner as last heard of.
    #[must_use]
    pub fn present(&self) -> Arc<Claims> {
        self.renewed.load_full().unwrap_or_else(|| Arc::clone(&self.owner))
    }

    /// Remembers the owner's present rights, so that a token whose owner's rights were changed costs one read.
    pub fn renew(&self, owner: Arc<Claims>) {
        self.renewed.store(Some(owner));
    }
}

impl Weighter<Box<str>, Arc<VerifiedApi>> for BySize {
    fn weight(&self, text: &Box<str>, verified: &Arc<VerifiedApi>) -> u64 {
        let owner = &verified.owner;
        let values = owner.groups.len() + owner.permissions.len() + verified.scope.len();
        // Renewed rights may take as much as a token again.
        (3 * text.len() + TOKEN_BYTES_MAX + VALUE_BYTES * values + 1024) as u64
    }
}

impl Tokens {
    /// The text of an API token of this id: for the owner as a session's claims say, limited to the permissions of the
    /// scope, valid from `iat` until `exp` (seconds since 1970).
    ///
    /// # Errors
    /// `Internal` when the cryptographic library fails.
    pub fn mint_api<'a>(
        &self,
        id: SessionId,
        owner: &Claims,
        scope: impl IntoIterator<Item = &'a str>,
        (iat, exp): (i64, i64),
    ) -> Result<String, Error> {
        let nobody = || Error::NotAuthenticated(TokenFault::Anonymous);
        let claims = ApiClaims {
            iss: self.issuer.clone(),
            aud: self.api_audience(),
            sub: owner.sub.ok_or_else(nobody)?,
            jti: id,
            iat,
            exp,
            generation: owner.generation,
            rights_version: owner.rights_version,
            epoch: owner.epoch,
            preferred_username: owner.preferred_username.clone().ok_or_else(nobody)?,
            is_superuser: owner.is_superuser,
            groups: owner.groups.clone(),
            permissions: owner.permissions.clone(),
            scope: scope.into_iter().collect::<Vec<_>>().join(" "),
        };
        let payload = serde_json::to_vec(&claims).map_err(|e| Error::Internal(e.to_string()))?;
        self.keyring.load().sign(Kind::Api, &payload).map_err(Error::Internal)
    }

    /// What an API token says, when it is ours, unharmed and within its time at `now`.
    ///
    /// # Errors
    /// Why not, for the log. Whether it was ended is not judged here.
    pub fn verify_api(&self, text: &str, now: DateTime<Utc>) -> Result<Arc<VerifiedApi>, TokenFault> {
        if let Some(verified) = self.verified_api.get(text) {
            in_time(&verified.owner, now)?;
            return Ok(verified);
        }
        let keyring = self.keyring.load_full();
        let verified = Arc::new(self.api_claims(&keyring, text)?);
        in_time(&verified.owner, now)?;
        self.verified_api.insert(text.into(), Arc::clone(&verified));
        // Asked after the insertion, as for sessions: memory must not keep alive what a key that is gone has signed.
        if !Arc::ptr_eq(&keyring, &self.keyring.load()) {
            self.verified_api.remove(text);
        }
        Ok(verified)
    }

    fn api_claims(&self, keyring: &Keyring, text: &str) -> Result<VerifiedApi, TokenFault> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let header = text.split('.').next().unwrap_or_default();
        if !keyring.knows_header(Kind::Api, header) {
            return Err(TokenFault::UnknownHeader);
        }
        let payload = keyring.verify(Kind::Api, text).ok_or(TokenFault::Unverified)?;
        let claims: ApiClaims = object(&payload).ok_or(TokenFault::Unverified)?;
        if claims.iss != self.issuer || claims.aud != self.api_audience() {
            return Err(TokenFault::WrongAudience);
        }
        let scope = claims.scope.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let owner = Claims {
            iss: claims.iss,
            aud: claims.aud,
            sub: Some(claims.sub),
            sid: claims.jti,
            jti: TokenId::from_bytes(*claims.jti.bytes()),
            iat: claims.iat,
            nbf: claims.iat,
            exp: claims.exp,
            auth_time: claims.iat,
            end: claims.exp,
            generation: claims.generation,
            rights_version: claims.rights_version,
            epoch: claims.epoch,
            preferred_username: Some(claims.preferred_username),
            is_staff: false,
            is_superuser: claims.is_superuser,
            groups: claims.groups,
            permissions: claims.permissions,
            expiry: Expiry::At(claims.exp),
            data: Data::new(),
        };
        Ok(VerifiedApi { owner: Arc::new(owner), scope, renewed: ArcSwapOption::empty() })
    }

    fn api_audience(&self) -> String {
        format!("{}/api", self.audience)
    }
}
