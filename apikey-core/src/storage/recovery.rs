//! Recovery, which replays the write-ahead log into the database.

use std::path::Path;

use crate::base::files::sync_directory;
use crate::storage::database::disk::Disk;
use crate::storage::database::open::{guarded, sled_at};
use crate::storage::meta::read_meta;
use crate::storage::open_error::{OpenError, read_error, recover_error};

/// Opens the database, and replays the changes of its write-ahead log.
pub(crate) fn recovered(database_path: &Path, path: &Path) -> Result<sled::Db, OpenError> {
    let complete = guarded(sled_at(database_path, path)?, path, |database| {
        // sled has renamed its new snapshot, and freed parts of the log that only the old one needed. Sync the name
        // first: without its snapshot, sled reads a log with holes only as far as the first one.
        sync_directory(database_path).map_err(|source| OpenError::io(path, source))?;
        let disk = Disk::new(database.clone(), database_path, true);
        let disk = disk.map_err(|error| read_error(path, "its trees", error))?;
        // Read the settings before the replay: they say whether the store needs a newer version.
        read_meta(&disk, path)?;
        let replayed = disk.recover().map_err(|error| recover_error(path, error))?;
        Ok((replayed == 0).then_some(database))
    })?;
    // If sled's log is damaged, sled reads it as far as the damage, and loses later writes at the next open. So open it
    // again; the caller then checks that the replayed changes are there.
    let Some(database) = complete else {
        let database = sled_at(database_path, path)?;
        return guarded(database, path, |database| {
            sync_directory(database_path).map_err(|source| OpenError::io(path, source))?;
            Ok(database)
        });
    };
    Ok(database)
}
