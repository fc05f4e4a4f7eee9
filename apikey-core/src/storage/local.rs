//! The local engine of a store, open: its lock, its database, and its commit mark.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::base::files::{make_all_private, make_directory, sync_all};
use crate::storage::commit_mark::{CommitMark, MarkFile};
use crate::storage::create::create_empty;
use crate::storage::database::disk::Disk;
use crate::storage::database::open::{guarded, sled_at};
use crate::storage::directory::{clear, is_noted_replica, prepare, remove_unfinished_snapshots};
use crate::storage::file_names::DATABASE;
use crate::storage::holder::Holder;
use crate::storage::in_use_marker;
use crate::storage::lock::lock;
use crate::storage::open_error::{OpenError, damaged, read_error, recover_error};
use crate::storage::recovery::recovered;
use crate::storage::wal;

/// The options of opening a store's directory.
#[derive(Debug, Clone)]
pub(crate) struct LocalOptions {
    /// Whether to create a missing store.
    pub(crate) create: bool,
    /// How long to wait for the lock.
    pub(crate) wait: Duration,
    /// The directory of the store's own backups, if it writes any.
    pub(crate) backups: Option<PathBuf>,
}

/// An open store's engine.
pub(crate) struct Local {
    pub(crate) disk: Disk,
    pub(crate) files: LocalFiles,
    /// `None` for a temporary store.
    pub(crate) mark: Option<(MarkFile, CommitMark)>,
    /// Whether the process that had it open before did not close it.
    pub(crate) was_killed: bool,
}

/// The files that the store holds until it is closed.
pub(crate) struct LocalFiles {
    temporary: Option<TempDir>,
    lock: Option<File>,
    database: PathBuf,
}

/// A store's directory, locked: no other process opens it.
pub(crate) struct LockedDirectory<'p> {
    path: &'p Path,
    lock: File,
    create: bool,
}

impl<'p> LockedDirectory<'p> {
    /// Checks the directory, creates it if it is missing, and locks it.
    pub(crate) fn lock(path: &'p Path, options: &LocalOptions) -> Result<Self, OpenError> {
        prepare(path, options.create)?;
        // Create this only now, so that a store of another user changes nothing on the disk.
        let backups = options.backups.as_deref().map(backups_in).transpose()?;
        let lock = lock(path, options.wait, backups.as_deref())?;
        Ok(Self { path, lock, create: options.create })
    }

    /// Opens the engine of the store in this directory, and passes it to `work`. Damage can make sled panic at any
    /// read, so this also converts a panic in `work` into an error. The lock is held until the store is closed, or after an
    /// error until this is dropped.
    pub(crate) fn open<T>(&self, work: impl FnOnce(Local) -> Result<T, OpenError>) -> Result<T, OpenError> {
        let path = self.path;
        let io = |source| OpenError::io(path, source);
        // Both are handles of one lock.
        let lock = self.lock.try_clone().map_err(io)?;
        clear(path).map_err(io)?;
        let directory = path.join(DATABASE);
        let known = mark_of(path)?;
        if !directory.try_exists().map_err(io)? {
            if let Some((_, mark)) = known.as_ref().filter(|(_, mark)| mark.number > 0) {
                return Err(damaged(path, format!("its database is gone, and its mark knows change {}", mark.number)));
            }
            // What a replica was is no matter: the cluster has it.
            if !self.create && !is_noted_replica(path).map_err(io)? {
                return Err(OpenError::Missing { path: path.to_owned() });
            }
            // There is no store yet, so nothing is damaged.
            create_empty(path).map_err(|error| read_error(path, "the new database", error))?;
        }
        let Some(mark) = mark_of(path)? else {
            return Err(damaged(
                path,
                "its commit mark is gone, so the store cannot check whether the database is complete",
            ));
        };
        remove_unfinished_snapshots(&directory).map_err(io)?;
        // A killed process may have left unsynced writes. sled writes a snapshot of what it reads now, and syncs it:
        // without this sync, a power cut could keep the snapshot and lose the data to which it refers.
        sync_all(&directory).map_err(io)?;
        let was_killed = in_use_marker::mark_open(&directory).map_err(io)?;
        let database = recovered(&directory, path)?;
        guarded(database, path, |database| {
            make_all_private(&directory).map_err(io)?;
            let disk = checked(database, &directory, path, true)?;
            let files = LocalFiles { temporary: None, lock: Some(lock), database: directory.clone() };
            work(Local { disk, files, mark: Some(mark), was_killed })
        })
    }
}

