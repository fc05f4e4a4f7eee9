//! The options of a store in a cluster, and the founding of one.

use std::path::Path;

use crate::builder::KeyStoreBuilder;
use crate::cluster::config::Cluster;
use crate::cluster::found::Founding;
use crate::storage::local::LocalOptions;
use crate::storage::open_error::OpenError;
use crate::store::open;

#[cfg_attr(docsrs, doc(cfg(feature = "cluster")))]
impl KeyStoreBuilder {
    /// Makes the store a node of a cluster, which has the same keys on every node: see
    /// [`Cluster`](crate::cluster::Cluster).
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.options.cluster = Some(cluster);
        self
    }

    /// Makes a [cluster](Self::cluster) of the keys of the store in `path`: writes them into the ledger, where there must
    /// be no cluster yet, and makes the directory a replica. Ids, secrets and the chain of events go on. Returns the
    /// number of keys. Every node may then be opened, this directory among them.
    ///
    /// It takes some seconds for a hundred thousand keys. If it is cut off, nothing has changed: run it again.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`OpenError::Cluster`].
    pub fn found_cluster(self, path: impl AsRef<Path>) -> Result<u64, OpenError> {
        self.found(Founding::New, path.as_ref())
    }

    /// Replaces the keys of a [cluster](Self::cluster) by those of the store in `path`, such as one that was restored from
    /// a backup. It begins a new generation of the log: every node that is open refuses all keys from its next look at the
    /// ledger on, and has the new keys once it is opened again.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`OpenError::Cluster`].
    pub fn replace_cluster(self, path: impl AsRef<Path>) -> Result<u64, OpenError> {
        self.found(Founding::Replace, path.as_ref())
    }

    fn found(self, founding: Founding, path: &Path) -> Result<u64, OpenError> {
        let Self { mut options, wait, .. } = self.checked()?;
        let cluster = options.cluster.take();
        let cluster =
            cluster.ok_or_else(|| OpenError::Config("no cluster is given: call .cluster(..) first".into()))?;
        let local = LocalOptions { create: false, wait, backups: None };
        open::found::found(options, &cluster, founding, &local, path)
    }
}
