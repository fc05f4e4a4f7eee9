//! The errors of opening a store.

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

/// The error of opening a store. The text says what to do; `Debug` gives the same text, since `main` and `unwrap` print
/// it.
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
        /// The process that has it open, if the lock file names one; `None` for another process that it does not name,
        /// or another handle of this one.
        holder: Option<Holder>,
    },
    /// The directory does not exist, and `create_if_missing(false)` forbids creating it.
    #[error("there is no key store at {}; create_if_missing(true) would make one", path.display())]
    Missing {
        /// The directory asked for.
        path: PathBuf,
    },
    /// The path is not a directory of a store.
    #[error("{} is no key store: {found}; give a directory of its own, which may be missing or empty", path.display())]
    NotAStore {
        /// The path asked for.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// The directory belongs to another user. Not even root may open it, since the store's own user could not open the
    /// files that root creates in it. The command `apikey`, run as root, switches to that user by itself.
    #[error(
        "the key store {} cannot be opened: it belongs to uid {owner}, and this process is uid {user}: run as that \
         user, or give a directory of your own",
        path.display()
    )]
    NotOwner {
        /// The directory of the store.
        path: PathBuf,
        /// The user who owns it.
        owner: u32,
        /// The effective user of this process.
        user: u32,
    },
    /// A file of the store belongs to another user than its directory: a user who has opened the store, or put the file
    /// there.
    #[error(
        "the key store cannot be opened: its file {} belongs to uid {owner}, and the store to uid {user}: give it back \
         with `chown -h {user} {}`",
        path.display(), path.display()
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// The user who owns it.
        owner: u32,
        /// The user who should own it: the owner of the directory, and the effective user of this process.
        user: u32,
    },
    /// Something other than a file is in the place of a file of the store. The store does not follow or open it.
    #[error(
        "the key store cannot be opened: {} is {found}, and should be a file or a directory; put that in its place",
        path.display()
    )]
    NotAFile {
        /// The path of the file.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// An option of the builder is invalid, or does not fit the other options or the store.
    #[error("the key store cannot be opened with these options: {0}")]
    Config(String),
    /// The store is a replica of a cluster, and the options name no cluster.
    #[error(
        "the key store {} is a replica of a cluster, and a change of it alone would be lost: open it with .cluster(..), or \
         restore a backup of it into a store of its own",
        path.display()
    )]
    Replica {
        /// The directory of the replica.
        path: PathBuf,
    },
    /// The replica is damaged, and cannot be rebuilt from its cluster now.
    #[error(
        "the replica {} is damaged: {what}; it is not rebuilt from its cluster: {why}", path.display()
    )]
    DamagedReplica {
        /// The directory of the replica.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// Why it is not rebuilt.
        why: String,
    },
    /// The store cannot join its cluster.
    #[error("the node cannot join its cluster: {0}")]
    Cluster(String),
    /// The stored data is damaged.
    #[error(
        "the key store {} is damaged: {what}; restore it from a backup{}, and keep the damaged directory",
        path.display(), describe_backup(backup)
    )]
    Damaged {
        /// The directory of the store.
        path: PathBuf,
        /// What is wrong with the data.
        what: String,
        /// The newest intact backup of the store's own ([`backup_every`](crate::KeyStoreBuilder::backup_every)), if
        /// there is one.
        backup: Option<PathBuf>,
        /// The underlying error, if there is one.
        #[source]
        source: Option<Source>,
    },
    /// A newer version of this library wrote the store, which contains something that this version does not understand.
    #[error("the key store {} was written by a newer version: it has {what}; use that version or a later one", path.display())]
    NewerFormat {
        /// The directory of the store.
        path: PathBuf,
        /// What this version does not understand.
        what: String,
    },
    /// A version before 0.1.0 wrote the store, in a format that no release reads. The store is not damaged.
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
    /// The disk is full.
    #[error("the key store {} cannot be opened, its disk is full: make room and open it again; nothing is lost", path.display())]
    DiskFull {
        /// The directory of the store.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// This process cannot write to the directory, or to its file system.
    #[error("the key store {} cannot be opened, it is not writable by this process: give its user the right to write, or mount it writable", path.display())]
    ReadOnly {
        /// The directory of the store.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The operating system returned another error.
    #[error("the key store {} cannot be opened: {source}", path.display())]
    Io {
        /// The path of the failed operation.
        path: PathBuf,
        /// The operating system's error.
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
    /// Creates the error for a lock that another process, or another handle of this one, has. The lock file may name
    /// this process, which has just noted itself there, while another one still has the database.
    pub(crate) fn in_use(path: &Path) -> Self {
        let holder = Holder::of(path).filter(|holder| holder.pid != std::process::id());
        Self::InUse { path: path.to_owned(), holder }
    }

    /// Classifies an error of the operating system.
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

/// Creates the error for damage that a check of the data has found.
pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.into(), backup: None, source: None }
}

/// Creates the error for damage that another error reports.
pub(crate) fn because(path: &Path, what: &str, source: Box<dyn Error + Send + Sync>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.to_owned(), backup: None, source: Some(source) }
}

/// Converts the error of a replay.
pub(crate) fn recover_error(path: &Path, error: RecoverError) -> OpenError {
    match error {
        RecoverError::Database(error) => read_error(path, "what its write-ahead log follows", error),
        RecoverError::Wal(WalError::Entry(error)) => read_error(path, "its write-ahead log", error.into()),
        fault @ (RecoverError::Wal(_) | RecoverError::NotKept) => damaged(path, fault.to_string()),
    }
}

/// Converts the error of reading or decoding something.
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
    use crate::storage::database::fault::io_error;

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
            let error = read_error(path, "its head", io_error(error).into());
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("its head cannot be read: the database's file is damaged"), "{text}");
            assert!(!text.contains("backtrace"), "{text}");
        }
        let refused = sled::Error::Io(io::ErrorKind::StorageFull.into());
        assert!(matches!(read_error(path, "its head", io_error(refused).into()), OpenError::DiskFull { .. }));
    }
}
