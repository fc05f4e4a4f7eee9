//! Databases of this process that have failed and may never close.
//!
//! If sled cannot write a blob, its log waits for ever (sled 0.34.7, `reserve_inner` in `pagecache/logger.rs` reserves
//! a slot before it writes the blob, and does not release it), and every handle flushes when it is dropped. So a thread
//! of its own drops a failed database; if that never ends, the thread keeps sled's lock on the file.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::base::lock::lock;
use crate::base::panics::catch_panic;

use crate::base::files::{own_file, replace_with};

/// The number of databases that such threads hold, by directory.
static ABANDONED: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

fn abandoned() -> MutexGuard<'static, BTreeMap<PathBuf, usize>> {
    lock(&ABANDONED)
}

fn is_gone(directory: &Path) {
    let mut stuck = abandoned();
    match stuck.get_mut(directory) {
        Some(held) if *held > 1 => *held -= 1,
        _ => drop(stuck.remove(directory)),
    }
}

/// Drops a database on a thread of its own, once every other holder is gone.
pub(crate) fn drop_in_background<T: Send + Sync + 'static>(directory: PathBuf, mut database: Arc<T>) {
    *abandoned().entry(directory.clone()).or_default() += 1;
    let last_copy = database.clone();
    let apart = std::thread::Builder::new().name("apikey-abandoned".into()).spawn(move || {
        loop {
            match Arc::try_unwrap(database) {
                Ok(database) => {
                    let _ = catch_panic(|| drop(database));
                    is_gone(&directory);
                    return;
                }
                Err(held) => database = held,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    match apart {
        Ok(_) => drop(last_copy),
        // Leaking the database is better than waiting for ever.
        Err(_) => std::mem::forget(last_copy),
    }
}

/// Frees the log of a database from a handle of this process that never releases it, by giving the name to a copy. What
/// that handle still writes goes into a file without a name. Returns whether there was such a handle.
pub(crate) fn replace_locked_log(directory: &Path) -> io::Result<bool> {
    if !abandoned().contains_key(directory) {
        return Ok(false);
    }
    let log = directory.join("db");
    let mut held = own_file(OpenOptions::new().read(true), &log)?;
    replace_with(&log, |copy| io::copy(&mut held, copy).map(drop))?;
    abandoned().remove(directory);
    Ok(true)
}
