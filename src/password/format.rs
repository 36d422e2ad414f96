//! Encoded password hashes: Signet's own and those that Django writes and has written, told apart and computed.
//!
//! Owns the recognition, the caps and the computation. A hash that is malformed or asks for more than the caps is
//! refused before anything is computed. Called by the pool of `password.rs`, and by whoever takes hashes in.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, digest};
use subtle::ConstantTimeEq as _;

use super::Cost;

/// Longest encoded hash that is looked at, in bytes.
const ENCODED_BYTES_MAX: usize = 512;

/// The most that a stored argon2 hash may ask for: kibibytes, passes, lanes, and kibibytes times passes. One within
/// them takes about a second of one core.
const ARGON2_MAX: (u32, u32, u32, u64) = (256 * 1024, 16, 16, 1024 * 1024);

/// The most iterations of PBKDF2: about two seconds of one core, and four times what Django 6.0 takes.
const PBKDF2_MAX: u32 = 5_000_000;

/// The most rounds of bcrypt, as a power of two: about two seconds of one core, and eight times Django's own.
const BCRYPT_MAX: u32 = 15;

/// The most that a stored scrypt hash may ask for, in bytes: of memory, and of memory times lanes (Django's own:
/// 16 MiB and 80 MiB).
const SCRYPT_MAX: (u64, u64) = (256 * 1024 * 1024, 1024 * 1024 * 1024);

/// Bytes of salt below which a hash is made anew (Django's `must_update_salt` asks for 128 bits).
const SALT_BYTES_MIN: usize = 16;

/// How a password is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// PBKDF2 with HMAC-SHA-256.
    Pbkdf2Sha256,
    /// PBKDF2 with HMAC-SHA-1.
    Pbkdf2Sha1,
    /// Argon2id: Signet's own, and one of Django's.
    Argon2id,
    /// Argon2i.
    Argon2i,
    /// Argon2d.
    Argon2d,
    /// bcrypt over the SHA-256 of the password.
    BcryptSha256,
    /// bcrypt over the first 72 bytes of the password.
    Bcrypt,
    /// scrypt.
    Scrypt,
    /// MD5 over salt and password.
    Md5,
    /// MD5 over the password.
    UnsaltedMd5,
    /// SHA-1 over salt and password.
    Sha1,
    /// SHA-1 over the password.
    UnsaltedSha1,
    /// No password matches.
    Unusable,
}

