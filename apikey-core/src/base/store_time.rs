//! The time of a store: that of its clock, but never earlier than its newest event.
//!
//! Setting the clock back must not make an expired key valid again. So the store's time has a floor: the time of the
//! newest event. Opening the store reads it, and every event raises it; so does, while the store is open, a clock that
//! has run evenly for some minutes (see [`crate::base::pace`]).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::base::clock_lead::ClockLead;
use crate::base::time::{TimeSource, from_ms};

/// How far a store may be ahead of its clock without a warning.
pub(crate) const MAX_LEAD_MS: i64 = 5 * 60_000;

/// The two times of a store, and the floor that distinguishes them.
///
/// - [`now_ms`](Self::now_ms), *store time*, is for the times of keys and events: ends, ages, whatever is stored.
/// - [`raw_ms`](Self::raw_ms), the *raw clock*, is for spans that begin and end in this process, such as limits and
///   budgets, and for times that an operator compares with a clock. If the floor is years ahead, store time does not
///   advance, and such a span would never end.
#[derive(Debug)]
pub(crate) struct StoreTime {
    source: TimeSource,
    floor: AtomicI64,
    /// The number of times that an operator has accepted a lower floor.
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

    /// Store time, which is never earlier than the newest event.
    #[inline]
    pub(crate) fn now_ms(&self) -> i64 {
        self.moment().now
    }

    /// The floor of store time: no later than now, even if the clock shows a time far ahead for a moment.
    pub(crate) fn floor_ms(&self) -> i64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// The raw clock, which can be set to any time.
    #[inline]
    pub(crate) fn raw_ms(&self) -> i64 {
        self.source.raw_ms()
    }

    /// Both times, from one reading of the clock.
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

    /// Raises the floor. The caller is the one writer.
    pub(crate) fn raise(&self, at: i64) {
        // Most changes find the floor at their time already; a cache line that is not written stays in every reader's
        // cache.
        if self.floor() < at {
            self.floor.store(at, Ordering::Relaxed);
        }
    }

    /// Sets the floor that an operator has accepted. The caller is the one writer.
    pub(crate) fn accept(&self, floor: i64) {
        self.floor.store(floor, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Release);
    }

    /// The time of work that begins now.
    pub(crate) fn working(&self, now: i64) -> Working {
        Working { now, accepted: self.accepted.load(Ordering::Acquire) }
    }

    /// Whether the time still holds: no operator has accepted another floor since the work began.
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
