//! The keyring: a folder of keys, read, judged and published.
//!
//! Owns `keys/` and the choice of the signer. One file is one key, its stem is the `kid`:
//! * `KID.pem` with a private key (PKCS#8) signs and verifies; with a public key it only verifies;
//! * `KID.secret` holds an HS256 secret in base64url; `KID.retired` one that only verifies.
//!
//! Of the keys that can sign, the one whose name sorts last does. `generate` names keys by the time, so that
//! the newest signs, on every node alike, however the files were copied. Everything else in the folder is
//! refused by name, so that a slip is seen at once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

mod file;

pub(crate) use file::place;
pub use file::{generate, is_empty, retire};

/// The kinds of token, each with a `typ` of its own, so that none can stand in for another (RFC 8725, 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A session.
    Session,
    /// A signed preference cookie.
    Cookie,
    /// The right to set a new password, sent by mail.
    Reset,
    /// The proof of an address, sent to it by mail.
    Verification,
    /// A device that somebody has logged in from.
    Device,
    /// An API token.
    Api,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Session, Self::Cookie, Self::Reset, Self::Verification, Self::Device, Self::Api];

    const fn typ(self) -> &'static str {
        match self {
            Self::Session => "session+jwt",
            Self::Cookie => "cookie+jwt",
            Self::Reset => "reset+jwt",
            Self::Verification => "verify+jwt",
            Self::Device => "device+jwt",
            Self::Api => "api+jwt",
        }
    }
}

/// The SHA-256 of a secret that has 128 random bits or more: what is kept to know the secret again.
#[must_use]
pub fn digest(secret: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret);
    digest.as_ref().try_into().unwrap_or_default()
}

/// One key: one `kid`, one algorithm.
pub struct Key {
    kid: String,
    algorithm: Algorithm,
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    /// Absent for a secret, which is never published.
    public: Option<Jwk>,
    /// When it was made.
    created: Option<DateTime<Utc>>,
    /// What tells two files with the same key apart from two keys.
    fingerprint: Vec<u8>,
}

impl Key {
    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm's name (RFC 7518, section 3.1; RFC 8037).
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::EdDSA => "EdDSA",
            Algorithm::ES256 => "ES256",
            Algorithm::RS256 => "RS256",
            _ => "HS256",
        }
    }

    /// Whether the key can sign, or only verifies.
    #[must_use]
    pub const fn can_sign(&self) -> bool {
        self.signing.is_some()
    }

    /// When the key was made: the time in a name that `generate` gave it, otherwise the time of its file.
    #[must_use]
    pub const fn created(&self) -> Option<DateTime<Utc>> {
        self.created
    }

    /// The encoded header of the tokens of a kind: exactly `alg`, `kid` and `typ`.
    fn header(&self, kind: Kind) -> String {
        let (alg, kid, typ) = (self.algorithm(), &self.kid, kind.typ());
        // A kid has only characters that JSON takes as they are.
        URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#))
    }
}

/// Why a folder does not give a keyring: one line for each fault, each naming its file and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct KeyFaults(pub Vec<String>);

/// The keys of a folder, all of them sound, at least one of them able to sign.
pub struct Keyring {
    keys: Vec<Key>,
    signer: usize,
    /// The only headers that are accepted, as they stand in a token.
    headers: HashMap<String, (usize, Kind)>,
}

impl Keyring {
    /// The keyring of the folder.
    ///
    /// # Errors
    /// One fault for each file that is damaged, weak, readable by others, of an unknown kind or a duplicate;
    /// or one when no key can sign. A folder with a fault gives no keyring at all.
    pub fn load(folder: &Path) -> Result<Self, KeyFaults> {
        let mut faults = Vec::new();
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        for path in file::candidates(folder)? {
            match file::read(&path) {
                Ok(key) => {
                    let name = |key: &Key| key.kid.clone();
                    if let Some(twin) = keys.values().find(|k| k.fingerprint == key.fingerprint || k.kid == key.kid) {
                        faults.push(file::fault(
                            &path,
                            &format!("it is the same key as {}", name(twin)),
                            "remove one of them",
                        ));
                    } else {
                        keys.insert(name(&key), key);
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        let keys: Vec<Key> = keys.into_values().collect();
        let signer = keys.iter().rposition(Key::can_sign);
        match signer {
            Some(signer) if faults.is_empty() => Ok(Self::new(keys, signer)),
            None if faults.is_empty() => Err(KeyFaults(vec![format!(
                "{}: no key here can sign; make one with `signet keys generate`",
                folder.display()
            )])),
            _ => Err(KeyFaults(faults)),
        }
    }

    /// The keyring of the folder, in the place of this one. A name stays with its key for ever: another key under it
    /// would make what the name stands for a matter of the moment.
    ///
    /// # Errors
    /// As [`Keyring::load`], and a fault for each key that has another one's name.
    pub fn load_again(&self, folder: &Path) -> Result<Self, KeyFaults> {
        let next = Self::load(folder)?;
        let replaced =
            |key: &&Key| self.keys.iter().any(|old| old.kid == key.kid && old.fingerprint != key.fingerprint);
        let fault = |key: &Key| {
            let path = folder.join(&key.kid);
            file::fault(
                &path,
                "it is another key than the one of this name in use",
                "give the new key a name of its own",
            )
        };
        let faults: Vec<String> = next.keys.iter().filter(replaced).map(fault).collect();
        if faults.is_empty() { Ok(next) } else { Err(KeyFaults(faults)) }
    }

    fn new(keys: Vec<Key>, signer: usize) -> Self {
        let header = |(at, key): (usize, &Key)| Kind::ALL.map(|kind| (key.header(kind), (at, kind)));
        let headers = keys.iter().enumerate().flat_map(header).collect();
        Self { keys, signer, headers }
    }

    /// All keys, by name.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key that signs.
    #[must_use]
    pub fn signer(&self) -> &Key {
        &self.keys[self.signer]
    }

    /// Header, payload and signature of a token of the kind, by the newest key that can sign.
    ///
    /// # Errors
    /// When the cryptographic library fails; the text is for the log.
    pub fn sign(&self, kind: Kind, payload: &[u8]) -> Result<String, String> {
        let key = self.signer();
        let signing = key.signing.as_ref().ok_or("the signer cannot sign")?;
        let mut token = key.header(kind);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = jsonwebtoken::crypto::sign(token.as_bytes(), signing, key.algorithm);
        token.push('.');
        token.push_str(&signature.map_err(|e| e.to_string())?);
        Ok(token)
    }

    /// The payload of a token of the kind whose signature verifies, or `None`.
    ///
    /// The header has to be, byte for byte, one that a key of this ring issues for this kind: that leaves no
    /// room for another algorithm, `crit`, `zip`, embedded keys or doubled members (RFC 8725, section 3.1).
    #[must_use]
    pub fn verify(&self, kind: Kind, token: &str) -> Option<Vec<u8>> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let key = match self.headers.get(header) {
            Some((at, of)) if *of == kind => &self.keys[*at],
            _ => return None,
        };
        let verdict = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.verifying, key.algorithm);
        if !verdict.unwrap_or(false) {
            return None;
        }
        URL_SAFE_NO_PAD.decode(payload).ok()
    }

    /// Whether any key of this ring issues this header for the kind.
    #[must_use]
    pub fn knows_header(&self, kind: Kind, header: &str) -> bool {
        self.headers.get(header).is_some_and(|(_, of)| *of == kind)
    }

    /// The public keys (RFC 7517, section 5). Secrets are never in it.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: self.keys.iter().filter_map(|key| key.public.clone()).collect() }
    }
}
