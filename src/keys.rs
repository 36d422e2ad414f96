//! The keyring: a folder of keys, read, judged and published.
//!
//! Owns `keys/` and the choice of the signer. One file is one key, its stem is the `kid`:
//! * `KID.pem` with a private key (PKCS#8) signs and verifies; with a public key it only verifies;
//! * `KID.secret` holds an HS256 secret in base64url; `KID.retired` one that only verifies;
//! * `KID.seal` holds a key that seals and opens; `KID.unseal` one that only opens.
//!
//! Of the keys that can sign, the one whose name sorts last does; so it is with sealing. `generate` names keys by the
//! time, so that the newest signs, on every node alike, however the files were copied. Where a new key takes a while to
//! reach everybody who verifies, it signs later ([`Keyring::choose`]). Everything else in the folder is refused by name,
//! so that a slip is seen at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::crypto::JwtSigner;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

mod file;
mod inventory;
mod seal;

pub(crate) use file::place;
pub use file::{Stamp, generate, is_empty, retire, stamp};
pub use inventory::{Listed, Role};
pub use seal::{SealingKey, generate_sealing};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To sign tokens.
    Sign,
    /// To seal what tokens carry.
    Seal,
}

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
    /// Who passed a proxy, for the back end behind it.
    Identity,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Session, Self::Cookie, Self::Reset, Self::Verification, Self::Device, Self::Api, Self::Identity];

    const fn typ(self) -> &'static str {
        match self {
            Self::Session => "session+jwt",
            Self::Cookie => "cookie+jwt",
            Self::Reset => "reset+jwt",
            Self::Verification => "verify+jwt",
            Self::Device => "device+jwt",
            Self::Api => "api+jwt",
            Self::Identity => "identity+jwt",
        }
    }
}

/// The SHA-256 of a secret that has 128 random bits or more: what is kept to know the secret again.
#[must_use]
pub fn digest(secret: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret);
    digest.as_ref().try_into().unwrap_or_default()
}

/// Bytes that a signature of the usual kinds takes in a token, with the dots around it.
const SIGNATURE_ROOM: usize = 90;

thread_local! {
    /// What signed last on this thread, under its key's fingerprint: it is made by reading the key anew, which takes nearly
    /// as long as a signature does.
    static SIGNER: RefCell<Option<LastSigner>> = const { RefCell::new(None) };
}

type LastSigner = (Vec<u8>, Box<dyn JwtSigner>);

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

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signing = self.signing.as_ref().ok_or("the signer cannot sign")?;
        SIGNER.with_borrow_mut(|last| {
            if last.as_ref().is_none_or(|(of, _)| *of != self.fingerprint) {
                let signer = (DEFAULT_PROVIDER.signer_factory)(&self.algorithm, signing);
                *last = Some((self.fingerprint.clone(), signer.map_err(|e| e.to_string())?));
            }
            let (_, signer) = last.as_ref().ok_or("there is no signer")?;
            signer.try_sign(message).map_err(|e| e.to_string())
        })
    }

    /// The encoded header of the tokens of a kind: exactly `alg`, `kid` and `typ`.
    fn header(&self, kind: Kind) -> String {
        let (alg, kid, typ) = (self.algorithm(), &self.kid, kind.typ());
        // A kid has only characters that JSON takes as they are.
        URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#))
    }
}

/// What a file of the folder holds.
#[expect(clippy::large_enum_variant, reason = "there is one for each file, while a folder is read")]
enum Found {
    Signing(Key),
    Sealing(SealingKey),
}

impl Found {
    fn made(mut self, when: Option<DateTime<Utc>>) -> Self {
        match &mut self {
            Self::Signing(key) => key.created = when,
            Self::Sealing(key) => key.created = when,
        }
        self
    }

    fn kid(&self) -> &str {
        match self {
            Self::Signing(key) => &key.kid,
            Self::Sealing(key) => &key.kid,
        }
    }

    fn fingerprint(&self) -> &[u8] {
        match self {
            Self::Signing(key) => &key.fingerprint,
            Self::Sealing(key) => &key.fingerprint,
        }
    }
}

/// Why a folder does not give a keyring: one line for each fault, each naming its file and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct KeyFaults(pub Vec<String>);

/// The keys of a folder, all of them sound, at least one of them able to sign.
pub struct Keyring {
    keys: Vec<Key>,
    /// The place of the key that signs at present.
    signer: AtomicUsize,
    /// The headers of what each key signs, as they stand in a token: those of every [`Kind`].
    issued: Vec<[String; Kind::ALL.len()]>,
    /// The same, and no others, are accepted.
    headers: HashMap<String, (usize, Kind)>,
    sealing: Vec<SealingKey>,
    /// The place of the key that seals at present, if any can.
    sealer: AtomicUsize,
}

