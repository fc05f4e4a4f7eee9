//! The directory of a store: checks of it, and the removal of a crash's leftovers.

use std::fs;
use std::io;
use std::path::Path;

use crate::base::files::CREATING;
use crate::base::files::make_directory;
use crate::storage::file_names::{self, DATABASE, MARK, REPLICA};
use crate::storage::file_owner::{check_files, check_owner};
use crate::storage::open_error::OpenError;

/// Checks that the directory is one for a store of this process's user, and creates it if it is missing.
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
        Err(error) => return Err(unreadable(path, error)),
    };
    let entries = match fs::read_dir(path) {
        // Another user's directory may be inaccessible to this one.
        Err(error) => return Err(owned.err().unwrap_or_else(|| unreadable(path, error))),
        Ok(entries) => entries,
    };
    let (mut database, mut marked, mut foreign) = (false, false, false);
    for entry in entries {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        database |= name == DATABASE;
        marked |= name == MARK || name == REPLICA;
        foreign |= !(file_names::ALL.contains(&&*name) || name == "lost+found" || name.starts_with(CREATING));
    }
    match (database, foreign, create) {
        (true, ..) | (false, false, true) => owned.and_then(|()| check_files(path)),
        (false, true, _) => Err(not_a_store("it is a directory with other files in it")),
        // Its mark says whether a database was there once, or the note of a replica does.
        (false, false, false) if marked => owned.and_then(|()| check_files(path)),
        (false, false, false) => Err(OpenError::Missing { path: path.to_owned() }),
    }
}

/// The error of reading the directory, which says so: to read a store, a process needs that right, too.
fn unreadable(path: &Path, error: io::Error) -> OpenError {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return OpenError::io(path, error);
    }
    let text = "its directory is not readable by this process: give its user the right to read, write and search it";
    OpenError::Io { path: path.to_owned(), source: io::Error::new(io::ErrorKind::PermissionDenied, text) }
}

/// Whether the directory is a replica of a cluster, as far as its note says.
pub(crate) fn is_noted_replica(path: &Path) -> io::Result<bool> {
    path.join(REPLICA).try_exists()
}

/// Removes what an interrupted creation left behind.
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

/// Removes incomplete snapshots of sled: one that a crash cut off makes every later open fail, and sled can write it
/// anew (sled #1527).
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
