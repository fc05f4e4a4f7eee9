//! One secret of one key, in one cache line of atomics: read without a lock, written by one thread at a time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use constant_time_eq::constant_time_eq_32;

use crate::digest::Digest;

/// The low 48 bits of a control word are a time in milliseconds, the rest flags. All ones: no end.
const TIME: u64 = (1 << 48) - 1;
pub(super) const OCCUPIED: u64 = 1 << 48;
/// Was occupied; never used again in this table, so that a reader half-way through it cannot be misled.
pub(super) const DEAD: u64 = 1 << 49;
pub(super) const REVOKED: u64 = 1 << 50;
pub(super) const DISABLED: u64 = 1 << 51;
/// The secret is not the newest.
pub(super) const SUPERSEDED: u64 = 1 << 52;
/// The time is the secret's end, not the key's: past it the secret is as unknown as any other.
pub(super) const SECRET_ENDS: u64 = 1 << 53;
/// Its first use is to be recorded.
pub(super) const UNUSED: u64 = 1 << 54;
/// Its line names an entry in the table of extras.
pub(super) const EXTRA: u64 = 1 << 55;
/// The secret ends with the first use of its successor.
pub(super) const UNTIL_USE: u64 = 1 << 56;
/// The top seven bits count updates, so that a word that has come back to what it was is told apart.
const COUNT: u64 = 1 << 57;
const NOTED: u32 = 1 << 31;
const FLAGS: u64 = (COUNT - 1) & !TIME;

#[derive(Default)]
#[repr(align(64))]
pub(super) struct Line {
    digest: [AtomicU64; 4],
    control: AtomicU64,
    /// Owner in the high half, grants in the low.
    who: AtomicU64,
    version: AtomicU32,
    /// Second of the last use, 0 for never.
    used: AtomicU32,
    /// Number of the extra; the top bit says that the use is not written back yet.
    extra: AtomicU32,
    /// The hash of where it belongs: what is needed to put it into a larger table.
    spot: AtomicU32,
}

const _: () = assert!(size_of::<Line>() == 64);

/// What can change in a line, and the owner beside it.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) control: u64,
    pub(super) owner: u32,
    pub(super) grants: u32,
    pub(super) extra: u32,
}

/// What is written into a line.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) control: u64,
    pub(super) owner: u32,
    pub(super) grants: u32,
    pub(super) version: u32,
    pub(super) used: u32,
    /// Its use is not written back yet.
    pub(super) noted: bool,
    pub(super) extra: u32,
    pub(super) spot: u32,
}

impl Line {
    pub(super) fn control(&self) -> u64 {
        self.control.load(Ordering::Acquire)
    }

