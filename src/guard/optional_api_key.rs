//! The guard of a handler that also serves callers without a key.

use std::fmt;
use std::marker::PhantomData;

use apikey_core::VerifiedKey;

use super::required::{Authenticated, Required, condition};
use crate::ask::{KeySource, Rejection, authorize_optional};

/// Works as [`RequireApiKey`](crate::RequireApiKey), but a request without a key passes, too: `optional` in the
/// attribute. A key that a request presents must be valid and meet `R`. On rocket, a key that is not UTF-8 counts as
/// none.
pub struct OptionalApiKey<R: Required = Authenticated> {
    key: Option<VerifiedKey>,
    required: PhantomData<fn() -> R>,
}

impl<R: Required> OptionalApiKey<R> {
    /// Checks the key that `source` carries, if it carries one. See
    /// [`RequireApiKey::from_source`](crate::RequireApiKey::from_source).
    ///
    /// # Errors
    /// The rejection of a presented key, or of a request without a store.
    pub fn from_source(source: &(impl KeySource + ?Sized)) -> Result<Self, Rejection> {
        authorize_optional(&source, None, condition::<R>()).map(|key| Self { key, required: PhantomData })
    }

    /// Creates a guard without a check, for a unit test that calls a guarded function.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn assume(key: Option<VerifiedKey>) -> Self {
        Self { key, required: PhantomData }
    }

    /// Returns the key of the request, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&VerifiedKey> {
        self.key.as_ref()
    }

    /// Returns the key.
    #[must_use]
    pub fn into_key(self) -> Option<VerifiedKey> {
        self.key
    }
}

impl<R: Required> Clone for OptionalApiKey<R> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), required: PhantomData }
    }
}

impl<R: Required> From<OptionalApiKey<R>> for Option<VerifiedKey> {
    fn from(guard: OptionalApiKey<R>) -> Self {
        guard.key
    }
}

impl<R: Required> fmt::Debug for OptionalApiKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "OptionalApiKey({})", key.id()),
            None => f.write_str("OptionalApiKey(none)"),
        }
    }
}
