//! The in-use marker: a file that exists while a database is open, and after a crash.
//!
//! The kernel reports a failed sync once, to a process that may have ended by then. It may keep the pages that it could
//! not write in its cache as if they were clean. Until the machine restarts, every reader of the file then gets these
//! pages, and the next sync succeeds without proving anything. So after a crash the store reads the database from the
//! disk. The marker itself need not be durable: the cache does not outlast the machine either.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::base::files::{own_file, walk};

/// The name of the file in the database's directory.
const NAME: &str = "in-use";

/// Creates the marker. If it existed already, this drops the kernel's cache of the files, after it has written and
/// synced what it can. Returns whether it existed.
pub(crate) fn mark_open(directory: &Path) -> io::Result<bool> {
    let path = directory.join(NAME);
    match own_file(OpenOptions::new().write(true).create_new(true), &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            tracing::debug!("the database was not closed cleanly, so it is read from the disk");
            walk(directory, &mut |file, kind| if kind.is_file() { forget(file) } else { Ok(()) })?;
            return Ok(true);
        }
        // A full disk must not prevent verification.
        Err(error) => tracing::warn!(%error, "the in-use marker could not be written"),
        Ok(_) => {}
    }
    Ok(false)
}

/// Removes the marker of a database that is closed and synced.
pub(crate) fn mark_closed(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Drops the kernel's cache of a file.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn forget(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Other platforms have no such call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn forget(_: &File) -> io::Result<()> {
    Ok(())
}
