//! Passwords: argon2id in a bounded pool of its own threads.
//!
//! Owns the parameters, the encoding (PHC string) and the pool. A hash takes tens of milliseconds of one core
//! and megabytes of memory: each worker keeps its memory for its life, a full queue is said at once, and
//! nothing of it ever runs on the threads that serve requests. `format.rs` knows the hashes that came from
//! elsewhere, `policy.rs` what a new password has to be, `floor.rs` how long a failure takes.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Block, Params, Version};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::metrics::{Counter, Gauge, Held, Histogram, Registry, counter, gauge, seconds};

mod common;
mod floor;
pub mod format;
pub mod policy;

use floor::Floor;
use format::Stored;
pub use policy::Policy;

/// Longest password, in bytes. Checked before anything else is done with one.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Jobs that may wait for each worker.
const QUEUE_PER_WORKER: usize = 16;

/// How much more than other threads the workers give way (setpriority(2)), as `nice` does when nothing is said; and the
/// most that there is.
const NICER: i32 = 10;
const NICEST: i32 = 19;

/// A password in clear, which no log can print and whose memory is wiped.
#[derive(Clone)]
pub struct Password {
    text: Zeroizing<String>,
    /// As it was sent, when that is another text: Django does not normalise.
    raw: Option<Zeroizing<String>>,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Password {
    /// The password, in NFC (NIST SP 800-63B-4, section 3.1.1.2), otherwise exactly as it was given.
    /// `None` when it is longer than [`PASSWORD_BYTES_MAX`].
    ///
    /// New hashes are of the NFC alone. A hash that came from elsewhere may be of the text as it was sent, so that
    /// form is tried too; what is sent in another form than NFC costs two hashes, whoever's it is.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let normal = Zeroizing::new(text.nfc().collect::<String>());
        let raw = (*normal != text).then(|| Zeroizing::new(text.to_owned()));
        Some(Self { text: normal, raw })
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
        Ok(Self { text: Zeroizing::new(bytes.iter().map(letter).collect()), raw: None })
    }

    /// The text. For the one place that shows a new random password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The texts that a stored hash may be of.
    fn forms(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.text).chain(&self.raw).map(|form| form.as_bytes())
    }
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

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the password is the one that was hashed, and its owner may use it.
    pub right: bool,
    /// Whether the stored hash should be made anew, now that the password is at hand: its algorithm, its encoding or
    /// any parameter differs from the present ones, up or down, or its salt is shorter than 16 bytes. Never with a
    /// wrong password.
    pub outdated: bool,
}

/// A password to be verified.
struct Attempt {
    password: Password,
    /// Without a hash to compare with, the work is done all the same and the answer is no.
    encoded: Option<String>,
    /// Whether the right password counts.
    admitted: bool,
}

/// A verdict, and the instant before which it is not told.
type Judged = (Verdict, Option<Instant>);

enum Job {
    Hash(Password, oneshot::Sender<Result<String, Error>>),
    Verify(Attempt, oneshot::Sender<Result<Judged, Error>>),
}

/// What the pool measures of itself.
#[derive(Clone)]
pub struct Meters {
    waiting: Gauge,
    working: Gauge,
    workers: Gauge,
    wait: Histogram,
    refused: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            waiting: gauge("signet_hash_waiting", "Passwords that wait to be hashed"),
            working: gauge("signet_hash_working", "Passwords that are being hashed"),
            workers: gauge("signet_hash_workers", "Threads that hash passwords"),
            wait: seconds("signet_hash_wait_seconds", "How long passwords waited to be hashed"),
            refused: counter("signet_hash_refused_total", "Passwords that were not taken, since too many waited"),
        }
    }
}

impl Meters {
    /// Shows them in a registry.
    pub fn show(&self, registry: &Registry) {
        registry.add(&[&self.waiting, &self.working, &self.workers, &self.wait, &self.refused]);
    }
}

/// What the pool does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Threads that live.
    pub workers: usize,
    /// Passwords that are being hashed.
    pub busy: u64,
    /// Passwords that wait for a thread.
    pub waiting: u64,
}

/// A job, since when it has waited, and its place among those that wait.
struct Waiting {
    job: Job,
    since: Instant,
    counted: Held,
}

