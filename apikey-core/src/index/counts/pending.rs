//! The counts that are not on the disk yet, by minute and key.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The most keys of all minutes together; of others only the sums are kept. They take 32 MB.
const MAX_KEYS: usize = 1 << 19;
/// Beyond it the store writes at once.
const MANY_KEYS: usize = 1 << 17;

/// What was counted in one minute.
#[derive(Debug, Default)]
pub(crate) struct MinuteCounts {
    /// The uses of each key, in the order of their ids, which is that of the rows on the disk.
    pub(crate) uses: BTreeMap<u128, KeyCount>,
    /// Uses of keys beyond the bound.
    pub(crate) other_uses: u64,
    /// The refusals of each key, by code.
    pub(crate) refusals: BTreeMap<(u128, &'static str), KeyCount>,
    /// Refusals of requests without the secret of a key, and of keys beyond the bound, by code.
    pub(crate) other_refusals: BTreeMap<&'static str, u64>,
}

/// How often a key was used, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyCount {
    /// The number of its identity, of which the owner is part.
    pub(crate) identity: u32,
    pub(crate) count: u64,
}

/// Counts by minute: the number of minutes since 1970.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) minutes: BTreeMap<u32, MinuteCounts>,
    keys: usize,
}

impl Pending {
    /// Adds uses of a key.
    pub(crate) fn add_uses(&mut self, minute: u32, key: u128, identity: u32, count: u64) {
        let counts = self.minutes.entry(minute).or_default();
        match counts.uses.entry(key) {
            Entry::Occupied(mut held) => held.get_mut().count += count,
            Entry::Vacant(place) if self.keys < MAX_KEYS => {
                place.insert(KeyCount { identity, count });
                self.keys += 1;
            }
            Entry::Vacant(_) => counts.other_uses += count,
        }
    }

    /// Adds a refusal of a key.
    pub(crate) fn add_refusal(&mut self, minute: u32, key: u128, identity: u32, code: &'static str) {
        let counts = self.minutes.entry(minute).or_default();
        match counts.refusals.entry((key, code)) {
            Entry::Occupied(mut held) => held.get_mut().count += 1,
            Entry::Vacant(place) if self.keys < MAX_KEYS => {
                place.insert(KeyCount { identity, count: 1 });
                self.keys += 1;
            }
            Entry::Vacant(_) => *counts.other_refusals.entry(code).or_default() += 1,
        }
    }

    /// Adds refusals of requests without the secret of a key.
    pub(crate) fn add_unknown(&mut self, minute: u32, code: &'static str, count: u64) {
        *self.minutes.entry(minute).or_default().other_refusals.entry(code).or_default() += count;
    }

    /// Whether they are so many that they belong on the disk at once.
    pub(crate) fn is_large(&self) -> bool {
        self.keys >= MANY_KEYS
    }

    /// Takes everything.
    pub(crate) fn take(&mut self) -> BTreeMap<u32, MinuteCounts> {
        self.keys = 0;
        std::mem::take(&mut self.minutes)
    }

    /// Takes the counts of some keys of the first minute, and with the last of them what is of no key.
    pub(crate) fn take_some(&mut self, keys: usize) -> Option<(u32, MinuteCounts)> {
        let mut first = self.minutes.first_entry()?;
        let (minute, counts) = (*first.key(), first.get_mut());
        if counts.uses.len() + counts.refusals.len() <= keys {
            self.keys -= counts.uses.len() + counts.refusals.len();
            return Some((minute, first.remove()));
        }
        let uses: BTreeMap<_, _> = std::iter::from_fn(|| counts.uses.pop_first()).take(keys).collect();
        let room = keys - uses.len();
        let refusals: BTreeMap<_, _> = std::iter::from_fn(|| counts.refusals.pop_first()).take(room).collect();
        self.keys -= uses.len() + refusals.len();
        Some((minute, MinuteCounts { uses, refusals, ..MinuteCounts::default() }))
    }

    /// How often a key was used.
    pub(crate) fn uses_of(&self, key: u128) -> u64 {
        self.minutes.values().filter_map(|counts| counts.uses.get(&key)).map(|uses| uses.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beyond_the_bound_are_counted_together() {
        let mut pending = Pending { keys: MAX_KEYS - 1, ..Pending::default() };
        pending.add_uses(7, 1, 40, 2);
        assert!(pending.is_large());
        pending.add_uses(7, 2, 40, 3);
        pending.add_uses(7, 1, 40, 4);
        pending.add_refusal(7, 1, 40, "revoked_api_key");
        pending.add_refusal(8, 1, 40, "revoked_api_key");
        pending.add_unknown(8, "invalid_api_key", 5);
        assert_eq!((pending.uses_of(1), pending.uses_of(2)), (6, 0));
        let minutes = pending.take();
        assert_eq!((minutes[&7].other_uses, minutes[&7].uses[&1]), (3, KeyCount { identity: 40, count: 6 }));
        assert_eq!(minutes[&7].other_refusals["revoked_api_key"], 1);
        assert_eq!(minutes[&8].other_refusals["invalid_api_key"], 5);
        assert!(pending.minutes.is_empty() && !pending.is_large());
    }
}
