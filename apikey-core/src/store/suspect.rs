//! A database of which a sync has failed.
//!
//! The system tells a failed sync once. What it could not write it may keep in memory as if it were written, and who reads
//! the file, until the machine starts anew, reads that; the next sync succeeds, and proves nothing. So a file says that it
//! happened, and who opens the database reads it from the disk. That file need not be durable: the memory in question
//! does not outlast the machine either.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::directory::make_private;

/// The name of the file in the database's directory.
const NAME: &str = "suspect";

/// Says that a sync has failed.
pub(super) fn note(directory: &Path) -> io::Result<()> {
    let path = directory.join(NAME);
    File::create(&path)?;
    make_private(&path, 0o600)
}

/// Sees to it that a suspect database is read from the disk. All that can be written was written and synced before.
pub(super) fn read_anew(directory: &Path) -> io::Result<()> {
    let path = directory.join(NAME);
    if !path.try_exists()? {
        return Ok(());
    }
    tracing::warn!("a sync of the database has failed before, so it is read from the disk");
    forget_memory(directory)?;
    fs::remove_file(path)
}

/// Lets go of what the system has in memory of the files in a directory and below.
fn forget_memory(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_memory(&path)?;
        } else {
            forget(&File::open(path)?)?;
        }
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn forget(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Elsewhere there is no such call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn forget(_: &File) -> io::Result<()> {
    Ok(())
}
