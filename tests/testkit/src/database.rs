//! The database of a closed store.

use std::path::Path;
use std::thread;
use std::time::Duration;

/// Opens the database of a closed store.
///
/// # Errors
/// Sled does not open it, for another reason than that its lock is held for a moment by what a store leaves behind.
pub fn open(store: &Path) -> sled::Result<sled::Db> {
    let mut opened = sled::open(store.join("sled"));
    for _ in 0..2000 {
        match &opened {
            Err(error) if error.to_string().contains("lock") => thread::sleep(Duration::from_millis(5)),
            _ => break,
        }
        opened = sled::open(store.join("sled"));
    }
    opened
}

/// Works on the database of a closed store and flushes it.
pub fn edit<T>(store: &Path, work: impl FnOnce(&sled::Db) -> T) -> T {
    let database = open(store).unwrap();
    let result = work(&database);
    database.flush().unwrap();
    result
}
