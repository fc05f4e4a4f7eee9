//! First uses of rotated secrets: in force at once, and not written yet.

use std::sync::{Mutex, MutexGuard};

use crate::base::lock::lock;

/// A secret that was used for the first time since it succeeded another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstUse {
    pub(crate) id: u128,
    pub(crate) version: u32,
}

/// Those that are not written yet.
#[derive(Default)]
pub(crate) struct FirstUses(Mutex<Vec<FirstUse>>);

impl FirstUses {
    pub(super) fn push(&self, first: FirstUse) {
        self.lock().push(first);
    }

    /// All that wait, for who writes them. What is not written is [pushed](Self::push) again.
    pub(crate) fn take(&self) -> Vec<FirstUse> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FirstUse>> {
        lock(&self.0)
    }
}
