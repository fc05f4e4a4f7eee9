//! The policy of automatic rotation.

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::base::json::{from_object, maybe_whole};
use crate::base::patch::Patch;
use crate::base::time::{LAST_MS, from_ms, span_text};
use crate::key::builder_json::span_ms;
use crate::key::error::StoreError;
use crate::key::record::{Record, StoredPolicy};
use crate::key::rotation::overlap::Overlap;

/// The shortest time between two rotations.
pub(crate) const LEAST_EVERY: TimeDelta = TimeDelta::seconds(1);
/// The longest default overlap.
const DEFAULT_OVERLAP: TimeDelta = TimeDelta::hours(24);

/// Gives a key a new secret at a fixed interval. A [`Rotator`](crate::Rotator) generates it and delivers it to a
/// [`SecretSink`](crate::SecretSink); without a rotator the policy has no effect. It serialises for the [admin
/// protocol](crate::admin) with times in milliseconds: `every_ms`, `overlap_ms` (`null`: until the first use).
///
/// ```
/// use apikey::{KeyStore, NewKey, Overlap, RotationPolicy};
/// use chrono::TimeDelta;
///
/// let policy = RotationPolicy::every(TimeDelta::days(30)).overlap(Overlap::For(TimeDelta::days(2)));
/// let store = KeyStore::temporary()?;
/// let created = store.create(NewKey::for_owner("alice").rotation(policy))?;
/// let rotation = created.info.rotation().expect("it has a policy");
/// assert_eq!(rotation.due(), created.info.created_at() + TimeDelta::days(30));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "PolicyJson", from = "PolicyRead")]
pub struct RotationPolicy {
    every: TimeDelta,
    overlap: Overlap,
}

impl RotationPolicy {
    /// Creates a policy that gives a key a new secret `every` so often, counted from the creation of the current
    /// secret. `every` is one second or more. The old secret stays valid for 24 hours, or for half of `every` if that
    /// is shorter; [`overlap`](Self::overlap) sets another time.
    ///
    /// The calls that give the policy to a key or a store reject values out of bounds.
    #[must_use]
    pub fn every(every: TimeDelta) -> Self {
        Self { every, overlap: Overlap::For(DEFAULT_OVERLAP.min(every / 2)) }
    }

    /// Sets how long the old secret stays valid after the delivery of the new one: a time shorter than `every`, so that
    /// two overlaps never meet, or [`Overlap::UntilFirstUse`], with which the key is not rotated again before the first
    /// use.
    ///
    /// The store rejects [`Overlap::None`]: the key's user would be locked out until it has read the new secret.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Returns the time between two rotations.
    #[must_use]
    pub fn interval(&self) -> TimeDelta {
        self.every
    }

    /// Returns how long the old secret stays valid.
    #[must_use]
    pub fn overlap_span(&self) -> Overlap {
        self.overlap
    }

    /// Within bounds, as it is stored.
    pub(crate) fn stored(self) -> Result<StoredPolicy, StoreError> {
        let refused = |field, value: String, allowed| Err(StoreError::invalid(field, &value, allowed));
        let every_ms = self.every.num_milliseconds();
        if self.every < LEAST_EVERY || every_ms > LAST_MS {
            return refused("rotation.every", span_text(self.every), "spans of one second to 8,000 years");
        }
        let overlap_ms = match self.overlap {
            Overlap::UntilFirstUse => None,
            Overlap::For(span) if (1..every_ms).contains(&span.num_milliseconds()) => Some(span.num_milliseconds()),
            Overlap::For(span) => {
                let allowed = "spans of one millisecond or more, and less than the time between two rotations";
                return refused("rotation.overlap", span_text(span), allowed);
            }
            Overlap::None => {
                let allowed = "a time, or until the first use: without an overlap the key's user would be locked out until it \
                               has read the new secret";
                return refused("rotation.overlap", "none".into(), allowed);
            }
        };
        Ok(StoredPolicy { every_ms, overlap_ms })
    }

    pub(crate) fn of(stored: StoredPolicy) -> Self {
        let overlap = stored.overlap_ms.map_or(Overlap::UntilFirstUse, |ms| Overlap::For(span(ms)));
        Self { every: span(stored.every_ms), overlap }
    }
}

/// A policy as JSON, whose overlap is absent (the default), `null` (until the first use), 0 (none) or a time.
#[derive(Serialize)]
struct PolicyJson {
    #[serde(rename = "every_ms", serialize_with = "span_ms::serialize")]
    every: TimeDelta,
    #[serde(skip_serializing_if = "Patch::is_keep")]
    overlap_ms: Patch<i64>,
}