impl Format {
    /// The name, which never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pbkdf2Sha256 => "pbkdf2_sha256",
            Self::Pbkdf2Sha1 => "pbkdf2_sha1",
            Self::Argon2id => "argon2id",
            Self::Argon2i => "argon2i",
            Self::Argon2d => "argon2d",
            Self::BcryptSha256 => "bcrypt_sha256",
            Self::Bcrypt => "bcrypt",
            Self::Scrypt => "scrypt",
            Self::Md5 => "md5",
            Self::UnsaltedMd5 => "unsalted_md5",
            Self::Sha1 => "sha1",
            Self::UnsaltedSha1 => "unsalted_sha1",
            Self::Unusable => "unusable",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why no password can match an encoded hash, although it is not marked as unusable. Never quotes the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unrecognised {
    /// It starts like one of the algorithm, and does not go on like one.
    #[error("malformed {0} hash")]
    Malformed(&'static str),
    /// Computing it would take more than is granted.
    #[error("{0} hash that costs more than is allowed ({1})")]
    TooDear(Format, &'static str),
    /// DES `crypt`, which Django has removed.
    #[error("crypt hash: DES is insecure, was removed from Django and is not supported")]
    Crypt,
    /// None of the algorithms.
    #[error("hash of an unknown algorithm")]
    Unknown,
    /// Longer than any hash.
    #[error("longer than any known hash (512 bytes)")]
    TooLong,
}

/// The format of an encoded hash that a password can be verified with, or that is marked as unusable (`!…`, or
/// empty).
///
/// Recognised are Django's formats up to 6.0 with those that it has dropped but `crypt`, and PHC strings of argon2.
///
/// # Errors
/// Why no password can match.
pub fn recognise(encoded: &str) -> Result<Format, Unrecognised> {
    Stored::parse(encoded).map(|stored| stored.format())
}

/// Equal for two hashes that take the same work.
///
/// # Errors
/// Why no password can match.
pub fn price(encoded: &str) -> Result<Price, Unrecognised> {
    Stored::parse(encoded).map(|stored| stored.price())
}

/// A hash that can be computed again.
#[derive(Debug)]
pub(super) enum Stored {
    Unusable,
    Pbkdf2 {
        format: Format,
        iterations: u32,
        salt: Vec<u8>,
        key: Vec<u8>,
    },
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        params: Box<Params>,
        salt: Vec<u8>,
        key: Vec<u8>,
        /// A PHC string as Signet writes it, without Django's prefix.
        plain: bool,
    },
    Bcrypt {
        format: Format,
        rounds: u32,
        encoded: String,
    },
    Scrypt {
        params: scrypt::Params,
        shape: (u64, u32, u32),
        salt: Vec<u8>,
        key: Vec<u8>,
    },
    /// One round of a fast hash over salt and password, compared as lower-case hexadecimal text as Django does.
    Fast {
        format: Format,
        salt: Vec<u8>,
        sum: Vec<u8>,
    },
}

impl Stored {
    /// What is to be computed, within the caps.
    pub(super) fn parse(encoded: &str) -> Result<Self, Unrecognised> {
        if encoded.is_empty() || encoded.starts_with('!') {
            return Ok(Self::Unusable);
        }
        if encoded.len() > ENCODED_BYTES_MAX {
            return Err(Unrecognised::TooLong);
        }
        // Django tells the unsalted ones by their shape.
        if encoded.len() == 32 && !encoded.contains('$') {
            return fast(Format::UnsaltedMd5, "", encoded);
        }
        let Some((algorithm, rest)) = encoded.split_once('$') else {
            return Err(Unrecognised::Unknown);
        };
        match algorithm {
            "pbkdf2_sha256" => pbkdf2(Format::Pbkdf2Sha256, 32, rest),
            "pbkdf2_sha1" => pbkdf2(Format::Pbkdf2Sha1, 20, rest),
            "argon2" => argon2(&encoded["argon2".len()..], false),
            "" if rest.starts_with("argon2") => argon2(encoded, true),
            "bcrypt_sha256" => bcrypt(Format::BcryptSha256, rest),
            "bcrypt" => bcrypt(Format::Bcrypt, rest),
            "scrypt" => scrypt(rest),
            "md5" => salted(Format::Md5, Format::UnsaltedMd5, rest),
            "sha1" => salted(Format::Sha1, Format::UnsaltedSha1, rest),
            "crypt" => Err(Unrecognised::Crypt),
            _ => Err(Unrecognised::Unknown),
        }
    }

    pub(super) fn format(&self) -> Format {
        match self {
            Self::Unusable => Format::Unusable,
            Self::Pbkdf2 { format, .. } | Self::Bcrypt { format, .. } | Self::Fast { format, .. } => *format,
            Self::Argon2 { algorithm: Algorithm::Argon2id, .. } => Format::Argon2id,
            Self::Argon2 { algorithm: Algorithm::Argon2i, .. } => Format::Argon2i,
            Self::Argon2 { algorithm: Algorithm::Argon2d, .. } => Format::Argon2d,
            Self::Scrypt { .. } => Format::Scrypt,
        }
    }

    /// Equal for two hashes that take the same work.
    pub(super) fn price(&self) -> Price {
        let numbers = match self {
            Self::Unusable | Self::Fast { .. } => (0, 0, 0),
            Self::Pbkdf2 { iterations, .. } => (u64::from(*iterations), 0, 0),
            Self::Argon2 { params, .. } => (u64::from(params.m_cost()), params.t_cost(), params.p_cost()),
            Self::Bcrypt { rounds, .. } => (u64::from(*rounds), 0, 0),
            Self::Scrypt { shape, .. } => *shape,
        };
        Price(self.format(), numbers)
    }

    /// Whether the hash is as Signet would make it now, at this cost.
    pub(super) fn is_current(&self, cost: Cost) -> bool {
        match self {
            Self::Argon2 {
                algorithm: Algorithm::Argon2id,
                version: Version::V0x13,
                params,
                salt,
                key,
                plain: true,
            } => {
                let bare = params.keyid().is_empty() && params.data().is_empty();
                let same =
                    (params.m_cost(), params.t_cost(), params.p_cost()) == (cost.memory, cost.passes, cost.lanes);
                bare && same && key.len() == Params::DEFAULT_OUTPUT_LEN && salt.len() >= SALT_BYTES_MIN
            }
            _ => false,
        }
    }

    /// Whether these bytes are the password. Takes the work of the format; compares in constant time. `memory` is
    /// what argon2 works in, when it is enough.
    pub(super) fn matches(&self, password: &[u8], memory: &mut [Block]) -> Result<bool, String> {
        match self {
            Self::Unusable => Ok(false),
            Self::Pbkdf2 { format, iterations, salt, key } => {
                let mut found = vec![0; key.len()];
                match format {
                    Format::Pbkdf2Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, *iterations, &mut found),
                    _ => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *iterations, &mut found),
                }
                Ok(found.ct_eq(key).into())
            }
            Self::Argon2 { algorithm, version, params, salt, key, .. } => {
                let mut found = vec![0; key.len()];
                fill(memory, (*algorithm, *version, Params::clone(params)), password, salt, &mut found)?;
                Ok(found.ct_eq(key).into())
            }
            Self::Bcrypt { format: Format::BcryptSha256, encoded, .. } => {
                verify_bcrypt(&hexadecimal::<Sha256>(&[password]), encoded)
            }
            // Longer passwords are cut at 72 bytes, as the library under Django did.
            Self::Bcrypt { encoded, .. } => verify_bcrypt(password, encoded),
            Self::Scrypt { params, salt, key, .. } => {
                let mut found = vec![0; key.len()];
                scrypt::scrypt(password, salt, params, &mut found).map_err(|e| format!("scrypt: {e}"))?;
                Ok(found.ct_eq(key).into())
            }
            Self::Fast { format: Format::Md5 | Format::UnsaltedMd5, salt, sum } => {
                Ok(hexadecimal::<Md5>(&[salt, password]).ct_eq(sum).into())
            }
            Self::Fast { salt, sum, .. } => Ok(hexadecimal::<Sha1>(&[salt, password]).ct_eq(sum).into()),
        }
    }
}

