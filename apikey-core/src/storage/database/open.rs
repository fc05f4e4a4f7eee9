//! Opening sled's database, which can panic or never return if its file is damaged or the disk fails.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::panics::catch_panic;
use crate::storage::database::abandoned;
use crate::storage::database::fault::io_error;
use crate::storage::file_names::DATABASE;
use crate::storage::lock::LOCK_STEP;
use crate::storage::open_error::{OpenError, because, damaged};

/// The bytes of pages that sled may keep in memory; only changes and lists read records.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// The store holds its own lock, so sled's lock can only belong to a process that was just forked, until its `exec`.
const FORK_GRACE: Duration = Duration::from_secs(2);

pub(crate) fn sled_at(database: &Path, path: &Path) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new().path(database).cache_capacity(CACHE_BYTES);
    let until = Instant::now() + FORK_GRACE;
    // Damage can make sled panic while it opens, which must not end the service.
    let mut opened = catch_panic(|| config.open());
    while matches!(&opened, Ok(Err(error)) if is_locked(error)) && Instant::now() < until {
        std::thread::sleep(LOCK_STEP);
        opened = catch_panic(|| config.open());
    }
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) if is_locked(&error) => match abandoned::replace_locked_log(database) {
            Ok(true) => sled_at(database, path),
            Ok(false) => Err(OpenError::in_use(path)),
            Err(source) => Err(OpenError::io(path, source)),
        },
        Ok(Err(sled::Error::Io(source))) => Err(OpenError::io(path, source)),
        Ok(Err(error)) => Err(because(path, "the database does not open", io_error(error).into())),
        Err(panic) => Err(damaged(path, format!("the database panics when it is opened: {panic}"))),
    }
}

/// Whether the database is locked, which sled reports only in the text.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Runs work with an open database. Damage or a failing disk can make sled panic, even when its last handle is dropped.
pub(crate) fn guarded<T>(
    database: sled::Db,
    path: &Path,
    work: impl FnOnce(sled::Db) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let held = database.clone();
    let result = catch_panic(|| work(database)).unwrap_or_else(|panic| {
        Err(match catch_panic(|| held.flush()) {
            Ok(Err(sled::Error::Io(source))) => OpenError::io(path, source),
            _ => {
                let what = format!("the database panics when it is read: {panic}");
                damaged(path, what)
            }
        })
    });
    match &result {
        Ok(_) => catch_panic(|| drop(held)).map_err(|panic| {
            OpenError::io(path, io::Error::other(format!("the database panicked when it was closed: {panic}")))
        })?,
        // If the disk fails, dropping may take for ever; the error is known already.
        Err(_) => abandoned::drop_in_background(path.join(DATABASE), Arc::new(held)),
    }
    result
}