/// A policy as a caller writes it. It may have the times of a [`Rotation`], which a caller that sends back what it has
/// read includes: they follow from the key, and change nothing.
#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct PolicyRead {
    #[serde(rename = "every_ms", deserialize_with = "span_ms::deserialize")]
    every: TimeDelta,
    #[serde(default, deserialize_with = "maybe_whole")]
    overlap_ms: Patch<i64>,
    #[serde(default, rename = "due")]
    _due: IgnoredAny,
    #[serde(default, rename = "pending")]
    _pending: IgnoredAny,
}

from_object!(PolicyRead, PolicyRead);

impl From<PolicyRead> for RotationPolicy {
    fn from(json: PolicyRead) -> Self {
        let policy = Self::every(json.every);
        match json.overlap_ms {
            Patch::Keep => policy,
            Patch::Clear => policy.overlap(Overlap::UntilFirstUse),
            Patch::Set(0) => policy.overlap(Overlap::None),
            Patch::Set(ms) => policy.overlap(Overlap::For(span(ms))),
        }
    }
}

impl From<RotationPolicy> for PolicyJson {
    fn from(policy: RotationPolicy) -> Self {
        let overlap_ms = match policy.overlap {
            Overlap::None => Patch::Set(0),
            Overlap::For(span) => Patch::Set(span.num_milliseconds()),
            Overlap::UntilFirstUse => Patch::Clear,
        };
        Self { every: policy.every, overlap_ms }
    }
}

/// Converts milliseconds. A time out of bounds becomes the longest span, which no store accepts.
fn span(ms: i64) -> TimeDelta {
    TimeDelta::try_milliseconds(ms).unwrap_or(TimeDelta::MAX)
}

impl From<RotationPolicy> for StoredPolicy {
    fn from(policy: RotationPolicy) -> Self {
        let overlap_ms = match policy.overlap {
            Overlap::For(span) => Some(span.num_milliseconds()),
            Overlap::None | Overlap::UntilFirstUse => None,
        };
        Self { every_ms: policy.every.num_milliseconds(), overlap_ms }
    }
}

/// The state of a key's automatic rotation. It serialises with times in milliseconds: `every_ms`, `overlap_ms` (`null`:
/// until the first use), `due`, `pending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "RotationLine", from = "KnownRotation")]
pub struct Rotation {
    policy: RotationPolicy,
    due: DateTime<Utc>,
    pending: Option<u32>,
}

impl Rotation {
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let due = due(record)?;
        let pending = record.secrets.iter().rfind(|secret| secret.is_pending()).map(|secret| secret.version);
        Some(Self { policy: RotationPolicy::of(record.policy?), due: from_ms(due), pending })
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> RotationPolicy {
        self.policy
    }

    /// Returns the time at which the key is due for its next secret. The next run of a [`Rotator`](crate::Rotator)
    /// after this time creates it.
    #[must_use]
    pub fn due(&self) -> DateTime<Utc> {
        self.due
    }

    /// Returns the number of a new secret that is valid already and waits for its delivery.
    #[must_use]
    pub fn pending(&self) -> Option<u32> {
        self.pending
    }
}

/// Returns when a key with a policy is due for its next secret.
pub(crate) fn due(record: &Record) -> Option<i64> {
    let policy = record.policy?;
    let current = record.secrets.iter().rfind(|secret| !secret.is_pending());
    let made = current.map_or(record.created_at, |secret| secret.created_at);
    Some(made.saturating_add(policy.every_ms))
}

/// The JSON form of a rotation.
#[derive(Serialize, Deserialize)]
pub(crate) struct RotationLine {
    every_ms: i64,
    overlap_ms: Option<i64>,
    #[serde(skip_deserializing)]
    due: DateTime<Utc>,
    #[serde(skip_deserializing)]
    pending: Option<u32>,
}

/// The JSON form of a rotation with all fields; a line of an import lacks the times.
#[derive(Deserialize)]
struct KnownRotation {
    every_ms: i64,
    overlap_ms: Option<i64>,
    due: DateTime<Utc>,
    pending: Option<u32>,
}

impl From<KnownRotation> for Rotation {
    fn from(known: KnownRotation) -> Self {
        let policy = RotationPolicy::of(StoredPolicy { every_ms: known.every_ms, overlap_ms: known.overlap_ms });
        Self { policy, due: known.due, pending: known.pending }
    }
}

impl From<Rotation> for RotationLine {
    fn from(rotation: Rotation) -> Self {
        let StoredPolicy { every_ms, overlap_ms } = rotation.policy.into();
        Self { every_ms, overlap_ms, due: rotation.due, pending: rotation.pending }
    }
}

impl RotationLine {
    /// Within bounds, as it is stored.
    pub(crate) fn stored(&self) -> Result<StoredPolicy, StoreError> {
        RotationPolicy::of(StoredPolicy { every_ms: self.every_ms, overlap_ms: self.overlap_ms }).stored()
    }
}
