//! The lead of a store's time over its clock, and its correction.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The lead of a store's time of more than five minutes over its clock: the newest event is later, or somebody set the
/// clock back after it had run evenly for five minutes. `Display` says what to do.
///
/// Until an operator corrects one of the two, the store's time does not advance, and the store refuses keys that end
/// before it. See [`KeyStore::accept_clock`](crate::KeyStore::accept_clock).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClockLead {
    /// The store's time.
    pub store_time: DateTime<Utc>,
    /// The time of the clock.
    pub clock: DateTime<Utc>,
}

impl fmt::Display for ClockLead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store_time, clock } = self;
        write!(
            f,
            "the store's time is {}, and the clock shows {}: keys that end before the first are refused. If the \
             clock is wrong, set it; if it was wrong before, as when the newest event was written, accept it as it is now, \
             with `apikey clock accept` or KeyStore::accept_clock",
            store_time.format(SECONDS),
            clock.format(SECONDS)
        )
    }
}

const SECONDS: &str = "%Y-%m-%dT%H:%M:%SZ";

/// The result of [`KeyStore::accept_clock`](crate::KeyStore::accept_clock).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AcceptedClock {
    /// The store's time before.
    pub from: DateTime<Utc>,
    /// The store's time from now on: that of its clock.
    pub to: DateTime<Utc>,
}
