//! What a requirement remembers: which sets of grants meet it.
//!
//! A requirement never changes and neither does a set of grants, so an answer holds for ever. It saves a verification
//! from comparing texts.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::need::Need;

/// Sets that one requirement remembers. The first that ask stay: later ones are worked out each time, and no two threads
/// ever take turns in writing to one place.
const SETS: usize = 128;
/// Requirements of the attribute, which are constants, that have a place to remember in.
const NEEDS: usize = 256;
/// Places that a requirement is looked for in.
const STEPS: usize = 8;

pub(crate) struct Memo([AtomicU64; SETS]);

impl Memo {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SETS])
    }

    /// Sets are numbered one by one, so the first of them have places of their own.
    #[inline]
    fn place(&self, grants: u32) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(grants).ok()? % SETS)
    }

    /// Whether the set meets the requirement, if that is known.
    #[inline]
    pub(crate) fn answer(&self, grants: u32) -> Option<bool> {
        // One word holds all, so no order with other memory is needed.
        let word = self.place(grants)?.load(Ordering::Relaxed);
        (word & !1 == key(grants)).then_some(word & 1 != 0)
    }

    /// Remembers an answer, if its place is free.
    pub(crate) fn note(&self, grants: u32, met: bool) {
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
    memo: Memo,
}

static KNOWN: [Known; NEEDS] = [const { Known { need: OnceLock::new(), memo: Memo::new() } }; NEEDS];

/// The memo of a constant requirement, found by its address: it is never another one's, since the reference is kept.
/// `None` if there are more of them than there is room for.
#[inline]
pub(crate) fn of(need: &'static Need) -> Option<&'static Memo> {
    let first = ptr::from_ref(need).addr() / align_of::<Need>();
    (first..first + STEPS).find_map(|at| {
        let known = KNOWN.get(at % NEEDS)?;
        let held = known.need.get_or_init(|| need);
        ptr::eq(*held, need).then_some(&known.memo)
    })
}
