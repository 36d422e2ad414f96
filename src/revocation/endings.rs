//! Whose sessions and API tokens were ended one by one, so that nobody fills the list of what has ended.
//!
//! Owns the count of each user, in memory, since the start. `app.rs` tells what became durable; `session` and
//! `api_token` ask before they end or make another one; what a new generation covers leaves the list again. Most users
//! end few: those are counted only, in some two bytes for each ending, where a list would take hundreds.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::claims::{SessionId, UserId};

/// Endings of one user's sessions, and as many of the user's API tokens, that are held one by one at the same time.
///
/// Far more than somebody needs who logs out of everything each evening, and some hundred kilobytes: a thousand users
/// who do nothing else fill no more memory than a million sessions that ended.
pub const EACH_MAX: usize = 1_000;

/// What was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A session.
    Session,
    /// An API token.
    ApiToken,
}

/// The first endings of a user and kind, which are counted only: a new generation does not take their place, and they are
/// held until they are over.
pub const UNLISTED: usize = 32;

/// Counts that a table has at the least.
const SLOTS_MIN: usize = 1 << 10;

/// The endings that are held one by one, by user. Shared by all requests.
#[derive(Debug, Default)]
pub struct Endings(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    first: HashMap<Kind, First>,
    lists: HashMap<(UserId, Kind), BTreeSet<Ending>>,
}

/// Until when it is held, in seconds since the epoch; and what has ended.
type Ending = (i64, SessionId);

/// How many endings users have had, who had few. Two tables take turns, so that what is over is counted no more when the
/// last of its time is over.
#[derive(Debug, Default)]
struct First {
    before: Counts,
    now: Counts,
}

/// Counts by user, who may share one: that a count is too high does no harm.
#[derive(Debug)]
struct Counts {
    slots: Vec<u8>,
    counted: usize,
    /// The latest end of anything that is counted.
    until: i64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { slots: Vec::new(), counted: 0, until: i64::MIN }
    }
}

impl Counts {
    /// None yet, with room for as many as others had: they need not share places to begin with.
    fn as_many_as(others: &Self) -> Self {
        let len = if others.counted == 0 { 0 } else { others.counted.next_power_of_two().max(SLOTS_MIN) };
        Self { slots: vec![0; len], ..Self::default() }
    }

    fn slot(&self, user: UserId) -> usize {
        let [a, b, c, d, ..] = *user.bytes();
        // Identifiers are random, and a table's length is a power of two.
        u32::from_le_bytes([a, b, c, d]) as usize & self.slots.len().wrapping_sub(1)
    }

    fn of(&self, user: UserId) -> usize {
        self.slots.get(self.slot(user)).map_or(0, |count| usize::from(*count))
    }

    fn add(&mut self, user: UserId, until: i64) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS_MIN, 0);
        }
        if self.counted >= self.slots.len() {
            // Of two that shared a place, each is counted for both from now on: half a count more for everybody.
            self.slots.extend_from_within(..);
        }
        let slot = self.slot(user);
        self.slots[slot] = self.slots[slot].saturating_add(1);
        self.counted += 1;
        self.until = self.until.max(until);
    }
}

impl First {
    fn forget(&mut self, now: i64) {
        if self.before.until <= now {
            let now = Counts::as_many_as(&self.now);
            self.before = std::mem::replace(&mut self.now, now);
        }
    }
}

impl Endings {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in that an ending is durable, and held until the instant.
    pub(super) fn learn(&self, user: UserId, kind: Kind, id: SessionId, until: DateTime<Utc>) {
        let mut held = self.held();
        let Held { first, lists } = &mut *held;
        let first = first.entry(kind).or_default();
        if first.before.of(user) + first.now.of(user) < UNLISTED {
            first.now.add(user, until.timestamp());
        } else {
            lists.entry((user, kind)).or_default().insert((until.timestamp(), id));
        }
    }

    /// Whether as many of the user's endings of this kind are held as may be.
    #[must_use]
    pub fn are_full(&self, user: UserId, kind: Kind, now: DateTime<Utc>) -> bool {
        const LISTED_MAX: usize = EACH_MAX - UNLISTED;
        let now = now.timestamp();
        let mut held = self.held();
        let list = held.lists.get_mut(&(user, kind)).filter(|list| list.len() >= LISTED_MAX);
        let Some(list) = list else { return false };
        *list = list.split_off(&(now + 1, SessionId::from_bytes([0; 16])));
        list.len() >= LISTED_MAX
    }

