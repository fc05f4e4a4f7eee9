//! Rate limits: how many requests of a key pass in a period.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::base::invalid_field::InvalidField;
use crate::base::time::span_text;

/// The most requests that a limit may name.
pub(crate) const MAX_COUNT: u32 = 1_000_000;
/// The longest period, in milliseconds: 366 days.
pub(crate) const MAX_PER_MS: u64 = 366 * 86_400_000;
/// What a limit may be.
const ALLOWED: &str = "1 to 1,000,000 requests per 1 millisecond to 366 days";
const ALLOWED_COUNT: &str = "1 to 1,000,000 requests";
const ALLOWED_PER: &str = "spans of 1 millisecond to 366 days";
/// Bits of a packed limit below the count.
const PER_BITS: u32 = 40;

/// A rate limit: `count` requests at once, and as many more, evenly spread, in each period.
///
/// A key with `limit(100, TimeDelta::minutes(1))` may send 100 requests at once, and regains one every 600 ms, up to
/// 100. So the store lets through at most 100 requests in an instant, and at most 200 in any one minute.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "LimitLine", try_from = "LimitLine")]
// The count is in the bits above the period. One word does not enlarge an error that carries it.
pub struct Limit(NonZeroU64);

/// A limit as JSON has it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LimitLine {
    count: u32,
    per_ms: i64,
}

/// A limit as a record holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLimit {
    pub(crate) count: u32,
    pub(crate) per_ms: i64,
}

impl Limit {
    /// Creates a limit from a count and a period within bounds, or from a count of 0.
    fn new(count: u32, per_ms: u64) -> Self {
        let word = u64::from(count) << PER_BITS | per_ms;
        Self(NonZeroU64::new(word).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) fn checked(count: u32, per: TimeDelta) -> Result<Self, InvalidField> {
        let stored = StoredLimit { count, per_ms: per.num_milliseconds() };
        if !(1..=MAX_COUNT).contains(&count) {
            return Err(InvalidField::new("limit.count", &count.to_string(), ALLOWED_COUNT));
        }
        Self::in_bounds(&stored).ok_or_else(|| InvalidField::new("limit.per", &span_text(per), ALLOWED_PER))
    }

    pub(crate) fn read(line: LimitLine) -> Result<Self, InvalidField> {
        let LimitLine { count, per_ms } = line;
        let fault = || InvalidField::new("limit", &format!("{count} per {per_ms} ms"), ALLOWED);
        Self::in_bounds(&StoredLimit { count, per_ms }).ok_or_else(fault)
    }

    /// Reads the limit of a record. A limit that is out of bounds came from tampered data, and lets no request through.
    pub(crate) fn stored(limit: &StoredLimit) -> Self {
        Self::in_bounds(limit).unwrap_or_else(|| Self::new(0, MAX_PER_MS))
    }

    fn in_bounds(limit: &StoredLimit) -> Option<Self> {
        let per_ms = u64::try_from(limit.per_ms).ok()?;
        let fits = (1..=MAX_COUNT).contains(&limit.count) && (1..=MAX_PER_MS).contains(&per_ms);
        fits.then(|| Self::new(limit.count, per_ms))
    }

    pub(crate) fn to_stored(self) -> StoredLimit {
        StoredLimit { count: self.count(), per_ms: i64::try_from(self.per_ms()).unwrap_or(i64::MAX) }
    }

    /// Returns the number of requests, at once or in a period.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.get() >> PER_BITS).unwrap_or(0)
    }

    /// Returns the period, in whole milliseconds.
    #[must_use]
    pub fn per(&self) -> TimeDelta {
        TimeDelta::milliseconds(i64::try_from(self.per_ms()).unwrap_or(0))
    }

    fn per_ms(self) -> u64 {
        self.0.get() & ((1 << PER_BITS) - 1)
    }

    /// Packs the limit into one word, which is never 0.
    pub(crate) fn packed(self) -> u64 {
        self.0.get()
    }

    /// Reads the limit of a packed word; `None` for 0.
    #[inline]
    pub(crate) fn unpacked(word: u64) -> Option<Self> {
        NonZeroU64::new(word).map(Self)
    }

    /// Nanoseconds from one request to the next, rounded up: a limit never lets through more than it says.
    #[inline]
    pub(crate) fn step_ns(self) -> u64 {
        // A limit of no requests never reaches the next one.
        if self.count() == 0 { u64::MAX } else { (self.per_ms() * 1_000_000).div_ceil(self.count().into()) }
    }

    /// Returns a limit that lets through no more than either, at once or over time.
    ///
    /// The period is rounded up to a whole millisecond, so several meets in another order can differ by a few
    /// milliseconds.
    pub(crate) fn meet(self, other: Self) -> Self {
        let count = self.count().min(other.count());
        // The period in which the smaller count is no faster than either limit; at most the longer of the two.
        let stretched = |one: Self| {
            let scaled = u128::from(count) * u128::from(one.per_ms());
            u64::try_from(scaled.div_ceil(one.count().max(1).into())).unwrap_or(MAX_PER_MS)
        };
        Self::new(count, stretched(self).max(stretched(other)).max(1))
    }

