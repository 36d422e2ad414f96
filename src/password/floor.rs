//! How long a failed verification takes at least.
//!
//! Owns what was seen of hashes that take longer than the pool's own. Work cannot make a cheap failure as long as a
//! dear one, so all of them are told late; without a dear hash nothing is. Called by the workers of `password.rs`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::format::Price;

/// Kinds of hashes that are remembered. The quickest one is forgotten for another.
const KINDS_MAX: usize = 256;

/// A time so many times the best one of its kind is a stumble of the machine, not the price of the hash.
const STUMBLE: u32 = 3;

/// What is seen of the work of hashes from elsewhere.
#[derive(Default)]
pub(super) struct Floor(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    kinds: HashMap<Price, Times>,
    each: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Times {
    best: Duration,
    worst: Duration,
}

impl Times {
    /// The longest that such a failure is expected to take.
    fn expected(self) -> Duration {
        let likely = self.worst.min(self.best * STUMBLE);
        likely + likely / 10
    }
}

impl Floor {
    /// A failure of this kind took so long `in_all`, and `foreign` of it was work beside the pool's own hash.
    pub(super) fn learn(&self, kind: Price, foreign: Duration, in_all: Duration) {
        // What is small beside the own hash does not show, and need not be held for.
        if foreign < in_all / 64 {
            return;
        }
        let mut seen = self.seen();
        let times = seen.kinds.entry(kind).or_insert(Times { best: in_all, worst: in_all });
        times.best = times.best.min(in_all);
        times.worst = times.worst.max(in_all);
        if seen.kinds.len() > KINDS_MAX
            && let Some(quickest) = seen.kinds.iter().min_by_key(|(_, times)| times.worst).map(|(kind, _)| *kind)
        {
            seen.kinds.remove(&quickest);
        }
        seen.each = seen.kinds.values().map(|times| times.expected()).max();
    }

    /// How long the failure of one form of a password takes, since its work began; `None` when its own work is enough.
    pub(super) fn each(&self) -> Option<Duration> {
        self.seen().each
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Floor, KINDS_MAX};
    use crate::password::format::price;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_slowest_kind_sets_the_floor_and_a_stumble_does_not() {
        let kind = |n: u32| {
            price(&format!("pbkdf2_sha256${n}$s$5edrtbkFP98aFeHDJn77BDZc8mJXaMcGhBHWUdVfDTo="))
                .unwrap_or_else(|e| panic!("{e}"))
        };
        let floor = Floor::default();
        floor.learn(kind(1), MS / 10, 30 * MS);
        assert_eq!(floor.each(), None, "what is small beside the own hash is not held for");
        floor.learn(kind(2), 100 * MS, 130 * MS);
        floor.learn(kind(3), 10 * MS, 40 * MS);
        assert_eq!(floor.each(), Some(143 * MS));
        floor.learn(kind(2), 170 * MS, 200 * MS);
        assert_eq!(floor.each(), Some(220 * MS));
        floor.learn(kind(2), 9000 * MS, 9030 * MS);
        assert_eq!(floor.each(), Some(429 * MS), "three times the best, and a tenth");
        for n in 0..512 {
            floor.learn(kind(1000 + n), 10 * MS, 40 * MS);
        }
        assert_eq!(floor.each(), Some(429 * MS));
        assert!(floor.seen().kinds.len() <= KINDS_MAX);
    }
}
