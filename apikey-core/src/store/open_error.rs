//! What an open fails with, by what it met.

use std::error::Error;
use std::io;
use std::path::Path;

use crate::codec::{CodecError, FORMAT};
use crate::error::{OpenError, StoreError};

use super::durable::RecoverError;
use super::journal::JournalError;

/// Damage that was found by what the store holds.
pub(super) fn damaged(path: &Path, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.into(), backup: None, source: None }
}

/// Damage that another error tells of.
pub(super) fn because(path: &Path, what: &str, source: Box<dyn Error + Send + Sync>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.to_owned(), backup: None, source: Some(source) }
}

/// Why a journal was not taken over.
pub(super) fn recover_error(path: &Path, error: RecoverError) -> OpenError {
    match error {
        RecoverError::Database(error) => read_error(path, "what its journal follows", error),
        RecoverError::Journal(JournalError::Entry(error)) => read_error(path, "its journal", error.into()),
        fault @ (RecoverError::Journal(_) | RecoverError::NotKept) => damaged(path, fault.to_string()),
    }
}

/// Why something was not read, or does not decode.
pub(super) fn read_error(path: &Path, subject: &str, error: StoreError) -> OpenError {
    let source = match error {
        StoreError::Io { source } => source,
        other => io::Error::other(other),
    };
    if source.kind() != io::ErrorKind::InvalidData {
        return OpenError::io(path, source);
    }
    match source.get_ref().and_then(|inner| inner.downcast_ref::<CodecError>()) {
        Some(CodecError::Newer(found)) => {
            OpenError::NewerFormat { path: path.to_owned(), found: *found, known: FORMAT }
        }
        _ => because(path, &format!("{subject} does not decode"), source.into()),
    }
}
