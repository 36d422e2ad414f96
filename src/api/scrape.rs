//! Who may read what the server measures of itself: the bearer of a token, whoever reaches a listener of its own, or
//! nobody.

use poem::http::HeaderMap;
use subtle::ConstantTimeEq as _;

use crate::api::authorization;
use crate::keys::digest;

/// Who may read. Clones allow the same.
#[derive(Debug, Clone, Default)]
pub enum Scrape {
    /// Nobody: there is nothing to be found.
    #[default]
    Closed,
    /// Whoever sends this token as `Authorization: Bearer`.
    Token(Token),
    /// Whoever asks.
    Open,
}

/// A token, of which only a digest is kept.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Fewest characters of a token: 128 random bits take no fewer.
const LENGTH_MIN: usize = 20;

impl Token {
    /// The token of this text; `None` when it is shorter than 20 characters or not one that a header field carries as
    /// it is (RFC 6750, section 2.1).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let fine = (LENGTH_MIN..=1024).contains(&text.len()) && text.bytes().all(plain);
        fine.then(|| Self(digest(text.as_bytes())))
    }
}

/// What somebody who asks is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What was asked for.
    Admitted,
    /// That a token is wanted.
    Refused,
    /// That there is nothing.
    Nothing,
}

impl Scrape {
    /// How a request with these headers stands.
    #[must_use]
    pub fn judge(&self, headers: &HeaderMap) -> Verdict {
        match self {
            Self::Closed => Verdict::Nothing,
            Self::Open => Verdict::Admitted,
            Self::Token(Token(wanted)) => {
                let sent = authorization::bearer(headers).map(|text| digest(text.as_bytes()));
                if sent.is_some_and(|sent| sent.ct_eq(wanted).into()) { Verdict::Admitted } else { Verdict::Refused }
            }
        }
    }
}
