//! The creation of a database in a store's directory. A crash leaves none, or a complete one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::base::codec;
use crate::base::files::CREATING;
use crate::base::files::{make_all_private, parent, rename, sync_all, sync_directory};
use crate::base::panics::catch_panic;
use crate::key::error::StoreError;
use crate::storage::commit_mark::{CommitMark, MarkFile};
use crate::storage::database::abandoned;
use crate::storage::database::disk::Disk;
use crate::storage::database::fault::io_error;
use crate::storage::file_names::DATABASE;
use crate::storage::meta::Meta;

/// Creates a database under a temporary name and renames it: a crash at any moment leaves none, or a complete one.
pub(crate) fn build<E: From<StoreError>>(
    path: &Path,
    fill: impl FnOnce(&Disk) -> Result<CommitMark, E>,
) -> Result<(), E> {
    let io = StoreError::from;
    let building = tempfile::Builder::new().prefix(CREATING).tempdir_in(path).map_err(io)?;
    let mark = build_database(building.path(), fill)?;
    make_all_private(building.path()).map_err(io)?;
    sync_all(building.path()).map_err(io)?;
    // Create the mark before the database: a database without a mark counts as damaged.
    MarkFile::create(path, mark).map_err(io)?;
    rename(&building.keep(), &path.join(DATABASE)).map_err(io)?;
    match sync_directory(parent(path)) {
        // The directories that this created are synced. Those of other users may be inaccessible.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {}
        synced => synced.map_err(io)?,
    }
    Ok(())
}

/// Creates the database of a new store. If the disk fails, sled can panic, and its handles can wait for ever when they
/// are dropped, so another thread drops a failed database.
fn build_database<E: From<StoreError>>(
    path: &Path,
    fill: impl FnOnce(&Disk) -> Result<CommitMark, E>,
) -> Result<CommitMark, E> {
    let panicked = |panic| StoreError::from(io::Error::other(format!("the database panicked: {panic}")));
    let opened = catch_panic(|| sled::Config::new().path(path).open()).map_err(panicked)?;
    let database = opened.map_err(|error| StoreError::from(io_error(error)))?;
    let held = database.clone();
    let built = catch_panic(|| {
        let disk = Disk::new(database, path, true)?;
        let mark = fill(&disk)?;
        disk.checkpoint().map_err(StoreError::from)?;
        Ok(mark)
    });
    let built = built.unwrap_or_else(|panic| Err(panicked(panic).into()));
    match &built {
        // Sync it once more.
        Ok(_) => catch_panic(|| drop(held)).map_err(panicked)?,
        Err(_) => abandoned::drop_in_background(path.to_owned(), Arc::new(held)),
    }
    built
}

/// Creates an empty database.
pub(crate) fn create_empty(path: &Path) -> Result<(), StoreError> {
    build(path, |disk| {
        // A database without settings counts as one that has lost everything, and not as new.
        disk.set_meta(codec::encode(&Meta::default()).map_err(StoreError::from)?)?;
        Ok(CommitMark::default())
    })
}