/// The workers. Dropping the pool ends them after the work that they already have.
pub struct Pool {
    jobs: Option<mpsc::SyncSender<Waiting>>,
    workers: Vec<JoinHandle<()>>,
    cost: Cost,
    meters: Meters,
}

impl Pool {
    /// A pool of so many workers.
    ///
    /// # Errors
    /// When the parameters are not of argon2, or a thread cannot be started.
    pub fn start(workers: usize, cost: Cost) -> Result<Self, Error> {
        let blocks = cost.params()?.block_count();
        let (jobs, queue) = mpsc::sync_channel(QUEUE_PER_WORKER * workers);
        let queue = Arc::new(Mutex::new(queue));
        let floor = Arc::new(Floor::default());
        let meters = Meters::default();
        meters.workers.set(i64::try_from(workers).unwrap_or(i64::MAX));
        let start = |n: usize| {
            let queue = Arc::clone(&queue);
            let (floor, meters) = (Arc::clone(&floor), meters.clone());
            let worker = Worker { cost, floor, blocks, memory: Vec::new(), meters };
            std::thread::Builder::new().name(format!("signet-hash-{n}")).spawn(move || worker.run(&queue))
        };
        let workers = (0..workers).map(start).collect::<Result<_, _>>();
        let workers = workers.map_err(|e| Error::Internal(format!("cannot start a hash worker: {e}")))?;
        Ok(Self { jobs: Some(jobs), workers, cost, meters })
    }

    /// What the pool measures of itself.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// What the pool does at the moment.
    #[must_use]
    pub fn load(&self) -> Load {
        let count = |gauge: &Gauge| u64::try_from(gauge.get()).unwrap_or(0);
        Load {
            workers: self.workers.iter().filter(|worker| !worker.is_finished()).count(),
            busy: count(&self.meters.working),
            waiting: count(&self.meters.waiting),
        }
    }

