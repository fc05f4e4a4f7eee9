//! One secret of one key, in one cache line of atomics: read without a lock, written by one thread at a time.

use crate::index::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use constant_time_eq::constant_time_eq_32;

use crate::token::digest::{Digest, Half};

use crate::access::control_word;
use crate::access::control_word::{DEAD, EXTRA, OCCUPIED, UNUSED, stricter};
use crate::index::hints;

/// Set in a line's word of use: the use is not written back yet.
const NOTED: u64 = 1 << 63;

#[derive(Default)]
#[repr(align(64))]
pub(super) struct Line {
    digest: [AtomicU64; 4],
    /// What the key may do now; see [`crate::access::control_word`]. Every write to the line changes its count.
    control: AtomicU64,
    /// Owner in the high half, grants in the low.
    who: AtomicU64,
    /// From the top: whether the use is noted and not written back, 31 bits of spot, the second of the last use (0 for
    /// never). The spot is where the entry belongs, and says whose use it is.
    usage: AtomicU64,
    version: AtomicU32,
    /// Number of the extra.
    extra: AtomicU32,
}

/// What a line says, as it stood together at one moment.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) control: u64,
    pub(super) owner: u32,
    pub(super) grants: u32,
    pub(super) version: u32,
    pub(super) extra: u32,
}

/// What is written into a line.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) standing: Standing,
    pub(super) usage: Usage,
}

/// A line's word of use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage(u64);

impl Usage {
    pub(super) fn new(spot: u32, second: u32) -> Self {
        Self(u64::from(spot) << 32 | u64::from(second))
    }

    #[inline]
    pub(super) fn spot(self) -> u32 {
        (self.0 >> 32) as u32 & crate::index::table::SPOT
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    #[inline]
    pub(super) fn second(self) -> u32 {
        self.0 as u32
    }
}

impl Line {
    #[inline]
    pub(super) fn control(&self) -> u64 {
        self.control.load(Ordering::Acquire)
    }

    /// Starts to fetch the line.
    #[inline]
    pub(super) fn touch(&self) {
        hints::fetch(&self.control);
    }

    /// Whether this occupied line holds the digest.
    #[inline]
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        constant_time_eq_32(&self.digest(), digest)
    }

    /// Whether this line's digest begins so: enough to know a secret again that was verified before.
    pub(super) fn begins(&self, half: &Half) -> bool {
        self.digest().first_chunk() == Some(half)
    }

    #[inline]
    fn digest(&self) -> Digest {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&self.digest) {
            *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        bytes
    }

