//! Founding a cluster of the keys of a store.

use std::path::Path;

use crate::base::codec;
use crate::cluster::config::Cluster;
use crate::cluster::found::Founding;
use crate::cluster::join::JoinError;
use crate::key::error::StoreError;
use crate::storage::local::LocalOptions;
use crate::storage::meta::Meta;
use crate::storage::open_error::OpenError;
use crate::storage::replica_note::ReplicaNote;
use crate::store::open::open;
use crate::store::open::options::Options;

/// The changes of one transaction.
const MAX_CHANGES: usize = 1000;

/// Makes a cluster of the keys of a store, and its directory a replica.
pub(crate) fn found(
    mut options: Options,
    cluster: &Cluster,
    founding: Founding,
    local: &LocalOptions,
    path: &Path,
) -> Result<u64, OpenError> {
    options.cluster = None;
    let prefixes = options.prefixes();
    let digesters = options.digesters();
    let store = open(options, local, path)?;
    let inner = store.inner();
    let write = || -> Result<u64, JoinError> {
        let log = inner.engine.log.open()?;
        // Other nodes have the records alone, and not the times of use.
        for changes in inner.engine.in_use_changes().chunks(MAX_CHANGES) {
            inner.engine.change(|_, _| Ok(changes.to_vec()))?;
        }
        let head = inner.engine.writer().head();
        // What is reserved of strict quotas and not used is left for the nodes.
        inner.end_quotas(&log);
        // Everything that was changed before is in the database now; nothing else has the store open.
        log.checkpoint().map_err(StoreError::from)?;
        let replica = cluster.found(founding, &log, &head, &prefixes, &digesters)?;
        let note = ReplicaNote { cluster: replica.cluster, generation: replica.generation, timeline: 0 };
        let meta = log.meta()?.map(|frame| codec::decode::<Meta>(&frame)).transpose().map_err(StoreError::from)?;
        let meta = Meta { replica: Some(replica), ..meta.unwrap_or_default() };
        log.set_meta(codec::encode(&meta).map_err(StoreError::from)?)?;
        note.write(path).map_err(StoreError::from)?;
        Ok(head.records)
    };
    let founded = write().map_err(|error| OpenError::Cluster(error.to_string()));
    store.close().map_err(|error| OpenError::Cluster(error.to_string()))?;
    founded
}
