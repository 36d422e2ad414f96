//! Whose sessions and API tokens were ended one by one, so that nobody fills the list of what has ended.
//!
//! Owns the count of each user, in memory, since the start. `app.rs` tells what became durable; `session` and
//! `api_token` ask before they end or make another one; what a new generation covers leaves the list again.

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

/// The endings that are held one by one, by user. Shared by all requests.
#[derive(Debug, Default)]
pub struct Endings(Mutex<HashMap<(UserId, Kind), BTreeSet<Ending>>>);

/// Until when it is held, in seconds since the epoch; and what has ended.
type Ending = (i64, SessionId);

impl Endings {
    fn lists(&self) -> MutexGuard<'_, HashMap<(UserId, Kind), BTreeSet<Ending>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in that an ending is durable, and held until the instant.
    pub(super) fn learn(&self, user: UserId, kind: Kind, id: SessionId, until: DateTime<Utc>) {
        self.lists().entry((user, kind)).or_default().insert((until.timestamp(), id));
    }

    /// Whether as many of the user's endings of this kind are held as may be.
    #[must_use]
    pub fn are_full(&self, user: UserId, kind: Kind, now: DateTime<Utc>) -> bool {
        let now = now.timestamp();
        let mut lists = self.lists();
        let Some(list) = lists.get_mut(&(user, kind)).filter(|list| list.len() >= EACH_MAX) else { return false };
        *list = list.split_off(&(now + 1, SessionId::from_bytes([0; 16])));
        list.len() >= EACH_MAX
    }

    /// What a new generation of the user makes superfluous.
    #[must_use]
    pub fn of(&self, user: UserId) -> Vec<SessionId> {
        let lists = self.lists();
        let both = [Kind::Session, Kind::ApiToken].map(|kind| lists.get(&(user, kind)));
        both.into_iter().flatten().flatten().map(|(_, id)| *id).collect()
    }

    /// Takes in that these are held no more.
    pub(super) fn covered(&self, user: UserId, ids: &[SessionId]) {
        let ids: BTreeSet<SessionId> = ids.iter().copied().collect();
        let mut lists = self.lists();
        for kind in [Kind::Session, Kind::ApiToken] {
            if let Some(list) = lists.get_mut(&(user, kind)) {
                list.retain(|(_, id)| !ids.contains(id));
            }
        }
    }

    /// Drops what is over.
    pub(super) fn forget(&self, now: DateTime<Utc>) {
        let from = (now.timestamp() + 1, SessionId::from_bytes([0; 16]));
        self.lists().retain(|_, list| {
            *list = list.split_off(&from);
            !list.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{EACH_MAX, Endings, Kind};
    use crate::claims::{SessionId, UserId, instant};

    #[test]
    fn they_are_counted_by_user_and_kind_and_only_while_they_are_held() {
        let (endings, alice, bob) = (Endings::default(), UserId::random(), UserId::random());
        let at = |seconds: i64| instant(1_900_000_000 + seconds);
        let first = SessionId::random();
        // Twice the same is one.
        endings.learn(alice, Kind::Session, first, at(10));
        endings.learn(alice, Kind::Session, first, at(10));
        for _ in 1..EACH_MAX {
            assert!(!endings.are_full(alice, Kind::Session, at(0)));
            endings.learn(alice, Kind::Session, SessionId::random(), at(20));
        }
        assert!(endings.are_full(alice, Kind::Session, at(9)));
        assert!(!endings.are_full(alice, Kind::ApiToken, at(9)) && !endings.are_full(bob, Kind::Session, at(9)));
        assert!(!endings.are_full(alice, Kind::Session, at(10)), "one is over");
        assert_eq!(endings.of(alice).len(), EACH_MAX - 1);
        endings.learn(alice, Kind::ApiToken, SessionId::random(), at(30));
        let all = endings.of(alice);
        assert_eq!(all.len(), EACH_MAX);
        endings.covered(alice, &all[..10]);
        assert_eq!(endings.of(alice).len(), EACH_MAX - 10);
        endings.forget(at(20));
        assert_eq!(endings.of(alice).len(), 1);
        endings.forget(at(30));
        assert!(endings.lists().is_empty());
    }
}
