//! One secret of one key, in one cache line of atomics: read without a lock, written by one thread at a time.

use crate::index::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use constant_time_eq::constant_time_eq_32;

use crate::token::digest::{Digest, DigestPrefix};

use crate::access::control_word;
use crate::access::control_word::{DEAD, OCCUPIED, SIDE_ENTRY, UNUSED};
use crate::index::hints;
use crate::index::home::HOME_MASK;

/// A flag in the usage of a line: the use is not written to the disk yet.
const NOTED: u64 = 1 << 63;

#[derive(Default)]
#[repr(align(64))]
pub(super) struct Line {
    digest: [AtomicU64; 4],
    /// The control word. Every write to the line changes its count.
    control: AtomicU64,
    /// Identity in the high half, grants in the low.
    who: AtomicU64,
    /// From the top: the flag [`NOTED`], 31 bits of home, and the second of the last use (0 for never). The home
    /// identifies the secret.
    usage: AtomicU64,
    version: AtomicU32,
    /// The number of the side entry.
    side: AtomicU32,
}

/// A consistent state of a line's secret and key.
#[derive(Clone, Copy)]
pub(super) struct LineState {
    pub(super) control: u64,
    pub(super) identity: u32,
    pub(super) grants: u32,
    pub(super) version: u32,
    pub(super) side: u32,
}

/// What a writer writes into a line.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) state: LineState,
    pub(super) usage: Usage,
}

/// The home of a line, and the time of its secret's last use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage(u64);

impl Usage {
    pub(super) fn new(home: u32, second: u32) -> Self {
        Self(u64::from(home) << 32 | u64::from(second))
    }

    #[inline]
    pub(super) fn home(self) -> u32 {
        (self.0 >> 32) as u32 & HOME_MASK
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low half alone is wanted")]
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

    /// Starts to fetch the line into the cache.
    #[inline]
    pub(super) fn prefetch(&self) {
        hints::prefetch(&self.control);
    }

    /// Whether this occupied line holds the digest.
    #[inline]
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        constant_time_eq_32(&self.digest(), digest)
    }

    /// Whether this line's digest begins with the prefix: enough to recognize a secret that was verified before.
    pub(super) fn begins_with(&self, prefix: &DigestPrefix) -> bool {
        self.digest().first_chunk() == Some(prefix)
    }

    #[inline]
    fn digest(&self) -> Digest {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&self.digest) {
            *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        bytes
    }

