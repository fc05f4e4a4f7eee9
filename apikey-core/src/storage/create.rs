//! A database made in a store's directory, so that a crash leaves nothing or a whole one.

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
use crate::storage::file_names::DATABASE;
use crate::storage::meta::Meta;

/// Makes a database beside its place and renames it there: a cut at any moment leaves nothing or a whole one.
pub(crate) fn build<E: From<StoreError>>(
    path: &Path,
    fill: impl FnOnce(&Disk) -> Result<CommitMark, E>,
) -> Result<(), E> {
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
fn build_database<E: From<StoreError>>(
    path: &Path,
    fill: impl FnOnce(&Disk) -> Result<CommitMark, E>,
) -> Result<CommitMark, E> {
    let panicked = |panic| StoreError::from(io::Error::other(format!("the database panicked: {panic}")));
    let opened = catch_panic(|| sled::Config::new().path(path).open()).map_err(panicked)?;
    let database = opened.map_err(StoreError::from)?;
    let held = database.clone();
    let built = catch_panic(|| {
        let disk = Disk::new(database, path, true)?;
        let mark = fill(&disk)?;
        disk.checkpoint().map_err(StoreError::from)?;
        Ok(mark)
    });
    let built = built.unwrap_or_else(|panic| Err(panicked(panic).into()));
    match &built {
        // It is synced once more.
        Ok(_) => catch_panic(|| drop(held)).map_err(panicked)?,
        Err(_) => abandoned::drop_in_background(path.to_owned(), Arc::new(held)),
    }
    built
}

/// Makes an empty database.
pub(crate) fn create_empty(path: &Path) -> Result<(), StoreError> {
    build(path, |disk| {
        // A database without its settings is one that has lost everything, and not a new one.
        disk.set_meta(codec::encode(&Meta::default()).map_err(StoreError::from)?)?;
        Ok(CommitMark::default())
    })
}