impl Keyring {
    /// The keyring of the folder.
    ///
    /// # Errors
    /// One fault for each file that is damaged, weak, readable by others, of an unknown kind or a duplicate;
    /// or one when no key can sign. A folder with a fault gives no keyring at all.
    pub fn load(folder: &Path) -> Result<Self, KeyFaults> {
        let mut faults = Vec::new();
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        for path in file::candidates(folder)? {
            match file::read(&path) {
                Ok(key) => {
                    let is_twin = |k: &&Found| k.fingerprint() == key.fingerprint() || k.kid() == key.kid();
                    if let Some(twin) = found.values().find(is_twin) {
                        let what = format!("it is the same key as {}", twin.kid());
                        faults.push(file::fault(&path, &what, "remove one of them"));
                    } else {
                        found.insert(key.kid().to_owned(), key);
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        let (mut keys, mut sealing) = (Vec::new(), Vec::new());
        for key in found.into_values() {
            match key {
                Found::Signing(key) => keys.push(key),
                Found::Sealing(key) => sealing.push(key),
            }
        }
        match keys.iter().any(Key::can_sign) {
            true if faults.is_empty() => Ok(Self::new(keys, sealing)),
            false if faults.is_empty() => Err(KeyFaults(vec![format!(
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
        let fault = |kid: &str| {
            let what = "it is another key than the one of this name in use";
            file::fault(&folder.join(kid), what, "give the new key a name of its own")
        };
        let old: HashMap<&str, &[u8]> = self.identities().collect();
        let replaced = next.identities().filter(|(kid, print)| old.get(kid).is_some_and(|old| old != print));
        let faults: Vec<String> = replaced.map(|(kid, _)| fault(kid)).collect();
        if faults.is_empty() { Ok(next) } else { Err(KeyFaults(faults)) }
    }

    /// Names and fingerprints of all keys, whatever they are for.
    fn identities(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let signing = self.keys.iter().map(|key| (key.kid.as_str(), key.fingerprint.as_slice()));
        signing.chain(self.sealing.iter().map(|key| (key.kid.as_str(), key.fingerprint.as_slice())))
    }

    fn new(keys: Vec<Key>, sealing: Vec<SealingKey>) -> Self {
        let issued: Vec<_> = keys.iter().map(|key| Kind::ALL.map(|kind| key.header(kind))).collect();
        let known =
            |(at, headers): (usize, &[String; _])| Kind::ALL.map(|kind| (headers[kind as usize].clone(), (at, kind)));
        let headers = issued.iter().enumerate().flat_map(known).collect();
        let ring = Self { keys, signer: AtomicUsize::new(0), issued, headers, sealing, sealer: AtomicUsize::new(0) };
        ring.choose(None);
        ring
    }

    /// Chooses the keys that sign and seal from now on: the newest that were made until then, or of any time. Where all of
    /// them are newer, the oldest: somebody has to. Whether others do so now.
    pub fn choose(&self, made_until: Option<DateTime<Utc>>) -> bool {
        let is_due = |made: Option<DateTime<Utc>>| made_until.is_none_or(|until| made.is_none_or(|made| made <= until));
        let signs = |key: &Key| key.can_sign();
        let newest = self.keys.iter().rposition(|key| signs(key) && is_due(key.created()));
        let signer = newest.or_else(|| self.keys.iter().position(signs)).unwrap_or_default();
        let seals = |key: &SealingKey| key.can_seal();
        let newest = self.sealing.iter().rposition(|key| seals(key) && is_due(key.created()));
        let sealer = newest.or_else(|| self.sealing.iter().position(seals)).unwrap_or_default();
        let is_other = |place: &AtomicUsize, now: usize| place.swap(now, Ordering::Relaxed) != now;
        // Both, whichever differs.
        is_other(&self.signer, signer) | is_other(&self.sealer, sealer)
    }

    /// All keys that sign or verify, by name.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key that signs.
    #[must_use]
    pub fn signer(&self) -> &Key {
        &self.keys[self.signer_place()]
    }

    fn signer_place(&self) -> usize {
        self.signer.load(Ordering::Relaxed)
    }

    /// Header, payload and signature of a token of the kind, by the key that signs.
    ///
    /// # Errors
    /// When the cryptographic library fails; the text is for the log.
    pub fn sign(&self, kind: Kind, payload: &[u8]) -> Result<String, String> {
        let at = self.signer_place();
        let (key, header) = (&self.keys[at], &self.issued[at][kind as usize]);
        let mut token = String::with_capacity(header.len() + (4 * payload.len()).div_ceil(3) + SIGNATURE_ROOM);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
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

    /// The public keys (RFC 7517, section 5). Secrets are never in it, nor are keys that seal.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: self.keys.iter().filter_map(|key| key.public.clone()).collect() }
    }
}
