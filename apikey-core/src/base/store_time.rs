//! The time that a store goes by: that of its clock, and never earlier than its newest event.
//!
//! A clock that is set back must not make a key good again whose end has come. History says how far time has come: it is
//! the floor below which the store's time does not go, read when the store is opened and moved on by every event; and, for
//! as long as the store is open, by a clock that has run evenly for some minutes (see [`crate::base::pace`]).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::base::clock_lead::ClockLead;
use crate::base::time::{TimeSource, from_ms};

/// How far a store may be ahead of its clock before that is worth a warning.
pub(crate) const MAX_LEAD_MS: i64 = 5 * 60_000;

/// A store's two readings of the time, and the floor that tells them apart.
///
/// - [`now_ms`](Self::now_ms), *store time*, is for what a key or an event says: ends, ages, what is written down.
/// - [`raw_ms`](Self::raw_ms), the *raw clock*, is for spans that begin and end in this process, such as limits and budgets,
///   and for what an operator compares with a clock. Behind a floor that is years ahead store time stands still, and such a
///   span would never end.
#[derive(Debug)]
pub(crate) struct StoreTime {
    source: TimeSource,
    floor: AtomicI64,
    /// How many times an operator has accepted a lower floor.
    accepted: AtomicU64,
}

/// One reading of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Store time.
    pub(crate) now: i64,
    /// The raw clock.
    pub(crate) raw: i64,
}

/// The time of a piece of work that takes a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Working {
    pub(crate) now: i64,
    accepted: u64,
}

impl StoreTime {
    /// The time of a store whose newest event is of this time.
    pub(crate) fn new(source: TimeSource, floor: i64) -> Self {
        Self { source, floor: AtomicI64::new(floor), accepted: AtomicU64::new(0) }
    }

    /// Store time: it never goes behind the newest event.
    #[inline]
    pub(crate) fn now_ms(&self) -> i64 {
        self.moment().now
    }

    /// The raw clock: it goes wherever it is set.
    #[inline]
    pub(crate) fn raw_ms(&self) -> i64 {
        self.source.raw_ms()
    }

    /// Both, of the same reading.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        let raw = self.raw_ms();
        Moment { now: raw.max(self.floor()), raw }
    }

    /// The earliest that store time can be.
    #[inline]
    pub(crate) fn floor(&self) -> i64 {
        // A thread that must see a later floor has waited for the change that moved it.
        self.floor.load(Ordering::Relaxed)
    }

    /// Moves the floor on. The caller is the one writer.
    pub(crate) fn raise(&self, at: i64) {
        // Most changes find the floor at their time already; a cache line that is not written stays in every reader's cache.
        if self.floor() < at {
            self.floor.store(at, Ordering::Relaxed);
        }
    }

    /// Puts the floor where an operator has accepted it. The caller is the one writer.
    pub(crate) fn accept(&self, floor: i64) {
        self.floor.store(floor, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Release);
    }

    /// The time of work that begins now.
    pub(crate) fn working(&self, now: i64) -> Working {
        Working { now, accepted: self.accepted.load(Ordering::Acquire) }
    }

    /// Whether no operator has accepted another floor since the work began.
    pub(crate) fn holds(&self, at: Working) -> bool {
        self.accepted.load(Ordering::Acquire) == at.accepted
    }

    /// The time of a piece of work; store time if an operator has accepted another floor since. The caller is the one
    /// writer.
    pub(crate) fn of(&self, at: Working) -> i64 {
        if self.holds(at) { at.now } else { self.now_ms() }
    }

    /// How far the floor is ahead of the raw clock, if that is worth a warning.
    pub(crate) fn lead(&self) -> Option<ClockLead> {
        let (floor, raw) = (self.floor(), self.raw_ms());
        let ahead = floor.saturating_sub(raw) > MAX_LEAD_MS;
        ahead.then(|| ClockLead { store_time: from_ms(floor), clock: from_ms(raw) })
    }

    /// Whether the program supplied the clock, which a test may set.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self.source, TimeSource::Given(_))
    }
}
