//! What has ended, in memory: every request asks here, and never the store.
//!
//! Owns the mirror of the durable revocations and the judgement of a token's claims by it. `app.rs` feeds it:
//! store first, then memory. Merging is monotone, so that the order of feeding does not matter.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::claims::{Claims, SessionId, UserId, instant};
use crate::store::{Revocation, Sums};

mod ended;
pub mod endings;
pub mod feed;

use ended::{Ended, SHARDS};
use endings::{Endings, Kind};
use feed::Feed;

/// How a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing covers it.
    Live,
    /// Its rights were changed since it was issued: they have to be read again before it is used.
    Stale,
    /// Its session, its generation or its epoch was ended.
    Dead,
}

/// The mirror. Shared by all requests; reading takes two short read locks.
#[derive(Debug)]
pub struct Revocations {
    sessions: Ended,
    users: Sharded<Mark>,
    epoch: AtomicU64,
    /// The latest end of anything of this epoch that was dropped.
    forgotten: AtomicI64,
    endings: Endings,
    covered: Mutex<Covered>,
    feed: Feed,
}

/// Endings that a generation of their user covers. They stay until the sweep after the next one: whoever reads the list
/// meanwhile, page by page, may have passed the place where that generation stands now.
#[derive(Debug, Default)]
struct Covered {
    before_last_sweep: HashSet<SessionId>,
    since: HashSet<SessionId>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            sessions: Ended::default(),
            users: Sharded::default(),
            epoch: AtomicU64::default(),
            forgotten: AtomicI64::new(i64::MIN),
            endings: Endings::default(),
            covered: Mutex::default(),
            feed: Feed::default(),
        }
    }
}

/// The oldest of a user's tokens that count.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mark {
    generation: u64,
    rights_version: u64,
    until: i64,
}

impl Revocations {
    /// Takes a revocation in, wherever it was made: takes effect on the next judgement. Those who follow the feed are
    /// then told, unless it was known.
    pub fn learn(&self, revocation: &Revocation) {
        let is_news = match *revocation {
            Revocation::Session { id, until } => self.sessions.learn(&id, until.timestamp()),
            Revocation::User { id, generation, rights_version, until } => {
                let until = until.timestamp();
                self.users.change(*id.bytes(), |old| Mark {
                    generation: old.map_or(generation, |old| old.generation.max(generation)),
                    rights_version: old.map_or(rights_version, |old| old.rights_version.max(rights_version)),
                    until: old.map_or(until, |old| old.until.max(until)),
                })
            }
            Revocation::Epoch(epoch) => {
                let is_news = self.epoch.fetch_max(epoch, Ordering::SeqCst) < epoch;
                if is_news {
                    self.forgotten.store(i64::MIN, Ordering::SeqCst);
                }
                is_news
            }
        };
        if is_news {
            self.feed.tell(*revocation);
        }
    }

    /// Takes in whose session or API token it is that has ended: what is held for one user is bounded by that.
    pub fn count_for(&self, user: UserId, kind: Kind, id: SessionId, until: DateTime<Utc>) {
        self.endings.learn(user, kind, id, until);
    }

    /// Who has ended how many one by one.
    #[must_use]
    pub fn endings(&self) -> &Endings {
        &self.endings
    }

    /// Takes in that a generation of the user covers these, which was learned before. They are dropped some sweeps later.
    pub fn cover(&self, user: UserId, ids: &[SessionId]) {
        self.endings.covered(user, ids);
        self.cover_known(ids);
    }

    /// The same for those that are known here, whoever they are of.
    pub fn cover_known(&self, ids: &[SessionId]) {
        let known = ids.iter().filter(|id| self.sessions.contains(id));
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let Covered { before_last_sweep, since } = &mut *covered;
        since.extend(known.filter(|id| !before_last_sweep.contains(id)));
    }

    /// The sums of what is held and ends at the instant or later. What is covered is left out.
    #[must_use]
    pub fn sums(&self, from: DateTime<Utc>) -> Sums {
        let from = from.timestamp();
        let mut sums = Sums::default();
        let head = |id: &[u8; 16]| u64::from(id[0]) << 16 | u64::from(id[1]) << 8 | u64::from(id[2]);
        let covered = {
            let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
            &covered.before_last_sweep | &covered.since
        };
        for shard in 0..SHARDS {
            self.sessions.each_of(shard, |id, until| {
                if until >= from && !covered.contains(&id) {
                    sums.sessions += 1;
                    sums.ids += head(id.bytes());
                    sums.ends += until;
                }
            });
        }
        self.users.each(|id, mark| {
            if mark.until >= from {
                sums.users += 1;
                sums.ids += head(id);
                sums.versions += mark.generation + mark.rights_version;
                sums.ends += mark.until;
            }
        });
        sums
    }

    /// How a token with these claims stands.
    #[must_use]
    pub fn judge(&self, claims: &Claims) -> Standing {
        // A later epoch than ours was never given out: whoever had a key must not have made it up to outlive ours.
        let ended = claims.epoch != self.epoch() || self.sessions.contains(&claims.sid);
        // The clock was set back: by the one before, the token was over, and so was what may have ended it.
        if ended || claims.end <= self.forgotten.load(Ordering::SeqCst) {
            return Standing::Dead;
        }
        match claims.sub.and_then(|user| self.users.get(user.bytes())) {
            Some(mark) if claims.generation < mark.generation => Standing::Dead,
            Some(mark) if claims.rights_version < mark.rights_version => Standing::Stale,
            _ => Standing::Live,
        }
    }

