//! The counts of one thread, which it alone raises: no other thread waits for its cache lines.
//!
//! The thread adds a key in an empty slot, and then raises its count, without a lock and without an atomic
//! read-modify-write. Another thread may read the counts meanwhile: a slot keeps its key, and its count only grows, until
//! the thread that raises it [clears](ThreadTable::clear) all of them, which excludes readers.

#![allow(clippy::indexing_slicing, reason = "arrays of known length")]

use crate::index::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::token::api_key::ID_CHARS;

/// The id of a key as its tokens have it, in three words that overlap.
pub(super) type IdWords = [u64; 3];

/// The count of one key. Identity and count are one word, of which the thread alone writes the count.
#[derive(Default)]
struct Slot {
    /// The first is zero in an empty slot, and in no other: no character of an id is a zero byte.
    id: [AtomicU64; 3],
    /// The number of the key's identity in the high half, and the count in the low, which wraps.
    count: AtomicU64,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) id: IdWords,
    pub(super) identity: u32,
    /// Since the slot was filled; it wraps.
    pub(super) count: u32,
}

pub(super) struct ThreadTable {
    slots: Box<[Slot]>,
    /// The number of slots in use.
    len: AtomicU32,
}

/// No slot is left for another key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl ThreadTable {
    /// A table of so many slots, a power of two.
    pub(super) fn new(slots: usize) -> Self {
        Self { slots: std::iter::repeat_with(Slot::default).take(slots).collect(), len: AtomicU32::new(0) }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Counts a use. Only the thread of this table calls it.
    #[inline]
    pub(super) fn count(&self, home: u32, id: IdWords, identity: u32) -> Result<(), Full> {
        let mask = self.slots.len() - 1;
        let mut at = home as usize & mask;
        // It ends: a quarter of the slots stays empty.
        while let Some(slot) = self.slots.get(at) {
            let first = slot.id[0].load(Ordering::Relaxed);
            if first == id[0] && slot.has(&id) {
                let held = slot.count.load(Ordering::Relaxed);
                let next = held & !u64::from(u32::MAX) | held.wrapping_add(1) & u64::from(u32::MAX);
                slot.count.store(next, Ordering::Relaxed);
                return Ok(());
            }
            if first == 0 {
                return self.fill(slot, id, identity);
            }
            at = (at + 1) & mask;
        }
        Err(Full)
    }

    #[cold]
    fn fill(&self, slot: &Slot, id: IdWords, identity: u32) -> Result<(), Full> {
        let len = self.len.load(Ordering::Relaxed);
        if len as usize >= self.slots.len() / 4 * 3 {
            return Err(Full);
        }
        self.len.store(len + 1, Ordering::Relaxed);
        slot.count.store(u64::from(identity) << 32 | 1, Ordering::Relaxed);
        slot.id[1].store(id[1], Ordering::Relaxed);
        slot.id[2].store(id[2], Ordering::Relaxed);
        // A reader that sees it sees the rest.
        slot.id[0].store(id[0], Ordering::Release);
        Ok(())
    }

    /// Reads every slot in use, with its number.
    pub(super) fn read(&self) -> impl Iterator<Item = (usize, Counted)> + '_ {
        self.slots.iter().enumerate().filter_map(|(at, slot)| {
            let first = slot.id[0].load(Ordering::Acquire);
            if first == 0 {
                return None;
            }
            let [second, third] = [1, 2].map(|word: usize| slot.id[word].load(Ordering::Relaxed));
            let count = slot.count.load(Ordering::Relaxed);
            Some((at, Counted { id: [first, second, third], identity: high_half(count), count: low_half(count) }))
        })
    }

    /// Empties every slot. Only the thread of this table calls it, while nobody reads.
    pub(super) fn clear(&self) {
        for slot in &self.slots {
            slot.id[0].store(0, Ordering::Relaxed);
        }
        self.len.store(0, Ordering::Relaxed);
    }
}

impl Slot {
    #[inline]
    fn has(&self, id: &IdWords) -> bool {
        self.id[1].load(Ordering::Relaxed) == id[1] && self.id[2].load(Ordering::Relaxed) == id[2]
    }
}

/// The words of an id as its tokens have it.
#[inline]
pub(super) fn words(id: &[u8; ID_CHARS]) -> IdWords {
    [0, 8, ID_CHARS - 8].map(|at| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&id[at..at + 8]);
        u64::from_le_bytes(bytes)
    })
}

/// The id of these words.
pub(super) fn chars(words: IdWords) -> [u8; ID_CHARS] {
    let mut id = [0; ID_CHARS];
    for (at, word) in [0, 8, ID_CHARS - 8].into_iter().zip(words) {
        id[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    id
}

fn high_half(word: u64) -> u32 {
    (word >> 32) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the low half alone is wanted")]
fn low_half(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> IdWords {
        [number + 1, 7, 9]
    }

    fn counts(table: &ThreadTable) -> Vec<(u64, u32, u32)> {
        let mut all: Vec<_> = table.read().map(|(_, slot)| (slot.id[0] - 1, slot.identity, slot.count)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn it_counts_until_it_is_full() {
        let table = ThreadTable::new(8);
        // All in the same place at first.
        for number in 0..6 {
            for _ in 0..=number {
                assert_eq!(table.count(3, id(number), 40), Ok(()));
            }
        }
        assert_eq!(table.count(3, id(6), 40), Err(Full));
        assert_eq!(table.count(3, id(5), 40), Ok(()), "one that has a slot still counts");
        assert_eq!(counts(&table), [(0, 40, 1), (1, 40, 2), (2, 40, 3), (3, 40, 4), (4, 40, 5), (5, 40, 7)]);
        table.clear();
        assert_eq!(counts(&table), []);
        assert_eq!(table.count(3, id(6), 1), Ok(()));
        assert_eq!(counts(&table), [(6, 1, 1)]);
    }

    #[test]
    fn a_count_wraps_and_leaves_the_identity() {
        let table = ThreadTable::new(8);
        table.count(0, id(0), u32::MAX).unwrap();
        table.slots[0].count.store(u64::MAX, Ordering::Relaxed);
        table.count(0, id(0), 0).unwrap();
        assert_eq!(counts(&table), [(0, u32::MAX, 0)]);
    }

    #[test]
    fn words_are_the_characters() {
        let id = *b"0123456789abcdefghijkl";
        assert_eq!(chars(words(&id)), id);
    }
}
