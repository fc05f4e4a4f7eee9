//! An attempt to use a key: what a store checks of one request.

use crate::access::peer::Peer;
use crate::access::quota::MAX_COST;
use crate::access::requirement::Requirement;

/// What a store checks of a request: its token, the peer that sent it, and the requirement of its handler.
///
/// ```
/// use std::net::IpAddr;
/// use apikey::{Attempt, KeyStore, NewKey, Requirement};
///
/// let store = KeyStore::temporary()?;
/// let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
/// let read = Requirement::permission("orders:read")?;
/// let attempt = Attempt::new(created.key.expose_secret()).peer(IpAddr::from([127, 0, 0, 1])).needs(&read);
/// assert_eq!(store.check(&attempt)?.owner(), "alice");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
#[must_use = "an attempt does nothing until the store checks it"]
pub struct Attempt<'a> {
    pub(crate) token: &'a str,
    pub(crate) requirement: Option<&'a Requirement>,
    pub(crate) caller: Caller,
}

/// What a verification needs to know of a request besides its token and the requirement. It is one argument: a verification
/// has few registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) cost: u32,
}

impl Caller {
    pub(crate) const UNKNOWN: Self = Self { peer: Peer::Unknown, cost: 1 };
}

impl<'a> Attempt<'a> {
    /// Creates an attempt that presents this token, from an unknown peer and without a requirement.
    pub fn new(token: &'a str) -> Self {
        Self { token, requirement: None, caller: Caller::UNKNOWN }
    }

    /// Sets the peer that sent the request: an `IpAddr`, a `SocketAddr`, or a [`Peer`]. Keys that name networks need
    /// it, and [`failed_attempts`](crate::KeyStoreBuilder::failed_attempts) charges it. Behind a proxy the socket's
    /// peer is the proxy and not the caller: see [`HeaderConfig::peer`](crate::HeaderConfig::peer).
    pub fn peer(mut self, peer: impl Into<Peer>) -> Self {
        self.caller.peer = peer.into();
        self
    }

    /// Sets the requirement that the key must meet.
    pub fn needs(mut self, requirement: &'a Requirement) -> Self {
        self.requirement = Some(requirement);
        self
    }

    /// Sets what the request takes from the key's [quota](crate::NewKey::quota): 1 to 1,000,000 uses; without a call it is 1.
    /// What lies outside is taken as the nearest of these. A key without a quota pays nothing.
    pub fn cost(mut self, cost: u32) -> Self {
        self.caller.cost = cost.clamp(1, MAX_COST);
        self
    }
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("peer", &self.caller.peer)
            .field("requirement", &self.requirement)
            .field("cost", &self.caller.cost)
            .finish_non_exhaustive()
    }
}