/// What a hash costs, to be compared and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Price(Format, (u64, u32, u32));

/// Argon2 in memory that is kept from one call to the next: allocating it each time takes twice as long and leaves
/// the heap in pieces. A hash that needs more than there is gets memory of its own, which is given back.
pub(super) fn fill(
    memory: &mut [Block],
    (algorithm, version, params): (Algorithm, Version, Params),
    password: &[u8],
    salt: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    let needed = params.block_count();
    let mut more = Vec::new();
    let blocks = if let Some(blocks) = memory.get_mut(..needed) {
        blocks
    } else {
        more.resize(needed, Block::default());
        &mut more[..]
    };
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password, salt, out, blocks)
        .map_err(|e| format!("argon2: {e}"))
}

fn verify_bcrypt(password: &[u8], encoded: &str) -> Result<bool, String> {
    bcrypt::verify(password, encoded).map_err(|e| format!("bcrypt: {e}"))
}

fn hexadecimal<D: Digest>(parts: &[&[u8]]) -> Vec<u8>
where
    digest::Output<D>: AsRef<[u8]>,
{
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    let sum = digest.finalize();
    sum.as_ref().iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).collect()
}

fn pbkdf2(format: Format, length: usize, rest: &str) -> Result<Stored, Unrecognised> {
    let malformed = || Unrecognised::Malformed(format.name());
    let [iterations, salt, key] = parts(rest).ok_or_else(malformed)?;
    let iterations = number(iterations).ok_or_else(malformed)?;
    let key = STANDARD.decode(key).ok().filter(|key| key.len() == length).ok_or_else(malformed)?;
    if salt.is_empty() {
        return Err(malformed());
    }
    match u32::try_from(iterations) {
        Ok(iterations) if iterations <= PBKDF2_MAX => {
            Ok(Stored::Pbkdf2 { format, iterations, salt: salt.as_bytes().to_vec(), key })
        }
        _ => Err(Unrecognised::TooDear(format, "at most 5,000,000 iterations")),
    }
}

