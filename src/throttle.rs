//! Throttling: how often something may be tried, and how long whoever tried too often has to wait.
//!
//! Owns the counters, in memory; no clock and no disk. `subject.rs` says what is counted, and the limits. `app.rs` loads
//! and keeps the counters, the rooms that judge passwords take a place before the work and give it back when there was
//! nothing to hold against the caller. One number is held for each counter: the instant at which it is over (the
//! theoretical arrival time of the generic cell rate algorithm, ITU-T I.371). Names and addresses are held as digests
//! only.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::claims::instant_of_millis;
use crate::error::Error;
use crate::metrics::Counters;
use crate::store::{Count, Tally};

mod subject;

pub use subject::Subject;
use subject::{Key, Limit};

/// Counters that are held at the most, in some ten megabytes.
const COUNTERS_MAX: usize = 100_000;

/// Counters that are left when room was made.
const COUNTERS_LEFT: usize = COUNTERS_MAX / 2;

/// What was counted for one attempt. Dropping it leaves it counted, and lets it be kept.
#[derive(Default)]
pub struct Place {
    counted: Vec<(Key, i64)>,
    table: Shared,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.counted.is_empty() {
            return;
        }
        let mut table = locked(&self.table);
        for (key, every) in self.counted.drain(..) {
            table.settle(key, every);
        }
    }
}

type Shared = Arc<Mutex<Table>>;

fn locked(table: &Shared) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The counters. Shared by all requests.
pub struct Throttle {
    is_on: bool,
    table: Shared,
    refusals: Counters,
}

#[derive(Default)]
struct Table {
    counters: HashMap<Key, Counter>,
    /// The counters that have grown and were not kept since.
    grown: HashSet<Key>,
}

/// All in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    /// The instant at which it is over.
    end: i64,
    /// How much of that was added here and is not kept.
    pending: i64,
    /// How much of that belongs to attempts that will not be given back.
    settled: i64,
}

impl Throttle {
    /// Without counters. When it is off, everything may be tried at any time.
    #[must_use]
    pub fn new(is_on: bool) -> Self {
        let refusals = Counters::new(
            "signet_throttled_total",
            "Attempts that were refused, by the limit that was reached",
            &["limit"],
        );
        Self { is_on, table: Shared::default(), refusals }
    }

    /// Attempts that were refused, by limit.
    #[must_use]
    pub fn refusals(&self) -> &Counters {
        &self.refusals
    }

    /// Whether anything is counted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }

    /// A place for one attempt, counted for each of the subjects: also for others that begin before this one ends.
    ///
    /// # Errors
    /// `Throttled`, with the seconds after which one may be tried again; nothing is counted then.
    pub fn take(&self, subjects: &[Subject<'_>], now: DateTime<Utc>) -> Result<Place, Error> {
        if !self.is_on {
            return Ok(Place::default());
        }
        let now = now.timestamp_millis();
        let counted = subjects.iter().filter_map(|s| Some((s.key()?, s.limit(), s.name())));
        let counters: Vec<(Key, Limit, &str)> = counted.collect();
        let mut table = self.table();
        let wait = |(key, limit, name): &(Key, Limit, &'static str)| {
            (table.next(key, *limit, now) - limit.every * limit.at_once - now, *name)
        };
        if let Some((wait, limit)) = counters.iter().map(wait).max().filter(|(wait, _)| *wait > 0) {
            drop(table);
            self.refusals.of(&[limit]).inc();
            return Err(Error::Throttled { retry_after: wait.unsigned_abs().div_ceil(1000) });
        }
        for (key, limit, _) in &counters {
            let end = table.next(key, *limit, now);
            let counter = table.counter(*key, now);
            counter.end = end;
            counter.pending += limit.every;
        }
        drop(table);
        let counted = counters.into_iter().map(|(key, limit, _)| (key, limit.every)).collect();
        Ok(Place { counted, table: Arc::clone(&self.table) })
    }

    /// Takes back what was counted for the attempt.
    pub fn give_back(&self, mut place: Place) {
        let mut table = self.table();
        for (key, every) in place.counted.drain(..) {
            if let Some(counter) = table.counters.get_mut(&key) {
                counter.end -= every;
                counter.pending -= every;
            }
        }
    }

    /// Takes in what was kept, by whatever node: what is not kept yet comes on top. A counter is never over sooner by it.
    pub fn learn(&self, tallies: &[Tally], now: DateTime<Utc>) {
        let now = now.timestamp_millis();
        let mut table = self.table();
        for tally in tallies.iter().filter(|_| self.is_on) {
            let kept = tally.until.timestamp_millis();
            if kept > now {
                let counter = table.counter(tally.key, now);
                counter.end = counter.end.max(kept + counter.pending);
            }
        }
    }

    /// What was counted since it was last asked for, on up to so many counters, for the store to keep. Not what may still
    /// be given back, and no counter that is over by now.
    #[must_use]
    pub fn grown(&self, now: DateTime<Utc>, most: usize) -> Vec<Count> {
        let mut table = self.table();
        let Table { counters, grown } = &mut *table;
        let from = now.timestamp_millis();
        grown.retain(|key| counters.get(key).is_some_and(|counter| counter.end > from));
        let keys: Vec<Key> = grown.iter().take(most).copied().collect();
        let mut counts = Vec::with_capacity(keys.len());
        for key in keys {
            grown.remove(&key);
            if let Some(counter) = counters.get_mut(&key) {
                let added = std::mem::take(&mut counter.settled);
                counter.pending -= added;
                counts.push(Count { key, from: instant_of_millis(from), added: TimeDelta::milliseconds(added) });
            }
        }
        counts
    }

    /// These could not be kept: they are to be asked for again.
    pub fn not_kept(&self, counts: &[Count]) {
        let mut table = self.table();
        for Count { key, added, .. } in counts {
            if let Some(counter) = table.counters.get_mut(key) {
                counter.pending += added.num_milliseconds();
                table.settle(*key, added.num_milliseconds());
            }
        }
    }

    /// How many counters are held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().counters.len()
    }
}

