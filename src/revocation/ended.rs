//! The sessions and API tokens that ended before their time, with little more than their names and ends in memory.
//!
//! A name is random, so it is its own hash: two of its bytes choose a bucket, the others stand there in order, and a
//! place is guessed from the first of them. Ten million take some 22 bytes each; a map of the standard library took 58.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::claims::SessionId;

/// How many shards there are, each with a lock of its own.
pub(super) const SHARDS: usize = 256;

/// Buckets of a shard.
const BUCKETS: usize = 256;

/// Bytes of a name that its place does not tell.
const REST: usize = 14;

/// Bytes that hold an instant: seconds for some seventeen thousand years before 1970 and after.
const INSTANT: usize = 5;

/// The table. Shared by all requests; reading takes one short read lock.
#[derive(Debug)]
pub(super) struct Ended {
    shards: Vec<RwLock<Shard>>,
}

/// Its buckets; none before the first entry, so that an idle server pays for none.
type Shard = Vec<Bucket>;

/// What has ended, in the order of the names.
#[derive(Debug, Default)]
struct Bucket(Vec<Entry>);

/// Bytes only, so that none are lost to alignment.
#[derive(Debug, Clone, Copy)]
struct Entry {
    rest: [u8; REST],
    until: [u8; INSTANT],
}

impl Entry {
    fn new(rest: [u8; REST], until: i64) -> Self {
        let mut entry = Self { rest, until: [0; INSTANT] };
        entry.set(until);
        entry
    }

    fn until(&self) -> i64 {
        let mut bytes = [0; 8];
        bytes[..INSTANT].copy_from_slice(&self.until);
        // The sign comes back from the highest byte.
        i64::from_be_bytes(bytes) >> 24
    }

    fn set(&mut self, until: i64) {
        let furthest = (1_i64 << 39) - 1;
        let [_, _, _, bytes @ ..] = until.clamp(-furthest, furthest).to_be_bytes();
        self.until = bytes;
    }
}

/// Where a name stands: its shard, its bucket there, and what is left of it.
fn place(id: &[u8; 16]) -> (usize, usize, [u8; REST]) {
    let [rest @ .., bucket, shard] = *id;
    (usize::from(shard), usize::from(bucket), rest)
}

fn name(shard: usize, bucket: usize, rest: [u8; REST]) -> SessionId {
    let mut id = [0; 16];
    id[..REST].copy_from_slice(&rest);
    // There are 256 of each.
    id[REST] = bucket.to_le_bytes()[0];
    id[REST + 1] = shard.to_le_bytes()[0];
    SessionId::from_bytes(id)
}

impl Bucket {
    /// Where the name is, or where it would have to be.
    fn find(&self, rest: &[u8; REST]) -> Result<usize, usize> {
        let entries = &self.0;
        let [a, b, c, d, ..] = *rest;
        // Names are spread evenly: this is off by the square root of their number, mostly.
        let share = (u64::from(u32::from_be_bytes([a, b, c, d])) * entries.len() as u64) >> 32;
        let mut at = usize::try_from(share).unwrap_or(0);
        while at < entries.len() && entries[at].rest < *rest {
            at += 1;
        }
        while at > 0 && entries[at - 1].rest >= *rest {
            at -= 1;
        }
        if entries.get(at).is_some_and(|entry| entry.rest == *rest) { Ok(at) } else { Err(at) }
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        let entries = &mut self.0;
        if entries.len() == entries.capacity() {
            entries.reserve_exact(room(entries.len()));
        }
        entries.insert(at, entry);
    }

    /// Gives back what is not needed.
    fn shrink(&mut self) {
        if self.0.capacity() > self.0.len() + 2 * room(self.0.len()) {
            self.0.shrink_to(self.0.len() + room(self.0.len()));
        }
    }
}

/// How many more entries there is room for when a bucket grows: doubling would leave a quarter of all memory unused.
const fn room(len: usize) -> usize {
    4 + len / 64
}

impl Default for Ended {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl Ended {
    fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn contains(&self, id: &SessionId) -> bool {
        let (shard, bucket, rest) = place(id.bytes());
        self.read(shard).get(bucket).is_some_and(|bucket| bucket.find(&rest).is_ok())
    }

    /// Takes one in, held until the instant, or longer when it already is. Whether that changed anything.
    pub(super) fn learn(&self, id: &SessionId, until: i64) -> bool {
        let (shard, bucket, rest) = place(id.bytes());
        let mut shard = self.write(shard);
        if shard.is_empty() {
            shard.resize_with(BUCKETS, Bucket::default);
        }
        let bucket = &mut shard[bucket];
        // The embedded store gives them in the order of the names, in which places are guessed badly: that was half of the
        // time that taking in ten million took.
        let is_last = bucket.0.last().is_none_or(|last| last.rest < rest);
        match if is_last { Err(bucket.0.len()) } else { bucket.find(&rest) } {
            Ok(at) if bucket.0[at].until() >= until => false,
            Ok(at) => {
                bucket.0[at].set(until);
                true
            }
            Err(at) => {
                bucket.insert(at, Entry::new(rest, until));
                true
            }
        }
    }

