//! What lies in the ledger: entries of the log, images of the state, presences, and the settings of the cluster.

pub(crate) mod entry;
pub(crate) mod here_only;
pub(crate) mod image;
pub(crate) mod presence;
pub(crate) mod settings;
