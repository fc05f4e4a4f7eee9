//! What a key has left of its quota.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::limit::whole_seconds;
use crate::access::quota::{Quota, QuotaPeriod};

/// How long a caller should wait while the store reserves the next block of a quota.
pub(crate) const WAIT: Duration = Duration::from_secs(1);

/// What a key has left of its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaStatus {
    pub(crate) quota: Quota,
    pub(crate) used: u64,
    pub(crate) resets_at: Option<DateTime<Utc>>,
    /// Whether a request must wait until the store has reserved more, which takes it a moment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) waits: bool,
}

impl QuotaStatus {
    /// Returns the quota.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns the uses of this period.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Returns the uses that are left in this period.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.quota.count().saturating_sub(self.used)
    }

    /// Returns the end of this period, at which all uses are there again; `None` for a quota in all.
    #[must_use]
    pub fn resets_at(&self) -> Option<DateTime<Utc>> {
        self.resets_at
    }

    /// The text of a refusal.
    pub(crate) fn refusal(&self) -> String {
        match self.waits {
            true => format!("The next uses of the API key's quota of {} are being reserved", self.quota),
            false => format!("API key has used its quota of {}", self.quota),
        }
    }

    /// When a refused request may have uses again, if that is known to the second.
    pub(crate) fn again_at(&self) -> Option<DateTime<Utc>> {
        self.resets_at.filter(|_| !self.waits)
    }

    /// Returns the names and values of the header fields `RateLimit-Policy` and `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers-11) at a time, as members of their lists. A month is of 31 days there, and a
    /// quota in all has no window and no reset.
    #[must_use]
    pub fn fields(&self, now: DateTime<Utc>) -> [(&'static str, String); 2] {
        let window = match self.quota.period() {
            QuotaPeriod::Day => ";w=86400",
            QuotaPeriod::Month => ";w=2678400",
            QuotaPeriod::Total => "",
        };
        let (remaining, left) = match self.waits {
            true => (0, Some(WAIT)),
            false => (self.remaining(), self.resets_at.map(|end| (end - now).to_std().unwrap_or_default())),
        };
        let reset = left.map(|left| format!(";t={}", whole_seconds(left))).unwrap_or_default();
        let policy = format!("\"quota\";q={}{window}", self.quota.count());
        let left = format!("\"quota\";r={remaining}{reset}");
        [("RateLimit-Policy", policy), ("RateLimit", left)]
    }
}
