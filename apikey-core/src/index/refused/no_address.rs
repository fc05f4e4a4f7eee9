//! The hint that a store was to look at addresses, and did not get any.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::peer::Peer;

/// Each given once, since every request would give it again.
#[derive(Debug, Default)]
pub(crate) struct NoAddress {
    no_socket: AtomicBool,
    no_caller: AtomicBool,
}

impl NoAddress {
    /// A request came where an address was wanted; nothing is told if it had one.
    #[inline]
    pub(crate) fn tell(&self, peer: Peer) {
        match peer {
            Peer::Known(_) => {}
            Peer::Unknown => self.no_socket(),
            Peer::Behind(proxy) => self.no_caller(proxy),
        }
    }

    #[cold]
    #[inline(never)]
    fn no_socket(&self) {
        if is_first(&self.no_socket) {
            tracing::warn!(
                name: "apikey.no_address", target: "apikey",
                "the caller's address is not known, so keys with networks are refused, and all such callers share one budget \
                 of failed attempts: in axum serve with into_make_service_with_connect_info::<SocketAddr>(), elsewhere see \
                 docs/limits.md"
            );
        }
    }

    #[cold]
    #[inline(never)]
    fn no_caller(&self, proxy: IpAddr) {
        if is_first(&self.no_caller) {
            tracing::warn!(
                name: "apikey.no_address", target: "apikey", %proxy,
                "a trusted proxy does not say for whom it forwards, so keys with networks are refused, and failed attempts \
                 are charged to the proxy: let it append the caller's address to the header that forwarded_header names; if \
                 it makes requests of its own, see proxies_may_call"
            );
        }
    }
}

/// Read first: all threads may come here with every request.
fn is_first(told: &AtomicBool) -> bool {
    !told.load(Ordering::Relaxed) && !told.swap(true, Ordering::Relaxed)
}
