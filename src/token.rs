//! Tokens: claims in, signed text out, and back again.
//!
//! Owns what a token of a session must look like beyond its signature, and the memory of the tokens that
//! verified, so that the signature is paid once per token and not once per request. `keys.rs` signs.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, Utc};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claims::{Claims, Data, DeviceId, LIFE_MAX, UserId};
use crate::error::{Error, TokenFault};
use crate::keys::{Keyring, Kind};

mod api;
mod challenge;
mod data;
mod identity;

pub use api::VerifiedApi;
pub use challenge::{CHALLENGE_LIFE, ChallengeClaims};
use data::Carried;
pub use identity::IDENTITY_LIFE;

/// Longest token that is looked at. No cookie that is issued is longer.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Seconds by which another node's clock may be ahead of ours.
const CLOCK_SKEW: i64 = 5;

/// Memory that remembered tokens may take, in bytes, roughly.
const CACHE_BYTES: u64 = 64 << 20;

/// Tokens that are remembered at the same time, roughly. As many that were forgotten are known again: without that, tokens
/// that are in use now would never take the place of those that were in use before.
const CACHE_TOKENS: usize = 8192;

/// What somebody wants to find again with a token. Nothing here reads it.
pub type Beside = OnceLock<Box<dyn Any + Send + Sync>>;

/// Bytes that may be kept beside a token, roughly; more than that, only in proportion to the token.
pub const BESIDE_BYTES: usize = 6144;

/// A token that verified.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// What took its place, so that a client that keeps sending the old one costs no work each time.
    successor: ArcSwapOption<Successor>,
    /// A place for whoever answers with it.
    pub beside: Beside,
}

/// What took the place of a token.
#[derive(Debug, Clone)]
pub enum Successor {
    /// A token with this text.
    Token(Arc<str>),
    /// Claims that do not fit into a cookie, and so live in memory only; and the length that their token would have.
    InMemory(Arc<Verified>, usize),
}

impl Verified {
    /// Claims that are known to be right.
    #[must_use]
    pub fn new(claims: Claims) -> Arc<Self> {
        Arc::new(Self { claims, successor: ArcSwapOption::empty(), beside: OnceLock::new() })
    }

    /// What took the place of this one, if anything did.
    #[must_use]
    pub fn successor(&self) -> Option<Arc<Successor>> {
        self.successor.load_full()
    }

    /// Whether another one took its place.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.successor.load().is_some()
    }

    /// Remembers what takes the place of this one.
    pub fn succeeded_by(&self, successor: Successor) {
        self.successor.store(Some(Arc::new(successor)));
    }
}

/// Mints and verifies the tokens of one issuer for one audience.
pub struct Tokens {
    issuer: String,
    audience: String,
    /// Whether the data of sessions is sealed in the tokens that are minted.
    seals: bool,
    keyring: ArcSwap<Keyring>,
    verified: Cache<Arc<str>, Arc<Verified>, BySize>,
    verified_api: Cache<Box<str>, Arc<VerifiedApi>, BySize>,
}

/// Memory that one JSON value takes, roughly, beside its text.
const VALUE_BYTES: usize = 160;

/// How many values there are in a value, itself included.
fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(values).sum::<usize>(),
        _ => 1,
    }
}

#[derive(Clone)]
struct BySize;

impl Weighter<Arc<str>, Arc<Verified>> for BySize {
    fn weight(&self, text: &Arc<str>, verified: &Arc<Verified>) -> u64 {
        let claims = &verified.claims;
        let values = claims.data.values().map(values).sum::<usize>() + claims.groups.len() + claims.permissions.len();
        (4 * text.len() + VALUE_BYTES * values + 1024 + BESIDE_BYTES) as u64
    }
}

/// What a signed preference cookie says. The name is a claim, so that one cannot stand in for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieClaims {
    iss: String,
    aud: String,
    /// The name that the cookie was set under.
    pub name: String,
    /// The value.
    pub value: String,
    iat: i64,
    exp: i64,
}