    pub(super) fn remove(&self, id: &SessionId) {
        let (shard, bucket, rest) = place(id.bytes());
        if let Some(bucket) = self.write(shard).get_mut(bucket)
            && let Ok(at) = bucket.find(&rest)
        {
            bucket.0.remove(at);
            bucket.shrink();
        }
    }

    /// Drops what is held no longer than `now`, and tells the ends of that first. Locks for a bucket's time only, so that
    /// no request waits for the whole.
    pub(super) fn forget(&self, now: i64, drops: impl Fn(i64)) {
        for shard in 0..SHARDS {
            for bucket in 0..BUCKETS {
                let is_over = |entry: &Entry| entry.until() <= now;
                // Most sweeps find nothing in a bucket, and then hold up no reader.
                if !self.read(shard).get(bucket).is_some_and(|bucket| bucket.0.iter().any(is_over)) {
                    continue;
                }
                let mut shard = self.write(shard);
                let Some(bucket) = shard.get_mut(bucket) else { continue };
                bucket.0.iter().filter(|entry| is_over(entry)).for_each(|entry| drops(entry.until()));
                bucket.0.retain(|entry| !is_over(entry));
                bucket.shrink();
            }
        }
    }

    /// Looks at all of a shard, each with its end.
    pub(super) fn each_of(&self, shard: usize, mut look: impl FnMut(SessionId, i64)) {
        for (at, bucket) in self.read(shard).iter().enumerate() {
            bucket.0.iter().for_each(|entry| look(name(shard, at, entry.rest), entry.until()));
        }
    }

    pub(super) fn len(&self) -> usize {
        let count = |shard| self.read(shard).iter().map(|bucket| bucket.0.len()).sum::<usize>();
        (0..SHARDS).map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop};
    use proptest::{prop_oneof, proptest};

    use super::{Ended, Entry, SHARDS};
    use crate::claims::SessionId;

    #[derive(Debug, Clone)]
    enum Act {
        Learn([u8; 16], i64),
        Remove([u8; 16]),
        Forget(i64),
    }

    /// Few different names, among them such as share a bucket and stand at its ends.
    fn id() -> impl proptest::strategy::Strategy<Value = [u8; 16]> {
        use proptest::strategy::Strategy as _;
        (prop_oneof![0_u8..3, 253_u8..=255], any::<u8>(), 0_u8..2, 0_u8..2).prop_map(
            |(first, second, bucket, shard)| {
                let mut id = [0; 16];
                (id[0], id[1], id[14], id[15]) = (first, second % 8, bucket, 255 * shard);
                id
            },
        )
    }

    fn act() -> impl proptest::strategy::Strategy<Value = Act> {
        use proptest::strategy::Strategy as _;
        prop_oneof![
            8 => (id(), 0_i64..50).prop_map(|(id, until)| Act::Learn(id, until)),
            2 => id().prop_map(Act::Remove),
            1 => (0_i64..50).prop_map(Act::Forget),
        ]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(acts in prop::collection::vec(act(), 0..400)) {
            let (ended, mut map) = (Ended::default(), BTreeMap::<[u8; 16], i64>::new());
            for act in acts {
                match act {
                    Act::Learn(id, until) => {
                        let old = map.get(&id).copied();
                        let is_news = old.is_none_or(|old| old < until);
                        assert_eq!(ended.learn(&SessionId::from_bytes(id), until), is_news);
                        map.insert(id, until.max(old.unwrap_or(until)));
                    }
                    Act::Remove(id) => {
                        ended.remove(&SessionId::from_bytes(id));
                        map.remove(&id);
                    }
                    Act::Forget(now) => {
                        let mut told: Vec<i64> = map.values().copied().filter(|until| *until <= now).collect();
                        let dropped = RefCell::default();
                        ended.forget(now, |until| Vec::push(&mut dropped.borrow_mut(), until));
                        let mut dropped = dropped.into_inner();
                        told.sort_unstable();
                        dropped.sort_unstable();
                        assert_eq!(dropped, told);
                        map.retain(|_, until| *until > now);
                    }
                }
            }
            assert_eq!(ended.len(), map.len());
            let mut held = BTreeMap::new();
            for shard in 0..SHARDS {
                ended.each_of(shard, |id, until| assert_eq!(held.insert(*id.bytes(), until), None));
            }
            assert_eq!(&held, &map);
            for id in map.keys() {
                assert!(ended.contains(&SessionId::from_bytes(*id)));
                let mut other = *id;
                other[13] ^= 1;
                assert!(!ended.contains(&SessionId::from_bytes(other)));
            }
        }

        #[test]
        fn an_instant_is_what_it_was(until in -(1_i64 << 39) + 1..(1_i64 << 39)) {
            assert_eq!(Entry::new([0; 14], until).until(), until);
        }
    }
}
