//! Times of sessions and codes.

use std::time::{Duration, Instant};

use apikey_core::KeyStore;
use chrono::{DateTime, TimeDelta, Utc};

/// A time by the store's clock, and by one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: DateTime<Utc>,
    instant: Instant,
}

impl Moment {
    pub(super) fn now(store: &KeyStore) -> Self {
        Self { at: store.now(), instant: Instant::now() }
    }

    /// The time since an earlier moment: the longer by either clock, so that a clock that is set back prolongs nothing, and one
    /// that stands still while the machine sleeps neither.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let by_store = (self.at - earlier.at).to_std().unwrap_or_default();
        by_store.max(self.instant.saturating_duration_since(earlier.instant))
    }

    /// The store's time so long after this one.
    pub(super) fn after(self, span: Duration) -> DateTime<Utc> {
        TimeDelta::from_std(span).ok().and_then(|span| self.at.checked_add_signed(span)).unwrap_or(self.at)
    }
}
