//! The ids of changed keys, for the rotator of a store.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::base::lock::lock;
use crate::base::signal::Signal;
use crate::key::record::{Record, StoredSecret};

/// Whether a rotator has, or will have, anything to do for a key.
pub(crate) fn is_of_rotator(record: &Record) -> bool {
    let ends = record.expires_at.is_some() || record.idle.is_some();
    record.policy.is_some() || ends || record.secrets.iter().any(StoredSecret::is_pending)
}

/// The writer's side. Without a rotator each change checks one reference.
#[derive(Debug, Default)]
pub(crate) struct ChangeFeed(Mutex<Weak<Watch>>);

/// The rotator's side.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    keys: Mutex<BTreeSet<u128>>,
    signal: Signal,
}

impl ChangeFeed {
    /// Notes changed keys. The change may not be visible yet.
    pub(crate) fn note(&self, keys: &[u128]) {
        if keys.is_empty() {
            return;
        }
        let watch = self.lock().upgrade();
        if let Some(watch) = watch {
            lock(&watch.keys).extend(keys);
            watch.signal.notify();
        }
    }

    /// Registers as the store's rotator; `false` if there is another one.
    pub(crate) fn watch(&self, watch: &Arc<Watch>) -> bool {
        let mut held = self.lock();
        match held.upgrade() {
            Some(other) => Arc::ptr_eq(&other, watch),
            None => {
                *held = Arc::downgrade(watch);
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Weak<Watch>> {
        lock(&self.0)
    }
}

impl Watch {
    /// Takes the keys that have changed since the last call.
    pub(crate) fn take(&self) -> BTreeSet<u128> {
        std::mem::take(&mut *lock(&self.keys))
    }

    /// Puts back keys that could not be read, so that the next wait for keys ends at once.
    pub(crate) fn put_back(&self, keys: BTreeSet<u128>) {
        lock(&self.keys).extend(keys);
        self.signal.notify();
    }

    /// Ends every wait, now and later.
    pub(crate) fn end(&self) {
        self.signal.close();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.signal.is_closed()
    }

    /// Waits at most this long, or until the feed ends, or, with `for_keys`, until a key changes.
    pub(crate) fn wait(&self, longest: Duration, for_keys: bool) {
        let deadline = Instant::now() + longest;
        if for_keys {
            let _ = self.signal.wait_until(Some(deadline));
        } else {
            let _ = self.signal.wait_closed_until(deadline);
        }
    }
}
