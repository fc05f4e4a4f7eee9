//! The peer of a request: where it came from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a request came from, as far as that is known.
///
/// The store compares the networks of a key with a [`Known`](Self::Known) address, and refuses such a key without one. It
/// charges [`failed_attempts`](crate::KeyStoreBuilder::failed_attempts) to that address, to the proxy
/// ([`Behind`](Self::Behind)), or to one budget that all callers without a known address share.
///
/// ```
/// use std::net::IpAddr;
/// use apikey_core::Peer;
///
/// let address = IpAddr::from([192, 0, 2, 7]);
/// assert_eq!(Peer::from(address).address(), Some(address));
/// assert_eq!(Peer::Behind([10, 0, 0, 1].into()).address(), None);
/// assert_eq!(Peer::Behind([10, 0, 0, 1].into()).to_string(), "unknown, behind 10.0.0.1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Peer {
    /// Nothing is known.
    #[default]
    Unknown,
    /// The caller's address.
    Known(IpAddr),
    /// The request came through this trusted proxy, which does not say, or not legibly, for whom.
    Behind(IpAddr),
}

impl Peer {
    /// The caller's address, if it is known: never that of a proxy that speaks for somebody else.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(address),
            Self::Unknown | Self::Behind(_) => None,
        }
    }

    /// As [`address`](Self::address), without a copy.
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

/// The port is dropped.
impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Known(address.ip())
    }
}

/// `None` is [`Unknown`](Peer::Unknown).
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
