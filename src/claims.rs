//! What a session's token says: identifiers, claims and the session's data.
//!
//! Pure: no clock, no key, no store. Owned by `token.rs`, which signs and verifies these claims, and
//! used by every room above it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The JSON object that an application keeps in a session (`request.session` in Django).
pub type Data = Map<String, Value>;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new one: 128 bits from the operating system's generator.
            ///
            /// # Panics
            /// When the operating system gives no randomness, which leaves nothing safe to do.
            #[must_use]
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).expect("the operating system gives randomness");
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// From 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut text = [0; 22];
                let length = URL_SAFE_NO_PAD
                    .encode_slice(self.0, &mut text)
                    .map_err(|_| std::fmt::Error)?;
                f.write_str(std::str::from_utf8(&text[..length]).map_err(|_| std::fmt::Error)?)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let mut bytes = [0; 16];
                match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
                    Ok(16) if text.len() == 22 => Ok(Self(bytes)),
                    _ => Err(NotAnId),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(from)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The text is not an identifier: 22 characters of unpadded base64url (RFC 4648, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier")]
pub struct NotAnId;

id!(
    /// A user, for ever: never given to another one, not even after the user is deleted.
    UserId
);
id!(
    /// A session: one log-in or one anonymous visit, the same across every re-issue of its token. API tokens have
    /// theirs from the same space: both are random, and what ends one ends the other in the same way.
    SessionId
);
id!(
    /// One signed issue of a session (`jti`).
    TokenId
);
id!(
    /// A device that somebody has logged in from.
    DeviceId
);
id!(
    /// A group.
    GroupId
);
id!(
    /// An event of the audit log.
    EventId
);

/// What a user is asked by mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChallengeKind {
    /// To set a new password.
    Reset,
    /// To prove that the address is theirs.
    Verification,
}

/// When a session ends for want of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// After the server's usual time of inactivity.
    #[default]
    Default,
    /// After so many seconds of inactivity.
    Inactivity(u32),
    /// At an instant (seconds since 1970), whatever happens in between.
    At(i64),
    /// When the browser closes, and after the server's usual time of inactivity at the latest.
    Browser,
}

impl Expiry {
    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

/// The claims of a session's token (RFC 7519, section 4). Times are whole seconds since 1970.
///
/// Plainly derived, without a flattened map: a claim that appears twice is an error. `D` is the session's data: in the
/// open everywhere but on the wire, where it may be sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims<D = Data> {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The user; absent in an anonymous session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<UserId>,
    /// The session.
    pub sid: SessionId,
    /// This issue of the session's token.
    pub jti: TokenId,
    /// Issued at.
    pub iat: i64,
    /// Not valid before.
    pub nbf: i64,
    /// Not valid from this instant on.
    pub exp: i64,
    /// When the session began: the log-in, or the first write of an anonymous session.
    pub auth_time: i64,
    /// The absolute end of the session, beyond which no re-issue goes.
    pub end: i64,
    /// The user's generation at the time of issue.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The user's rights version at the time of issue.
    #[serde(rename = "rev")]
    pub rights_version: u64,
    /// The epoch at the time of issue.
    pub epoch: u64,
    /// The user's name; absent in an anonymous session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    /// May enter administration.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_staff: bool,
    /// Has every permission.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_superuser: bool,
    /// Names of the user's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Permissions granted to the user directly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// When the session ends for want of use.
    #[serde(default, skip_serializing_if = "Expiry::is_default")]
    pub expiry: Expiry,
    /// The session's data.
    pub data: D,
}

impl<D> Claims<D> {
    /// The same claims around other data, and the data that they had.
    #[must_use]
    pub fn with_data<E>(self, data: E) -> (Claims<E>, D) {
        let claims = Claims {
            iss: self.iss,
            aud: self.aud,
            sub: self.sub,
            sid: self.sid,
            jti: self.jti,
            iat: self.iat,
            nbf: self.nbf,
            exp: self.exp,
            auth_time: self.auth_time,
            end: self.end,
            generation: self.generation,
            rights_version: self.rights_version,
            epoch: self.epoch,
            preferred_username: self.preferred_username,
            is_staff: self.is_staff,
            is_superuser: self.is_superuser,
            groups: self.groups,
            permissions: self.permissions,
            expiry: self.expiry,
            data,
        };
        (claims, self.data)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The longest life of a session, in seconds: what browsers keep a cookie for, 400 days (RFC 6265bis, section 5.5).
/// A longer [`Lifetime`] is cut to it, and a token that says more is not ours.
pub const LIFE_MAX: u32 = 400 * 24 * 3600;

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Seconds of inactivity after which a session ends.
    pub age: u32,
    /// Seconds after its begin at which a session ends in any case.
    pub end: u32,
}

impl Claims {
    /// The claims of a new anonymous session, empty, from `now` on.
    #[must_use]
    pub fn anonymous(issuer: &str, audience: &str, epoch: u64, now: DateTime<Utc>, life: Lifetime) -> Self {
        let mut claims = Self {
            iss: issuer.to_owned(),
            aud: audience.to_owned(),
            sub: None,
            sid: SessionId::random(),
            jti: TokenId::random(),
            iat: 0,
            nbf: 0,
            exp: 0,
            auth_time: now.timestamp(),
            end: now.timestamp() + i64::from(life.end.min(LIFE_MAX)),
            generation: 0,
            rights_version: 0,
            epoch,
            preferred_username: None,
            is_staff: false,
            is_superuser: false,
            groups: Vec::new(),
            permissions: Vec::new(),
            expiry: Expiry::Default,
            data: Data::new(),
        };
        claims.reissue(now, life);
        claims
    }

    /// Makes this the next issue of the same session: a new `jti`, valid from `now` for its time of
    /// inactivity, and never beyond the session's absolute end.
    pub fn reissue(&mut self, now: DateTime<Utc>, life: Lifetime) {
        self.jti = TokenId::random();
        self.iat = now.timestamp();
        self.nbf = self.iat;
        let wished = match self.expiry {
            Expiry::Default | Expiry::Browser => self.iat + i64::from(life.age),
            Expiry::Inactivity(seconds) => self.iat + i64::from(seconds),
            Expiry::At(instant) => instant,
        };
        self.exp = wished.min(self.end);
    }

    /// Whether more than half of the token's time is over, so that its next use should re-issue it.
    ///
    /// False when a re-issue would win no time: a fixed instant, or the session's absolute end.
    #[must_use]
    pub fn past_half(&self, now: DateTime<Utc>) -> bool {
        let fixed = matches!(self.expiry, Expiry::At(_)) || self.exp >= self.end;
        !fixed && 2 * (now.timestamp() - self.iat) > self.exp - self.iat
    }

    /// Seconds until the token ends; zero when it has ended.
    #[must_use]
    pub fn remaining(&self, now: DateTime<Utc>) -> u64 {
        u64::try_from(self.exp - now.timestamp()).unwrap_or(0)
    }

    /// The session's entity tag (RFC 9110, section 8.8.3): another one for each issue.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.jti)
    }
}

/// The instant `seconds` after 1970, in UTC; the nearest one that can be written when it is out of range.
#[must_use]
pub fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or(if seconds < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

/// The instant so many milliseconds after 1970, or the last one that there is.
#[must_use]
pub fn instant_of_millis(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `now` and `seconds` more.
#[must_use]
pub fn after(now: DateTime<Utc>, seconds: u32) -> DateTime<Utc> {
    now + TimeDelta::seconds(i64::from(seconds))
}
