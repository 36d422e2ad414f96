//! One key, one file: reading it with suspicion, making it, retiring it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, NaiveDateTime, Utc};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use zeroize::Zeroizing;

use super::{Found, Key, KeyFaults, Keyring, Purpose, SealingKey};

/// Smallest RSA modulus that is accepted, in bytes: 3,072 bits (128 bits of security, NIST SP 800-57).
const RSA_BYTES_MIN: usize = 384;

/// Smallest HS256 secret that is accepted, in bytes (RFC 7518, section 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// A real secret of 32 random bytes has some 30 different ones; a phrase or a pattern has few.
const SECRET_VARIETY_MIN: usize = 16;

/// Larger than any key that is accepted.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// One line about a file: what is wrong and how to mend it.
pub(super) fn fault(path: &Path, what: &str, mend: &str) -> String {
    format!("{}: {what}; {mend}", path.display())
}

fn cannot(folder: &Path, error: &std::io::Error) -> KeyFaults {
    KeyFaults(vec![fault(
        folder,
        &format!("cannot be read: {error}"),
        "make the folder, or name another one with --keys",
    )])
}

/// The files that should be keys: all but folders, hidden files and the README.
pub(super) fn candidates(folder: &Path) -> Result<Vec<PathBuf>, KeyFaults> {
    let entries = fs::read_dir(folder).map_err(|e| cannot(folder, &e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| cannot(folder, &e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder && !name.starts_with('.') && name != "README.md" {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether the folder has no key at all, nor anything that should be one.
///
/// # Errors
/// When the folder cannot be read.
pub fn is_empty(folder: &Path) -> Result<bool, KeyFaults> {
    Ok(candidates(folder)?.is_empty())
}

/// What tells whether the files of a folder of keys are still the same ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, Option<[i64; 4]>)>);

/// The stamp of the folder as it is; looks at names and dates, and opens no file.
///
/// # Errors
/// When the folder cannot be read.
pub fn stamp(folder: &Path) -> Result<Stamp, KeyFaults> {
    let date = |path: &PathBuf| {
        let meta = fs::symlink_metadata(path).ok()?;
        // The time of the latest change moves on with mode and owner too.
        Some([meta.ino().cast_signed(), meta.size().cast_signed(), meta.ctime(), meta.ctime_nsec()])
    };
    let stamped = candidates(folder)?.into_iter().map(|path| {
        let date = date(&path);
        (path, date)
    });
    Ok(Stamp(stamped.collect()))
}

/// Whether a name can be a kid: it stands in headers as it is, so it has only plain characters.
fn is_kid(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The key in a file, or the fault that names it.
pub(super) fn read(path: &Path) -> Result<Found, String> {
    let say = |what: &str, mend: &str| fault(path, what, mend);
    let kid = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    if !is_kid(kid) {
        return Err(say("a key's name has 1 to 64 letters, digits, - or _", "rename the file"));
    }
    let meta = fs::symlink_metadata(path).map_err(|e| say(&format!("cannot be read: {e}"), "check its owner"))?;
    if !meta.is_file() {
        return Err(say("not a plain file", "put the key itself here, not a link to it"));
    }
    let owner = meta.uid();
    if owner != rustix::process::geteuid().as_raw() && owner != 0 {
        return Err(say("owned by somebody else", "give it to the user that runs signet"));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(say("larger than any key", "put a key here"));
    }
    let content = fs::read(path).map_err(|e| say(&format!("cannot be read: {e}"), "check its owner and mode"))?;
    let content = Zeroizing::new(content);
    let open_to = |mask: u32| meta.mode() & mask != 0;
    let private = |key: Result<Found, String>| {
        if open_to(0o077) {
            return Err(say(
                "others than its owner can read or change it",
                "chmod 600 it, and make a new key if it may have been read",
            ));
        }
        key
    };
    let read = match path.extension().and_then(|e| e.to_str()) {
        Some("pem") => match pem(&content) {
            Ok(block) if block.tag() == "PRIVATE KEY" => private(
                private_key(kid, block.contents())
                    .map(Found::Signing)
                    .map_err(|what| say(&what, "put a sound key here, or remove the file")),
            ),
            Ok(_) if open_to(0o022) => Err(say("others than its owner can change it", "chmod 644 it")),
            Ok(block) => public_key(kid, block.contents())
                .map(Found::Signing)
                .map_err(|what| say(&what, "put a sound key here, or remove the file")),
            Err(what) => Err(say(what, "write it as one unencrypted PKCS#8 key, or one public key, in PEM")),
        },
        Some(kind @ ("secret" | "retired")) => private(
            secret(kid, &content, kind == "secret")
                .map(Found::Signing)
                .map_err(|what| say(&what, "make one with `signet keys generate --algorithm hs256`")),
        ),
        Some(kind @ ("seal" | "unseal")) => private(
            SealingKey::read(kid, &content, kind == "seal")
                .map(Found::Sealing)
                .map_err(|what| say(&what, "make one with `signet keys generate --kind seal`")),
        ),
        _ => {
            let mend = "move it away; keys end in .pem, .secret, .retired, .seal or .unseal";
            Err(say("not a kind of file that belongs here", mend))
        }
    };
    let created = dated(kid).or_else(|| meta.modified().ok().map(DateTime::from));
    read.map(|found| found.made(created))
}

/// How a name says when the key was made.
const DATED: &str = "%Y%m%dT%H%M%S%3fZ";

/// The time in the name of a key that was given one by [`generate`].
fn dated(kid: &str) -> Option<DateTime<Utc>> {
    let (time, _) = kid.split_once('-')?;
    NaiveDateTime::parse_from_str(time, DATED).ok().map(|time| time.and_utc())
}

fn pem(content: &[u8]) -> Result<pem::Pem, &'static str> {
    let mut blocks = pem::parse_many(content).map_err(|_| "not a PEM file, or a damaged one")?;
    match (blocks.pop(), blocks.is_empty()) {
        (None, _) => Err("no key in it"),
        (Some(_), false) => Err("more than one block in it"),
        (Some(block), true) => match block.tag() {
            "PRIVATE KEY" | "PUBLIC KEY" => Ok(block),
            "ENCRYPTED PRIVATE KEY" => Err("an encrypted key"),
            _ => Err("a block that is neither PRIVATE KEY nor PUBLIC KEY"),
        },
    }
}

const UNKNOWN: &str = "not an Ed25519, P-256 or RSA key, or a damaged one";

fn private_key(kid: &str, der: &[u8]) -> Result<Key, String> {
    let as_pem = Zeroizing::new(pem::encode(&pem::Pem::new("PRIVATE KEY", der)));
    let text = as_pem.as_bytes();
    let odd = |e: jsonwebtoken::errors::Error| format!("{UNKNOWN} ({e})");
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
        let public = pair.public_key().as_ref();
        let signing = EncodingKey::from_ed_pem(text).map_err(odd)?;
        return key(kid, Algorithm::EdDSA, Some(signing), DecodingKey::from_ed_der(public), public);
    }
    if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
        let public = pair.public_key().as_ref();
        let signing = EncodingKey::from_ec_pem(text).map_err(odd)?;
        return key(kid, Algorithm::ES256, Some(signing), DecodingKey::from_ec_der(public), public);
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        let public = pair.public_key();
        let signing = EncodingKey::from_rsa_pem(text).map_err(odd)?;
        let (n, e) = (public.modulus(), public.exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        strong_rsa(n, e)?;
        return key(kid, Algorithm::RS256, Some(signing), DecodingKey::from_rsa_raw_components(n, e), n);
    }
    Err(UNKNOWN.to_owned())
}

fn public_key(kid: &str, der: &[u8]) -> Result<Key, String> {
    let as_pem = pem::encode(&pem::Pem::new("PUBLIC KEY", der));
    let text = as_pem.as_bytes();
    if let Ok(verifying) = DecodingKey::from_ed_pem(text)
        && let Ok(bytes) = verifying.try_get_as_bytes().map(<[u8]>::to_vec)
    {
        return key(kid, Algorithm::EdDSA, None, verifying, &bytes);
    }
    if let Ok(verifying) = DecodingKey::from_ec_pem(text)
        && let Ok(bytes) = verifying.try_get_as_bytes().map(<[u8]>::to_vec)
    {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &bytes).map_err(|_| "not a point of the curve P-256")?;
        return key(kid, Algorithm::ES256, None, verifying, &bytes);
    }
    let rsa = aws_lc_rs::rsa::PublicKey::from_der(der).map_err(|_| UNKNOWN)?;
    let parts = RsaPublicKeyComponents::<Vec<u8>>::from(&rsa);
    strong_rsa(&parts.n, &parts.e)?;
    let verifying = DecodingKey::from_rsa_raw_components(&parts.n, &parts.e);
    key(kid, Algorithm::RS256, None, verifying, &parts.n)
}

fn strong_rsa(n: &[u8], e: &[u8]) -> Result<(), String> {
    if n.len() < RSA_BYTES_MIN {
        return Err(format!("an RSA key of {} bits is weak: at least 3072 are needed", n.len() * 8));
    }
    if e != [1, 0, 1] {
        return Err("an RSA key whose exponent is not 65537".to_owned());
    }
    Ok(())
}

/// The bytes of a secret that is not easy to guess.
pub(super) fn secret_bytes(content: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes =
        Zeroizing::new(URL_SAFE_NO_PAD.decode(content.trim_ascii()).map_err(|_| "not a secret in unpadded base64url")?);
    let variety = bytes.iter().collect::<std::collections::HashSet<_>>().len();
    if bytes.len() < SECRET_BYTES_MIN || variety < SECRET_VARIETY_MIN {
        return Err(format!("a weak secret: at least {SECRET_BYTES_MIN} random bytes are needed"));
    }
    Ok(bytes)
}

fn secret(kid: &str, content: &[u8], signs: bool) -> Result<Key, String> {
    let bytes = secret_bytes(content)?;
    let signing = signs.then(|| EncodingKey::from_secret(&bytes));
    key(kid, Algorithm::HS256, signing, DecodingKey::from_secret(&bytes), &bytes)
}

fn key(
    kid: &str,
    algorithm: Algorithm,
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    identity: &[u8],
) -> Result<Key, String> {
    let public = if algorithm == Algorithm::HS256 {
        None
    } else {
        let jwk = Jwk::from_decoding_key(&verifying, Some(algorithm));
        let mut jwk = jwk.map_err(|e| format!("cannot be published: {e}"))?;
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Some(jwk)
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, identity);
    let fingerprint = digest.as_ref().to_vec();
    let key = Key { kid: kid.to_owned(), algorithm, signing, verifying, public, created: None, fingerprint };
    self_test(&key)?;
    Ok(key)
}

/// Signs and verifies once: a key, or a cryptographic library, that does not work is found when it is loaded.
fn self_test(key: &Key) -> Result<(), String> {
    let Some(signing) = &key.signing else { return Ok(()) };
    let proof = b"signet";
    let signature = jsonwebtoken::crypto::sign(proof, signing, key.algorithm);
    let signature = signature.map_err(|e| format!("cannot sign: {e}"))?;
    match jsonwebtoken::crypto::verify(&signature, proof, &key.verifying, key.algorithm) {
        Ok(true) => Ok(()),
        _ => Err("its two halves do not belong together".to_owned()),
    }
}

/// Makes a key in the folder (mode 0600) that signs from the next start or reload on, and gives its name.
///
/// Without `kid` the name is the time, so that names sort by age.
///
/// # Errors
/// When the name is taken, is no name, or would not sort last among the keys that can sign; or when the file
/// cannot be written.
pub fn generate(folder: &Path, algorithm: &str, kid: Option<&str>, now: DateTime<Utc>) -> Result<String, String> {
    let signs = |found: &Found| matches!(found, Found::Signing(key) if key.can_sign());
    let kid = name(folder, kid, now, signs, "sign")?;
    let as_pem = |der: &[u8]| Zeroizing::new(pem::encode(&pem::Pem::new("PRIVATE KEY", der)).into_bytes());
    let odd = |_| "the key could not be made".to_owned();
    let content = match algorithm {
        "eddsa" => as_pem(Ed25519KeyPair::generate().map_err(odd)?.to_pkcs8v1().map_err(odd)?.as_ref()),
        "es256" => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(odd)?;
            as_pem(pair.to_pkcs8v1().map_err(odd)?.as_ref())
        }
        "rs256" => {
            let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(odd)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(odd)?;
            as_pem(der.as_ref())
        }
        "hs256" => {
            place_secret(folder, &format!("{kid}.secret"))?;
            return Ok(kid);
        }
        _ => return Err("an algorithm is eddsa, es256, rs256 or hs256".to_owned()),
    };
    place_key(folder, &format!("{kid}.pem"), &content)?;
    Ok(kid)
}

/// The name of a new key, which has to sort after those `alike`, or they would be in use instead of it.
pub(super) fn name(
    folder: &Path,
    kid: Option<&str>,
    now: DateTime<Utc>,
    alike: impl Fn(&Found) -> bool,
    verb: &str,
) -> Result<String, String> {
    let mut tail = [0; 2];
    getrandom::fill(&mut tail).map_err(|e| format!("the operating system gives no randomness: {e}"))?;
    let dated = || format!("{}-{:02x}{:02x}", now.format(DATED), tail[0], tail[1]);
    let kid = kid.map_or_else(dated, str::to_owned);
    if !is_kid(&kid) {
        return Err("a key's name has 1 to 64 letters, digits, - or _".to_owned());
    }
    for path in candidates(folder).map_err(|e| e.to_string())? {
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        if name == kid {
            return Err(format!("there is a key {kid} already; give another name with --kid"));
        }
        if name > kid && read(&path).is_ok_and(|found| alike(&found)) {
            return Err(format!(
                "the key {name} sorts after {kid}, so the new key would never {verb}; give a later name with --kid"
            ));
        }
    }
    Ok(kid)
}

/// Writes a file of random bytes in base64url: a secret.
pub(super) fn place_secret(folder: &Path, file: &str) -> Result<(), String> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES_MIN]);
    getrandom::fill(&mut *secret).map_err(|e| format!("the operating system gives no randomness: {e}"))?;
    place_key(folder, file, &Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret).into_bytes()))
}