    /// What the line says, whose that is, and that with the digest read before; `None` if a writer made a step since
    /// `control` was read.
    ///
    /// The count in the control word tells that. It comes round after 128 steps, so the spot must be right, too: nobody
    /// is ever taken for somebody else.
    #[inline]
    pub(super) fn standing(&self, control: u64) -> Option<(Standing, Usage)> {
        let who = self.who.load(Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        let extra = self.extra.load(Ordering::Relaxed);
        let usage = self.usage();
        let standing = Standing { control, owner: (who >> 32) as u32, grants: low_half(who), version, extra };
        self.is_still(control).then_some((standing, usage))
    }

    /// Whether all that was read of the line since its control word was this belongs together.
    #[inline]
    pub(super) fn is_still(&self, control: u64) -> bool {
        // Who has read a word that a writer wrote sees the control word that the writer wrote before it.
        fence(Ordering::Acquire);
        self.control.load(Ordering::Relaxed) == control
    }

    #[inline]
    pub(super) fn usage(&self) -> Usage {
        Usage(self.usage.load(Ordering::Relaxed))
    }

    /// Notes a use. The one shared write of a verification, once a second: written every time, it would make two
    /// threads on one key wait for each other. If the line is another key's by now, nothing is written.
    #[inline]
    pub(super) fn note_use(&self, spot: u32, second: u32) {
        let held = self.usage();
        if held.second() != second && held.spot() == spot {
            let new = Usage::new(spot, second).0 | NOTED;
            let _ = self.usage.compare_exchange(held.0, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Takes over what was noted at the place this entry came from, while it moved.
    pub(super) fn catch_up(&self, copied: Usage, late: Usage) {
        if late != copied && late.spot() == copied.spot() {
            let _ = self.usage.compare_exchange(copied.0, late.0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether it was used since the last call.
    pub(super) fn take_note(&self) -> bool {
        self.usage.load(Ordering::Relaxed) & NOTED != 0 && self.usage.fetch_and(!NOTED, Ordering::Relaxed) & NOTED != 0
    }

    /// Fills a line that nobody matches. The control word comes last: who sees it sees the rest.
    pub(super) fn fill(&self, entry: &Entry) {
        let before = self.control();
        // Who sees any of what follows sees that the line had been given up.
        fence(Ordering::Release);
        for (word, chunk) in self.digest.iter().zip(entry.digest.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        let Standing { control, owner, grants, version, extra } = entry.standing;
        self.who.store(join(owner, grants), Ordering::Relaxed);
        self.usage.store(entry.usage.0, Ordering::Relaxed);
        self.version.store(version, Ordering::Relaxed);
        self.extra.store(extra, Ordering::Relaxed);
        self.control.store(control_word::counted(before, 1, control | OCCUPIED), Ordering::Release);
    }

    /// Sets what can change: owner, version and digest never do.
    ///
    /// Between the two states stands a control word that gives no more than the old or the new one, so either belongs
    /// to the grants and the extra that a reader may find beside it.
    pub(super) fn update(&self, new: Standing) {
        let old = self.control();
        let who = join(new.owner, new.grants);
        if self.who.load(Ordering::Relaxed) != who || self.extra() != new.extra {
            // The extra is not there yet.
            let between = stricter(old, new.control) & !(EXTRA & !old);
            self.control.store(control_word::counted(old, 1, between | OCCUPIED), Ordering::Relaxed);
            fence(Ordering::Release);
            self.who.store(who, Ordering::Relaxed);
            self.extra.store(new.extra, Ordering::Relaxed);
        }
        self.control.store(control_word::counted(old, 2, new.control | OCCUPIED), Ordering::Release);
    }

    pub(super) fn clear_unused(&self) {
        let old = self.control();
        self.control.store(control_word::counted(old, 1, old & !UNUSED), Ordering::Release);
    }

    /// Ends the secret: from now on nothing matches here.
    pub(super) fn kill(&self) {
        let old = self.control();
        self.control.store(control_word::counted(old, 1, OCCUPIED | DEAD), Ordering::Release);
        fence(Ordering::Release);
        for word in &self.digest {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Makes a dead line an empty one: a search ends here.
    pub(super) fn clear(&self) {
        let old = self.control();
        self.usage.store(0, Ordering::Relaxed);
        self.control.store(control_word::counted(old, 1, 0), Ordering::Release);
    }

    pub(super) fn extra(&self) -> u32 {
        self.extra.load(Ordering::Relaxed)
    }

    pub(super) fn is_live(&self) -> bool {
        self.control() & (OCCUPIED | DEAD) == OCCUPIED
    }

    /// The content of a live line; only for who holds the shelf.
    pub(super) fn entry(&self) -> Option<Entry> {
        let control = self.control();
        if control & OCCUPIED == 0 || control & DEAD != 0 {
            return None;
        }
        let who = self.who.load(Ordering::Relaxed);
        let standing = Standing {
            control,
            owner: (who >> 32) as u32,
            grants: low_half(who),
            version: self.version.load(Ordering::Relaxed),
            extra: self.extra(),
        };
        Some(Entry { digest: self.digest(), standing, usage: self.usage() })
    }
}

fn join(owner: u32, grants: u32) -> u64 {
    u64::from(owner) << 32 | u64::from(grants)
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low_half(who: u64) -> u32 {
    who as u32
}
