//! What a program says about its cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::base::boot_time::BootClock;
use crate::base::runtime::Runtime;
use crate::cluster::format::settings::ClusterSettings;
use crate::cluster::ledger::Ledger;
use crate::cluster::protocol::safeguards::Safeguards;

/// A cluster: the same keys on many machines. Give it to
/// [`KeyStoreBuilder::cluster`](crate::KeyStoreBuilder::cluster).
///
/// Each machine opens a store with the same ledger and a directory of its own, its *replica*. A verification reads the
/// replica, and asks nobody. A change goes through the ledger, and returns once it holds on every machine: no verification
/// that begins after [`revoke`](crate::KeyStore::revoke) has returned succeeds, on any of them.
///
/// ```
/// use apikey::cluster::{Cluster, MemoryLedger};
/// use apikey::{KeyStore, NewKey};
///
/// let ledger = MemoryLedger::new(); // a service has an engine here, such as `apikey::postgres::Postgres`
/// let one = KeyStore::builder().cluster(Cluster::new(ledger.another()).name("one")).temporary()?;
/// let two = KeyStore::builder().cluster(Cluster::new(ledger.another()).name("two")).temporary()?;
///
/// let created = one.create(NewKey::for_owner("alice"))?;
/// assert_eq!(two.verify(created.key.expose_secret())?.owner(), "alice");
/// two.revoke(created.info.id(), "leaked")?;
/// assert!(one.verify(created.key.expose_secret()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a cluster does nothing until a store is opened with it"]
pub struct Cluster {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) name: Option<String>,
    /// `max_staleness`, if the program says it.
    bound: Option<Duration>,
    pub(crate) write_timeout: Duration,
    pub(crate) clock: BootClock,
    pub(crate) runtime: Runtime,
    pub(crate) safeguards: Safeguards,
    pub(crate) opens_while_replaced: bool,
}

impl Cluster {
    /// The longest name of a node, in bytes.
    pub const MAX_NAME: usize = 64;

    /// A cluster whose log is in this ledger. A ledger serves one store.
    pub fn new(ledger: impl Ledger) -> Self {
        Self {
            ledger: Arc::new(ledger),
            name: None,
            bound: None,
            write_timeout: Duration::from_secs(10),
            clock: BootClock::System,
            runtime: Runtime::System,
            safeguards: Safeguards::ALL,
            opens_while_replaced: false,
        }
    }

    /// Names this node, for people: health and logs of the other nodes have the name. By default it is the name of the
    /// host. A name has 1 to 64 letters, digits, `.`, `_` and `-`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets how old a replica may be that still serves, 5 seconds to 1 hour; the default is 30 seconds. The first node
    /// of a new cluster sets it for all, and so does who replaces the keys; otherwise it has no effect.
    ///
    /// It is the one number that bounds everything. A node that is cut off refuses every key after it, with 503. A
    /// revocation that cannot reach a node returns after it, and 2 % more.
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Sets how long a change tries when other nodes are first, or the ledger does not answer; the default is 10
    /// seconds.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Opens a node also while the keys of the cluster are being replaced: for a tool that reads what they are, when the
    /// program that replaced them was cut off. It must verify no keys.
    #[doc(hidden)]
    pub fn open_while_replaced(mut self) -> Self {
        self.opens_while_replaced = true;
        self
    }

    /// Returns the name of the engine, for people.
    #[must_use]
    pub fn engine(&self) -> String {
        self.ledger.name()
    }

    /// For the count of instructions: the kernel's clock cannot be read where they are counted.
    #[cfg(feature = "measure")]
    #[doc(hidden)]
    pub fn with_a_still_clock(mut self) -> Self {
        self.clock = BootClock::manual().0;
        self
    }

    /// What is wrong with these options.
    pub(crate) fn fault(&self) -> Option<String> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if let Some(name) = &self.name
            && (name.is_empty() || name.len() > Self::MAX_NAME || !name.bytes().all(is_part))
        {
            return Some(format!(
                "cluster name {name:?}: allowed are 1 to {} letters, digits, `.`, `_` and `-`",
                Self::MAX_NAME
            ));
        }
        let bound = self.bound();
        if !(ClusterSettings::MIN_BOUND..=ClusterSettings::MAX_BOUND).contains(&bound) {
            return Some(format!("max_staleness {bound:?}: allowed are 5 seconds to 1 hour"));
        }
        if !(Duration::from_secs(1)..=ClusterSettings::MAX_BOUND).contains(&self.write_timeout) {
            return Some(format!("write_timeout {:?}: allowed are 1 second to 1 hour", self.write_timeout));
        }
        None
    }

    /// `max_staleness` of a new cluster.
    pub(crate) fn bound(&self) -> Duration {
        self.bound.unwrap_or(ClusterSettings::BOUND)
    }

    /// `max_staleness` of a cluster whose keys are replaced and that had this one.
    pub(crate) fn bound_after(&self, before: Duration) -> Duration {
        self.bound.unwrap_or(before)
    }

    /// The name of the node, or else that of its host.
    pub(crate) fn node_name(&self) -> String {
        self.name.clone().unwrap_or_else(host_name)
    }
}

#[cfg(unix)]
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.chars().take(Cluster::MAX_NAME).collect()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "node".into())
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("ledger", &self.ledger.name())
            .field("name", &self.name)
            .field("bound", &self.bound)
            .field("write_timeout", &self.write_timeout)
            .finish_non_exhaustive()
    }
}
