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
use crate::storage::directory::{clear, prepare, remove_unfinished_snapshots};
use crate::storage::file_names::DATABASE;
use crate::storage::holder::Holder;
use crate::storage::in_use_marker;
use crate::storage::lock::lock;
use crate::storage::open_error::{OpenError, damaged, read_error, recover_error};
use crate::storage::recovery::recovered;

/// How a store's directory is opened.
#[derive(Debug, Clone)]
pub(crate) struct LocalOptions {
    /// Whether a store that is missing is created.
    pub(crate) create: bool,
    /// How long to wait for the lock.
    pub(crate) wait: Duration,
    /// Where the store's own backups go, if it makes any.
    pub(crate) backups: Option<PathBuf>,
}

/// An open store's engine.
pub(crate) struct Local {
    pub(crate) disk: Disk,
    pub(crate) files: LocalFiles,
    /// `None` for a temporary store.
    pub(crate) mark: Option<(MarkFile, CommitMark)>,
}

/// What is held until the store is closed.
pub(crate) struct LocalFiles {
    temporary: Option<TempDir>,
    lock: Option<File>,
    database: PathBuf,
}

impl Local {
    /// Opens the engine of the store in this directory, and hands it to `work`. Damage can make sled panic whenever it
    /// reads: what it does to `work` is an error, too.
    pub(crate) fn open<T>(
        path: &Path,
        options: &LocalOptions,
        work: impl FnOnce(Self) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let io = |source| OpenError::io(path, source);
        prepare(path, options.create)?;
        // Only now: where the store is another user's, nothing at all is made.
        let backups = options.backups.as_deref().map(backups_in).transpose()?;
        let lock = lock(path, options.wait, backups.as_deref())?;
        clear(path).map_err(io)?;
        let directory = path.join(DATABASE);
        let known = mark_of(path)?;
        if !directory.try_exists().map_err(io)? {
            if let Some((_, mark)) = known.as_ref().filter(|(_, mark)| mark.number > 0) {
                return Err(damaged(path, format!("its database is gone, and its mark knows change {}", mark.number)));
            }
            // Nothing is there yet, so nothing is damaged.
            create_empty(path).map_err(|error| read_error(path, "the new database", error))?;
        }
        let Some(mark) = mark_of(path)? else {
            return Err(damaged(path, "its commit mark is gone, so nobody can say whether the database is complete"));
        };
        remove_unfinished_snapshots(&directory).map_err(io)?;
        // A process that was killed may have left writes that no sync followed. From what sled reads now it makes a
        // snapshot, which it does sync: without this, a power cut could leave the snapshot and take what it speaks of.
        sync_all(&directory).map_err(io)?;
        in_use_marker::mark_open(&directory).map_err(io)?;
        let database = recovered(&directory, path)?;
        guarded(database, path, |database| {
            make_all_private(&directory).map_err(io)?;
            let disk = checked(database, &directory, path, true)?;
            let files = LocalFiles { temporary: None, lock: Some(lock), database: directory.clone() };
            work(Self { disk, files, mark: Some(mark) })
        })
    }

    /// Makes an engine that is gone when it is dropped, and syncs nothing.
    pub(crate) fn temporary() -> Result<(Self, PathBuf), OpenError> {
        let temporary = TempDir::new().map_err(|source| OpenError::Io { path: std::env::temp_dir(), source })?;
        let path = temporary.path().to_owned();
        let directory = path.join(DATABASE);
        let database = sled_at(&directory, &path)?;
        let disk = checked(database, &directory, &path, false)?;
        let files = LocalFiles { temporary: Some(temporary), lock: None, database: directory };
        Ok((Self { disk, files, mark: None }, path))
    }
}

impl LocalFiles {
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Writes into the lock file where operators can connect.
    pub(crate) fn note_socket(&self, socket: &Path) {
        if let Some(lock) = &self.lock
            && let Err(error) = Holder::write(lock, Some(socket), None)
        {
            tracing::warn!(%error, "the lock file does not say where the admin socket is");
        }
    }

    /// Lets go of the directory, once the database is dropped. `is_whole`: all that was written is on the disk.
    pub(crate) fn close(self, is_whole: bool) -> io::Result<()> {
        let Some(lock) = self.lock else { return Ok(()) };
        let ended = if is_whole { in_use_marker::mark_closed(&self.database) } else { Ok(()) };
        let private = make_all_private(&self.database);
        if let Err(error) = Holder::clear(&lock) {
            tracing::debug!(%error, "the lock file still says who held it");
        }
        // A process forked a moment ago may hold the file, too; unlocking ends the lock for all.
        lock.unlock()?;
        private.and(ended)
    }
}

/// The directory of the store's own backups, made if it is missing.
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

/// The database's trees, if it has all that its write-ahead log holds.
fn checked(database: sled::Db, directory: &Path, path: &Path, sync: bool) -> Result<Disk, OpenError> {
    let disk = Disk::new(database, directory, sync).map_err(|error| read_error(path, "its head", error))?;
    disk.check_wal().map_err(|error| recover_error(path, error))?;
    Ok(disk)
}
