use std::time::Duration;

use apikey_core::cluster::{Cluster, Ledger, MemoryLedger};
use apikey_core::{KeyStore, KeyStoreBuilder};

use super::newer::Newer;

/// A cluster, and the nodes that a test opens.
pub(super) struct Nodes(Box<dyn Fn(Version) -> Cluster + Sync>);

/// What a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    This,
    /// One that writes a critical field which this one does not know.
    Newer,
}

fn cluster(ledger: impl Ledger, version: Version) -> Cluster {
    match version {
        Version::This => Cluster::new(ledger),
        Version::Newer => Cluster::new(Newer(ledger)),
    }
}

impl Nodes {
    pub(super) fn in_memory() -> Self {
        let ledger = MemoryLedger::new();
        Self(Box::new(move |version| cluster(ledger.another(), version)))
    }

    #[cfg(unix)]
    pub(super) fn on_etcd() -> Self {
        let (endpoints, namespace) = crate::etcd::shared_namespace();
        let ledger = move || apikey_etcd::Etcd::new([&endpoints]).namespace(&namespace);
        Self(Box::new(move |version| cluster(ledger(), version)))
    }

    #[cfg(unix)]
    pub(super) fn on_postgres() -> Self {
        let (server, namespace) = crate::postgres::shared_namespace();
        let ledger = move || apikey_postgres::Postgres::new(&server).namespace(&namespace);
        Self(Box::new(move |version| cluster(ledger(), version)))
    }

    /// The options of a node of this name.
    pub(super) fn builder(&self, name: &str) -> KeyStoreBuilder {
        self.builder_of(name, Version::This)
    }

    /// The same for a node that runs this version.
    pub(super) fn builder_of(&self, name: &str, version: Version) -> KeyStoreBuilder {
        KeyStore::builder().cluster((self.0)(version).name(name).max_staleness(Duration::from_secs(5)))
    }

    pub(super) fn open(&self, name: &str) -> KeyStore {
        self.builder(name).temporary().unwrap()
    }

    pub(super) fn three(&self) -> [KeyStore; 3] {
        ["one", "two", "three"].map(|name| self.open(name))
    }
}

/// The test on each engine.
macro_rules! on_each_engine {
    ($($(#[$doc:meta])* fn $name:ident($nodes:ident) $body:block)+) => {
        $($(#[$doc])* fn $name($nodes: &Nodes) $body)+

        mod memory {
            use super::*;

            $(#[test] fn $name() { super::$name(&Nodes::in_memory()); })+
        }

        #[cfg(unix)]
        mod etcd {
            use super::*;

            $(#[test] fn $name() { super::$name(&Nodes::on_etcd()); })+
        }

        #[cfg(unix)]
        mod postgres {
            use super::*;

            $(#[test] fn $name() { super::$name(&Nodes::on_postgres()); })+
        }
    };
}
pub(super) use on_each_engine;
