//! The directory of a store: whether it is one, and what a crash left in it.

use std::fs;
use std::io;
use std::path::Path;

use crate::base::files::CREATING;
use crate::base::files::make_directory;
use crate::storage::file_names::{DATABASE, LOCK, MARK};
use crate::storage::file_owner::{check_files, check_owner};
use crate::storage::open_error::OpenError;

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
