//! The report of a rotator's run.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::token::key_id::KeyId;

/// The result of [`run_due`](crate::rotation::rotator::Rotator::run_due). It serialises, and contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// Keys that got a new secret, whether it is delivered already or still pending.
    pub rotated: Vec<KeyId>,
    /// Keys whose new secret was delivered, and is the current one now.
    pub delivered: Vec<KeyId>,
    /// Deliveries that failed, and that the rotator tries again. Also deliveries whose secret somebody replaced meanwhile:
    /// the sink holds an invalid secret then, until it gets the current one by hand, or the next one from the rotator.
    pub failed: Vec<FailedDelivery>,
    /// Keys that are due, but whose state allows no rotation.
    pub skipped: Vec<SkippedRotation>,
    /// Warnings that the rotator emitted.
    pub warned: Vec<ExpiryWarning>,
    /// Keys whose superseded secret ended.
    pub overlaps_ended: Vec<KeyId>,
    /// The time at which the next key is due, as far as is known now.
    pub next_due: Option<DateTime<Utc>>,
}

/// A delivery that failed. Old and new secret stay valid, unless somebody has replaced them meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedDelivery {
    /// The key.
    pub key: KeyId,
    /// The sink's error, with the secret redacted.
    pub reason: String,
    /// The time of the next attempt: after one second at first, then after twice as long each time, up to 15 minutes. For
    /// a secret that was replaced, the time at which the key is due again.
    pub retry_at: DateTime<Utc>,
}

/// A rotation that is due, but that the key's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkippedRotation {
    /// The key.
    pub key: KeyId,
    /// The obstacle: the key is revoked, disabled or expired, or the overlap of its last rotation has not ended.
    pub reason: String,
}

/// A warning before a key expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExpiryWarning {
    /// The key.
    pub key: KeyId,
    /// The key's owner.
    pub owner: String,
    /// The key's name.
    pub name: Option<String>,
    /// The end of the key.
    pub expires_at: DateTime<Utc>,
    /// The threshold that has passed; serialised as seconds.
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
