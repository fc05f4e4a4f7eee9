//! The budgets to which a failed attempt is charged.

use std::net::IpAddr;

use crate::access::peer::Peer;

/// The budgets of wider networks, which have more callers, as multiples of that of one address.
pub(super) const TIMES: [u32; 3] = [1, 4, 16];

/// Something that has a budget of failed attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Charge {
    V4(u32),
    /// The leading bits of an IPv6 address.
    V6(Network, u128),
    /// All callers that this proxy does not name. The proxy's own address has another budget.
    Behind(IpAddr),
    /// All callers without a known address.
    Unknown,
}

/// An IPv6 network by its usual size. No caller has just one IPv6 address, and no single width is right: the holder of
/// a /48 would have 65,536 budgets if only the /64 counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Network {
    /// A /64: one link, such as a home or a telephone.
    Link,
    /// A /56: a customer at home.
    Home,
    /// A /48: a company, or some hundred homes.
    Site,
}

impl Charge {
    /// Returns every budget to which an attempt of this peer is charged.
    pub(super) fn of(peer: Peer) -> impl Iterator<Item = Self> {
        let one = |charge| [Some(charge), None, None];
        let charges = match peer {
            Peer::Known(address) => match address.to_canonical() {
                IpAddr::V4(v4) => one(Self::V4(v4.to_bits())),
                IpAddr::V6(v6) => {
                    [Network::Link, Network::Home, Network::Site].map(|network| Some(network.charge(v6.to_bits())))
                }
            },
            Peer::Behind(proxy) => one(Self::Behind(proxy.to_canonical())),
            Peer::Unknown => one(Self::Unknown),
        };
        charges.into_iter().flatten()
    }

    /// The number of its budget in [`TIMES`].
    pub(super) fn width(self) -> usize {
        match self {
            Self::V4(_) | Self::Behind(_) | Self::Unknown | Self::V6(Network::Link, _) => 0,
            Self::V6(Network::Home, _) => 1,
            Self::V6(Network::Site, _) => 2,
        }
    }
}

impl Network {
    fn charge(self, address: u128) -> Charge {
        let prefix = match self {
            Self::Link => 64,
            Self::Home => 56,
            Self::Site => 48,
        };
        Charge::V6(self, address >> (128 - prefix))
    }
}
