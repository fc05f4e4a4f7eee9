//! The lock of a store: one process has it open at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::base::files::{make_private, own_file};
use crate::storage::file_names::LOCK;
use crate::storage::holder::Holder;
use crate::storage::open_error::OpenError;

/// The interval between attempts to take the lock.
pub(crate) const LOCK_STEP: Duration = Duration::from_millis(20);

/// Takes the lock, which the store holds until it is closed. The file names the holder and the directory of its
/// `backups`.
pub(crate) fn lock(path: &Path, wait: Duration, backups: Option<&Path>) -> Result<File, OpenError> {
    let io = |source| OpenError::io(path, source);
    let file_path = path.join(LOCK);
    let mut options = OpenOptions::new();
    let file = own_file(options.create(true).truncate(false).read(true).write(true), &file_path).map_err(io)?;
    make_private(&file, 0o600).map_err(io)?;
    let until = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => {
                // The note is for people only, so an error must not prevent opening.
                if let Err(error) = Holder::write(&file, None, backups) {
                    tracing::debug!(%error, "the lock file does not say who holds it");
                }
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_STEP),
            Err(TryLockError::WouldBlock) => return Err(OpenError::in_use(path)),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
}
