//! Setting a damaged replica aside, so that the cluster can fill the directory anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::files::{make_directory, rename, sync_directory};
use crate::storage::file_names::{DAMAGED, DATABASE, MARK};

/// Moves the database and its mark into a directory of their own, in the place of what was there from the last time. The
/// caller has the lock. After a crash in the midst of it what is left does not open, or is nothing, so it is done again.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.join(DAMAGED);
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    make_directory(&aside)?;
    // The mark first: a database without one counts as damaged, and a mark without a database may not.
    for name in [MARK, DATABASE] {
        match rename(&path.join(name), &aside.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved?,
        }
    }
    sync_directory(path)?;
    Ok(aside)
}