    /// Returns the state and the usage of the line, which belong to the digest that was read before; `None` if a writer
    /// has changed the line since `control` was read.
    ///
    /// The count in the control word shows that. It wraps after 128 steps, so the caller checks the home, too, and
    /// never takes one key for another.
    #[inline]
    pub(super) fn state(&self, control: u64) -> Option<(LineState, Usage)> {
        let who = self.who.load(Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        let side = self.side.load(Ordering::Relaxed);
        let usage = self.usage();
        let state = LineState { control, identity: (who >> 32) as u32, grants: low_half(who), version, side };
        self.is_still(control).then_some((state, usage))
    }

    /// Whether everything that the caller has read of the line since it read this control word is consistent.
    #[inline]
    pub(super) fn is_still(&self, control: u64) -> bool {
        // A reader that has read a word of a writer's also sees the control word that the writer wrote before it.
        fence(Ordering::Acquire);
        self.control.load(Ordering::Relaxed) == control
    }

    #[inline]
    pub(super) fn usage(&self) -> Usage {
        Usage(self.usage.load(Ordering::Relaxed))
    }

    /// Notes a use. This is the one shared write of a verification, and happens once a second: writing it every time
    /// would slow down two threads that verify one key. It writes nothing if the line belongs to another key by now.
    #[inline]
    pub(super) fn note_use(&self, home: u32, second: u32) {
        let held = self.usage();
        if held.second() != second && held.home() == home {
            let new = Usage::new(home, second).0 | NOTED;
            let _ = self.usage.compare_exchange(held.0, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Copies a use that was noted in the entry's former line while it moved.
    pub(super) fn catch_up(&self, copied: Usage, late: Usage) {
        if late != copied && late.home() == copied.home() {
            let _ = self.usage.compare_exchange(copied.0, late.0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Takes the note of a use, and returns whether there was one since the last call.
    pub(super) fn take_note(&self) -> bool {
        self.usage.load(Ordering::Relaxed) & NOTED != 0 && self.usage.fetch_and(!NOTED, Ordering::Relaxed) & NOTED != 0
    }

    /// Fills a line that no digest matches. It writes the control word last: a reader that sees it sees the rest.
    pub(super) fn fill(&self, entry: &Entry) {
        let before = self.control();
        // A reader that sees any later write also sees that the line had been given up.
        fence(Ordering::Release);
        for (word, chunk) in self.digest.iter().zip(entry.digest.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        let LineState { control, identity, grants, version, side } = entry.state;
        self.who.store(join(identity, grants), Ordering::Relaxed);
        self.usage.store(entry.usage.0, Ordering::Relaxed);
        self.version.store(version, Ordering::Relaxed);
        self.side.store(side, Ordering::Relaxed);
        self.control.store(control_word::counted(before, 1, control | OCCUPIED), Ordering::Release);
    }

    /// Sets what can change: version and digest never do.
    ///
    /// Between the two states it writes a control word that allows no more than both, so a reader may combine it with
    /// the identity and the grants of either, which are one word, and with the side entry of either.
    pub(super) fn update(&self, new: LineState) {
        let old = self.control();
        let who = join(new.identity, new.grants);
        if self.who.load(Ordering::Relaxed) != who || self.side() != new.side {
            // The side entry is not there yet.
            let between = control_word::meet(old, new.control) & !(SIDE_ENTRY & !old);
            self.control.store(control_word::counted(old, 1, between | OCCUPIED), Ordering::Relaxed);
            fence(Ordering::Release);
            self.who.store(who, Ordering::Relaxed);
            self.side.store(new.side, Ordering::Relaxed);
        }
        self.control.store(control_word::counted(old, 2, new.control | OCCUPIED), Ordering::Release);
    }

    pub(super) fn clear_unused(&self) {
        let old = self.control();
        self.control.store(control_word::counted(old, 1, old & !UNUSED), Ordering::Release);
    }

    /// Ends the secret: from now on no digest matches here.
    pub(super) fn remove(&self) {
        let old = self.control();
        self.control.store(control_word::counted(old, 1, OCCUPIED | DEAD), Ordering::Release);
        fence(Ordering::Release);
        for word in &self.digest {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Makes a dead line an empty one, at which searches end.
    pub(super) fn clear(&self) {
        let old = self.control();
        self.usage.store(0, Ordering::Relaxed);
        self.control.store(control_word::counted(old, 1, 0), Ordering::Release);
    }

    pub(super) fn side(&self) -> u32 {
        self.side.load(Ordering::Relaxed)
    }

    pub(super) fn is_live(&self) -> bool {
        self.control() & (OCCUPIED | DEAD) == OCCUPIED
    }

    /// The content of a live line; for the writer alone.
    pub(super) fn entry(&self) -> Option<Entry> {
        let control = self.control();
        if control & OCCUPIED == 0 || control & DEAD != 0 {
            return None;
        }
        let who = self.who.load(Ordering::Relaxed);
        let state = LineState {
            control,
            identity: (who >> 32) as u32,
            grants: low_half(who),
            version: self.version.load(Ordering::Relaxed),
            side: self.side(),
        };
        Some(Entry { digest: self.digest(), state, usage: self.usage() })
    }
}

fn join(identity: u32, grants: u32) -> u64 {
    u64::from(identity) << 32 | u64::from(grants)
}

#[allow(clippy::cast_possible_truncation, reason = "the low half alone is wanted")]
fn low_half(who: u64) -> u32 {
    who as u32
}
