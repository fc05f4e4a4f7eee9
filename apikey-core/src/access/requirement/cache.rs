//! The cache of a requirement: which sets of grants meet it.
//!
//! Neither a requirement nor a set of grants ever changes, so an answer stays correct. With a cached answer a
//! verification compares no texts.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::need::Need;

/// The most sets that one requirement caches. The first sets stay, and the answers for later ones are computed each
/// time, so that threads never overwrite each other's entries.
const SETS: usize = 128;
/// The most requirements of the attribute, which are constants, that have a cache.
const NEEDS: usize = 256;
/// The most slots that a search for a requirement's cache reads.
const STEPS: usize = 8;

pub(super) struct RequirementCache([AtomicU64; SETS]);

impl RequirementCache {
    pub(super) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SETS])
    }

    /// Sets are numbered in order, so the first of them have slots of their own.
    #[inline]
    fn place(&self, grants: u32) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(grants).ok()? % SETS)
    }

    /// Returns whether the set meets the requirement, if the cache has it.
    #[inline]
    pub(super) fn answer(&self, grants: u32) -> Option<bool> {
        // One word holds all, so no order with other memory is needed.
        let word = self.place(grants)?.load(Ordering::Relaxed);
        (word & !1 == key(grants)).then_some(word & 1 != 0)
    }

    /// Caches an answer, if its slot is free.
    pub(super) fn note(&self, grants: u32, met: bool) {
        if let Some(place) = self.place(grants) {
            let word = key(grants) | u64::from(met);
            let _ = place.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// The set, and a bit that marks the slot as occupied.
fn key(grants: u32) -> u64 {
    u64::from(grants) << 2 | 2
}

struct Known {
    need: OnceLock<&'static Need>,
    cache: RequirementCache,
}

static KNOWN: [Known; NEEDS] = [const { Known { need: OnceLock::new(), cache: RequirementCache::new() } }; NEEDS];

/// Returns the cache of a constant requirement, which it finds by the requirement's address. The cache keeps the
/// reference, so no other requirement has that address. Returns `None` if all slots are occupied.
#[inline]
pub(super) fn of(need: &'static Need) -> Option<&'static RequirementCache> {
    let first = ptr::from_ref(need).addr() / align_of::<Need>();
    (first..first + STEPS).find_map(|at| {
        let known = KNOWN.get(at % NEEDS)?;
        let held = known.need.get_or_init(|| need);
        ptr::eq(*held, need).then_some(&known.cache)
    })
}