    /// What is held from a shard on: whole shards, until there are some thousand entries; and the shard to go on from.
    #[must_use]
    pub fn page(&self, from: u8) -> (Vec<Revocation>, Option<u8>) {
        let mut found = Vec::new();
        for at in usize::from(from)..SHARDS {
            let session = |id, until| found.push(Revocation::Session { id, until: instant(until) });
            self.sessions.each_of(at, session);
            let users = self.users.shards[at].read().unwrap_or_else(PoisonError::into_inner);
            let user = |(id, mark): (&[u8; 16], &Mark)| Revocation::User {
                id: UserId::from_bytes(*id),
                generation: mark.generation,
                rights_version: mark.rights_version,
                until: instant(mark.until),
            };
            found.extend(users.iter().map(user));
            if found.len() >= PAGE {
                return (found, u8::try_from(at + 1).ok());
            }
        }
        (found, None)
    }

    /// What was learned lately, for those who follow it.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The present epoch, with which new tokens are issued.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The lowest generation and rights version with which tokens of the user live and are fresh.
    #[must_use]
    pub fn floor(&self, user: UserId) -> (u64, u64) {
        self.users.get(user.bytes()).map_or((0, 0), |mark| (mark.generation, mark.rights_version))
    }

    /// Drops what covers no token any more at `now`. Should the clock be set back behind the end of what was dropped,
    /// every token that it may have covered is dead.
    pub fn forget(&self, now: DateTime<Utc>) {
        let now = now.timestamp();
        let note = |until| {
            self.forgotten.fetch_max(until, Ordering::SeqCst);
        };
        self.sessions.forget(now, note);
        self.users.retain(|mark| {
            let is_over = mark.until <= now;
            if is_over {
                note(mark.until);
            }
            !is_over
        });
        self.endings.forget(instant(now));
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let Covered { before_last_sweep, since } = &mut *covered;
        let gone = std::mem::replace(before_last_sweep, std::mem::take(since));
        drop(covered);
        for id in gone {
            self.sessions.remove(&id);
        }
    }

    /// Takes in that something with this end was dropped, in the present epoch.
    pub fn has_forgotten(&self, until: DateTime<Utc>) {
        self.forgotten.fetch_max(until.timestamp(), Ordering::SeqCst);
    }

    /// Whether a token that ends at this instant counts as ended, whoever it is of.
    #[must_use]
    pub fn doubts(&self, end: DateTime<Utc>) -> bool {
        end.timestamp() <= self.forgotten.load(Ordering::SeqCst)
    }

    /// How many sessions and users are held.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.sessions.len(), self.users.len())
    }
}

/// A map from random identifiers, in shards, so that a writer holds up few readers.
#[derive(Debug)]
struct Sharded<V> {
    shards: Vec<RwLock<Shard<V>>>,
}

type Shard<V> = HashMap<[u8; 16], V, BuildHasherDefault<IdHasher>>;

/// Entries with which a page of the snapshot ends after the present shard.
const PAGE: usize = 10_000;

impl<V> Default for Sharded<V> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl<V: Copy + PartialEq> Sharded<V> {
    fn get(&self, id: &[u8; 16]) -> Option<V> {
        let shard = self.shards[usize::from(id[15])].read();
        shard.unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    /// Whether the value is another one now.
    fn change(&self, id: [u8; 16], change: impl FnOnce(Option<&V>) -> V) -> bool {
        let shard = self.shards[usize::from(id[15])].write();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        let value = change(shard.get(&id));
        shard.insert(id, value) != Some(value)
    }

    fn retain(&self, keep: impl Fn(&V) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, value| keep(value));
        }
    }

    fn each(&self, mut look: impl FnMut(&[u8; 16], &V)) {
        for shard in &self.shards {
            shard.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(|(id, value)| look(id, value));
        }
    }

    fn len(&self) -> usize {
        let count = |shard: &RwLock<Shard<V>>| shard.read().unwrap_or_else(PoisonError::into_inner).len();
        self.shards.iter().map(count).sum()
    }
}

/// Takes eight bytes of an identifier as its hash: identifiers are random, and callers cannot choose them.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(word) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Revocations;
    use crate::claims::{SessionId, UserId, instant};
    use crate::store::Revocation;

    #[test]
    fn what_is_covered_stays_for_whoever_reads_the_list_page_by_page() {
        let revocations = Revocations::default();
        let (user, id, until) = (UserId::random(), SessionId::random(), instant(2_000_000_000));
        let session = Revocation::Session { id, until };
        revocations.learn(&session);
        revocations.learn(&Revocation::User { id: user, generation: 2, rights_version: 0, until });
        revocations.cover(user, &[id]);
        let is_listed = || revocations.page(0).0.contains(&session);
        assert!(is_listed());
        revocations.forget(instant(1_900_000_000));
        assert!(is_listed(), "a reader may have passed the place of the user's own before it was there");
        revocations.forget(instant(1_900_000_000));
        assert!(!is_listed());
        assert_eq!(revocations.count(), (0, 1));
    }
}
