//! The options of a rotation.

use crate::access::verified_key::VerifiedKey;
use crate::key::rotation::overlap::Overlap;

/// The options of a rotation, for [`KeyStore::rotate_with`](crate::KeyStore::rotate_with).
///
/// ```
/// use apikey::{KeyStore, NewKey, Overlap, RotateOptions};
/// use chrono::TimeDelta;
///
/// let store = KeyStore::temporary()?;
/// let old = store.create(NewKey::for_owner("alice"))?;
/// let options = RotateOptions::new(Overlap::For(TimeDelta::hours(1)))
///     .within(&store.verify(old.key.expose_secret())?)
///     .idempotency_key("9f2c1c3e-rotation-of-may");
/// let new = store.rotate_with(old.info.id(), &options)?;
/// assert_eq!(new.info.version(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct RotateOptions {
    pub(crate) overlap: Overlap,
    pub(crate) within: Option<VerifiedKey>,
    pub(crate) idempotency_key: Option<String>,
}

impl RotateOptions {
    /// Creates the options of a rotation with this overlap.
    pub fn new(overlap: Overlap) -> Self {
        Self { overlap, within: None, idempotency_key: None }
    }

    /// Caps the rotation, as [`rotate_within`](crate::KeyStore::rotate_within) does.
    pub fn within(mut self, actor: &VerifiedKey) -> Self {
        self.within = Some(actor.clone());
        self
    }

    /// Makes the rotation idempotent, as [`rotate_idempotent`](crate::KeyStore::rotate_idempotent) does. The same
    /// rotation [`within`](Self::within) another key, or without a cap, is a different request.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}
