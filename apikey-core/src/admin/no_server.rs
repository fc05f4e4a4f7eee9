//! The admin server's place on platforms without Unix sockets that name their peers.

use std::path::Path;

use crate::storage::open_error::OpenError;
use crate::store::key_store::KeyStore;

pub(crate) fn check(_: &Path) -> Result<(), OpenError> {
    Err(OpenError::Config("admin_socket: it needs Unix sockets, which Windows does not have: leave it out there, for instance with cfg!(unix)".into()))
}

pub(crate) fn start(path: &Path, _: &KeyStore) -> Result<(), OpenError> {
    check(path)
}
