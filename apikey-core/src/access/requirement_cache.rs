//! The cache of a requirement: which sets of grants meet it.
//!
//! A requirement never changes and neither does a set of grants, so an answer holds for ever. With a cached answer a
//! verification compares no texts.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::need::Need;

/// Sets that one requirement caches. The first sets stay: answers about later ones are computed each time, and no two
/// threads ever take turns in writing to one place.
const SETS: usize = 128;
/// Requirements of the attribute, which are constants, that have a cache.
const NEEDS: usize = 256;
/// Places that a search for a requirement's cache reads.
const STEPS: usize = 8;

pub(super) struct RequirementCache([AtomicU64; SETS]);

impl RequirementCache {
    pub(super) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SETS])
    }

    /// Sets are numbered one by one, so the first of them have places of their own.
    #[inline]
    fn place(&self, grants: u32) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(grants).ok()? % SETS)
    }

    /// Whether the set meets the requirement, if that is known.
    #[inline]
    pub(super) fn answer(&self, grants: u32) -> Option<bool> {
        // One word holds all, so no order with other memory is needed.
        let word = self.place(grants)?.load(Ordering::Relaxed);
        (word & !1 == key(grants)).then_some(word & 1 != 0)
    }

    /// Caches an answer, if its place is free.
    pub(super) fn note(&self, grants: u32, met: bool) {
        if let Some(place) = self.place(grants) {
            let word = key(grants) | u64::from(met);
            let _ = place.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// The set, and a bit that says that the place is taken.
fn key(grants: u32) -> u64 {
    u64::from(grants) << 2 | 2
}

struct Known {
    need: OnceLock<&'static Need>,
    cache: RequirementCache,
}

static KNOWN: [Known; NEEDS] = [const { Known { need: OnceLock::new(), cache: RequirementCache::new() } }; NEEDS];

/// The cache of a constant requirement, found by its address. It is never another one's, since the reference is kept.
/// `None` if there are more of them than there is room for.
#[inline]
pub(super) fn of(need: &'static Need) -> Option<&'static RequirementCache> {
    let first = ptr::from_ref(need).addr() / align_of::<Need>();
    (first..first + STEPS).find_map(|at| {
        let known = KNOWN.get(at % NEEDS)?;
        let held = known.need.get_or_init(|| need);
        ptr::eq(*held, need).then_some(&known.cache)
    })
}
