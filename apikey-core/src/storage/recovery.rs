//! Recovery: a database that holds all that its write-ahead log holds.

use std::path::Path;

use crate::base::files::sync_directory;
use crate::storage::database::disk::Disk;
use crate::storage::database::open::{guarded, sled_at};
use crate::storage::meta::read_meta;
use crate::storage::open_error::{OpenError, read_error, recover_error};

/// The database, with all that its write-ahead log holds.
pub(crate) fn recovered(database_path: &Path, path: &Path) -> Result<sled::Db, OpenError> {
    let complete = guarded(sled_at(database_path, path)?, path, |database| {
        // sled has renamed its new snapshot and freed log that only the old one needed. The name must be on disk before
        // anything of that: without its snapshot, a log with holes is read as far as the first one.
        sync_directory(database_path).map_err(|source| OpenError::io(path, source))?;
        let disk = Disk::new(database.clone(), database_path, true);
        let disk = disk.map_err(|error| read_error(path, "its trees", error))?;
        // Before anything is replayed into it: here a store says that it needs a newer version.
        read_meta(&disk, path)?;
        let replayed = disk.recover().map_err(|error| recover_error(path, error))?;
        Ok((replayed == 0).then_some(database))
    })?;
    // A damaged log that sled has read as far as the damage takes writes, and is read no further the next time: what was
    // replayed must be there when it is opened again.
    let Some(database) = complete else {
        let database = sled_at(database_path, path)?;
        return guarded(database, path, |database| {
            sync_directory(database_path).map_err(|source| OpenError::io(path, source))?;
            Ok(database)
        });
    };
    Ok(database)
}
