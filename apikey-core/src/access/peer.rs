//! The peer of a request: where it came from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The origin of a request, as far as the service knows it.
///
/// The store compares the networks of a key with a [`Known`](Self::Known) address, and refuses such a key without one.
/// It charges [`failed_attempts`](crate::KeyStoreBuilder::failed_attempts) to that address, to the proxy
/// ([`Behind`](Self::Behind)), or to one budget that all callers without a known address share.
///
/// ```
/// use std::net::IpAddr;
/// use apikey::Peer;
///
/// let address = IpAddr::from([192, 0, 2, 7]);
/// assert_eq!(Peer::from(address).address(), Some(address));
/// assert_eq!(Peer::Behind([10, 0, 0, 1].into()).address(), None);
/// assert_eq!(Peer::Behind([10, 0, 0, 1].into()).to_string(), "unknown, behind 10.0.0.1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Peer {
    /// The service knows no address.
    #[default]
    Unknown,
    /// The caller's address.
    Known(IpAddr),
    /// The request came through this trusted proxy, which gives no address, or an unreadable one, for the caller.
    Behind(IpAddr),
}

impl Peer {
    /// Returns the caller's address, if it is known. It is never the address of a proxy that forwards for somebody
    /// else.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(address),
            Self::Unknown | Self::Behind(_) => None,
        }
    }

    /// Works as [`address`](Self::address), without a copy.
    #[inline]
    pub(crate) fn by_reference(&self) -> Option<&IpAddr> {
        match self {
            Self::Known(address) => Some(address),
            Self::Unknown | Self::Behind(_) => None,
        }
    }
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self::Known(address)
    }
}

/// Drops the port.
impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Known(address.ip())
    }
}

/// Converts `None` to [`Unknown`](Peer::Unknown).
impl From<Option<IpAddr>> for Peer {
    fn from(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Unknown, Self::Known)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Known(address) => address.fmt(f),
            Self::Behind(proxy) => write!(f, "unknown, behind {proxy}"),
        }
    }
}
