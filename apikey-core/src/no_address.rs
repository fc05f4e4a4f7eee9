//! The hint that a store was to look at addresses, and is not told any.

use std::sync::atomic::{AtomicBool, Ordering};

/// Given once, since every request would give it again.
#[derive(Debug, Default)]
pub(crate) struct NoAddress(AtomicBool);

impl NoAddress {
    /// A request came without an address where one was wanted.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell(&self) {
        // Read first: all threads may come here with every request.
        if self.0.load(Ordering::Relaxed) || self.0.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            name: "apikey.no_address", target: "apikey",
            "the caller's address is not known, so keys with networks are refused and failed attempts are not counted: in \
             axum serve with into_make_service_with_connect_info::<SocketAddr>(), elsewhere see docs/limits.md"
        );
    }
}
