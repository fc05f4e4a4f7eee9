//! The time after a rotation in which the old secret is still valid.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::base::time::from_ms;
use crate::key::builder_json::span_ms;
use crate::key::record::SecretEnd;

/// How long the old secret stays valid when a key is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Not at all: every older secret ends at once, as after a leak.
    None,
    /// For this time; one millisecond at least.
    #[serde(rename = "for_ms", with = "span_ms")]
    For(TimeDelta),
    /// Until the new secret is first verified.
    UntilFirstUse,
}

/// When the older secret of a key that is being rotated ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapEnd {
    /// At this time.
    At(DateTime<Utc>),
    /// When the new secret is first used.
    FirstUse,
}

impl OverlapEnd {
    pub(crate) fn of(end: SecretEnd) -> Option<Self> {
        match end {
            SecretEnd::At(end) => Some(Self::At(from_ms(end))),
            SecretEnd::FirstUse => Some(Self::FirstUse),
            SecretEnd::Never | SecretEnd::Pending { .. } => None,
        }
    }
}