fn place_key(folder: &Path, file: &str, content: &[u8]) -> Result<(), String> {
    let path = folder.join(file);
    place(&path, content, 0o600).map_err(|e| format!("{}: cannot be written: {e}", path.display()))
}
/// Makes a key verify only, for good: its private half is destroyed; or open only, if it is one that seals. Says which
/// of the two it was.
///
/// # Errors
/// When there is no such key, when it cannot sign or seal any more, when no other key could in its place, or when
/// the file cannot be written. Nothing has changed then.
pub fn retire(folder: &Path, kid: &str) -> Result<Purpose, String> {
    let ring = Keyring::load(folder).map_err(|e| e.to_string())?;
    if let Some(key) = ring.sealing_keys().iter().find(|key| key.kid == kid) {
        if !key.can_seal() {
            return Err(format!("the key {kid} is retired already"));
        }
        if ring.sealing_keys().iter().filter(|key| key.can_seal()).count() == 1 {
            let mend = "make another with `signet keys generate --kind seal` first";
            return Err(format!("{kid} is the only key that can seal; {mend}"));
        }
        let renamed = fs::rename(folder.join(format!("{kid}.seal")), folder.join(format!("{kid}.unseal")));
        return settled(folder, renamed).map(|()| Purpose::Seal);
    }
    let key = ring.keys().iter().find(|key| key.kid == kid);
    let key = key.ok_or_else(|| format!("there is no key {kid}; `signet keys list` shows them"))?;
    if !key.can_sign() {
        return Err(format!("the key {kid} is retired already"));
    }
    if ring.keys().iter().filter(|key| key.can_sign()).count() == 1 {
        return Err(format!("{kid} is the only key that can sign; make another with `signet keys generate` first"));
    }
    let path = |ending| folder.join(format!("{kid}.{ending}"));
    let done = if key.algorithm == Algorithm::HS256 {
        fs::rename(path("secret"), path("retired"))
    } else {
        let content = fs::read(path("pem")).map_err(|e| e.to_string())?;
        let block = pem(&content).map_err(str::to_owned)?;
        let der = public_der(key.algorithm, block.contents()).ok_or("the public half could not be made")?;
        let public = pem::encode(&pem::Pem::new("PUBLIC KEY", der));
        place(&path("pem"), public.as_bytes(), 0o644)
    };
    settled(folder, done).map(|()| Purpose::Sign)
}

/// Done and durable.
fn settled(folder: &Path, done: std::io::Result<()>) -> Result<(), String> {
    done.and_then(|()| fs::File::open(folder)?.sync_all())
        .map_err(|e| format!("{}: cannot be changed: {e}", folder.display()))
}

fn public_der(algorithm: Algorithm, private: &[u8]) -> Option<Vec<u8>> {
    let der: PublicKeyX509Der<'_> = match algorithm {
        Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(private).ok()?.public_key().as_der(),
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).ok()?;
            pair.public_key().as_der()
        }
        _ => RsaKeyPair::from_pkcs8(private).ok()?.public_key().as_der(),
    }
    .ok()?;
    Some(der.as_ref().to_vec())
}

/// Writes a file whole or not at all: beside its place first, then moved into it.
pub(crate) fn place(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, so that a reload in between does not take it for a key.
    let beside = folder.join(format!(".{name}.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    fs::File::open(folder)?.sync_all()
}
