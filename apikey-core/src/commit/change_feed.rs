//! Which keys have changed, for the rotator of a store.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::key::record::{Record, StoredSecret};

/// Whether a rotator has anything to do for a key, sooner or later.
pub(crate) fn concerns(record: &Record) -> bool {
    record.policy.is_some() || record.expires_at.is_some() || record.secrets.iter().any(StoredSecret::is_pending)
}

/// The writer's side. Without a rotator a change costs it one look.
#[derive(Debug, Default)]
pub(crate) struct Touched(Mutex<Weak<Watch>>);

/// The rotator's side.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeSet<u128>,
    ended: bool,
}

impl Touched {
    /// Keys were changed; the change may not be visible yet.
    pub(crate) fn note(&self, keys: &[u128]) {
        if keys.is_empty() {
            return;
        }
        let watch = self.lock().upgrade();
        if let Some(watch) = watch {
            watch.lock().keys.extend(keys);
            watch.changed.notify_all();
        }
    }

    /// Takes the place of the store's rotator; `false` if another one has it.
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// The keys that were changed since the last call.
    pub(crate) fn take(&self) -> BTreeSet<u128> {
        std::mem::take(&mut self.lock().keys)
    }

    /// They could not be looked at.
    pub(crate) fn put_back(&self, keys: BTreeSet<u128>) {
        self.lock().keys.extend(keys);
    }

    /// No thread waits any more.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// Waits so long, or until it is ended; with `for_keys` until a key is changed, too.
    pub(crate) fn wait(&self, longest: Duration, for_keys: bool) {
        let quiet = |state: &mut State| !state.ended && (!for_keys || state.keys.is_empty());
        drop(self.changed.wait_timeout_while(self.lock(), longest, quiet).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
