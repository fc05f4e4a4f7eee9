//! Times and spans.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};

/// The time at which every test with a clock begins, a whole second.
pub fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2031, 5, 4, 12, 0, 0).unwrap()
}

/// A span of so many milliseconds.
pub fn ms(count: i64) -> TimeDelta {
    TimeDelta::milliseconds(count)
}

/// A span of so many hours.
pub fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}
