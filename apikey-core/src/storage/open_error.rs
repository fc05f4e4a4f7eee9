//! Why a store could not be opened.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::codec::CodecError;
use crate::key::error::StoreError;
use crate::storage::database::durable::RecoverError;
use crate::storage::holder::Holder;
use crate::storage::wal::WalError;

type Source = Box<dyn Error + Send + Sync>;

/// Why a store could not be opened. The text says what to do; `Debug` gives the same text, since that is what
/// `main` and `unwrap` print.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another handle of this one, has the store open.
    #[error(
        "the key store {} is in use by {}; close that first, or let `open` wait for it (KeyStoreBuilder::wait_for_lock)",
        path.display(), describe_holder(holder.as_ref())
    )]
    InUse {
        /// The directory of the store.
        path: PathBuf,
        /// Who has it open, as far as the lock file says; `None`: another process that it does not name, or another
        /// handle of this one.
        holder: Option<Holder>,
    },
    /// The directory is not there, and `create_if_missing(false)` forbids to make it.
    #[error("there is no key store at {}; create_if_missing(true) would make one", path.display())]
    Missing {
        /// The directory asked for.
        path: PathBuf,
    },
    /// The path is something else than a directory of this store.
    #[error("{} is no key store: {found}; give a directory of its own, which may be missing or empty", path.display())]
    NotAStore {
        /// The path asked for.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The directory belongs to another user. Not even root opens it: what root makes in it, the store's own user cannot
    /// open. The command `apikey`, run as root, becomes that user by itself.
    #[error(
        "the key store {} cannot be opened: it belongs to uid {owner}, and this process is uid {user}: run as that \
         user, or give a directory of your own",
        path.display()
    )]
    NotOwner {
        /// The directory of the store.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// The effective user of this process.
        user: u32,
    },
    /// A file of the store belongs to another user than its directory: one who has opened the store, or put it there.
    #[error(
        "the key store cannot be opened: its file {} belongs to uid {owner}, and the store to uid {user}: give it back \
         with `chown -h {user} {}`",
        path.display(), path.display()
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be: the owner of the directory, and the effective user of this process.
        user: u32,
    },
    /// In the place of a file of the store is something else, which is not followed or opened.
    #[error(
        "the key store cannot be opened: {} is {found}, and should be a file or a directory; put that in its place",
        path.display()
    )]
    NotAFile {
        /// The place.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The builder's options do not fit each other, or the store.
    #[error("the key store cannot be opened with these options: {0}")]
    Config(String),
    /// The stored data does not hold together.
    #[error(
        "the key store {} is damaged: {what}; restore it from a backup{}, and keep the damaged directory",
        path.display(), describe_backup(backup)
    )]
    Damaged {
        /// The directory of the store.
        path: PathBuf,
        /// What does not hold together.
        what: String,
        /// The newest good backup that the store made of itself, if the builder asks for any.
        backup: Option<PathBuf>,
        /// What lies beneath, if anything.
        #[source]
        source: Option<Source>,
    },
    /// The store was written by a newer version of this library, and holds something that only that understands.
    #[error("the key store {} was written by a newer version: it has {what}; use that version or a later one", path.display())]
    NewerFormat {
        /// The directory of the store.
        path: PathBuf,
        /// What this version does not understand.
        what: String,
    },
    /// The store was written before 0.1.0, by a version whose format no release reads. It is not damaged.
    #[error(
        "the key store {} was written before 0.1.0, in a format that this version does not read: export its keys with \
         the version that wrote it (`apikey export --digests --out FILE`), and import them into a new store with this \
         one (`apikey import-lines --make < FILE`)",
        path.display()
    )]
    OldFormat {
        /// The directory of the store.
        path: PathBuf,
    },
    /// There is no room left on the disk.
    #[error("the key store {} cannot be opened, its disk is full: make room and open it again; nothing is lost", path.display())]
    DiskFull {
        /// The directory of the store.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The directory, or its file system, cannot be written by this process.
    #[error("the key store {} cannot be opened, it is not writable by this process: give its user the right to write, or mount it writable", path.display())]
    ReadOnly {
        /// The directory of the store.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The operating system refused for another reason.
    #[error("the key store {} cannot be opened: {source}", path.display())]
    Io {
        /// The path at which it refused.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
}

fn describe_holder(holder: Option<&Holder>) -> String {
    match holder {
        None => "another process, or another handle in this one".to_owned(),
        Some(Holder { pid, program: Some(program), .. }) => format!("process {pid} ({program})"),
        Some(Holder { pid, .. }) => format!("process {pid}"),
    }
}

fn describe_backup(backup: &Option<PathBuf>) -> String {
    backup.as_ref().map_or_else(String::new, |backup| format!(" (the newest good one is {})", backup.display()))
}

impl OpenError {
    /// Another process, or another handle of this one, has the lock. The lock file may name this process: it has noted
    /// itself there just now, while another one still has the database.
    pub(crate) fn in_use(path: &Path) -> Self {
        let holder = Holder::of(path).filter(|holder| holder.pid != std::process::id());
        Self::InUse { path: path.to_owned(), holder }
    }

    /// Names what the operating system refused.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly { path, source },
            _ => Self::Io { path, source },
        }
    }
}

impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Damage that was found by what the store holds.
pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.into(), backup: None, source: None }
}

/// Damage that another error tells of.
pub(crate) fn because(path: &Path, what: &str, source: Box<dyn Error + Send + Sync>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.to_owned(), backup: None, source: Some(source) }
}

/// Why a write-ahead log was not replayed.
pub(crate) fn recover_error(path: &Path, error: RecoverError) -> OpenError {
    match error {
        RecoverError::Database(error) => read_error(path, "what its write-ahead log follows", error),
        RecoverError::Wal(WalError::Entry(error)) => read_error(path, "its write-ahead log", error.into()),
        fault @ (RecoverError::Wal(_) | RecoverError::NotKept) => damaged(path, fault.to_string()),
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
        Some(CodecError::Newer(what)) => OpenError::NewerFormat { path: path.to_owned(), what: what.to_string() },
        Some(CodecError::Old) => OpenError::OldFormat { path: path.to_owned() },
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