/// What the token of a known device says.
#[derive(Serialize, Deserialize)]
struct DeviceClaims {
    iss: String,
    aud: String,
    sub: UserId,
    jti: DeviceId,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// With a keyring, for an issuer and an audience.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, keyring: Keyring) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            seals: false,
            keyring: ArcSwap::from_pointee(keyring),
            verified: Cache::with_weighter(CACHE_TOKENS, CACHE_BYTES, BySize),
            verified_api: Cache::with_weighter(256, api::CACHE_BYTES, BySize),
        }
    }

    /// The same, sealing the data of sessions in the tokens that it mints from now on, or not. Either kind is read.
    #[must_use]
    pub fn sealing(self, seals: bool) -> Self {
        Self { seals, ..self }
    }

    /// Whether the data of sessions is sealed.
    #[must_use]
    pub const fn seals(&self) -> bool {
        self.seals
    }

    /// The issuer of these tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The audience of these tokens.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The keys in use.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// Uses another keyring from now on. Tokens of keys that are gone verify no more.
    pub fn replace_keyring(&self, keyring: Keyring) {
        self.keyring.store(Arc::new(keyring));
        self.verified.clear();
        self.verified_api.clear();
    }

    /// The text of a session's token.
    ///
    /// # Errors
    /// `Internal` when the cryptographic library fails, or data is to be sealed and no key can.
    pub fn mint(&self, claims: &Claims) -> Result<String, Error> {
        let keyring = self.keyring.load();
        if self.seals { Ok(mint_sealed(&keyring, claims.clone())?.0) } else { mint_by(&keyring, claims) }
    }

    /// Mints claims and remembers the token, which its client is about to send back.
    ///
    /// # Errors
    /// As [`Tokens::mint`].
    pub fn issue(&self, claims: Claims) -> Result<(Arc<str>, Arc<Verified>), Error> {
        let keyring = self.keyring.load_full();
        let (text, claims) =
            if self.seals { mint_sealed(&keyring, claims)? } else { (mint_by(&keyring, &claims)?, claims) };
        let (text, verified) = (Arc::from(text), Verified::new(claims));
        self.remember(&text, &verified, &keyring);
        Ok((text, verified))
    }

    /// Remembers a token that is good by this keyring, unless another one has taken its place meanwhile: memory
    /// must not keep alive what a key that is gone has signed.
    fn remember(&self, text: &Arc<str>, verified: &Arc<Verified>, by: &Arc<Keyring>) {
        self.verified.insert(Arc::clone(text), Arc::clone(verified));
        // Asked after the insertion: either the new keyring is seen here, or its clearing sees the token.
        if !Arc::ptr_eq(by, &self.keyring.load()) {
            self.verified.remove(text);
        }
    }

    /// What a session's token says, when it is ours, unharmed and within its time at `now`.
    ///
    /// # Errors
    /// Why not, for the log. Whether it was revoked is not judged here.
    pub fn verify(&self, text: &str, now: DateTime<Utc>) -> Result<Arc<Verified>, TokenFault> {
        if let Some(verified) = self.verified.get(text) {
            in_time(&verified.claims, now)?;
            return Ok(verified);
        }
        let keyring = self.keyring.load_full();
        let verified = self.verify_by(&keyring, text, now)?;
        self.remember(&text.into(), &verified, &keyring);
        Ok(verified)
    }

    /// The same, only when the token has verified before and is within its time.
    #[must_use]
    pub fn remembered(&self, text: &str, now: DateTime<Utc>) -> Option<Arc<Verified>> {
        self.verified.get(text).filter(|verified| in_time(&verified.claims, now).is_ok())
    }

    /// [`Tokens::verify`] without its memory: the price of the first sight of a token.
    ///
    /// # Errors
    /// As [`Tokens::verify`].
    pub fn verify_anew(&self, text: &str, now: DateTime<Utc>) -> Result<Arc<Verified>, TokenFault> {
        self.verify_by(&self.keyring.load(), text, now)
    }

    fn verify_by(&self, keyring: &Keyring, text: &str, now: DateTime<Utc>) -> Result<Arc<Verified>, TokenFault> {
        let claims = self.claims(keyring, text)?;
        in_time(&claims, now)?;
        Ok(Verified::new(data::opened(keyring, claims)?))
    }

    /// What a token of ours says, whatever the time.
    fn claims(&self, keyring: &Keyring, text: &str) -> Result<Claims<Carried>, TokenFault> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let header = text.split('.').next().unwrap_or_default();
        if !keyring.knows_header(Kind::Session, header) {
            return Err(TokenFault::UnknownHeader);
        }
        let payload = keyring.verify(Kind::Session, text).ok_or(TokenFault::Unverified)?;
        let claims: Claims<Carried> = object(&payload).ok_or(TokenFault::Unverified)?;
        if claims.iss != self.issuer || claims.aud != self.audience {
            return Err(TokenFault::WrongAudience);
        }
        if claims.sub.is_some() != claims.preferred_username.is_some() {
            return Err(TokenFault::Unverified);
        }
        Ok(claims)
    }

    /// What a session's token of ours says, but for its data, although its time of inactivity may be over: what a
    /// log-out needs to end the session, whose newer tokens somebody else may hold. Its absolute end is not over. Nor
    /// does it matter whether the data opens: the key may come back, and with it the session.
    #[must_use]
    pub fn read(&self, text: &str, now: DateTime<Utc>) -> Option<Claims> {
        let claims = self.claims(&self.keyring.load(), text).ok()?.with_data(Data::new()).0;
        (well_formed(&claims, now) && now.timestamp() < claims.end).then_some(claims)
    }

    /// The text of a signed preference cookie that is valid for `seconds` from `now` on.
    ///
    /// # Errors
    /// `Internal` when the cryptographic library fails.
    pub fn mint_cookie(&self, name: &str, value: &str, now: DateTime<Utc>, seconds: u32) -> Result<String, Error> {
        let claims = CookieClaims {
            iss: self.issuer.clone(),
            aud: self.cookie_audience(),
            name: name.to_owned(),
            value: value.to_owned(),
            iat: now.timestamp(),
            exp: now.timestamp() + i64::from(seconds),
        };
        let payload = serde_json::to_vec(&claims).map_err(|e| Error::Internal(e.to_string()))?;
        self.keyring.load().sign(Kind::Cookie, &payload).map_err(Error::Internal)
    }

    /// The value of a signed preference cookie of that name, or `None` when it is not ours, not of that name,
    /// or over.
    #[must_use]
    pub fn verify_cookie(&self, name: &str, text: &str, now: DateTime<Utc>) -> Option<String> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let payload = self.keyring.load().verify(Kind::Cookie, text)?;
        let claims: CookieClaims = object(&payload)?;
        let now = now.timestamp();
        let ours = claims.iss == self.issuer && claims.aud == self.cookie_audience() && claims.name == name;
        (ours && claims.iat <= now + CLOCK_SKEW && now < claims.exp).then_some(claims.value)
    }

    fn cookie_audience(&self) -> String {
        format!("{}/cookies", self.audience)
    }

    /// The text of the token of a device that its user has logged in from, valid for as long as any cookie.
    ///
    /// # Errors
    /// `Internal` when the cryptographic library fails.
    pub fn mint_device(&self, user: UserId, device: DeviceId, now: DateTime<Utc>) -> Result<String, Error> {
        let claims = DeviceClaims {
            iss: self.issuer.clone(),
            aud: self.device_audience(),
            sub: user,
            jti: device,
            iat: now.timestamp(),
            exp: now.timestamp() + i64::from(LIFE_MAX),
        };
        let payload = serde_json::to_vec(&claims).map_err(|e| Error::Internal(e.to_string()))?;
        self.keyring.load().sign(Kind::Device, &payload).map_err(Error::Internal)
    }

    /// The user and the device of a token, or `None` when it is not ours, not of a device, or over.
    #[must_use]
    pub fn verify_device(&self, text: &str, now: DateTime<Utc>) -> Option<(UserId, DeviceId)> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let payload = self.keyring.load().verify(Kind::Device, text)?;
        let claims: DeviceClaims = object(&payload)?;
        let now = now.timestamp();
        let ours = claims.iss == self.issuer && claims.aud == self.device_audience();
        (ours && claims.iat <= now + CLOCK_SKEW && now < claims.exp).then_some((claims.sub, claims.jti))
    }

    fn device_audience(&self) -> String {
        format!("{}/devices", self.audience)
    }
}

