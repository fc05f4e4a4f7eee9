//! A file that says that a database was opened, and not closed in good order.
//!
//! The system tells a failed sync once, to one who may be gone by then. What it could not write it may keep in memory as
//! if it were written, and who reads the file, until the machine starts anew, reads that; the next sync succeeds, and
//! proves nothing. So a database that was not closed in good order is read from the disk. The file that says so need not be
//! durable: the memory in question does not outlast the machine either.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::base::files::{own_file, walk};

/// The name of the file in the database's directory.
const NAME: &str = "in-use";

/// Says that the database is in use. If it was so before, what the system has in memory of it is let go of: all that can be
/// written of that was written and synced.
pub(crate) fn mark_open(directory: &Path) -> io::Result<()> {
    let path = directory.join(NAME);
    match own_file(OpenOptions::new().write(true).create_new(true), &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            tracing::debug!("the database was not closed in good order, so it is read from the disk");
            return walk(directory, &mut |file, kind| if kind.is_file() { forget(file) } else { Ok(()) });
        }
        // A full disk is no reason not to verify.
        Err(error) => tracing::warn!(%error, "that the database is in use is not written down"),
        Ok(_) => {}
    }
    Ok(())
}

/// The database is closed, and everything in it was synced.
pub(crate) fn mark_closed(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Lets go of what the system has in memory of a file.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn forget(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Elsewhere there is no such call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn forget(_: &File) -> io::Result<()> {
    Ok(())
}
