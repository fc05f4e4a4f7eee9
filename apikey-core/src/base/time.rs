//! Times: milliseconds since 1970 UTC internally, `DateTime<Utc>` in the public interface.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use crate::base::invalid_field::InvalidField;

/// The last time a key may name: the end of the year 9999.
pub(crate) const LAST_MS: i64 = 253_402_300_799_999;

/// A source of the time for a store. [`ManualClock`] is one for tests; a closure that returns a `DateTime<Utc>` is one,
/// too.
pub trait Clock: Send + Sync {
    /// Returns the time now. It may stand still, and may be set back.
    fn now(&self) -> DateTime<Utc>;
}

impl<F: Fn() -> DateTime<Utc> + Send + Sync> Clock for F {
    fn now(&self) -> DateTime<Utc> {
        self()
    }
}

/// A clock that stands still until a test sets it. Clones show the same time.
///
/// ```
/// use apikey::{KeyStore, ManualClock, NewKey};
/// use chrono::{TimeDelta, Utc};
///
/// let clock = ManualClock::new(Utc::now());
/// let store = KeyStore::builder().clock(clock.clone()).temporary()?;
/// let created = store.create(NewKey::for_owner("alice").expires_in(TimeDelta::hours(1)))?;
/// assert!(store.verify(created.key.expose_secret()).is_ok());
/// clock.advance(TimeDelta::hours(1));
/// assert_eq!(store.verify(created.key.expose_secret()).unwrap_err().code(), "expired_api_key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Creates a clock that shows `now`, to the millisecond.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(now.timestamp_millis())))
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: DateTime<Utc>) {
        self.0.store(now.timestamp_millis(), Ordering::SeqCst);
    }

    /// Advances the clock, or sets it back by a negative span.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        from_ms(self.0.load(Ordering::SeqCst))
    }
}

/// The clock of a store: the system's, without an indirection, or the program's own.
#[derive(Clone, Default)]
pub(crate) enum TimeSource {
    #[default]
    System,
    Given(Arc<dyn Clock>),
}

impl TimeSource {
    /// The time of the clock, which may stand still and be set back: see
    /// [`StoreTime`](crate::base::store_time::StoreTime).
    #[inline]
    pub(crate) fn raw_ms(&self) -> i64 {
        match self {
            Self::System => system_ms(),
            Self::Given(clock) => clock.now().timestamp_millis(),
        }
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Given(_) => "Given",
        })
    }
}

/// Reads the coarse clock, which steps every few milliseconds and takes a fifth of the time of the exact one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn system_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn system_ms() -> i64 {
    Utc::now().timestamp_millis()
}

/// Converts a time. A time outside the range of `DateTime`, which only tampered data has, becomes the nearest end of
/// the range.
pub(crate) fn from_ms(ms: i64) -> DateTime<Utc> {
    let end = if ms < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp_millis(ms).unwrap_or(end)
}

/// Checks a time that a key names: 1970 to 9999.
pub(crate) fn checked_ms(field: &'static str, time: DateTime<Utc>) -> Result<i64, InvalidField> {
    let ms = time.timestamp_millis();
    if (0..=LAST_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(InvalidField::new(field, &time.to_string(), "times from 1970 to 9999"))
    }
}

/// Writes a span for people, in the largest unit that divides it: `90 days`, `1 hour`, `1500 milliseconds`.
#[must_use]
pub fn span_text(span: TimeDelta) -> String {
    let size = span.num_milliseconds();
    let units = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second"), (1, "millisecond")];
    let is_whole = |(length, _): &(i64, &str)| size % length == 0 && size != 0;
    let (length, unit) = units.into_iter().find(is_whole).unwrap_or((1000, "second"));
    let count = size / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Returns the earlier of two ends; `None` is no end.
pub(crate) fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The error for the end of a new key that is in the past.
pub(crate) fn has_come(field: &'static str, end: i64) -> InvalidField {
    let allowed = "times in the future; to end a key at once, revoke or disable it";
    InvalidField::new(field, &from_ms(end).to_string(), allowed)
}

/// Returns the time a positive span after `now`.
pub(crate) fn after(field: &'static str, now: i64, span: TimeDelta) -> Result<i64, InvalidField> {
    let refused = |allowed| InvalidField::new(field, &span_text(span), allowed);
    if span.num_milliseconds() <= 0 {
        return Err(refused("spans of one millisecond or more"));
    }
    now.checked_add(span.num_milliseconds())
        .filter(|end| (0..=LAST_MS).contains(end))
        .ok_or_else(|| refused("spans that end before the year 10000"))
}
