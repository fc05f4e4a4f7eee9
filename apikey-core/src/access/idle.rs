//! The end of a key that nobody uses.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::base::invalid_field::InvalidField;
use crate::base::time::span_text;

/// The bounds of the time for which nobody may use a key. Times of use are written back in steps of half a minute, which
/// the shortest time must exceed by far.
const MIN_AFTER: TimeDelta = TimeDelta::hours(1);
const MAX_AFTER: TimeDelta = TimeDelta::days(366);

/// The idle end of a key as its record has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredIdle {
    pub(crate) after_ms: i64,
    /// From when on the time counts, at the earliest: from the creation of the key, or from when an operator has set the
    /// time or enabled the key. In a cluster a node that sees uses moves it.
    pub(crate) since: i64,
}

/// The idle end of a key as a verification knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdleEnd {
    /// When the key ends without any other use.
    pub(crate) at: i64,
    /// How long after a use the key ends.
    pub(crate) after_ms: i64,
}

/// Checks the time for which nobody may use a key.
pub(crate) fn checked(after: TimeDelta) -> Result<i64, InvalidField> {
    if (MIN_AFTER..=MAX_AFTER).contains(&after) {
        return Ok(after.num_milliseconds());
    }
    Err(InvalidField::new("idle_after", &span_text(after), "spans of 1 hour to 366 days"))
}

/// Returns the span of an idle end. One that only tampered data has becomes the longest there is.
pub(crate) fn span(after_ms: i64) -> TimeDelta {
    TimeDelta::try_milliseconds(after_ms).unwrap_or(TimeDelta::MAX)
}

impl StoredIdle {
    /// The same without the time before now.
    pub(crate) fn begun_anew(self, now: i64) -> Self {
        Self { since: self.since.max(now), ..self }
    }

    /// A quarter of the time. In a cluster uses move the begin in such steps, so that few of them are changes.
    pub(crate) fn step(self) -> i64 {
        self.after_ms / 4
    }

    /// When the key ends, if it is not valid before `not_before`, and its last known use was at `used`. A node of a
    /// cluster does not know all uses, so it waits for a [step](Self::step) more.
    pub(crate) fn end(self, not_before: Option<i64>, used: Option<i64>, is_shared: bool) -> IdleEnd {
        let begin = not_before.map_or(self.since, |start| self.since.max(start));
        let step = if is_shared { self.step() } else { 0 };
        let unused = begin.saturating_add(self.after_ms).saturating_add(step);
        let end = IdleEnd { at: unused, after_ms: self.after_ms };
        IdleEnd { at: end.with_use(used), ..end }
    }

    /// Returns one with which a key ends no later than with either.
    pub(crate) fn meet(self, other: Self) -> Self {
        let ends = |one: Self| one.end(None, None, false).at;
        let after_ms = self.after_ms.min(other.after_ms);
        Self { after_ms, since: ends(self).min(ends(other)).saturating_sub(after_ms) }
    }
}

impl IdleEnd {
    /// When the key ends if its last use was at this time.
    #[inline]
    pub(crate) fn with_use(self, used: Option<i64>) -> i64 {
        used.map_or(self.at, |used| self.at.max(used.saturating_add(self.after_ms)))
    }

    /// Returns one with which a key ends no later than with either; `None` is no end.
    pub(crate) fn meet_of(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => {
                Some(Self { at: one.at.min(other.at), after_ms: one.after_ms.min(other.after_ms) })
            }
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_an_hour_to_366_days() {
        for after in [MIN_AFTER, MAX_AFTER] {
            assert_eq!(checked(after).unwrap(), after.num_milliseconds());
        }
        let millisecond = TimeDelta::milliseconds(1);
        for (after, value) in [
            (MIN_AFTER - millisecond, "3599999 milliseconds"),
            (MAX_AFTER + millisecond, "31622400001 milliseconds"),
            (TimeDelta::zero(), "0 seconds"),
            (-MIN_AFTER, "-1 hours"),
            (TimeDelta::MAX, "9223372036854775807 milliseconds"),
            (TimeDelta::MIN, "-9223372036854775807 milliseconds"),
        ] {
            let error = checked(after).unwrap_err().to_string();
            let expected = format!("invalid idle_after \"{value}\": allowed are spans of 1 hour to 366 days");
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn the_end_follows_the_latest_of_begin_and_use() {
        let idle = StoredIdle { after_ms: 100, since: 1000 };
        for (not_before, used, is_shared, end) in [
            (None, None, false, 1100),
            (None, Some(900), false, 1100),
            (None, Some(1050), false, 1150),
            (Some(1020), Some(1010), false, 1120),
            (Some(900), None, false, 1100),
            (None, None, true, 1125),
            (None, Some(1020), true, 1125),
            (None, Some(1050), true, 1150),
        ] {
            let found = idle.end(not_before, used, is_shared);
            assert_eq!(found, IdleEnd { at: end, after_ms: 100 }, "{not_before:?} {used:?} {is_shared}");
        }
        assert_eq!(idle.end(None, None, false).with_use(Some(5000)), 5100);
        let tampered = StoredIdle { after_ms: i64::MAX, since: i64::MAX };
        assert_eq!(tampered.end(Some(5), Some(i64::MAX), true).with_use(Some(i64::MAX)), i64::MAX);
    }

    #[test]
    fn a_meet_ends_no_later_than_either() {
        let (long, short) = (StoredIdle { after_ms: 100, since: 0 }, StoredIdle { after_ms: 10, since: 50 });
        for (one, other) in [(long, short), (short, long), (long, long)] {
            let met = one.meet(other);
            for used in [None, Some(0), Some(45), Some(70)] {
                let ends = |one: StoredIdle| one.end(None, used, false).at;
                assert!(ends(met) <= ends(one).min(ends(other)), "{one:?} {other:?} {used:?}");
            }
        }
        assert_eq!(long.meet(short), short);
        assert_eq!(long.meet(long), long);
    }

    #[test]
    fn a_begin_never_moves_back() {
        let idle = StoredIdle { after_ms: 100, since: 1000 };
        assert_eq!(idle.begun_anew(2000).since, 2000);
        assert_eq!(idle.begun_anew(500), idle);
    }
}