impl Local {
    /// Creates an engine that deletes its files when it is dropped, and never syncs.
    pub(crate) fn temporary() -> Result<(Self, PathBuf), OpenError> {
        let temporary = TempDir::new().map_err(|source| OpenError::Io { path: std::env::temp_dir(), source })?;
        let path = temporary.path().to_owned();
        let directory = path.join(DATABASE);
        let database = sled_at(&directory, &path)?;
        let disk = checked(database, &directory, &path, false)?;
        let files = LocalFiles { temporary: Some(temporary), lock: None, database: directory };
        Ok((Self { disk, files, mark: None, was_killed: false }, path))
    }
}

impl LocalFiles {
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The bytes of all files of the database, and those of the write-ahead log among them.
    pub(crate) fn bytes(&self) -> io::Result<(u64, u64)> {
        let (mut all, mut log) = (0, 0);
        let mut directories = vec![self.database.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                // sled may delete a file meanwhile.
                let Ok(file) = entry.metadata() else { continue };
                if file.is_dir() {
                    directories.push(entry.path());
                    continue;
                }
                all += file.len();
                if entry.file_name() == wal::NAME {
                    log += file.len();
                }
            }
        }
        Ok((all, log))
    }

    /// Writes into the lock file where operators can connect.
    #[cfg(unix)]
    pub(crate) fn note_socket(&self, socket: &Path) {
        if let Some(lock) = &self.lock
            && let Err(error) = Holder::write(lock, Some(socket), None)
        {
            tracing::warn!(%error, "the lock file does not say where the admin socket is");
        }
    }

    /// Releases the directory, after the database was dropped. `is_whole` says that everything that was written is on
    /// the disk.
    pub(crate) fn close(self, is_whole: bool) -> io::Result<()> {
        let Some(lock) = self.lock else { return Ok(()) };
        let ended = if is_whole { in_use_marker::mark_closed(&self.database) } else { Ok(()) };
        let private = make_all_private(&self.database);
        if let Err(error) = Holder::clear(&lock) {
            tracing::debug!(%error, "the lock file still says who held it");
        }
        // A process that was just forked may hold the file, too; unlocking ends the lock for all.
        lock.unlock()?;
        private.and(ended)
    }
}

/// Returns the directory of the store's own backups, and creates it if it is missing.
fn backups_in(directory: &Path) -> Result<PathBuf, OpenError> {
    let refused = |source| OpenError::io(directory, source);
    make_directory(directory).map_err(refused)?;
    std::path::absolute(directory).map_err(refused)
}

fn mark_of(path: &Path) -> Result<Option<(MarkFile, CommitMark)>, OpenError> {
    let found = MarkFile::open(path).map_err(|source| OpenError::io(path, source))?;
    let Some((file, mark)) = found else { return Ok(None) };
    Ok(Some((file, mark.map_err(|error| read_error(path, "its commit mark", error.into()))?)))
}

/// Opens the database's trees, and checks that it has every change of its write-ahead log.
fn checked(database: sled::Db, directory: &Path, path: &Path, sync: bool) -> Result<Disk, OpenError> {
    let disk = Disk::new(database, directory, sync).map_err(|error| read_error(path, "its head", error))?;
    disk.check_wal().map_err(|error| recover_error(path, error))?;
    Ok(disk)
}