fn argon2(encoded: &str, plain: bool) -> Result<Stored, Unrecognised> {
    let malformed = || Unrecognised::Malformed("argon2");
    let parsed = PasswordHash::new(encoded).map_err(|_| malformed())?;
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(|_| malformed())?;
    let params = Params::try_from(&parsed).map_err(|_| malformed())?;
    // The first version of argon2 did not write its number.
    let version = parsed.version.map_or(Ok(Version::V0x10), Version::try_from).map_err(|_| malformed())?;
    let (Some(salt), Some(key)) = (parsed.salt, parsed.hash) else { return Err(malformed()) };
    let (memory, passes, lanes, work) = ARGON2_MAX;
    let asked = u64::from(params.m_cost()) * u64::from(params.t_cost());
    let stored = Stored::Argon2 {
        algorithm,
        version,
        salt: salt.to_vec(),
        key: key.as_bytes().to_vec(),
        params: Box::new(params.clone()),
        plain,
    };
    if params.m_cost() > memory || params.t_cost() > passes || params.p_cost() > lanes || asked > work {
        let caps = "at most 256 MiB, 16 passes, 16 lanes, and 1 GiB times passes";
        return Err(Unrecognised::TooDear(stored.format(), caps));
    }
    Ok(stored)
}

fn bcrypt(format: Format, rest: &str) -> Result<Stored, Unrecognised> {
    let malformed = || Unrecognised::Malformed(format.name());
    // `$2x$` marks hashes of a faulty implementation, which would have to be computed with the fault.
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| rest.starts_with(version));
    let parsed = rest.parse::<bcrypt::HashParts>().ok().filter(|_| known).ok_or_else(malformed)?;
    match parsed.get_cost() {
        ..4 | 32.. => Err(malformed()),
        rounds @ ..=BCRYPT_MAX => Ok(Stored::Bcrypt { format, rounds, encoded: rest.to_owned() }),
        _ => Err(Unrecognised::TooDear(format, "at most 15 rounds")),
    }
}

fn scrypt(rest: &str) -> Result<Stored, Unrecognised> {
    let malformed = || Unrecognised::Malformed("scrypt");
    let [n, salt, r, p, key] = parts(rest).ok_or_else(malformed)?;
    let number = |text| number(text).ok_or_else(malformed);
    let (n, r, p) = (number(n)?, number(r)?, number(p)?);
    let key = STANDARD.decode(key).ok().filter(|key| key.len() == 64).ok_or_else(malformed)?;
    if salt.is_empty() || n < 2 || !n.is_power_of_two() {
        return Err(malformed());
    }
    let too_dear = || Unrecognised::TooDear(Format::Scrypt, "at most 256 MiB, and 1 GiB times lanes");
    let memory = n.checked_mul(r).and_then(|blocks| blocks.checked_mul(128)).ok_or_else(too_dear)?;
    let lanes = r.checked_mul(p).and_then(|blocks| blocks.checked_mul(128)).ok_or_else(too_dear)?;
    let work = memory.checked_mul(p).ok_or_else(too_dear)?;
    if memory > SCRYPT_MAX.0 || lanes > SCRYPT_MAX.0 || work > SCRYPT_MAX.1 {
        return Err(too_dear());
    }
    let (Ok(small_r), Ok(small_p), Ok(log_n)) = (u32::try_from(r), u32::try_from(p), u8::try_from(n.ilog2())) else {
        return Err(too_dear());
    };
    let params = scrypt::Params::new(log_n, small_r, small_p).map_err(|_| malformed())?;
    Ok(Stored::Scrypt { params, shape: (n, small_r, small_p), salt: salt.as_bytes().to_vec(), key })
}

fn salted(format: Format, unsalted: Format, rest: &str) -> Result<Stored, Unrecognised> {
    let [salt, sum] = parts(rest).ok_or(Unrecognised::Malformed(format.name()))?;
    fast(if salt.is_empty() { unsalted } else { format }, salt, sum)
}

fn fast(format: Format, salt: &str, sum: &str) -> Result<Stored, Unrecognised> {
    let length = if matches!(format, Format::Md5 | Format::UnsaltedMd5) { 32 } else { 40 };
    if sum.len() != length || !sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Unrecognised::Malformed(format.name()));
    }
    Ok(Stored::Fast { format, salt: salt.as_bytes().to_vec(), sum: sum.as_bytes().to_vec() })
}

/// Exactly so many parts.
fn parts<const N: usize>(rest: &str) -> Option<[&str; N]> {
    rest.split('$').collect::<Vec<_>>().try_into().ok()
}

/// A whole number from 1, as Django writes one.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    // More digits than fit are a number all the same: a very large one.
    (plain && !text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
}