fn mint_by<D: Serialize>(keyring: &Keyring, claims: &Claims<D>) -> Result<String, Error> {
    let payload = serde_json::to_vec(claims).map_err(|e| Error::Internal(e.to_string()))?;
    keyring.sign(Kind::Session, &payload).map_err(Error::Internal)
}

/// The token with its data sealed, and the claims as they were.
fn mint_sealed(keyring: &Keyring, claims: Claims) -> Result<(String, Claims), Error> {
    let sealed = data::sealed(keyring, &claims)?;
    let (carried, data) = claims.with_data(sealed);
    let text = mint_by(keyring, &carried)?;
    Ok((text, carried.with_data(data).0))
}

/// The claims of a payload that is one JSON object in UTF-8 (RFC 7519, section 7.2).
///
/// A derived struct would also accept an array of its fields, and bytes that are no text in claims that it does
/// not know.
fn object<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    let text = std::str::from_utf8(payload).ok().filter(|text| text.starts_with('{'))?;
    serde_json::from_str(text).ok()
}

/// Whether `now` is within the times of the claims (RFC 7519, sections 4.1.4 to 4.1.6; no leeway after `exp`).
fn in_time<D>(claims: &Claims<D>, now: DateTime<Utc>) -> Result<(), TokenFault> {
    let fine = well_formed(claims, now) && now.timestamp() < claims.exp;
    if fine { Ok(()) } else { Err(TokenFault::OutsideItsTime) }
}

/// Whether the times belong together, are such as a server gives, and have begun.
fn well_formed<D>(claims: &Claims<D>, now: DateTime<Utc>) -> bool {
    let now = now.timestamp();
    let ordered = claims.auth_time <= claims.iat && claims.iat <= claims.exp && claims.exp <= claims.end;
    let life = claims.end.checked_sub(claims.auth_time);
    let given = life.is_some_and(|life| life <= i64::from(LIFE_MAX));
    let begun = claims.nbf <= now + CLOCK_SKEW && claims.iat <= now + CLOCK_SKEW;
    ordered && given && begun
}
