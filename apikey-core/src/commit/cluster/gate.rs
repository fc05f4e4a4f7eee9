//! The gate of a store in a cluster: it is open while the replica is known to be fresh. Every verification asks it
//! before it reads a key.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::base::boot_time::{BootClock, BootTime};
use crate::base::forked::FirstProcess;

/// The gate of a store. Outside a cluster it is always open.
///
/// It is a deadline that each verification compares with the clock, and no flag that a thread has to close in time: a
/// process that was stopped for an hour finds it closed in its first instruction. A verification that is paused after
/// the gate has begun before the pause, which is all that its promise speaks of.
#[derive(Debug)]
pub(crate) struct Gate {
    /// In the time of `clock`.
    deadline: AtomicU64,
    /// The wall clock must be within these, in milliseconds since 1970: a machine whose monotonic clock stood still
    /// while it slept has a wall clock that did not.
    wall_from: AtomicI64,
    wall_until: AtomicI64,
    clock: BootClock,
    /// A child that is forked off has nobody who applies what the others take away, and its parent acknowledges for both.
    process: Option<FirstProcess>,
}

/// The deadline of a store without a cluster.
const ALWAYS: u64 = u64::MAX;
const CLOSED: u64 = 0;

impl Gate {
    /// The gate of a store without a cluster.
    pub(crate) fn always_open() -> Self {
        Self::new(ALWAYS, BootClock::System, None)
    }

    /// The gate of a store in a cluster, which is closed at first.
    pub(crate) fn closed(clock: BootClock) -> Self {
        Self::new(CLOSED, clock, Some(FirstProcess::this()))
    }

    fn new(deadline: u64, clock: BootClock, process: Option<FirstProcess>) -> Self {
        Self {
            deadline: AtomicU64::new(deadline),
            wall_from: AtomicI64::new(i64::MIN),
            wall_until: AtomicI64::new(i64::MAX),
            clock,
            process,
        }
    }

    /// Whether a verification may begin. `wall` reads the wall clock.
    ///
    /// The load pairs with the store in [`open_until`](Self::open_until): who sees the deadline sees every change that
    /// was published before.
    #[inline]
    pub(crate) fn is_open(&self, wall: impl FnOnce() -> i64) -> bool {
        let deadline = self.deadline.load(Ordering::Acquire);
        deadline == ALWAYS || self.is_before(deadline, wall())
    }

    #[inline(never)]
    fn is_before(&self, deadline: u64, wall: i64) -> bool {
        self.clock.now().nanos() < deadline
            && self.process.as_ref().is_none_or(FirstProcess::is_this)
            && (self.wall_from.load(Ordering::Relaxed)..self.wall_until.load(Ordering::Relaxed)).contains(&wall)
    }

    /// Keeps the gate open until a time, unless the wall clock leaves this range before. Everything that is to be
    /// visible to a verification behind the gate has been published.
    pub(crate) fn open_until(&self, deadline: BootTime, wall: std::ops::Range<i64>) {
        self.wall_from.store(wall.start, Ordering::Relaxed);
        self.wall_until.store(wall.end, Ordering::Relaxed);
        self.deadline.store(deadline.nanos().min(ALWAYS - 1), Ordering::Release);
    }

    /// Closes the gate.
    pub(crate) fn close(&self) {
        self.deadline.store(CLOSED, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_store_without_a_cluster_reads_no_clock() {
        assert!(Gate::always_open().is_open(|| panic!("it read the clock")));
    }

    #[test]
    fn it_closes_by_itself_and_when_the_wall_clock_leaves_its_range() {
        let (clock, set) = BootClock::manual();
        let gate = Gate::closed(clock.clone());
        assert!(!gate.is_open(|| 0));
        let start = clock.now();
        gate.open_until(start.after(Duration::from_secs(30)), 1000..31_000);
        for (at, wall, open) in [(0, 1000, true), (29_999, 30_999, true), (30_000, 1000, false), (1, 31_000, false)] {
            set.set(start.after(Duration::from_millis(at)));
            assert_eq!(gate.is_open(|| wall), open, "{at} {wall}");
        }
        set.set(start);
        assert!(!gate.is_open(|| 999), "the wall clock was set back");
        gate.close();
        assert!(!gate.is_open(|| 1000));
    }
}
