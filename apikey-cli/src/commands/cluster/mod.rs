//! Clusters: the same keys on many machines.

#[cfg(any(feature = "etcd", feature = "postgres"))]
mod engine;
#[cfg(any(feature = "etcd", feature = "postgres"))]
pub(crate) mod found;
mod leave;
#[cfg(any(feature = "etcd", feature = "postgres"))]
mod restore;
#[cfg(any(feature = "etcd", feature = "postgres"))]
mod staleness;
mod status;

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::path::PathBuf;

use clap::Subcommand;

#[cfg(any(feature = "etcd", feature = "postgres"))]
use self::found::FoundArgs;
#[cfg(any(feature = "etcd", feature = "postgres"))]
use self::restore::RestoreArgs;
use self::status::StatusArgs;
use crate::context::Context;
use crate::examples;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterAction {
    /// Make a cluster of the keys of a store, whose directory becomes its first replica
    ///
    /// Stop the service that has the store first. The engine must hold no cluster of this namespace yet. Ids, secrets and
    /// the history go on. If it is interrupted, nothing has changed: run it again.
    #[cfg(any(feature = "etcd", feature = "postgres"))]
    #[command(after_help = examples::CLUSTER_FOUND)]
    Found(FoundArgs),
    /// Show a cluster and its nodes: as a running node sees them (--store), or from the engine (--postgres, --etcd)
    ///
    /// Ends with 1 if there is something to do: a node that refuses keys or was silent, an engine that does not answer or
    /// is nearly full, a revocation that holds on this node alone.
    #[command(after_help = examples::CLUSTER_STATUS)]
    Status(StatusArgs),
    /// Replace all keys of a cluster by those of a backup
    ///
    /// It begins a new generation: every node refuses all keys from its next look at the engine on, until its service is
    /// started again. What was revoked, disabled or narrowed after the backup stays so: the command reads it from the
    /// cluster before. All other changes after the backup are lost.
    #[cfg(any(feature = "etcd", feature = "postgres"))]
    #[command(after_help = examples::CLUSTER_RESTORE)]
    Restore(RestoreArgs),
    /// Take the running node (--store) out of its cluster: it refuses every key, and no other node waits for it
    ///
    /// For a node that is to be drained, or that misbehaves and cannot be stopped. A service that ends by itself leaves its
    /// cluster, too. It is a node again when it is started again.
    #[command(after_help = examples::CLUSTER_LEAVE)]
    Leave,
}

impl ClusterAction {
    /// The directory that it works on: its own, or `store`, which the options name.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn directory<'a>(&'a mut self, store: Option<&'a mut PathBuf>) -> Option<&'a mut PathBuf> {
        match self {
            #[cfg(any(feature = "etcd", feature = "postgres"))]
            Self::Found(found) => Some(&mut found.from),
            // Its stores are temporary.
            #[cfg(any(feature = "etcd", feature = "postgres"))]
            Self::Restore(_) => None,
            Self::Status(_) | Self::Leave => store,
        }
    }
}

pub(crate) fn cluster(context: &Context, action: ClusterAction) -> Result<(), Failure> {
    match action {
        #[cfg(any(feature = "etcd", feature = "postgres"))]
        ClusterAction::Found(found) => found::found(context, &found),
        ClusterAction::Status(status) => status::status(context, &status),
        #[cfg(any(feature = "etcd", feature = "postgres"))]
        ClusterAction::Restore(restore) => restore::restore(context, &restore),
        ClusterAction::Leave => leave::leave(context),
    }
}
