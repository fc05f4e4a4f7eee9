//! What an open fails with, by what it met.

use std::error::Error;
use std::io;
use std::path::Path;

use crate::base::codec::{CodecError, FORMAT};
use crate::key::error::{OpenError, StoreError};

use crate::storage::durable::RecoverError;
use crate::storage::wal::JournalError;

/// Damage that was found by what the store holds.
pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.into(), backup: None, source: None }
}

/// Damage that another error tells of.
pub(crate) fn because(path: &Path, what: &str, source: Box<dyn Error + Send + Sync>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.to_owned(), backup: None, source: Some(source) }
}

/// Why a journal was not taken over.
pub(crate) fn recover_error(path: &Path, error: RecoverError) -> OpenError {
    match error {
        RecoverError::Database(error) => read_error(path, "what its journal follows", error),
        RecoverError::Journal(JournalError::Entry(error)) => read_error(path, "its journal", error.into()),
        fault @ (RecoverError::Journal(_) | RecoverError::NotKept) => damaged(path, fault.to_string()),
    }
}

/// Why something was not read, or does not decode.
pub(crate) fn read_error(path: &Path, subject: &str, error: StoreError) -> OpenError {
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
        Some(_) => because(path, &format!("{subject} does not decode"), source.into()),
        None => because(path, &format!("{subject} cannot be read: {source}"), source.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_finds_damaged_is_damage() {
        let path = Path::new("/var/lib/keys.db");
        let damage = [
            sled::Error::Corruption { at: None, bt: () },
            sled::Error::ReportableBug("out of bounds".into()),
            sled::Error::Unsupported("a segment size".into()),
            sled::Error::CollectionNotFound("keys".into()),
        ];
        for error in damage {
            let error = read_error(path, "its head", error.into());
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("its head cannot be read: the database's file is damaged"), "{text}");
            assert!(!text.contains("backtrace"), "{text}");
        }
        let refused = sled::Error::Io(io::ErrorKind::StorageFull.into());
        assert!(matches!(read_error(path, "its head", refused.into()), OpenError::DiskFull { .. }));
    }
}
