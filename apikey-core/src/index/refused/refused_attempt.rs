//! The hook that a store calls for each request that it refuses.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::auth_error::AuthError;
use crate::access::identity::owner_of;
use crate::access::peer::Peer;
use crate::base::panics::catch_panic;
use crate::index::refused::refusals::RefusedKey;
use crate::token::key_id::KeyId;

/// A refused request, which the store passes to [`on_refusal`](crate::KeyStoreBuilder::on_refusal). It contains no
/// secret.
#[derive(Debug, Clone, Copy)]
pub struct RefusedAttempt<'a> {
    error: &'a AuthError,
    peer: Peer,
    key: Option<RefusedKey>,
}

impl<'a> RefusedAttempt<'a> {
    /// Returns the reason of the refusal.
    #[must_use]
    pub fn error(&self) -> &'a AuthError {
        self.error
    }

    /// Returns the peer that sent the request; [`Unknown`](Peer::Unknown) if the program did not pass one, as in
    /// [`verify`](crate::KeyStore::verify).
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Returns the key whose secret the caller presented; `None` if it presented none.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key.map(|key| KeyId::from_u128(key.id))
    }

    /// Returns the owner of that key.
    #[must_use]
    pub fn owner(&self) -> Option<&'static str> {
        self.key.map(|key| owner_of(key.identity).name)
    }

    /// Returns the tenant of that key; `None` also for a key of no tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&'static str> {
        owner_of(self.key?.identity).tenant
    }
}

/// A program's own function, called for each refusal.
type OnRefusal = dyn Fn(&RefusedAttempt<'_>) + Send + Sync;

/// The hook of a store, if it has one.
#[derive(Clone, Default)]
pub(crate) struct RefusalHook(Option<Arc<Hook>>);

struct Hook {
    call: Box<OnRefusal>,
    panicked: AtomicBool,
}

thread_local! {
    /// Whether this thread is in a hook. Refusals there call no hook, since that could recurse without end.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl RefusalHook {
    pub(crate) fn new(call: Box<OnRefusal>) -> Self {
        Self(Some(Arc::new(Hook { call, panicked: AtomicBool::default() })))
    }

    /// Calls the hook, if there is one. The caller holds no lock of the store.
    #[inline]
    pub(crate) fn call(&self, error: &AuthError, peer: Peer, key: Option<RefusedKey>) {
        if let Some(hook) = &self.0 {
            hook.run(&RefusedAttempt { error, peer, key });
        }
    }
}

impl Hook {
    #[cold]
    #[inline(never)]
    fn run(&self, refused: &RefusedAttempt<'_>) {
        if INSIDE.replace(true) {
            return;
        }
        // A panic of the hook does not change the refusal.
        let result = catch_panic(|| (self.call)(refused));
        INSIDE.set(false);
        if let Err(panic) = result
            && !self.panicked.swap(true, Ordering::Relaxed)
        {
            tracing::error!(name: "apikey.on_refusal", target: "apikey", panic, "on_refusal panicked; later panics of it are not logged");
        }
    }
}

impl fmt::Debug for RefusalHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "RefusalHook" } else { "None" })
    }
}
