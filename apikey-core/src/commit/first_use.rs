//! First uses of rotated secrets, which are in force and not written yet.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use crate::base::lock::lock;
use crate::index::first_use::Promotion;
use crate::key::change::Action;
use crate::token::digest::Digest;

/// A secret that was used for the first time since it succeeded another.
#[derive(Clone, Copy)]
pub(crate) struct FirstUse {
    pub(crate) id: u128,
    pub(crate) version: u32,
    /// The secret that this has ended.
    pub(crate) ended: Option<Digest>,
}

impl FirstUse {
    /// What writes it.
    pub(crate) fn action(self) -> Action {
        Action::FirstUse { version: self.version, ended: self.ended }
    }
}

/// Without the digest.
impl fmt::Debug for FirstUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstUse").field("id", &self.id).field("version", &self.version).finish_non_exhaustive()
    }
}

/// The first uses that are not written yet.
#[derive(Default)]
pub(crate) struct FirstUses(Mutex<Vec<FirstUse>>);

impl FirstUses {
    /// Takes in a first use by `promote`, which returns `None` if another one was first. Nobody who [holds](Self::hold)
    /// what waits sees the one without the other.
    pub(crate) fn note(&self, id: u128, version: u32, promote: impl FnOnce() -> Option<Promotion>) -> bool {
        let mut waiting = self.lock();
        let promotion = promote();
        waiting.extend(promotion.map(|Promotion { ended }| FirstUse { id, version, ended }));
        promotion.is_some()
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
