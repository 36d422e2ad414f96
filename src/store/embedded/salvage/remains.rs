//! The keys in what is left of a store, and where its pages are missing.
//!
//! Owns which page counts where two of them hold the same keys: an older state of a page can reach over what has
//! become another page since. Called by the judgement in `salvage.rs`.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::log::Leaf;

/// What is left.
pub(super) struct Remains {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the pages that were read reach over: from a key up to another; without an end when it is empty.
    ranges: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Remains {
    pub(super) fn of(mut leaves: Vec<Leaf>) -> Self {
        leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.position));
        let mut remains = Self { records: BTreeMap::new(), ranges: BTreeMap::new() };
        for leaf in leaves {
            for (key, value) in leaf.records {
                if !remains.covers(&key) {
                    remains.records.insert(key, value);
                }
            }
            remains.reach(leaf.low, leaf.high);
        }
        remains
    }

    /// Adds a range, and joins it with those that it touches.
    fn reach(&mut self, mut low: Vec<u8>, mut high: Vec<u8>) {
        let reaches = |high: &[u8], key: &[u8]| high.is_empty() || high >= key;
        loop {
            let last = if high.is_empty() { self.ranges.last_key_value() } else { self.last_up_to(&high) };
            // Those before it end before it begins.
            let touching = last.filter(|(_, other_high)| reaches(other_high, &low));
            let Some((other_low, other_high)) = touching.map(|(low, high)| (low.clone(), high.clone())) else { break };
            self.ranges.remove(&other_low);
            low = low.min(other_low);
            high = if high.is_empty() || other_high.is_empty() { Vec::new() } else { high.max(other_high) };
        }
        self.ranges.insert(low, high);
    }

    /// The last range that begins at the key or before it.
    fn last_up_to(&self, key: &[u8]) -> Option<(&Vec<u8>, &Vec<u8>)> {
        self.ranges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.get(key).map(Vec::as_slice)
    }

    /// Whether the page that the key would be on was read.
    pub(super) fn covers(&self, key: &[u8]) -> bool {
        self.last_up_to(key).is_some_and(|(_, high)| high.is_empty() || key < high.as_slice())
    }

    /// Everything under a prefix, in order.
    pub(super) fn under<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let prefix = prefix.to_vec();
        let from = self.records.range(prefix.clone()..);
        from.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::Remains;
    use crate::store::embedded::salvage::log::Leaf;

    fn leaf(position: u64, low: &str, high: &str, keys: &[&str]) -> Leaf {
        let record = |key: &&str| (key.as_bytes().to_vec(), position.to_string().into_bytes());
        let records = keys.iter().map(record).collect();
        Leaf { position, low: low.into(), high: high.into(), records }
    }

    #[test]
    fn the_newest_page_says_what_is_there_and_what_is_not() {
        let remains = Remains::of(vec![
            leaf(1, "", "m", &["a", "c", "g", "k"]),
            leaf(3, "f", "m", &["g"]),
            leaf(2, "p", "", &["q"]),
        ]);
        let found: Vec<_> = remains.under(b"").map(|(k, v)| format!("{}{}", k[0] as char, v[0] as char)).collect();
        assert_eq!(found, ["a1", "c1", "g3", "q2"]);
        for (key, covered) in [("a", true), ("k", true), ("m", false), ("o", false), ("p", true), ("z", true)] {
            assert_eq!(remains.covers(key.as_bytes()), covered, "{key}");
        }
        assert_eq!(remains.ranges.len(), 2);
    }
}
