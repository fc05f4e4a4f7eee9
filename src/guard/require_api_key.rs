//! The guard: a parameter that is there only if the request may pass.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use apikey_core::VerifiedKey;

use super::required::{Authenticated, Required, need};
use crate::ask::{KeySource, Rejection, authorize};

/// Proof that the request came with a key that meets `R`. Frameworks make it before anything else is read.
///
/// The attribute puts it into the signature. By hand, it is written with [`perm!`](crate::perm):
///
/// ```
/// use apikey::{RequireApiKey, perm};
///
/// async fn list(key: RequireApiKey<perm!("orders:read")>) -> String {
///     key.owner().to_owned()
/// }
/// ```
///
/// Its `Debug` is the key's id alone, since tracing attributes print every parameter.
pub struct RequireApiKey<R: Required = Authenticated> {
    key: VerifiedKey,
    required: PhantomData<fn() -> R>,
}

impl<R: Required> RequireApiKey<R> {
    /// Asks for the key that `source` carries: the way to write the extractor of a framework that is not supported.
    ///
    /// The store is the one provided for the request, or the installed one.
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
    /// The request is refused.
    pub fn from_source(source: &(impl KeySource + ?Sized)) -> Result<Self, Rejection> {
        authorize(&source, None, need::<R>()).map(|key| Self { key, required: PhantomData })
    }

    /// The guard without a check, for a unit test that calls a protected function.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn assume(key: VerifiedKey) -> Self {
        Self { key, required: PhantomData }
    }

    /// Who sent the request.
    #[must_use]
    pub fn key(&self) -> &VerifiedKey {
        &self.key
    }

    /// Takes the key out.
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