    /// The same, if either limit may be missing.
    pub(crate) fn meet_of(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.meet(other)),
            (one, other) => one.or(other),
        }
    }
}

impl TryFrom<LimitLine> for Limit {
    type Error = InvalidField;

    fn try_from(line: LimitLine) -> Result<Self, InvalidField> {
        Self::read(line)
    }
}

impl From<Limit> for LimitLine {
    fn from(limit: Limit) -> Self {
        let StoredLimit { count, per_ms } = limit.to_stored();
        Self { count, per_ms }
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("count", &self.count()).field("per_ms", &self.per_ms()).finish()
    }
}

/// What a key has left of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitStatus {
    pub(crate) limit: Limit,
    pub(crate) remaining: u32,
    pub(crate) next: Duration,
}

/// The names and values of the fields `RateLimit-Policy` and `RateLimit`.
pub(crate) type RateLimitFields = [(&'static str, String); 2];

impl LimitStatus {
    /// Returns the limit.
    #[must_use]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns the number of requests that the store would let through now.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns the time until the key regains one request; zero if it has all of them.
    #[must_use]
    pub fn next(&self) -> Duration {
        self.next
    }

    /// Returns the names and values of the header fields `RateLimit-Policy` and `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers-11). The policy has no window if the period is not a whole number of
    /// seconds: the draft has no finer unit.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, String); 2] {
        let (count, per_ms) = (self.limit.count(), self.limit.per_ms());
        let window = if per_ms % 1000 == 0 { format!(";w={}", per_ms / 1000) } else { String::new() };
        let policy = format!("\"key\";q={count}{window}");
        let now = format!("\"key\";r={};t={}", self.remaining, whole_seconds(self.next));
        [("RateLimit-Policy", policy), ("RateLimit", now)]
    }
}

/// The fields of a limit and of a quota, as one list each.
pub(crate) fn joined(limit: Option<RateLimitFields>, quota: Option<RateLimitFields>) -> Option<RateLimitFields> {
    match (limit, quota) {
        (Some([(policy, of_limit), (now, left)]), Some([(_, of_quota), (_, left_of_quota)])) => {
            Some([(policy, format!("{of_limit}, {of_quota}")), (now, format!("{left}, {left_of_quota}"))])
        }
        (limit, quota) => limit.or(quota),
    }
}

/// Rounds up to whole seconds, at least one, so that a caller that waits for this time does not return too early.
pub(crate) fn whole_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits() -> impl Strategy<Value = Limit> {
        (1..=MAX_COUNT, 1..=MAX_PER_MS).prop_map(|(count, per_ms)| Limit::new(count, per_ms))
    }

    proptest! {
        #[test]
        fn a_packed_limit_is_the_same(limit in limits()) {
            prop_assert_eq!(Limit::unpacked(limit.packed()), Some(limit));
        }

        #[test]
        fn what_two_limits_share_is_no_more_than_either(one in limits(), other in limits()) {
            let met = one.meet(other);
            prop_assert_eq!(met, other.meet(one));
            prop_assert_eq!(one.meet(one), one);
            for wide in [one, other] {
                prop_assert!(met.count() <= wide.count() && met.per_ms() <= MAX_PER_MS);
                // The rate, compared without division.
                let rate = |one: Limit, by: Limit| u128::from(one.count()) * u128::from(by.per_ms());
                prop_assert!(rate(met, wide) <= rate(wide, met));
            }
        }

        #[test]
        fn steps_fill_the_period(limit in limits()) {
            let filled = limit.step_ns() * u64::from(limit.count());
            let period = limit.per_ms() * 1_000_000;
            prop_assert!(filled >= period && filled - period < u64::from(limit.count()));
        }
    }

    #[test]
    fn out_of_bounds() {
        assert!(Limit::checked(0, TimeDelta::seconds(1)).is_err());
        assert!(Limit::checked(MAX_COUNT + 1, TimeDelta::seconds(1)).is_err());
        assert!(Limit::checked(1, TimeDelta::zero()).is_err());
        assert!(Limit::checked(1, TimeDelta::days(-1)).is_err());
        assert!(Limit::checked(1, TimeDelta::days(367)).is_err());
        assert!(Limit::checked(MAX_COUNT, TimeDelta::days(366)).is_ok());
        for (count, per_ms) in [(0, 1), (1, 0), (1, -1), (u32::MAX, i64::MAX)] {
            assert_eq!(Limit::stored(&StoredLimit { count, per_ms }).count(), 0, "nothing passes");
        }
    }

    #[test]
    fn fields_of_the_draft() {
        let status = |per_ms, next| LimitStatus { limit: Limit::new(10, per_ms), remaining: 3, next };
        let values = |status: LimitStatus| status.fields().map(|(_, value)| value);
        let half = Duration::from_millis(1500);
        assert_eq!(values(status(60_000, half)), ["\"key\";q=10;w=60", "\"key\";r=3;t=2"]);
        assert_eq!(values(status(1500, Duration::ZERO)), ["\"key\";q=10", "\"key\";r=3;t=1"]);
    }
}
