//! The `data` claim of a session's token: the object as it is, or sealed.
//!
//! Owns which of the two a token carries, and what a sealed one is bound to. `keys/seal.rs` does the sealing.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object;
use crate::claims::{Claims, Data};
use crate::error::{Error, TokenFault};
use crate::keys::{Keyring, Kind};

/// Data is sealed in steps of so many bytes: a cookie's length tells how much there is only roughly. Values that differ
/// by a few letters (yes and no, a level, a digit more) look alike but where they fall on two sides of a step; more
/// would take room that the cookie does not have.
const STEP: usize = 32;

/// The claim as a token carries it.
#[derive(Debug)]
pub(super) enum Carried {
    /// To be read by everybody who has the token.
    Clear(Data),
    /// To be read by who has the key: see [`Keyring::seal`].
    Sealed(String),
}

impl Serialize for Carried {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear(data) => data.serialize(to),
            Self::Sealed(text) => to.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Carried {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Carried;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a text")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Carried, A::Error> {
                Data::deserialize(MapAccessDeserializer::new(members)).map(Carried::Clear)
            }

            fn visit_str<E>(self, text: &str) -> Result<Carried, E> {
                Ok(Carried::Sealed(text.to_owned()))
            }
        }

        from.deserialize_any(Either)
    }
}

/// The data of the claims, sealed for this very issue of this session.
pub(super) fn sealed(keyring: &Keyring, claims: &Claims) -> Result<Carried, Error> {
    let mut content = serde_json::to_vec(&claims.data).map_err(|e| Error::Internal(e.to_string()))?;
    // Blanks may follow a JSON text (RFC 8259, section 2).
    content.resize(content.len().next_multiple_of(STEP), b' ');
    let text = bound(claims, |place| keyring.seal(Kind::Session, place, content));
    text.map(Carried::Sealed).map_err(Error::Internal)
}

/// The claims with their data in the open.
pub(super) fn opened(keyring: &Keyring, claims: Claims<Carried>) -> Result<Claims, TokenFault> {
    let (claims, carried) = claims.with_data(());
    let data = match carried {
        Carried::Clear(data) => data,
        Carried::Sealed(text) => {
            let content =
                bound(&claims, |place| keyring.open(Kind::Session, place, &text)).ok_or(TokenFault::Sealed)?;
            object(&content).ok_or(TokenFault::Sealed)?
        }
    };
    Ok(claims.with_data(data).0)
}

/// Does something with the place that data is sealed for: the claim, the issuer and the audience, the session, its user
/// and this issue. The signature keeps a sealed text in its token already; this keeps it there also where two services
/// share the folder of keys, or a key that signs has leaked.
fn bound<D, T>(claims: &Claims<D>, act: impl FnOnce(&[&str]) -> T) -> T {
    let user = claims.sub.map(|id| id.to_string()).unwrap_or_default();
    act(&["data", &claims.iss, &claims.aud, &claims.sid.to_string(), &user, &claims.jti.to_string()])
}
