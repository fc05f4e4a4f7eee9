//! The handle of a store.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::access::auth_error::AuthError;
use crate::http::header_config::HeaderConfig;
use crate::http::refusal::Refusal;
use crate::key::error::StoreError;
use crate::store::handle_view::HandleView;
use crate::store::health::Health;
use crate::store::inner::Inner;
use crate::store::life::Life;
use crate::store::service::Service;

/// The store of a process: keys on disk in a directory of their own, and in memory for verification.
///
/// It is a handle: clones are cheap and mean the same store, from any thread. A verification takes a fraction of a
/// microsecond and waits for no disk; a change returns when it is on disk and holds for the next verification.
///
/// ```
/// use apikey_core::{KeyStore, NewKey, Requirement};
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
    /// Where requests carry their key, and what refusals say.
    #[must_use]
    pub fn header_config(&self) -> &HeaderConfig {
        &self.inner().header_config
    }

    /// The response to a refused request, as this store's options make it.
    #[must_use]
    pub fn refuse(&self, error: &AuthError) -> Refusal {
        self.inner().header_config.refuse(error)
    }

    /// How the store stands with its disk.
    ///
    /// ```
    /// # let store = apikey_core::KeyStore::temporary()?;
    /// store.create(apikey_core::NewKey::for_owner("alice"))?;
    /// let health = store.health();
    /// assert!(health.is_good());
    /// assert_eq!(health.last_durable, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner().health()
    }

    /// Makes this the default store of the process, for handlers that are given none by their framework. For small
    /// programs; a test should pass its own store.
    ///
    /// # Errors
    /// The store itself, if there is a default already.
    pub fn install(self) -> Result<(), Self> {
        INSTALLED.set(self)
    }

    /// The default store of the process.
    #[must_use]
    pub fn installed() -> Option<&'static Self> {
        INSTALLED.get()
    }

    /// Closes the store for every handle: waits for changes under way, writes times of use, and frees the directory.
    /// From now on every verification is [`AuthError::Unavailable`] and every change [`StoreError::Closed`]. Dropping
    /// the last handle does the same. Closing twice is fine.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the last times of use could not be written; the store is closed all the same.
    pub fn close(&self) -> Result<(), StoreError> {
        self.life.end()
    }
}

impl KeyStore {
    /// The first handle of a store. Its maintenance runs.
    pub(super) fn start(inner: Inner) -> Result<Self, std::io::Error> {
        Ok(Self { life: Arc::new(Life::start(Arc::new(inner))?), view: HandleView::default() })
    }

    /// A handle for a service of the store itself, which stops before the store is closed.
    pub(crate) fn internal(inner: &Arc<Inner>) -> Self {
        Self { life: Arc::new(Life::internal(inner.clone())), view: HandleView::default() }
    }

    /// Stops a service when the store is closed, before all that were added earlier.
    pub(crate) fn add_service(&self, service: Box<dyn Service>) {
        self.life.add(service);
    }

    pub(crate) fn inner(&self) -> &Inner {
        self.life.inner()
    }

    /// The same, to hold on to. It does not keep the store open.
    pub(crate) fn shared(&self) -> Arc<Inner> {
        self.life.inner().clone()
    }

    /// Store time: it never goes behind its newest event.
    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
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
