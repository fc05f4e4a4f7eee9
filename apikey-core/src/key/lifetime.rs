//! What a store adds to the ends that its records have: a bound on the lifetime of secrets, and whether it knows all uses.

use chrono::TimeDelta;

use crate::base::time::{from_ms, span_text};
use crate::key::error::StoreError;
use crate::key::record::{Record, SecretForm, StoredSecret};
use crate::key::rotation::overlap::Overlap;

/// How a store reads the ends in its records.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lifetime {
    /// The bound that [`max_lifetime`](crate::KeyStoreBuilder::max_lifetime) sets, in milliseconds, if it was called.
    pub(crate) max: Option<i64>,
    /// Whether other stores have the same keys, so that this one does not know all uses.
    pub(crate) is_shared: bool,
    /// For how long the store keeps an ended secret, in milliseconds.
    pub(crate) keep_ended: i64,
}

/// The end of a key that a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WarnedOf {
    Expiry(u128),
    IdleEnd(u128),
}

impl WarnedOf {
    /// The id of the key.
    pub(crate) fn id(self) -> u128 {
        match self {
            Self::Expiry(id) | Self::IdleEnd(id) => id,
        }
    }

    /// Under which the store notes the warning: it begins with the id of the key.
    pub(crate) fn key(self) -> Vec<u8> {
        let mut key = self.id().to_be_bytes().to_vec();
        if matches!(self, Self::IdleEnd(_)) {
            key.push(b'i');
        }
        key
    }
}

/// The metadata entry of a fixed key. It names the line that defines the key, and stays when the key is rotated or
/// restored.
pub(crate) const FIXED: &str = "fixed";

/// The error for a caller that sets or removes this entry: on an imported key it lifts the bound, and by it the store
/// knows which fixed keys it has made.
pub(crate) fn reserved() -> StoreError {
    StoreError::invalid("metadata key", FIXED, "other names: this one marks fixed keys")
}

impl Lifetime {
    /// Returns when the bound ends a secret, whether or not it has a successor by then. Only the deployment ends its
    /// fixed keys.
    pub(crate) fn end_of(self, record: &Record, secret: &StoredSecret) -> Option<i64> {
        let is_fixed = matches!(secret.form, SecretForm::Imported(_)) && record.metadata.contains_key(FIXED);
        self.max.filter(|_| !is_fixed).map(|max| secret.created_at.saturating_add(max))
    }

    /// Checks a key against the bound, which applies to each secret if the key has a policy, and otherwise to the key.
    pub(crate) fn check(self, record: &Record) -> Result<(), StoreError> {
        let Some(max) = self.max else { return Ok(()) };
        let max_span = TimeDelta::try_milliseconds(max).unwrap_or(TimeDelta::MAX);
        let refused = |field, value: String| Err(StoreError::TooLong { field, value, max: max_span });
        if let Some(policy) = &record.policy {
            // The first use may never happen.
            let Some(overlap) = policy.overlap_ms else { return refused("rotation.overlap", "UntilFirstUse".into()) };
            let life = policy.every_ms.saturating_add(overlap);
            if life > max {
                let life = TimeDelta::try_milliseconds(life).unwrap_or(TimeDelta::MAX);
                return refused("rotation", format!("{life} of life for each secret"));
            }
            return Ok(());
        }
        let newest = record.secrets.last().map_or(record.created_at, |secret| secret.created_at);
        match record.expires_at {
            Some(end) if end <= newest.saturating_add(max) => Ok(()),
            Some(end) => refused("expires_at", from_ms(end).to_string()),
            None => refused("expires_at", "none".into()),
        }
    }

    /// Checks a manual rotation against the bound: the overlap must not let the old secret outlive it. A key without a
    /// policy has an end of its own within the bound.
    pub(crate) fn check_overlap(self, record: &Record, overlap: Overlap, now: i64) -> Result<(), StoreError> {
        let (Some(max), Some(_)) = (self.max, &record.policy) else { return Ok(()) };
        let max_span = TimeDelta::try_milliseconds(max).unwrap_or(TimeDelta::MAX);
        let refused = |value| Err(StoreError::TooLong { field: "overlap", value, max: max_span });
        let current = record.live(now).rfind(|secret| !secret.is_pending());
        match (overlap, current) {
            (Overlap::UntilFirstUse, Some(_)) => refused("until the first use".to_owned()),
            (Overlap::For(span), Some(current)) => {
                let life = now.saturating_sub(current.created_at).saturating_add(span.num_milliseconds());
                let life_span = TimeDelta::try_milliseconds(life).unwrap_or(TimeDelta::MAX);
                if life > max {
                    refused(format!("{} of life for the secret before", span_text(life_span)))
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }
}
