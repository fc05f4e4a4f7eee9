//! The newest ended secrets of keys that were rotated. Callers who present one learn that; it verifies nothing.

mod find;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use constant_time_eq::constant_time_eq_32;

use crate::token::digest::{Digest, DigestPrefix, digest_prefix};

/// The ended secrets. Only tokens that match no line are looked for here.
#[derive(Default)]
pub(super) struct RotatedSecrets {
    /// How many there are, so that a store without them takes no lock.
    count: AtomicUsize,
    all: RwLock<Secrets>,
}

#[derive(Default)]
struct Secrets {
    by_digest: HashMap<DigestPrefix, Rotated>,
    of_key: HashMap<u128, Vec<DigestPrefix>>,
}

/// What there is to know of an ended secret.
struct Ended {
    digest: Digest,
    until: i64,
}

/// An ended secret, and its key.
struct Rotated {
    digest: Digest,
    until: i64,
    id: u128,
    /// The home of its key's newest secret, and the first half of its digest: its line says whether the key is good.
    newest: (u32, DigestPrefix),
}

impl RotatedSecrets {
    /// Sets the ended secrets of a key, whose newest secret has this home and digest.
    fn set(&self, id: u128, ended: &[Ended], newest: (u32, DigestPrefix)) {
        // Few keys have any: a change of another one takes no lock that excludes readers.
        if ended.is_empty() && (self.is_empty() || !self.has(id)) {
            return;
        }
        let all = &mut *self.all.write().unwrap_or_else(PoisonError::into_inner);
        for former in all.of_key.remove(&id).into_iter().flatten() {
            all.by_digest.remove(&former);
        }
        for Ended { digest, until } in ended {
            let prefix = digest_prefix(digest);
            all.of_key.entry(id).or_default().push(prefix);
            all.by_digest.insert(prefix, Rotated { digest: *digest, until: *until, id, newest });
        }
        self.count.store(all.by_digest.len(), Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn has(&self, id: u128) -> bool {
        self.all.read().unwrap_or_else(PoisonError::into_inner).of_key.contains_key(&id)
    }

    /// The key of an ended secret, and the line that says whether that key is good.
    fn get(&self, digest: &Digest, now: i64) -> Option<(u128, u32, DigestPrefix)> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let rotated = all.by_digest.get(&digest_prefix(digest))?;
        let holds = constant_time_eq_32(&rotated.digest, digest) && now < rotated.until;
        holds.then_some((rotated.id, rotated.newest.0, rotated.newest.1))
    }
}
