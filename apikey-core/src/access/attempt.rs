//! An attempt to use a key: what a store checks of one request, and what it takes of the key's quota.

use std::sync::Mutex;

use crate::access::peer::Peer;
use crate::access::quota::MAX_COST;
use crate::access::requirement::Requirement;
use crate::base::lock::lock;

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
    pub(crate) caller: Caller<'a>,
}

/// What a verification needs to know of a request besides its token and the requirement. It is one argument: a verification
/// has few registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) peer: Peer,
    pub(crate) cost: u32,
    /// Where the store notes what it takes.
    pub(crate) charge: Option<&'a Charge>,
}

impl Caller<'_> {
    pub(crate) const UNKNOWN: Self = Self { peer: Peer::Unknown, cost: 1, charge: None };
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

    /// Sets what the request takes from the key's [quota](crate::NewKey::quota), and from those that it shares: 1 to 1,000,000 uses; without a call it is 1.
    /// What lies outside is taken as the nearest of these. A key without a quota pays nothing.
    pub fn cost(mut self, cost: u32) -> Self {
        self.caller.cost = cost.clamp(1, MAX_COST);
        self
    }

    /// Sets where the store notes what it takes from the quota, for [`KeyStore::charge_more`](crate::KeyStore::charge_more)
    /// and [`KeyStore::give_back`](crate::KeyStore::give_back).
    pub fn charge(mut self, charge: &'a Charge) -> Self {
        self.caller.charge = Some(charge);
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

/// What a request has taken of its key's [quota](crate::NewKey::quota), and of those that the keys of its
/// [owner](crate::Owner::quota) and of its [tenant](crate::Tenant::quota) share. The guards of a request keep one for each store, so
/// that together they take the largest cost among them, and give it back if one of them refuses the request.
///
/// [`KeyStore::check`](crate::KeyStore::check) reads and writes that of an [attempt](crate::Attempt::charge);
/// [`KeyStore::charge_more`](crate::KeyStore::charge_more) and [`KeyStore::give_back`](crate::KeyStore::give_back) do, too.
#[derive(Debug, Default)]
pub struct Charge(Mutex<Option<[Taken; QUOTAS]>>);

/// The most quotas of a key: its own, that of its owner, and that of its tenant.
pub(crate) const QUOTAS: usize = 3;

/// The numbers of a key's quotas, in this order, which is that in which a request takes from them; 0 for none.
pub(crate) type QuotaNumbers = [u32; QUOTAS];

/// What a charge says of one quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    /// The number of the quota; 0 for none.
    pub(crate) quota: u32,
    /// The uses that the request has paid.
    pub(crate) uses: u32,
    /// The number of the period in which it last took some.
    pub(crate) period: u32,
    /// The uses of that period among them, which can be given back.
    pub(crate) back: u32,
}

impl Charge {
    /// Returns the uses, which are those of each quota; 0 for a key without any, and after they were given back.
    #[must_use]
    pub fn uses(&self) -> u32 {
        self.taken().into_iter().flatten().map(|taken| taken.uses).max().unwrap_or(0)
    }

    /// Returns whether a store has noted anything here, even if it was given back.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.taken().is_some()
    }

    pub(crate) fn taken(&self) -> Option<[Taken; QUOTAS]> {
        *lock(&self.0)
    }

    pub(crate) fn set(&self, taken: [Taken; QUOTAS]) {
        *lock(&self.0) = Some(taken);
    }
}

impl Clone for Charge {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.taken()))
    }
}

impl Taken {
    /// The same after the request has taken more in this period, and has paid so many uses.
    pub(crate) fn and(self, uses: u32, more: u32, period: u32) -> Self {
        let back = if self.period == period { self.back } else { 0 };
        Self { uses, period, back: back + more, ..self }
    }

    /// The same after the request was refused.
    pub(crate) fn given_back(self) -> Self {
        Self { uses: 0, back: 0, ..self }
    }
}
