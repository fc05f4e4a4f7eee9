//! The directory of a store: its lock, its modes, and a database made in it so that a cut leaves nothing or a whole one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::panics::catch_panic;
use crate::key::error::{OpenError, StoreError};
use crate::storage::holder::Holder;

use crate::base::files::{
    CREATING, check_files, check_owner, make_all_private, make_private, own_file, parent, rename, sync_all,
    sync_directory,
};
use crate::storage::abandoned;
use crate::storage::commit_mark::{MARK, Mark, MarkFile};
use crate::storage::disk::Disk;

pub(crate) const LOCK: &str = "lock";
pub(crate) const DATABASE: &str = "sled";
pub(crate) const LOCK_STEP: Duration = Duration::from_millis(20);

/// Sees to it that the directory is there, and is one for a store of this process's user.
pub(crate) fn prepare(path: &Path, create: bool) -> Result<(), OpenError> {
    let io = |source| OpenError::io(path, source);
    let not_a_store = |found| OpenError::NotAStore { path: path.to_owned(), found };
    let owned = match fs::metadata(path) {
        Ok(found) if !found.is_dir() => return Err(not_a_store("it is a file")),
        Ok(found) => check_owner(path, &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            return make_directory(path).map_err(io);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(io(error)),
    };
    let entries = match fs::read_dir(path) {
        // Another user's directory may be closed to this one.
        Err(error) => return Err(owned.err().unwrap_or_else(|| io(error))),
        Ok(entries) => entries,
    };
    let (mut database, mut foreign) = (false, false);
    for entry in entries {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        database |= name == DATABASE;
        foreign |= !(name == LOCK || name == MARK || name == "lost+found" || name.starts_with(CREATING));
    }
    match (database, foreign, create) {
        (true, ..) | (false, false, true) => owned.and_then(|()| check_files(path)),
        (false, true, _) => Err(not_a_store("it is a directory with other files in it")),
        (false, false, false) => Err(OpenError::Missing { path: path.to_owned() }),
    }
}

/// Makes a directory that is this user's alone, durably, with those above it; one that is there stays as it is.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let missing: Vec<&Path> = missing.collect();
    let mut builder = DirBuilder::new();
    private(&mut builder);
    builder.recursive(true).create(path)?;
    // Each entry that was made, so that a power cut does not lose the way to it.
    missing.into_iter().try_for_each(|made| sync_directory(parent(made)))
}

#[cfg(unix)]
fn private(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700);
}

#[cfg(not(unix))]
fn private(_: &mut DirBuilder) {}

/// Held until the store is closed. In it stands who holds it, and where that keeps its `backups`.
pub(crate) fn lock(path: &Path, wait: Duration, backups: Option<&Path>) -> Result<File, OpenError> {
    let io = |source| OpenError::io(path, source);
    let file_path = path.join(LOCK);
    let mut options = OpenOptions::new();
    let file = own_file(options.create(true).truncate(false).read(true).write(true), &file_path).map_err(io)?;
    make_private(&file, 0o600).map_err(io)?;
    let until = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => {
                // For people only: that it cannot be written is no reason not to open.
                if let Err(error) = Holder::write(&file, None, backups) {
                    tracing::debug!(%error, "the lock file does not say who holds it");
                }
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_STEP),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
}

/// Removes what a creation that was cut off left behind.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(CREATING) {
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
    }
    Ok(())
}

/// Makes a database beside its place and renames it there: a cut at any moment leaves nothing or a whole one.
pub(crate) fn build<E: From<StoreError>>(path: &Path, fill: impl FnOnce(&Disk) -> Result<Mark, E>) -> Result<(), E> {
    let io = StoreError::from;
    let building = tempfile::Builder::new().prefix(CREATING).tempdir_in(path).map_err(io)?;
    let mark = build_database(building.path(), fill)?;
    make_all_private(building.path()).map_err(io)?;
    sync_all(building.path()).map_err(io)?;
    // Before the database: from then on a missing mark is damage.
    MarkFile::create(path, mark).map_err(io)?;
    rename(&building.keep(), &path.join(DATABASE)).map_err(io)?;
    match sync_directory(parent(path)) {
        // What was made on the way to it is synced. What somebody else has made may be closed to this user.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {}
        synced => synced.map_err(io)?,
    }
    Ok(())
}

/// The database of a store that is being made. On a disk that refuses, sled can panic, and its handles can wait for ever
/// when they are dropped: what has failed is dropped apart.
fn build_database<E: From<StoreError>>(path: &Path, fill: impl FnOnce(&Disk) -> Result<Mark, E>) -> Result<Mark, E> {
    let panicked = |panic| StoreError::from(io::Error::other(format!("the database panicked: {panic}")));
    let opened = catch_panic(|| sled::Config::new().path(path).open()).map_err(panicked)?;
    let database = opened.map_err(StoreError::from)?;
    let held = database.clone();
    let built = catch_panic(|| {
        let disk = Disk::new(database, path, true)?;
        let mark = fill(&disk)?;
        disk.sync().map_err(StoreError::from)?;
        Ok(mark)
    });
    let built = built.unwrap_or_else(|panic| Err(panicked(panic).into()));
    match &built {
        // It is synced once more.
        Ok(_) => catch_panic(|| drop(held)).map_err(panicked)?,
        Err(_) => abandoned::drop_apart(path.to_owned(), Arc::new(held)),
    }
    built
}

/// Writes at a place of a file, in one call of the system where it has one.
#[cfg(unix)]
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
pub(crate) fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// A snapshot that a crash cut off makes every later open fail; sled writes it anew (sled #1527).
pub(crate) fn remove_unfinished_snapshots(database: &Path) -> io::Result<()> {
    for entry in fs::read_dir(database)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
