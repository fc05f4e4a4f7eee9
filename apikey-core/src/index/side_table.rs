//! The side table, which has what few secrets need, outside of their lines.

use std::collections::HashMap;

use crate::index::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};

use crate::access::network;
use crate::token::digest::Digest;

/// Means no time.
const NONE: i64 = i64::MIN;

/// Numbered entries that readers read without a lock. A line names its entry by number. The writer reuses entries, so
/// after reading one a reader checks that its line's control word has not changed (`Line::is_still`).
#[derive(Default)]
pub(super) struct SideTable(boxcar::Vec<Slot>);

#[derive(Default)]
struct Slot {
    /// The high and the low half of the id.
    id: [AtomicU64; 2],
    not_before: AtomicI64,
    secret_end: AtomicI64,
    networks: AtomicU32,
    limiter: AtomicU32,
    quota: AtomicU32,
    idle: AtomicU32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SideEntry {
    /// The key's id, which an imported token does not contain.
    pub(super) id: u128,
    pub(super) not_before: Option<i64>,
    /// When the secret ends, if its key ends earlier: the line has room for one time.
    pub(super) secret_end: Option<i64>,
    /// The number of the key's set of networks.
    pub(super) networks: u32,
    /// The number of the key's limiter, 0 for none.
    pub(super) limiter: u32,
    /// The number of the key's quota, 0 for none.
    pub(super) quota: u32,
    /// The number of the key's idle end, 0 for none.
    pub(super) idle: u32,
}

/// The entries that no line names, and what only the writer needs of the others.
#[derive(Default)]
pub(super) struct FreeList {
    free: Vec<u32>,
    /// The predecessor that the first use of a secret ends, by the number of that secret's entry: its home and digest.
    ends: HashMap<u32, (u32, Digest)>,
}

impl SideEntry {
    /// Creates an entry with a key's id and nothing else.
    pub(super) fn none(id: u128) -> Self {
        Self { id, not_before: None, secret_end: None, networks: network::ANYWHERE, limiter: 0, quota: 0, idle: 0 }
    }

    /// Whether it contains only a key's id.
    pub(super) fn is_empty(&self) -> bool {
        let Self { id: _, not_before, secret_end, networks, limiter, quota, idle } = *self;
        let has_times = not_before.is_some() || secret_end.is_some();
        !has_times && networks == network::ANYWHERE && [limiter, quota, idle] == [0; 3]
    }
}

impl SideTable {
    /// Reads an entry. Its content counts only if the line that named it is still the same.
    #[inline]
    pub(super) fn read(&self, number: u32) -> Option<SideEntry> {
        let slot = self.0.get(usize::try_from(number).ok()?)?;
        let [high, low] = &slot.id;
        let [high, low] = [high, low].map(|half| u128::from(half.load(Ordering::Relaxed)));
        let time = |time: &AtomicI64| Some(time.load(Ordering::Relaxed)).filter(|time| *time != NONE);
        Some(SideEntry {
            id: high << 64 | low,
            not_before: time(&slot.not_before),
            secret_end: time(&slot.secret_end),
            networks: slot.networks.load(Ordering::Relaxed),
            limiter: slot.limiter.load(Ordering::Relaxed),
            quota: slot.quota.load(Ordering::Relaxed),
            idle: slot.idle.load(Ordering::Relaxed),
        })
    }

    /// Writes an entry that no line names yet, and returns its number.
    pub(super) fn add(&self, free_list: &mut FreeList, entry: SideEntry, successor_of: Option<(u32, Digest)>) -> u32 {
        let number = free_list.free.pop().unwrap_or_else(|| {
            // Above 2^32 entries the number leads to none, and the index rejects the key.
            u32::try_from(self.0.push(Slot::default())).unwrap_or(u32::MAX)
        });
        // A reader that sees any later write also sees that the line that had this entry has given it up.
        fence(Ordering::Release);
        if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.0.get(number)) {
            let [high, low] = &slot.id;
            high.store((entry.id >> 64) as u64, Ordering::Relaxed);
            low.store(low_half(entry.id), Ordering::Relaxed);
            slot.not_before.store(entry.not_before.unwrap_or(NONE), Ordering::Relaxed);
            slot.secret_end.store(entry.secret_end.unwrap_or(NONE), Ordering::Relaxed);
            slot.networks.store(entry.networks, Ordering::Relaxed);
            slot.limiter.store(entry.limiter, Ordering::Relaxed);
            slot.quota.store(entry.quota, Ordering::Relaxed);
            slot.idle.store(entry.idle, Ordering::Relaxed);
        }
        if let Some(predecessor) = successor_of {
            free_list.ends.insert(number, predecessor);
        }
        number
    }
}

impl FreeList {
    /// Frees an entry that no line names any more.
    pub(super) fn give_back(&mut self, number: u32) {
        self.ends.remove(&number);
        self.free.push(number);
    }

    /// The secret that the first use of this one ends.
    pub(super) fn ended_by(&self, number: u32) -> Option<(u32, Digest)> {
        self.ends.get(&number).copied()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low half alone is wanted")]
fn low_half(id: u128) -> u64 {
    id as u64
}