    /// What a new generation of the user makes superfluous.
    #[must_use]
    pub fn of(&self, user: UserId) -> Vec<SessionId> {
        let held = self.held();
        let both = [Kind::Session, Kind::ApiToken].map(|kind| held.lists.get(&(user, kind)));
        both.into_iter().flatten().flatten().map(|(_, id)| *id).collect()
    }

    /// Takes in that these are held no more.
    pub(super) fn covered(&self, user: UserId, ids: &[SessionId]) {
        let ids: BTreeSet<SessionId> = ids.iter().copied().collect();
        let mut held = self.held();
        for kind in [Kind::Session, Kind::ApiToken] {
            if let Some(list) = held.lists.get_mut(&(user, kind)) {
                list.retain(|(_, id)| !ids.contains(id));
            }
        }
    }

    /// Drops what is over.
    pub(super) fn forget(&self, now: DateTime<Utc>) {
        let from = (now.timestamp() + 1, SessionId::from_bytes([0; 16]));
        let mut held = self.held();
        held.first.values_mut().for_each(|first| first.forget(now.timestamp()));
        held.lists.retain(|_, list| {
            *list = list.split_off(&from);
            !list.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{EACH_MAX, Endings, Kind, UNLISTED};
    use crate::claims::{SessionId, UserId, instant};

    fn at(seconds: i64) -> chrono::DateTime<chrono::Utc> {
        instant(1_900_000_000 + seconds)
    }

    #[test]
    fn they_are_counted_by_user_and_kind_and_only_while_they_are_held() {
        let (endings, alice, bob) = (Endings::default(), UserId::random(), UserId::random());
        (0..UNLISTED).for_each(|_| endings.learn(alice, Kind::Session, SessionId::random(), at(20)));
        assert_eq!(endings.of(alice), []);
        let first = SessionId::random();
        // Twice the same is one.
        endings.learn(alice, Kind::Session, first, at(10));
        endings.learn(alice, Kind::Session, first, at(10));
        for _ in UNLISTED + 1..EACH_MAX {
            assert!(!endings.are_full(alice, Kind::Session, at(0)));
            endings.learn(alice, Kind::Session, SessionId::random(), at(20));
        }
        assert!(endings.are_full(alice, Kind::Session, at(9)));
        assert!(!endings.are_full(alice, Kind::ApiToken, at(9)) && !endings.are_full(bob, Kind::Session, at(9)));
        assert!(!endings.are_full(alice, Kind::Session, at(10)), "one is over");
        let listed = EACH_MAX - UNLISTED - 1;
        assert_eq!(endings.of(alice).len(), listed);
        (0..=UNLISTED).for_each(|_| endings.learn(alice, Kind::ApiToken, SessionId::random(), at(30)));
        let all = endings.of(alice);
        assert_eq!(all.len(), listed + 1);
        endings.covered(alice, &all[..10]);
        assert_eq!(endings.of(alice).len(), listed - 9);
        endings.forget(at(20));
        assert_eq!(endings.of(alice).len(), 1);
        endings.forget(at(30));
        assert!(endings.held().lists.is_empty());
    }

    #[test]
    fn the_first_ones_take_few_bytes_and_are_counted_no_longer_than_for_two_lives() {
        const USERS: usize = 200_000;
        let endings = Endings::default();
        for _ in 0..USERS {
            endings.learn(UserId::random(), Kind::Session, SessionId::random(), at(100));
        }
        let bytes: usize = endings.held().first.values().map(|first| first.now.slots.len()).sum();
        assert!(bytes <= 3 * USERS, "{bytes}");
        // From the second life on, those of the one before are counted too.
        endings.forget(at(0));
        for _ in 0..USERS {
            endings.learn(UserId::random(), Kind::Session, SessionId::random(), at(100));
        }
        assert!(endings.held().lists.is_empty(), "nobody has had many");
        endings.forget(at(100));
        endings.forget(at(100));
        let alice = UserId::random();
        let learn = || (0..UNLISTED).for_each(|_| endings.learn(alice, Kind::Session, SessionId::random(), at(100)));
        learn();
        endings.forget(at(0));
        learn();
        assert_ne!(endings.of(alice), [], "what was counted before still counts");
        endings.forget(at(100));
        endings.forget(at(100));
        let counted: Vec<usize> =
            endings.held().first.values().flat_map(|first| [first.now.counted, first.before.counted]).collect();
        assert_eq!(counted, [0, 0]);
    }
}
