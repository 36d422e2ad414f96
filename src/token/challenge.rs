//! The tokens that are sent by mail: a signed secret, for one user and one purpose, for half an hour.
//!
//! Owns their claims and their time. That one works once, and only the newest, is the store's to say.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{CLOCK_SKEW, TOKEN_BYTES_MAX, Tokens, object};
use crate::claims::{ChallengeKind, TokenId, UserId};
use crate::error::Error;
use crate::keys::Kind;

/// Seconds for which a token that was sent by mail is good.
pub const CHALLENGE_LIFE: i64 = 30 * 60;

/// What the token of a challenge says. The address is not in it: the challenge that it answers is bound to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeClaims {
    iss: String,
    aud: String,
    /// Who was asked.
    pub sub: UserId,
    /// The secret. Whoever has it has read the mail.
    pub jti: TokenId,
    iat: i64,
    exp: i64,
}

const fn of(kind: ChallengeKind) -> Kind {
    match kind {
        ChallengeKind::Reset => Kind::Reset,
        ChallengeKind::Verification => Kind::Verification,
    }
}

impl Tokens {
    /// The text of a token by which the user answers the challenge with this secret.
    ///
    /// # Errors
    /// `Internal` when the cryptographic library fails.
    pub fn mint_challenge(
        &self,
        kind: ChallengeKind,
        user: UserId,
        secret: TokenId,
        now: DateTime<Utc>,
    ) -> Result<String, Error> {
        let iat = now.timestamp();
        let (iss, aud) = (self.issuer.clone(), self.challenge_audience(kind));
        let claims = ChallengeClaims { iss, aud, sub: user, jti: secret, iat, exp: iat + CHALLENGE_LIFE };
        let payload = serde_json::to_vec(&claims).map_err(|e| Error::Internal(e.to_string()))?;
        self.keyring.load().sign(of(kind), &payload).map_err(Error::Internal)
    }

    /// What the token of a challenge says, or `None` when it is not ours, of another kind, or over.
    #[must_use]
    pub fn verify_challenge(&self, kind: ChallengeKind, text: &str, now: DateTime<Utc>) -> Option<ChallengeClaims> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let payload = self.keyring.load().verify(of(kind), text)?;
        let claims: ChallengeClaims = object(&payload)?;
        let now = now.timestamp();
        let ours = claims.iss == self.issuer && claims.aud == self.challenge_audience(kind);
        let in_time = claims.iat <= now + CLOCK_SKEW && now < claims.exp;
        (ours && in_time).then_some(claims)
    }

    fn challenge_audience(&self, kind: ChallengeKind) -> String {
        let part = match kind {
            ChallengeKind::Reset => "reset",
            ChallengeKind::Verification => "verify",
        };
        format!("{}/{part}", self.audience)
    }
}
