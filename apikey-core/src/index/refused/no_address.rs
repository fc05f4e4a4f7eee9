//! A warning if a store needs the addresses of callers, and does not get them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::peer::Peer;

/// Warns once for each reason, since every request would repeat it.
#[derive(Debug, Default)]
pub(crate) struct NoAddress {
    no_socket: AtomicBool,
    no_caller: AtomicBool,
}

impl NoAddress {
    /// Warns if a request that needs an address has none.
    #[inline]
    pub(crate) fn warn(&self, peer: Peer) {
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
                 docs/guides/limits.md"
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

/// Returns whether this is the first warning. It loads first, since all threads may call it for every request.
fn is_first(warned: &AtomicBool) -> bool {
    !warned.load(Ordering::Relaxed) && !warned.swap(true, Ordering::Relaxed)
}
