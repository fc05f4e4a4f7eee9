//! sled's errors as those of a store.

use std::io;

use crate::key::error::StoreError;

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::Io { source: io_error(error) }
    }
}

/// What the database says, as an error of the operating system. [`ErrorKind::InvalidData`](io::ErrorKind::InvalidData) is
/// damage: of files that are as it wrote them, sled says nothing but [`sled::Error::Io`].
pub(crate) fn io_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        // Its own text ends with a backtrace that it does not have.
        sled::Error::Corruption { at: Some(at), .. } => invalid(format!("the database's file is damaged at {at}")),
        sled::Error::Corruption { at: None, .. } => invalid("the database's file is damaged".into()),
        other => invalid(format!("the database's file is damaged: {other}")),
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