impl Table {
    /// When the counter would be over with one more attempt.
    fn next(&self, key: &Key, limit: Limit, now: i64) -> i64 {
        // No counter reaches further: the clock was set back, and nobody is to wait for it.
        let furthest = now + limit.every * limit.at_once;
        self.counters.get(key).map_or(now, |counter| counter.end.clamp(now, furthest)) + limit.every
    }

    /// The counter, which is made when it is missing.
    fn counter(&mut self, key: Key, now: i64) -> &mut Counter {
        if self.counters.len() >= COUNTERS_MAX && !self.counters.contains_key(&key) {
            self.make_room(now);
        }
        self.counters.entry(key).or_default()
    }

    /// What was counted stays counted.
    fn settle(&mut self, key: Key, every: i64) {
        if let Some(counter) = self.counters.get_mut(&key) {
            counter.settled += every;
            self.grown.insert(key);
        }
    }

    /// Drops what is over; and then, of what is not, what is nearest to it: whoever floods the table with names
    /// pushes out such names, and not the counter of an account that was tried often.
    fn make_room(&mut self, now: i64) {
        self.counters.retain(|_, counter| counter.end > now);
        let mut surplus = self.counters.len().saturating_sub(COUNTERS_LEFT);
        if surplus > 0 {
            let mut ends: Vec<i64> = self.counters.values().map(|counter| counter.end).collect();
            let (_, nearest, _) = ends.select_nth_unstable(surplus - 1);
            let nearest = *nearest;
            self.counters.retain(|_, counter| {
                let stays = counter.end > nearest || surplus == 0;
                surplus -= usize::from(!stays);
                stays
            });
        }
        let Self { counters, grown } = self;
        grown.retain(|key| counters.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::{COUNTERS_MAX, Subject, Throttle};
    use crate::claims::{UserId, instant};
    use crate::error::Error;
    use crate::store::Tally;

    fn at(seconds: i64) -> DateTime<Utc> {
        instant(1_900_000_000) + TimeDelta::seconds(seconds)
    }

    fn wait(throttle: &Throttle, subject: Subject<'_>, now: DateTime<Utc>) -> u64 {
        match throttle.take(&[subject], now) {
            Ok(_) => 0,
            Err(Error::Throttled { retry_after }) => retry_after,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn so_many_at_once_and_then_one_at_a_time() {
        let throttle = Throttle::new(true);
        let alice = Subject::LogInTo("alice");
        assert_eq!((0..10).map(|_| wait(&throttle, alice, at(0))).max(), Some(0));
        assert_eq!(wait(&throttle, alice, at(0)), 30);
        assert_eq!(wait(&throttle, alice, at(0)), 30, "what is refused is not counted");
        assert_eq!(wait(&throttle, alice, at(29)), 1);
        assert_eq!(wait(&throttle, alice, at(30)), 0);
        assert_eq!(wait(&throttle, alice, at(30)), 30);
        assert_eq!(wait(&throttle, Subject::LogInTo("bob"), at(0)), 0);
        // Left alone for long enough, it is as new.
        assert_eq!((0..10).map(|_| wait(&throttle, alice, at(1000))).max(), Some(0));
        assert_eq!(wait(&throttle, alice, at(1000)), 30);
        // A clock that was set back makes nobody wait for it.
        assert_eq!(wait(&throttle, alice, at(-100_000)), 30);
    }

    #[test]
    fn a_place_that_is_given_back_was_never_taken() {
        let throttle = Throttle::new(true);
        let subjects = [Subject::LogInTo("alice"), Subject::LogInFrom("192.0.2.1")];
        for _ in 0..1000 {
            let place = throttle.take(&subjects, at(0)).unwrap();
            throttle.give_back(place);
        }
        assert!(throttle.grown(at(0), 10).is_empty(), "and never has to be kept");
        // None of the subjects is counted when one of them is refused.
        while throttle.take(&subjects, at(0)).is_ok() {}
        assert_eq!((0..90).map(|_| wait(&throttle, subjects[1], at(0))).max(), Some(0));
        assert_eq!(wait(&throttle, subjects[1], at(0)), 2);
    }

    #[test]
    fn what_cannot_tell_callers_apart_is_not_counted_and_what_is_alike_counts_together() {
        let used_up = |subject: Subject<'_>| {
            let throttle = Throttle::new(true);
            for _ in 0..1000 {
                throttle.take(&[subject], at(0)).ok();
            }
            move |other| wait(&throttle, other, at(0)) > 0
        };
        assert!(!used_up(Subject::LogInFrom(""))(Subject::LogInFrom("")));
        let v6 = used_up(Subject::LogInFrom("2001:db8::1"));
        assert!(v6(Subject::LogInFrom("2001:db8::ffff:1")));
        assert!(!v6(Subject::LogInFrom("2001:db8:0:1::1")));
        assert!(!v6(Subject::RegisterFrom("2001:db8::1")));
        let v4 = used_up(Subject::LogInFrom("192.0.2.1"));
        assert!(v4(Subject::LogInFrom("::ffff:192.0.2.1")));
        assert!(!v4(Subject::LogInFrom("192.0.2.2")));
        let mailbox = used_up(Subject::ResetOf("a@example.com"));
        assert!(mailbox(Subject::ResetOf("A@\u{ff25}xample.com")));
        assert!(!mailbox(Subject::VerificationOf("a@example.com")));
        let user = UserId::random();
        assert!(!used_up(Subject::OldPasswordOf(user))(Subject::OldPasswordOf(UserId::random())));
        assert!(!used_up(Subject::LogInToFrom("ab", "192.0.2.1"))(Subject::LogInToFrom("a", "192.0.2.1")));
    }

    #[test]
    fn a_million_names_take_bounded_memory_and_hide_no_counter_that_grew() {
        let throttle = Throttle::new(true);
        while throttle.take(&[Subject::LogInTo("alice")], at(0)).is_ok() {}
        for n in 0..1_000_000 {
            throttle.take(&[Subject::LogInTo(&format!("name{n}"))], at(1)).unwrap();
        }
        assert!(throttle.count() <= COUNTERS_MAX);
        let table = throttle.table();
        assert!(table.counters.capacity() < 3 * COUNTERS_MAX && table.grown.capacity() < 3 * COUNTERS_MAX);
        drop(table);
        assert_eq!(wait(&throttle, Subject::LogInTo("alice"), at(1)), 29);
    }

    #[test]
    fn what_was_kept_is_learned_again() {
        let before = Throttle::new(true);
        let alice = Subject::LogInTo("alice");
        while before.take(&[alice], at(0)).is_ok() {}
        before.take(&[Subject::CheckFrom("192.0.2.1")], at(0)).unwrap();
        let kept = before.grown(at(2), 10);
        assert_eq!(kept.len(), 1, "one is over already");
        assert!(before.grown(at(2), 10).is_empty());
        before.not_kept(&kept);
        assert_eq!(before.grown(at(2), 10), kept);
        let kept: Vec<Tally> = kept.iter().map(|count| Tally { key: count.key, until: count.end(None) }).collect();
        let after = Throttle::new(true);
        after.learn(&kept, at(3));
        assert_eq!(wait(&after, alice, at(3)), 29, "from when it was kept");
        let late = Throttle::new(true);
        late.learn(&kept, at(5000));
        assert_eq!(late.count(), 0);
    }

    #[test]
    fn what_several_nodes_count_comes_together_and_what_may_be_given_back_is_not_told() {
        let nodes = [Throttle::new(true), Throttle::new(true)];
        let alice = Subject::LogInTo("alice");
        let mut stored: Option<DateTime<Utc>> = None;
        let mut tell = |from: &Throttle, to: &Throttle, now| {
            for count in from.grown(now, 10) {
                stored = Some(count.end(stored));
                to.learn(&[Tally { key: count.key, until: stored.unwrap() }], now);
            }
        };
        // Five on each are ten, whoever is asked.
        for _ in 0..5 {
            nodes[0].take(&[alice], at(0)).unwrap();
            nodes[1].take(&[alice], at(0)).unwrap();
        }
        tell(&nodes[0], &nodes[1], at(0));
        tell(&nodes[1], &nodes[0], at(0));
        assert_eq!(nodes.each_ref().map(|node| wait(node, alice, at(0))), [30, 30]);
        // Somebody who knows the password may log in for as long as they like, also while others are told.
        for second in 400..500 {
            let place = nodes[0].take(&[alice], at(second)).unwrap();
            tell(&nodes[0], &nodes[1], at(second));
            nodes[0].give_back(place);
        }
        assert_eq!(nodes.each_ref().map(|node| wait(node, alice, at(500))), [0, 0]);
    }
}
