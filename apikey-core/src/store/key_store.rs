//! The handle of a store.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::access::auth_error::AuthError;
use crate::access::catalog::Catalog;
use crate::http::header_config::HeaderConfig;
use crate::http::refusal::Refusal;
use crate::key::error::StoreError;
use crate::store::handle::view::HandleView;
use crate::store::health::{DiskSize, Health};
use crate::store::inner::Inner;
use crate::store::life::Life;
use crate::store::service::Service;

/// A key store: it keeps keys in a directory on disk, and in memory for verification. One process has it open at a
/// time.
///
/// This is a handle: a clone is cheap and refers to the same store, from any thread. A verification takes a fraction of
/// a microsecond and waits for no disk. A change returns once it is on disk, and every later verification sees it.
///
/// ```
/// use apikey::{KeyStore, NewKey, Requirement};
///
/// let directory = tempfile::tempdir()?;
/// let store = KeyStore::open(directory.path().join("keys.db"))?;
/// let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
/// let token = created.key.expose_secret(); // shown once, stored nowhere
///
/// let verified = store.verify(token)?;
/// assert_eq!(verified.owner(), "alice");
/// assert!(verified.allows("orders:read"));
/// assert!(store.authorize(token, &Requirement::permission("orders:write")?).is_err());
///
/// store.revoke(created.info.id(), "leaked")?;
/// assert_eq!(store.verify(token).unwrap_err().to_string(), "API key revoked");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyStore {
    pub(super) life: Arc<Life>,
    pub(super) view: HandleView,
}

static INSTALLED: OnceLock<KeyStore> = OnceLock::new();

impl KeyStore {
    /// Returns the configuration of headers and refusals.
    #[must_use]
    pub fn header_config(&self) -> &HeaderConfig {
        &self.inner().header_config
    }

    /// Returns the response to a request that the store refused with this error.
    #[must_use]
    pub fn refuse(&self, error: &AuthError) -> Refusal {
        self.inner().header_config.refuse(error)
    }

    /// Returns the permissions of the store's [catalogue](crate::KeyStoreBuilder::catalog), sorted; `None` if it has no
    /// catalogue.
    #[must_use]
    pub fn catalog(&self) -> Option<&[String]> {
        self.inner().catalog.as_ref().map(Catalog::permissions)
    }

    /// Returns the health of the store: its disk, its backups and its clock.
    ///
    /// ```
    /// # let store = apikey::KeyStore::temporary()?;
    /// store.create(apikey::NewKey::for_owner("alice"))?;
    /// let health = store.health();
    /// assert!(health.is_good());
    /// assert_eq!(health.last_durable, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner().health()
    }

    /// Returns what the store takes on the disk; `None` if that cannot be read, or the store is closed.
    ///
    /// ```
    /// let store = apikey::KeyStore::temporary()?;
    /// assert!(store.disk_size().is_some_and(|size| size.bytes > 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn disk_size(&self) -> Option<DiskSize> {
        let (bytes, log_bytes) = self.inner().files().as_ref()?.bytes().ok()?;
        Some(DiskSize { bytes, log_bytes })
    }

    /// Returns whether the store verifies keys: it is open, and in a cluster its replica is fresh. A readiness probe asks
    /// this.
    ///
    /// ```
    /// let store = apikey::KeyStore::temporary()?;
    /// assert!(store.is_ready());
    /// store.close()?;
    /// assert!(!store.is_ready());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.inner().engine.index.is_closed() && self.inner().engine.is_ready()
    }

    /// Makes this the default store of the process, for handlers whose framework supplies none. It is meant for small
    /// programs; a test should pass its own store.
    ///
    /// # Errors
    /// This store, if the process has a default store already.
    pub fn install(self) -> Result<(), Self> {
        INSTALLED.set(self)
    }

    /// Returns the default store of the process.
    #[must_use]
    pub fn installed() -> Option<&'static Self> {
        INSTALLED.get()
    }

    /// Closes the store for every handle: it waits for changes in progress, writes times of use, and releases the
    /// directory. From then on every verification fails with [`AuthError::Unavailable`], and every change with
    /// [`StoreError::Closed`]. Dropping the last handle does the same. A second call does nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the store could not write the last times of use; it is closed all the same.
    pub fn close(&self) -> Result<(), StoreError> {
        self.life.end()
    }
}

impl KeyStore {
    /// Creates the first handle of a store, and starts the maintenance thread.
    pub(super) fn start(inner: Inner) -> Result<Self, std::io::Error> {
        Ok(Self { life: Arc::new(Life::start(Arc::new(inner))?), view: HandleView::default() })
    }

    /// Creates a handle for a service of the store itself, which stops before the store is closed.
    #[cfg(unix)]
    pub(crate) fn internal(inner: &Arc<Inner>) -> Self {
        Self { life: Arc::new(Life::internal(inner.clone())), view: HandleView::default() }
    }

    /// Adds a service. Closing the store stops its services, the one that was added last first.
    pub(crate) fn add_service(&self, service: Box<dyn Service>) {
        self.life.add(service);
    }

    pub(crate) fn inner(&self) -> &Inner {
        self.life.inner()
    }

    /// Returns the shared state. It does not keep the store open.
    pub(crate) fn shared(&self) -> Arc<Inner> {
        self.life.inner().clone()
    }

    /// Returns the store's time, which is never earlier than its newest event.
    #[doc(hidden)]
    #[must_use]
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        crate::base::time::from_ms(self.inner().engine.time.now_ms())
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore")
            .field("store", &self.inner().store)
            .field("header_config", &self.inner().header_config)
            .finish_non_exhaustive()
    }
}
