//! A limiter counts what a key has used of its limit: the generic cell rate algorithm, in two words and without a lock.
//!
//! The crate `governor` computes the same, but does not fit: the quota of a limiter is fixed, so a changed limit would
//! begin full; it rounds the time between requests down, and so lets more through than the limit says; and setting the
//! clock back by some time locks a key out for as long. Here the limit is one word of the limiter, which belongs to the
//! key for its life.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::access::limit::{Limit, LimitStatus};

/// The limiter of one key, in a cache line of its own, so that keys in simultaneous use do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Limiter {
    /// The limit, packed; 0 for none.
    limit: AtomicU64,
    /// The time at which the limit is full again, in nanoseconds since 1970. The less is left, the later it is.
    full_at: AtomicU64,
}

impl Limiter {
    /// Resets the limiter, for another key.
    pub(super) fn reset(&self) {
        self.full_at.store(0, Ordering::Relaxed);
    }

    /// Sets or removes the limit. Requests that were counted still count.
    pub(super) fn set(&self, limit: Option<Limit>) {
        self.limit.store(limit.map_or(0, Limit::packed), Ordering::Relaxed);
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        Limit::unpacked(self.limit.load(Ordering::Relaxed))
    }

    /// Counts a request at `now`, in milliseconds.
    ///
    /// # Errors
    /// The limit is used up, and the request does not count: returns the time until the next one may pass.
    pub(super) fn admit(&self, now: i64) -> Result<(), (Limit, Duration)> {
        let Some(limit) = self.limit() else { return Ok(()) };
        let mut held = self.full_at.load(Ordering::Relaxed);
        loop {
            let State { step, full_at, latest } = State::new(limit, held, now);
            let next = full_at.saturating_add(step);
            // They are equal only if the sum does not fit: then nothing passes.
            if next > latest || next == u64::MAX {
                if held > latest {
                    // A time that far ahead must not stay until the clock reaches it. A faster thread has done the
                    // same.
                    let _ = self.full_at.compare_exchange(held, latest, Ordering::Relaxed, Ordering::Relaxed);
                }
                return Err((limit, Duration::from_nanos(next - latest)));
            }
            match self.full_at.compare_exchange_weak(held, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => held = other,
            }
        }
    }

    /// Returns what is left at `now`, without counting a request.
    pub(super) fn status(&self, now: i64) -> Option<LimitStatus> {
        let limit = self.limit()?;
        let State { step, full_at, latest } = State::new(limit, self.full_at.load(Ordering::Relaxed), now);
        let left = latest - full_at;
        let used = full_at > ns(now);
        Some(LimitStatus {
            limit,
            remaining: u32::try_from(left / step).unwrap_or(u32::MAX).min(limit.count()),
            next: if used { Duration::from_nanos(step - left % step) } else { Duration::ZERO },
        })
    }
}

struct State {
    step: u64,
    full_at: u64,
    /// The latest that `full_at` may become.
    latest: u64,
}

impl State {
    fn new(limit: Limit, held: u64, now: i64) -> Self {
        let (step, now) = (limit.step_ns(), ns(now));
        let latest = now.saturating_add(step.saturating_mul(limit.count().into()));
        // After the clock was set back, or the limit lowered, at most all of the limit is used up.
        Self { step, full_at: held.clamp(now, latest), latest }
    }
}

fn ns(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::limit::StoredLimit;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    const NOW: i64 = 1_900_000_000_000;

    fn limiter(count: u32, per_ms: i64) -> Limiter {
        let limiter = Limiter::default();
        limiter.set(Some(Limit::checked(count, TimeDelta::milliseconds(per_ms)).unwrap()));
        limiter
    }

    /// The number of requests, of a hundred, that pass at once.
    fn burst(limiter: &Limiter, now: i64) -> u32 {
        (0..100).map(|_| u32::from(limiter.admit(now).is_ok())).sum()
    }

    proptest! {
        /// The model is a list of the times at which requests passed: no stretch has more of them than the limit and
        /// what it regains meanwhile, and the limiter rejects no request that this allows.
        #[test]
        fn it_is_the_model(count in 1u32..20, per_ms in 1i64..5000, waits in proptest::collection::vec(0i64..700, 1..200)) {
            let limiter = limiter(count, per_ms);
            let step = limiter.limit().unwrap().step_ns();
            let mut passed: Vec<u64> = Vec::new();
            let mut now = NOW;
            for wait in waits {
                now += wait;
                let mut after = passed.clone();
                after.push(ns(now));
                // From each request that passed to this one.
                let fits = (0..after.len()).all(|first| {
                    let many = (after.len() - first) as u64;
                    many <= u64::from(count) + (ns(now) - after[first]) / step
                });
                let before = limiter.status(now).unwrap();
                let answer = limiter.admit(now);
                prop_assert_eq!(answer.is_ok(), fits, "at {} of {:?}", now - NOW, passed);
                prop_assert_eq!(answer.is_ok(), before.remaining() > 0);
                match answer {
                    Ok(()) => {
                        passed = after;
                        prop_assert_eq!(limiter.status(now).unwrap().remaining(), before.remaining() - 1);
                    }
                    Err((_, wait)) => prop_assert!(wait <= Duration::from_nanos(step) && wait == before.next()),
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let limiter = limiter(10, 1000);
        assert_eq!(burst(&limiter, NOW), 10);
        let hour = 3_600_000;
        assert_eq!(burst(&limiter, NOW - hour), 0);
        assert_eq!(burst(&limiter, NOW - hour + 100), 1);
        assert_eq!(burst(&limiter, NOW - hour + 1100), 10);
        assert_eq!(burst(&limiter, NOW + hour), 10, "set on, it is full");
    }

    #[test]
    fn another_limit_keeps_what_was_used() {
        let limiter = limiter(10, 1000);
        assert_eq!(burst(&limiter, NOW), 10);
        limiter.set(Some(Limit::checked(5, TimeDelta::seconds(10)).unwrap()));
        assert_eq!(limiter.status(NOW).unwrap().remaining(), 4, "a second is used of ten");
        limiter.set(Some(Limit::checked(2, TimeDelta::milliseconds(500)).unwrap()));
        assert_eq!(burst(&limiter, NOW), 0);
        assert_eq!(burst(&limiter, NOW + 250), 1);
        limiter.set(None);
        assert_eq!((burst(&limiter, NOW), limiter.status(NOW)), (100, None));
    }

    #[test]
    fn nonsense_lets_nothing_pass() {
        let limiter = Limiter::default();
        limiter.set(Some(Limit::stored(&StoredLimit { count: 0, per_ms: 0 })));
        assert_eq!(burst(&limiter, NOW), 0);
        assert_eq!(limiter.status(NOW).unwrap().remaining(), 0);
        let limiter = self::limiter(10, 1000);
        for now in [i64::MAX, crate::base::time::LAST_MS] {
            assert_eq!(burst(&limiter, now), 0, "after 2554");
            assert!(limiter.status(now).is_some());
        }
        assert!(limiter.admit(i64::MIN).is_ok(), "before 1970 is 1970");
    }
}
