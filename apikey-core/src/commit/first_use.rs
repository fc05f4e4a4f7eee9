//! First uses of rotated secrets, which are in force and not written yet.

use std::sync::{Mutex, MutexGuard};

use crate::base::lock::lock;

/// A secret that was used for the first time since it succeeded another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstUse {
    pub(crate) id: u128,
    pub(crate) version: u32,
}

/// The first uses that are not written yet.
#[derive(Default)]
pub(crate) struct FirstUses(Mutex<Vec<FirstUse>>);

impl FirstUses {
    /// Takes in a first use by `promote`, which returns `false` if another one was first. Nobody who [holds](Self::hold)
    /// what waits sees the one without the other.
    pub(crate) fn note(&self, first: FirstUse, promote: impl FnOnce() -> bool) -> bool {
        let mut waiting = self.lock();
        let is_first = promote();
        if is_first {
            waiting.push(first);
        }
        is_first
    }

    pub(super) fn push(&self, first: FirstUse) {
        self.lock().push(first);
    }

    /// Takes all first uses that wait. The caller writes them, or [pushes](Self::push) them again.
    pub(crate) fn take(&self) -> Vec<FirstUse> {
        std::mem::take(&mut *self.lock())
    }

    /// The first uses that wait.
    #[cfg(feature = "cluster")]
    pub(crate) fn waiting(&self) -> Vec<FirstUse> {
        self.lock().clone()
    }

    /// The same, while no other comes to them.
    #[cfg(feature = "cluster")]
    pub(crate) fn hold(&self) -> MutexGuard<'_, Vec<FirstUse>> {
        self.lock()
    }

    /// Removes first uses that are written.
    #[cfg(feature = "cluster")]
    pub(crate) fn remove(&self, written: &[FirstUse]) {
        self.lock().retain(|first| !written.iter().any(|done| (done.id, done.version) == (first.id, first.version)));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FirstUse>> {
        lock(&self.0)
    }
}
