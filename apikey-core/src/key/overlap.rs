//! The time after a rotation in which the old secret is still valid.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::key::builder_json::span_ms;

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
