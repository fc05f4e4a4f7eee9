//! The guard: a parameter that exists only if the request passes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use apikey_core::VerifiedKey;

use super::required::{Authenticated, Required, condition};
use crate::ask::{KeySource, Rejection, authorize};

/// Proof that the request came with a key that meets `R`. Frameworks extract it before they read anything else.
///
/// The attribute puts it into the signature. To write it by hand, use [`perm!`](crate::perm):
///
/// ```
/// use apikey::{RequireApiKey, perm};
///
/// async fn list(key: RequireApiKey<perm!("orders:read")>) -> String {
///     key.owner().to_owned()
/// }
/// ```
///
/// Its `Debug` shows only the key's id, since tracing attributes print every parameter.
pub struct RequireApiKey<R: Required = Authenticated> {
    key: VerifiedKey,
    required: PhantomData<fn() -> R>,
}

impl<R: Required> RequireApiKey<R> {
    /// Checks the key that `source` carries. Use it to write the extractor of a framework that this crate does not
    /// support.
    ///
    /// The guard asks the store that the request carries, or the installed one.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, RequireApiKey, perm};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
    /// store.install().expect("no store is installed yet");
    ///
    /// let guard = RequireApiKey::<perm!("orders:read")>::from_source(created.key.expose_secret())?;
    /// assert_eq!(guard.owner(), "alice");
    /// let refused = RequireApiKey::<perm!("orders:write")>::from_source(created.key.expose_secret());
    /// assert_eq!(refused.unwrap_err().status(), 403);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The rejection of the request.
    pub fn from_source(source: &(impl KeySource + ?Sized)) -> Result<Self, Rejection> {
        authorize(&source, None, condition::<R>()).map(|key| Self { key, required: PhantomData })
    }

    /// Creates a guard without a check, for a unit test that calls a guarded function.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn assume(key: VerifiedKey) -> Self {
        Self { key, required: PhantomData }
    }

    /// Returns the key of the request.
    #[must_use]
    pub fn key(&self) -> &VerifiedKey {
        &self.key
    }

    /// Returns the key.
    #[must_use]
    pub fn into_key(self) -> VerifiedKey {
        self.key
    }
}

impl<R: Required> Deref for RequireApiKey<R> {
    type Target = VerifiedKey;

    fn deref(&self) -> &VerifiedKey {
        &self.key
    }
}

impl<R: Required> From<RequireApiKey<R>> for VerifiedKey {
    fn from(guard: RequireApiKey<R>) -> Self {
        guard.key
    }
}

impl<R: Required> Clone for RequireApiKey<R> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), required: PhantomData }
    }
}

impl<R: Required> fmt::Debug for RequireApiKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequireApiKey({})", self.key.id())
    }
}
