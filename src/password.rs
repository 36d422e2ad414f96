//! Passwords: argon2id in a bounded pool of its own threads.
//!
//! Owns the parameters, the encoding (PHC string) and the pool. A hash takes tens of milliseconds of one core
//! and megabytes of memory: each worker keeps its memory for its life, a full queue is said at once, and
//! nothing of it ever runs on the threads that serve requests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::error::{Error, Fault};

pub mod format;

/// Longest password, in bytes. Checked before anything else is done with one.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Shortest password of a new account, in characters (Django's `MinimumLengthValidator`).
pub const PASSWORD_CHARS_MIN: usize = 8;

/// Jobs that may wait for each worker.
const QUEUE_PER_WORKER: usize = 16;

/// The most that a stored hash may ask for: kibibytes, passes, lanes. Beyond it a hash is not computed.
const COST_MAX: (u32, u32, u32) = (256 * 1024, 16, 16);

/// A password in clear, which no log can print and whose memory is wiped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Password {
    /// The password, in NFC (NIST SP 800-63B-4, section 3.1.1.2), otherwise exactly as it was given.
    /// `None` when it is longer than [`PASSWORD_BYTES_MAX`].
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= PASSWORD_BYTES_MAX).then(|| Self(Zeroizing::new(text.nfc().collect())))
    }

    /// A random one, of 20 characters that are easy to tell apart (about 100 bits).
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random() -> Result<Self, Error> {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut bytes = Zeroizing::new([0; 20]);
        getrandom::fill(&mut *bytes).map_err(|e| Error::Internal(e.to_string()))?;
        let letter = |b: &u8| char::from(LETTERS[usize::from(b % 32)]);
        Ok(Self(Zeroizing::new(bytes.iter().map(letter).collect())))
    }

    /// The text. For the one place that shows a new random password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A password for a new account.
///
/// # Errors
/// A fault of `field` that says which rule it breaks.
pub fn acceptable(field: &str, text: &str) -> Result<Password, Fault> {
    let too_long = || {
        let message = format!("a password has at most {PASSWORD_BYTES_MAX} bytes");
        Fault::new(field, "password_too_long", message)
    };
    let password = Password::new(text).ok_or_else(too_long)?;
    if password.0.chars().count() < PASSWORD_CHARS_MIN {
        let message =
            format!("a password has at least {PASSWORD_CHARS_MIN} characters; a short sentence is a good one");
        return Err(Fault::new(field, "password_too_short", message));
    }
    Ok(password)
}

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in kibibytes.
    pub memory: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// The OWASP recommendation for argon2id.
    fn default() -> Self {
        Self { memory: 19_456, passes: 2, lanes: 1 }
    }
}

impl Cost {
    fn params(self) -> Result<Params, Error> {
        let params = Params::new(self.memory, self.passes, self.lanes, Some(Params::DEFAULT_OUTPUT_LEN));
        params.map_err(|e| Error::Internal(format!("argon2 parameters: {e}")))
    }
}

enum Job {
    Hash(Password, oneshot::Sender<Result<String, Error>>),
    /// Without a hash to compare with, the work is done all the same and the answer is no.
    Verify(Password, Option<String>, oneshot::Sender<Result<bool, Error>>),
}

/// The workers. Dropping the pool ends them after the work that they already have.
pub struct Pool {
    jobs: Option<mpsc::SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of so many workers.
    ///
    /// # Errors
    /// When the parameters are not of argon2, or a thread cannot be started.
    pub fn start(workers: usize, cost: Cost) -> Result<Self, Error> {
        cost.params()?;
        let (jobs, queue) = mpsc::sync_channel(QUEUE_PER_WORKER * workers);
        let queue = Arc::new(Mutex::new(queue));
        let start = |n: usize| {
            let queue = Arc::clone(&queue);
            let name = format!("signet-hash-{n}");
            std::thread::Builder::new().name(name).spawn(move || work(&queue, cost))
        };
        let workers = (0..workers).map(start).collect::<Result<_, _>>();
        let workers = workers.map_err(|e| Error::Internal(format!("cannot start a hash worker: {e}")))?;
        Ok(Self { jobs: Some(jobs), workers })
    }

