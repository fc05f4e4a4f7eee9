//! Opening a replica that may be damaged. A replica is expendable: what is damaged, or has lost changes that it had
//! acknowledged, is set aside, and the cluster fills the directory anew. A store of its own is never touched.

use std::path::Path;

use crate::cluster::config::Cluster;
use crate::cluster::join::JoinError;
use crate::storage::commit_mark::MarkFile;
use crate::storage::local::{Local, LockedDirectory};
use crate::storage::open_error::{OpenError, read_error};
use crate::storage::replica_note::ReplicaNote;
use crate::storage::set_aside::set_aside;
use crate::store::key_store::KeyStore;
use crate::store::open::options::Options;

/// Opens the store in a locked directory as a node of its cluster. `finish` starts the store on its engine.
pub(super) fn open(
    options: &Options,
    directory: &LockedDirectory<'_>,
    path: &Path,
    finish: impl Fn(Local) -> Result<KeyStore, OpenError>,
) -> Result<KeyStore, OpenError> {
    let error = match directory.open(&finish) {
        Err(error @ OpenError::Damaged { .. }) => error,
        opened => return opened,
    };
    let io = |source| OpenError::io(path, source);
    let (Some(cluster), Some(note)) = (&options.cluster, ReplicaNote::read(path).map_err(io)?) else {
        // Nothing says that it is a replica.
        return Err(error);
    };
    let what = what_is_damaged(&error);
    if let Err(why) = check_expendable(options, cluster, note.map_err(|error| unreadable(path, error))?, path)? {
        return Err(OpenError::DamagedReplica { path: path.to_owned(), what, why: why.to_string() });
    }
    let aside = set_aside(path).map_err(io)?;
    tracing::warn!(
        name: "apikey.cluster",
        target: "apikey",
        node = cluster.node_name(),
        what,
        aside = %aside.display(),
        "this replica is damaged, and is rebuilt from its cluster; the old files are set aside, and may be removed"
    );
    directory.open(finish)
}

/// Whether the cluster has all that the replica had.
fn check_expendable(
    options: &Options,
    cluster: &Cluster,
    note: ReplicaNote,
    path: &Path,
) -> Result<Result<(), JoinError>, OpenError> {
    let mark = MarkFile::read(path).map_err(|source| OpenError::io(path, source))?;
    // A mark that cannot be read may be what is damaged.
    let marked = mark.and_then(Result::ok).map_or(0, |mark| mark.number);
    Ok(cluster.check_expendable(&note, marked, &options.prefixes(), &options.digesters()))
}

fn what_is_damaged(error: &OpenError) -> String {
    match error {
        OpenError::Damaged { what, .. } => what.clone(),
        other => other.to_string(),
    }
}

fn unreadable(path: &Path, error: crate::base::codec::CodecError) -> OpenError {
    read_error(path, "the note of the cluster that it is a replica of", error.into())
}
