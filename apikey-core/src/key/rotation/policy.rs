//! How a key rotates itself.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::base::patch::Patch;
use crate::base::time::{LAST_MS, from_ms};
use crate::key::builder_json::span_ms;
use crate::key::error::StoreError;
use crate::key::record::{Record, StoredPolicy};
use crate::key::rotation::overlap::Overlap;

/// The shortest time between two rotations.
const LEAST_EVERY: TimeDelta = TimeDelta::seconds(1);
/// The longest overlap that is chosen where none is.
const DEFAULT_OVERLAP: TimeDelta = TimeDelta::hours(24);

/// Gives a key a new secret at a fixed interval. A [`Rotator`](crate::Rotator) generates it and delivers it to a
/// [`SecretSink`](crate::SecretSink); without a rotator nothing happens. It serialises for the
/// [admin protocol](crate::admin) with times in milliseconds: `every_ms`, `overlap_ms` (`null`: until the first use).
///
/// ```
/// use apikey_core::{KeyStore, NewKey, Overlap, RotationPolicy};
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
#[serde(into = "PolicyJson", from = "PolicyJson")]
pub struct RotationPolicy {
    every: TimeDelta,
    overlap: Overlap,
}

impl RotationPolicy {
    /// So long after its secret was made, a key gets a new one: a second at least. The old one then stays good for 24
    /// hours, or for half of `every` if that is shorter; [`overlap`](Self::overlap) sets another time.
    ///
    /// What is out of bounds is refused where the policy is given to a key or a store.
    #[must_use]
    pub fn every(every: TimeDelta) -> Self {
        Self { every, overlap: Overlap::For(DEFAULT_OVERLAP.min(every / 2)) }
    }

    /// How long the old secret stays good when the new one was delivered: less than `every`, so that no overlap meets the
    /// next; or until the new one is used. With [`Overlap::UntilFirstUse`], a key is not rotated again before that.
    ///
    /// [`Overlap::None`] is refused: whoever uses the key would be locked out until it has read the new secret.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// The time between two rotations.
    #[must_use]
    pub fn interval(&self) -> TimeDelta {
        self.every
    }

    /// How long the old secret stays good.
    #[must_use]
    pub fn overlap_span(&self) -> Overlap {
        self.overlap
    }

    /// Within bounds, as it is stored.
    pub(crate) fn stored(self) -> Result<StoredPolicy, StoreError> {
        let refused = |field, value: String, allowed| Err(StoreError::invalid(field, &value, allowed));
        let every_ms = self.every.num_milliseconds();
        if self.every < LEAST_EVERY || every_ms > LAST_MS {
            return refused("rotation.every", self.every.to_string(), "spans of one second to 8,000 years");
        }
        let overlap_ms = match self.overlap {
            Overlap::UntilFirstUse => None,
            Overlap::For(span) if (1..every_ms).contains(&span.num_milliseconds()) => Some(span.num_milliseconds()),
            Overlap::For(span) => {
                let allowed = "spans of one millisecond or more, and less than the time between two rotations";
                return refused("rotation.overlap", span.to_string(), allowed);
            }
            Overlap::None => {
                let allowed = "a time, or UntilFirstUse: without an overlap the key's user would be locked out until it \
                               has read the new secret";
                return refused("rotation.overlap", "None".into(), allowed);
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
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyJson {
    #[serde(rename = "every_ms", with = "span_ms")]
    every: TimeDelta,
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    overlap_ms: Patch<i64>,
}

impl From<PolicyJson> for RotationPolicy {
    fn from(json: PolicyJson) -> Self {
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

/// Times out of bounds become the longest, which no store accepts.
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

/// How a key stands with its rotation. It serialises with times in milliseconds: `every_ms`, `overlap_ms` (`null`: until
/// the first use), `due`, `pending`.
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

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> RotationPolicy {
        self.policy
    }

    /// When the key is to get its next secret. It gets it in the first run of a [`Rotator`](crate::Rotator) from then on.
    #[must_use]
    pub fn due(&self) -> DateTime<Utc> {
        self.due
    }

    /// The number of a new secret that is good already, and is to be delivered.
    #[must_use]
    pub fn pending(&self) -> Option<u32> {
        self.pending
    }
}

/// When a key with a policy is to get its next secret.
pub(crate) fn due(record: &Record) -> Option<i64> {
    let policy = record.policy?;
    let current = record.secrets.iter().rfind(|secret| !secret.is_pending());
    let made = current.map_or(record.created_at, |secret| secret.created_at);
    Some(made.saturating_add(policy.every_ms))
}

/// A rotation as JSON has it.
#[derive(Serialize, Deserialize)]
pub(crate) struct RotationLine {
    every_ms: i64,
    overlap_ms: Option<i64>,
    #[serde(skip_deserializing)]
    due: DateTime<Utc>,
    #[serde(skip_deserializing)]
    pending: Option<u32>,
}

/// A whole rotation as JSON; the line of an import lacks times.
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
