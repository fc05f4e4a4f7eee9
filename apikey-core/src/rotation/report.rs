//! What a run of a rotator did.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::token::key_id::KeyId;

/// What [`run_due`](crate::rotation::rotator::Rotator::run_due) did. It serialises, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// Keys that got a new secret, which waits for its delivery, or was delivered in this run.
    pub rotated: Vec<KeyId>,
    /// Keys whose new secret was delivered, and is the current one.
    pub delivered: Vec<KeyId>,
    /// Deliveries that failed. They are tried again. Also one whose secret was replaced while it was on its way: what the
    /// sink holds then is dead, until the current secret is handed to it, or the next one when the key is due again.
    pub failed: Vec<FailedDelivery>,
    /// Keys that are due and do not get a new secret as they stand.
    pub skipped: Vec<SkippedRotation>,
    /// Warnings that were told.
    pub warned: Vec<ExpiryWarning>,
    /// Keys whose superseded secret ended.
    pub overlaps_ended: Vec<KeyId>,
    /// When there is something to do again, as far as is known now.
    pub next_due: Option<DateTime<Utc>>,
}

/// A delivery that failed. The old secret stays valid, and so does the new one, unless somebody replaced them meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedDelivery {
    /// The key.
    pub key: KeyId,
    /// Why, in the sink's words; the secret is cut out of them.
    pub reason: String,
    /// When it is tried again: after a second at first, then after twice as long each time, up to a quarter of an hour.
    /// For a secret that was replaced: when the key is due again, and gets another one.
    pub retry_at: DateTime<Utc>,
}

/// A rotation that is due and not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkippedRotation {
    /// The key.
    pub key: KeyId,
    /// What is in its way: it is revoked, disabled or expired, or its last rotation has not ended.
    pub reason: String,
}

/// That a key will expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExpiryWarning {
    /// The key.
    pub key: KeyId,
    /// Whose it is.
    pub owner: String,
    /// What it is for.
    pub name: Option<String>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// The threshold that was passed, in seconds when it serialises.
    #[serde(serialize_with = "seconds", deserialize_with = "of_seconds")]
    pub before: TimeDelta,
}

fn seconds<S: Serializer>(span: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(span.num_seconds())
}

fn of_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
    let seconds = i64::deserialize(deserializer)?;
    TimeDelta::try_seconds(seconds).ok_or_else(|| serde::de::Error::custom("a span of seconds is expected"))
}