    /// Starts to fetch the line, without waiting for it.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        self.control.load(Ordering::Relaxed)
    }

    /// Whether this occupied line holds the digest.
    #[inline]
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        constant_time_eq_32(&self.digest(), digest)
    }

    fn digest(&self) -> Digest {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&self.digest) {
            *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        bytes
    }

    /// What changes, as it stood together at one moment.
    ///
    /// A writer goes over a control word that gives no more than the old or the new one ([`Line::update`]), so either
    /// of two equal readings belongs to the grants between them. They are equal by chance only if 64 updates happen
    /// between them. Retries only when a writer has made a step, and never waits for one.
    #[inline]
    pub(super) fn standing(&self) -> Standing {
        let mut control = self.control();
        loop {
            let who = self.who.load(Ordering::Acquire);
            let extra = self.extra.load(Ordering::Acquire) & !NOTED;
            let again = self.control();
            if again == control {
                return Standing { control, owner: (who >> 32) as u32, grants: low_half(who), extra };
            }
            control = again;
        }
    }

    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    pub(super) fn extra(&self) -> u32 {
        self.extra.load(Ordering::Relaxed) & !NOTED
    }

    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Notes a use. The one shared write of a verification, once a second: written every time, it would make two
    /// threads on one key wait for each other.
    #[inline]
    pub(super) fn note_use(&self, second: u32) {
        if self.used.load(Ordering::Relaxed) != second {
            self.used.store(second, Ordering::Relaxed);
            if self.extra.load(Ordering::Relaxed) & NOTED == 0 {
                self.extra.fetch_or(NOTED, Ordering::Release);
            }
        }
    }

    /// Whether it was used since the last call.
    pub(super) fn take_note(&self) -> bool {
        self.extra.load(Ordering::Relaxed) & NOTED != 0 && self.extra.fetch_and(!NOTED, Ordering::Acquire) & NOTED != 0
    }

    /// Fills an empty line. The control word comes last: who sees it sees the rest.
    pub(super) fn fill(&self, entry: &Entry) {
        for (word, chunk) in self.digest.iter().zip(entry.digest.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        self.who.store(join(entry.owner, entry.grants), Ordering::Relaxed);
        self.version.store(entry.version, Ordering::Relaxed);
        self.used.store(entry.used, Ordering::Relaxed);
        self.extra.store(entry.extra | if entry.noted { NOTED } else { 0 }, Ordering::Relaxed);
        self.spot.store(entry.spot, Ordering::Relaxed);
        self.control.store(entry.control | OCCUPIED, Ordering::Release);
    }

    /// Sets what can change. Owner, version and digest never do.
    pub(super) fn update(&self, new: Standing) {
        let Standing { control, owner, grants, extra } = new;
        let old = self.control();
        let count = old & !(COUNT - 1);
        let word = |control: u64, steps: u64| {
            (control & (COUNT - 1)) | OCCUPIED | count.wrapping_add(steps.wrapping_mul(COUNT))
        };
        if self.who.load(Ordering::Relaxed) != join(owner, grants) || self.extra() != extra {
            // The extra is not there yet.
            let between = stricter(old, control) & !(EXTRA & !old);
            self.control.store(word(between, 1), Ordering::Release);
            self.who.store(join(owner, grants), Ordering::Release);
            // The top bit is set by readers.
            let top = |held: u32| Some((held & NOTED) | extra);
            let _ = self.extra.fetch_update(Ordering::Release, Ordering::Relaxed, top);
        }
        self.control.store(word(control, 2), Ordering::Release);
    }

    pub(super) fn clear_unused(&self) {
        self.control.fetch_and(!UNUSED, Ordering::AcqRel);
    }

    /// Ends the secret: from now on nothing matches here.
    pub(super) fn kill(&self) {
        self.control.store(OCCUPIED | DEAD, Ordering::Release);
        for word in &self.digest {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// The content of a live line; only for who holds the shelf.
    pub(super) fn entry(&self) -> Option<Entry> {
        let control = self.control();
        if control & OCCUPIED == 0 || control & DEAD != 0 {
            return None;
        }
        let who = self.who.load(Ordering::Relaxed);
        Some(Entry {
            digest: self.digest(),
            control,
            owner: (who >> 32) as u32,
            grants: low_half(who),
            version: self.version(),
            used: self.used(),
            noted: self.extra.load(Ordering::Relaxed) & NOTED != 0,
            extra: self.extra(),
            spot: self.spot.load(Ordering::Relaxed),
        })
    }
}

/// A control word with the earlier end (or none) among its flags.
pub(super) fn with_time(flags: u64, end: Option<i64>) -> u64 {
    // Ends lie in 1970..=9999, which 48 bits hold; what lies outside came from tampered data and is cut to "ended".
    flags | end.map_or(TIME, |end| u64::try_from(end).unwrap_or(0).min(TIME - 1))
}

/// The end in a control word.
pub(super) fn time(control: u64) -> Option<i64> {
    match control & TIME {
        TIME => None,
        end => i64::try_from(end).ok(),
    }
}

/// Flags of both and the earlier time; a time that ends the secret only if that one is the earlier.
pub(super) fn stricter(one: u64, other: u64) -> u64 {
    let earlier = if one & TIME <= other & TIME { one } else { other };
    ((one | other) & FLAGS & !SECRET_ENDS) | (earlier & (TIME | SECRET_ENDS))
}

fn join(owner: u32, grants: u32) -> u64 {
    u64::from(owner) << 32 | u64::from(grants)
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low_half(who: u64) -> u32 {
    who as u32
}