    /// The encoded hash of a new password.
    ///
    /// # Errors
    /// `Busy` at once when the queue is full.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.ask(|answer| Job::Hash(password, answer)).await
    }

    /// Whether the password is the one that was hashed. Takes the time of one hash also when there is no hash
    /// to compare with, or none that can match, so that the time tells nothing (OWASP ASVS 6.3.8).
    ///
    /// # Errors
    /// `Busy` at once when the queue is full.
    pub async fn verify(&self, password: Password, encoded: Option<String>) -> Result<bool, Error> {
        self.ask(|answer| Job::Verify(password, encoded, answer)).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let ended = || Error::Internal("the hash workers have ended".to_owned());
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.try_send(job(answer)).map_err(|e| match e {
            mpsc::TrySendError::Full(_) => Error::Busy,
            mpsc::TrySendError::Disconnected(_) => ended(),
        })?;
        answered.await.map_err(|_| ended())?
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a hash worker had panicked");
            }
        }
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>, cost: Cost) {
    let mut memory = Vec::new();
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // A caller that has gone away needs no answer, and no work.
        match job {
            Ok(Job::Hash(_, answer)) if answer.is_closed() => {}
            Ok(Job::Verify(_, _, answer)) if answer.is_closed() => {}
            Ok(Job::Hash(password, answer)) => drop(answer.send(hash(&password, cost, &mut memory))),
            Ok(Job::Verify(password, encoded, answer)) => {
                drop(answer.send(verify(&password, encoded.as_deref(), cost, &mut memory)));
            }
            Err(_) => return,
        }
    }
}

/// The raw hash, in memory that is kept from one call to the next: allocating it each time takes twice as long
/// and leaves the heap in pieces.
fn derive(
    password: &Password,
    salt: &[u8],
    params: Params,
    out: &mut [u8],
    memory: &mut Vec<Block>,
) -> Result<(), Error> {
    let needed = params.block_count();
    if memory.len() < needed {
        memory.resize(needed, Block::default());
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password_into_with_memory(password.0.as_bytes(), salt, out, &mut memory[..needed])
        .map_err(|e| Error::Internal(format!("argon2: {e}")))
}

fn hash(password: &Password, cost: Cost, memory: &mut Vec<Block>) -> Result<String, Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|e| Error::Internal(e.to_string()))?;
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    derive(password, &salt, cost.params()?, &mut out, memory)?;
    let odd = |e: argon2::password_hash::phc::Error| Error::Internal(format!("password hash: {e}"));
    let encoded = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&cost.params()?).map_err(|e| Error::Internal(format!("password hash: {e}")))?,
        salt: Some(Salt::new(&salt).map_err(odd)?),
        hash: Some(Output::new(&out).map_err(odd)?),
    };
    Ok(encoded.to_string())
}

fn verify(password: &Password, encoded: Option<&str>, cost: Cost, memory: &mut Vec<Block>) -> Result<bool, Error> {
    if let Some((salt, params, expected)) = encoded.and_then(parts) {
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        derive(password, &salt, params, &mut out, memory)?;
        // `Output` compares in constant time.
        return Ok(Output::new(&out).is_ok_and(|found| found == expected));
    }
    hash(password, cost, memory)?;
    Ok(false)
}

/// Salt, parameters and expected output of an encoded hash, unless it is malformed or asks for too much.
fn parts(encoded: &str) -> Option<(Vec<u8>, Params, Output)> {
    let parsed = PasswordHash::new(encoded).ok()?;
    let ours = parsed.algorithm == Algorithm::Argon2id.ident() && parsed.version == Some(Version::V0x13.into());
    let params = Params::try_from(&parsed).ok()?;
    let affordable = params.m_cost() <= COST_MAX.0 && params.t_cost() <= COST_MAX.1 && params.p_cost() <= COST_MAX.2;
    let (salt, output) = (parsed.salt?, parsed.hash?);
    (ours && affordable && output.len() == Params::DEFAULT_OUTPUT_LEN).then(|| (salt.to_vec(), params, output))
}