    /// Whether all of the workers live.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.workers.iter().any(JoinHandle::is_finished)
    }

    /// The encoded hash of a new password.
    ///
    /// # Errors
    /// `Busy` at once when the queue is full.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.ask(|answer| Job::Hash(password, answer)).await
    }

    /// Whether the password is the one that was hashed, and whether its owner is `admitted`: to one who is not, the
    /// right password is as wrong as any.
    ///
    /// Every failure takes the time of one hash at the present cost at least, also when there is no hash to compare
    /// with, or none that can match, so that the time tells nothing (OWASP ASVS 6.3.8). Hashes from elsewhere can be
    /// dearer than that. As soon as the pool has computed one, every failure is told only when as much time has gone
    /// by since its work began as the slowest took; see [`Pool::calibrate`]. What remains: a failure that is slower
    /// than any before it, because the machine is busier or the hash is of a kind not seen yet, stands out once.
    ///
    /// # Errors
    /// `Busy` at once when the queue is full.
    pub async fn verify(&self, password: Password, encoded: Option<String>, admitted: bool) -> Result<Verdict, Error> {
        let attempt = Attempt { password, encoded, admitted };
        let (verdict, not_before) = self.ask(|answer| Job::Verify(attempt, answer)).await?;
        if let Some(instant) = not_before {
            tokio::time::sleep_until(instant.into()).await;
        }
        Ok(verdict)
    }

    /// Lets the pool learn what a failure against this hash takes, unless it is a hash of the present cost.
    ///
    /// # Errors
    /// `Busy` at once when the queue is full.
    pub async fn calibrate(&self, encoded: String) -> Result<(), Error> {
        let dear = Stored::parse(&encoded).is_ok_and(|stored| !stored.is_current(self.cost));
        if dear {
            self.verify(Password::random()?, Some(encoded), false).await?;
        }
        Ok(())
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let ended = || Error::Internal("the hash workers have ended".to_owned());
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        let counted = Held::new(&self.meters.waiting);
        jobs.try_send(Waiting { job: job(answer), since: Instant::now(), counted }).map_err(|e| match e {
            mpsc::TrySendError::Full(_) => {
                self.meters.refused.inc();
                Error::Busy
            }
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

struct Worker {
    cost: Cost,
    floor: Arc<Floor>,
    /// How many blocks a hash of the pool's own cost works in.
    blocks: usize,
    /// Those, from the first job on for the worker's life.
    memory: Vec<Block>,
    meters: Meters,
}

impl Worker {
    fn run(mut self, queue: &Mutex<mpsc::Receiver<Waiting>>) {
        give_way();
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Waiting { job, since, counted }) = job else { return };
            drop(counted);
            self.meters.wait.observe(since.elapsed().as_secs_f64());
            let _working = Held::new(&self.meters.working);
            self.memory.resize(self.blocks, Block::default());
            // A caller that has gone away needs no answer, and no work.
            match job {
                Job::Hash(_, answer) if answer.is_closed() => {}
                Job::Verify(_, answer) if answer.is_closed() => {}
                Job::Hash(password, answer) => drop(answer.send(self.guarded(|worker| worker.hash(&password)))),
                Job::Verify(attempt, answer) => drop(answer.send(self.guarded(|worker| worker.verify(&attempt)))),
            }
        }
    }

    /// Works on one job. A panic fails that one, and the worker goes on: there may be no other.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let panicked = |_| Err(Error::Internal("a hash worker panicked".to_owned()));
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(panicked)
    }

    fn hash(&mut self, password: &Password) -> Result<String, Error> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|e| Error::Internal(e.to_string()))?;
        let out = self.derive(password.text.as_bytes(), &salt)?;
        let odd = |e: argon2::password_hash::phc::Error| Error::Internal(format!("password hash: {e}"));
        let params = ParamsString::try_from(&self.cost.params()?);
        let encoded = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: params.map_err(|e| Error::Internal(format!("password hash: {e}")))?,
            salt: Some(Salt::new(&salt).map_err(odd)?),
            hash: Some(Output::new(&out).map_err(odd)?),
        };
        Ok(encoded.to_string())
    }

    fn derive(&mut self, password: &[u8], salt: &[u8]) -> Result<[u8; Params::DEFAULT_OUTPUT_LEN], Error> {
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        let function = (Algorithm::Argon2id, Version::V0x13, self.cost.params()?);
        format::fill(&mut self.memory, function, password, salt, &mut out).map_err(Error::Internal)?;
        Ok(out)
    }

    fn verify(&mut self, attempt: &Attempt) -> Result<Judged, Error> {
        let Attempt { password, encoded, admitted } = attempt;
        let began = Instant::now();
        let stored = encoded.as_deref().and_then(|encoded| Stored::parse(encoded).ok());
        let current = stored.as_ref().is_some_and(|stored| stored.is_current(self.cost));
        if let Some(stored) = &stored {
            for form in password.forms() {
                // What the library refuses is as wrong as what does not match.
                if stored.matches(form, &mut self.memory).unwrap_or(false) && *admitted {
                    return Ok((Verdict { right: true, outdated: !current }, None));
                }
            }
        }
        let spent = began.elapsed();
        let mut forms = 0;
        for form in password.forms() {
            forms += 1;
            if !current {
                self.derive(form, &[0; 16])?;
            }
        }
        if let Some(stored) = stored.filter(|_| !current) {
            self.floor.learn(stored.price(), spent / forms, began.elapsed() / forms);
        }
        let not_before = self.floor.each().map(|each| began + each * forms);
        Ok((Verdict { right: false, outdated: false }, not_before))
    }
}

/// Lets every other thread of the process go first: whoever is logged in does not wait for somebody else's hash to be
/// done. On Linux, where a priority is one thread's own, and lowering it is always allowed.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(why) = rustix::process::getpriority_process(None)
        .and_then(|now| rustix::process::setpriority_process(None, (now + NICER).min(NICEST)))
    {
        tracing::warn!(%why, "the threads that hash passwords take as much of a core as any other");
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Password, Worker};
    use crate::error::Error;

    #[test]
    fn a_worker_that_panics_fails_one_job_and_does_the_next() {
        let cost = Cost { memory: 32, passes: 1, lanes: 1 };
        let (floor, meters) = (std::sync::Arc::default(), super::Meters::default());
        let mut worker = Worker { cost, floor, blocks: 0, memory: Vec::new(), meters };
        let panics = |_: &mut Worker| -> Result<(), Error> { panic!("on purpose") };
        assert!(matches!(worker.guarded(panics), Err(Error::Internal(_))));
        let password = Password::new("a password").expect("it is short");
        assert!(worker.guarded(|worker| worker.hash(&password)).is_ok());
    }
}
