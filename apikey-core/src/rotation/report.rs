//! The report of a rotator's run.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::key_info::KeyInfo;
use crate::token::key_id::KeyId;

/// The result of [`run_due`](crate::rotation::rotator::Rotator::run_due). It serialises, and contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The keys that got a new secret, which may be delivered already or still pending.
    pub rotated: Vec<KeyId>,
    /// The keys whose new secret was delivered, and is now the current one.
    pub delivered: Vec<KeyId>,
    /// The deliveries that failed, and that the rotator will retry. They include deliveries whose secret somebody
    /// replaced meanwhile: then the sink has an invalid secret, until somebody hands it the current one, or the rotator
    /// the next one.
    pub failed: Vec<FailedDelivery>,
    /// The keys that are due, but whose state allows no rotation.
    pub skipped: Vec<SkippedRotation>,
    /// The warnings that the rotator emitted.
    pub warned: Vec<ExpiryWarning>,
    /// The keys whose superseded secret ended.
    pub overlaps_ended: Vec<KeyId>,
    /// The time at which the next key is due, as far as the rotator knows.
    pub next_due: Option<DateTime<Utc>>,
}

/// A delivery that failed. The old and the new secret stay valid, unless somebody replaced them meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedDelivery {
    /// The key.
    pub key: KeyId,
    /// The sink's error, with the secret redacted.
    pub reason: String,
    /// The time of the next attempt: one second after the first failure, and twice as long after each further one, up
    /// to 15 minutes. For a secret that was replaced, the time at which the key is due again.
    pub retry_at: DateTime<Utc>,
}

/// A key that a rotator has created ([`create`](crate::rotation::rotator::Rotator::create)), without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveredKey {
    /// The key.
    pub info: KeyInfo,
    /// The failed delivery of the first secret, which the rotator will retry; `None` if the sink has the secret.
    pub failed: Option<FailedDelivery>,
}

/// A rotation that is due, but not possible in the key's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkippedRotation {
    /// The key.
    pub key: KeyId,
    /// The obstacle: the key is revoked, disabled, expired or idle, or the overlap of its last rotation has not ended.
    pub reason: String,
}

/// A warning before a key ends: because it expires, or because nobody uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExpiryWarning {
    /// The key.
    pub key: KeyId,
    /// The key's tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The key's owner.
    pub owner: String,
    /// The key's name.
    pub name: Option<String>,
    /// The end of the key: that of [`NewKey::expires_at`](crate::NewKey::expires_at), or, if it comes before, the time at
    /// which the key is idle.
    pub expires_at: DateTime<Utc>,
    /// Whether a use of the key moves this end ([`NewKey::idle_after`](crate::NewKey::idle_after)).
    #[serde(default)]
    pub idle: bool,
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
