//! Where there are no Unix sockets that name their peers, there is no admin server.

use std::path::Path;

use crate::storage::open_error::OpenError;
use crate::store::key_store::KeyStore;

pub(crate) fn check(_: &Path) -> Result<(), OpenError> {
    Err(OpenError::Config("admin_socket: this system has no Unix sockets that name their peers".into()))
}

pub(crate) fn start(path: &Path, _: &KeyStore) -> Result<(), OpenError> {
    check(path)
}
