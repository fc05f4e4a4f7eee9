//! The life of a store: its background services, and its end.

use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::base::panics::catch_panic;
use crate::key::error::StoreError;
use crate::store::inner::Inner;
use crate::store::maintenance::Maintenance;
use crate::store::service::Service;

/// What the handles share. Dropping the last handle drops this, which closes the store.
pub(crate) struct Life {
    inner: Arc<Inner>,
    /// The services, in the order in which they were started.
    services: Mutex<Vec<Box<dyn Service>>>,
    /// Whether a service of the store has this handle, whose end does not close the store.
    is_internal: bool,
}

impl Life {
    pub(super) fn start(inner: Arc<Inner>) -> std::io::Result<Self> {
        // If the thread does not start, dropping this closes the store.
        let life = Self { inner, services: Mutex::default(), is_internal: false };
        life.add(Box::new(Maintenance::start(life.inner.clone())?));
        Ok(life)
    }

    #[cfg(unix)]
    pub(super) fn internal(inner: Arc<Inner>) -> Self {
        Self { inner, services: Mutex::default(), is_internal: true }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn add(&self, service: Box<dyn Service>) {
        lock(&self.services).push(service);
    }

    /// Closes the store.
    ///
    /// # Errors
    /// The store cannot write the rest to the disk. It is closed all the same.
    pub(super) fn end(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        // Hold the lock to the end: a second close returns once the first is done.
        let mut services = lock(&self.services);
        while let Some(service) = services.pop() {
            service.stop();
        }
        let engine = &inner.engine;
        if engine.log.open().is_err() {
            return Ok(());
        }
        inner.erase_ended();
        inner.forget_outcomes();
        engine.refusals.log_rest();
        // This waits for changes in progress: none may put a key into a closed index.
        let mut disk = engine.log.close();
        let Some(disk) = disk.take() else { return Ok(()) };
        let written = inner.write_uses_to(&disk);
        engine.index.close();
        // What was verified until now is counted.
        inner.write_usage_to(&disk);
        inner.end_quotas(&disk);
        let synced = engine.close(&disk);
        let marked = engine.log.sync_mark();
        // sled can panic when it is dropped on a disk that fails.
        let dropped = catch_panic(|| drop(disk))
            .map_err(|panic| std::io::Error::other(format!("the database panicked: {panic}")));
        if let Some(files) = inner.files().take() {
            files.close(synced.is_ok() && written.is_ok() && dropped.is_ok())?;
        }
        written?;
        Ok(synced.and(marked).and(dropped)?)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.is_internal {
            return;
        }
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the key store closed, and its last times of use are not written");
        }
    }
}
