//! Keys that seal: what only a server with the folder of keys can read, bound to the place that it was sealed for.
//!
//! Owns `KID.seal` and `KID.unseal`, their algorithm, and the form of a sealed text. What is sealed, and for which place,
//! is the caller's: `token/data.rs`.
//!
//! The algorithm is AES-256-GCM-SIV (RFC 8452) with random nonces. Any number of nodes may seal by one key without
//! counting together: that two of n nonces of 96 bits are the same has a chance of n²/2⁹⁷, 2⁻¹⁷ after 2⁴⁰ texts, which
//! are a thousand a second for 35 years. And where AES-GCM and ChaCha20-Poly1305 would then give up both texts and the
//! key of their tags, this one only tells that the same content was sealed twice for the same place: of a session's
//! data, whose place holds 128 random bits of its own, not even that. The tag has 128 bits.

use std::path::Path;
use std::sync::atomic::Ordering;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use super::file::{self, SECRET_BYTES_MIN};
use super::{KeyFaults, Keyring, Kind};

/// Bytes of a key: AES-256.
const KEY_BYTES: usize = 32;

/// One key that seals and opens, or opens only.
pub struct SealingKey {
    pub(super) kid: String,
    key: RandomizedNonceKey,
    can_seal: bool,
    pub(super) created: Option<DateTime<Utc>>,
    /// What tells two files with the same key apart from two keys.
    pub(super) fingerprint: Vec<u8>,
}

impl SealingKey {
    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether the key can seal, or only opens.
    #[must_use]
    pub const fn can_seal(&self) -> bool {
        self.can_seal
    }

    /// When the key was made: by its name, where that is a time, or by its file.
    #[must_use]
    pub const fn created(&self) -> Option<DateTime<Utc>> {
        self.created
    }

    /// The key of a file's content.
    pub(super) fn read(kid: &str, content: &[u8], can_seal: bool) -> Result<Self, String> {
        let bytes = file::secret_bytes(content)?;
        let odd = |_| format!("not a key of {KEY_BYTES} bytes");
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes).map_err(odd)?;
        let key =
            Self { kid: kid.to_owned(), key, can_seal, created: None, fingerprint: super::digest(&bytes).to_vec() };
        // A cryptographic library that does not work is found when the key is loaded.
        let proof = key.seal(Kind::Session, &["proof"], b"signet".to_vec())?;
        let opened = proof.split_once('.').and_then(|(_, box_)| key.open(Kind::Session, &["proof"], box_));
        if opened.as_deref() == Some(b"signet") { Ok(key) } else { Err("it does not open what it sealed".to_owned()) }
    }

    fn seal(&self, kind: Kind, place: &[&str], mut content: Vec<u8>) -> Result<String, String> {
        let place = Aad::from(associated(&self.kid, kind, place));
        let nonce = self.key.seal_in_place_append_tag(place, &mut content).map_err(|_| "cannot seal")?;
        let sealed = [nonce.as_ref().as_slice(), &content].concat();
        Ok(format!("{}.{}", self.kid, URL_SAFE_NO_PAD.encode(sealed)))
    }

    fn open(&self, kind: Kind, place: &[&str], text: &str) -> Option<Vec<u8>> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(sealed.get(..NONCE_LEN)?).ok()?;
        let place = Aad::from(associated(&self.kid, kind, place));
        let opened = self.key.open_in_place(nonce, place, &mut sealed[NONCE_LEN..]).ok()?.len();
        sealed.truncate(NONCE_LEN + opened);
        sealed.drain(..NONCE_LEN);
        Some(sealed)
    }
}

/// What a sealed text is bound to, such that no two places are the same bytes: the count and every length come first
/// (as in PASETO's pre-authentication encoding).
fn associated(kid: &str, kind: Kind, place: &[&str]) -> Vec<u8> {
    let parts = [&["signet sealed", kind.typ(), kid], place].concat();
    let mut bytes = (parts.len() as u64).to_le_bytes().to_vec();
    for part in parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

impl Keyring {
    /// The keys that seal, or only open, by name.
    #[must_use]
    pub fn sealing_keys(&self) -> &[SealingKey] {
        &self.sealing
    }

    /// The key that seals.
    #[must_use]
    pub fn sealer(&self) -> Option<&SealingKey> {
        self.sealing.get(self.sealer.load(Ordering::Relaxed)).filter(|key| key.can_seal)
    }

    /// Refuses a keyring that cannot seal, with the remedy; `folder` is where it came from.
    ///
    /// # Errors
    /// The fault.
    pub fn must_seal(&self, folder: &Path) -> Result<(), KeyFaults> {
        let fault = || {
            let what = "no key here can seal, and --seal-data asks for one";
            KeyFaults(vec![file::fault(folder, what, "make one with `signet keys generate --kind seal`")])
        };
        self.sealer().map(drop).ok_or_else(fault)
    }

    /// The content, to be read by who has the key only, and to be opened for the same kind of token and the same place
    /// only: the name of the key that seals, a dot, and nonce, ciphertext and tag in base64url. It is longer
    /// by the name, and by 28 bytes before base64url. Its length tells that of the content.
    ///
    /// # Errors
    /// When no key can seal, or the cryptographic library fails; the text is for the log.
    pub fn seal(&self, kind: Kind, place: &[&str], content: Vec<u8>) -> Result<String, String> {
        self.sealer().ok_or("no key can seal")?.seal(kind, place, content)
    }

    /// The content of a text that one of the keys has sealed for this kind and this place; otherwise `None`.
    #[must_use]
    pub fn open(&self, kind: Kind, place: &[&str], text: &str) -> Option<Vec<u8>> {
        let (kid, sealed) = text.split_once('.')?;
        self.sealing.iter().find(|key| key.kid == kid)?.open(kind, place, sealed)
    }
}

/// Makes a key in the folder (mode 0600) that seals from the next start or reload on, and gives its name.
///
/// Without `kid` the name is the time, so that names sort by age.
///
/// # Errors
/// When the name is taken, is no name, or would not sort last among the keys that can seal; or when the file
/// cannot be written.
pub fn generate_sealing(folder: &Path, kid: Option<&str>, now: DateTime<Utc>) -> Result<String, String> {
    let seals = |found: &super::Found| matches!(found, super::Found::Sealing(key) if key.can_seal);
    let kid = file::name(folder, kid, now, seals, "seal")?;
    const { assert!(KEY_BYTES == SECRET_BYTES_MIN) };
    file::place_secret(folder, &format!("{kid}.seal"))?;
    Ok(kid)
}
