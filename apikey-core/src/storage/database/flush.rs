//! sled's flush, which can wait for ever if the disk fails.
//!
//! A background write of sled that fails sets an error and wakes no thread (sled 0.34.7, `exit_reservation` in
//! `pagecache/logger.rs`). A thread in `flush` then waits for ever, and changes queue up behind it. A second flush sees
//! the error at once and wakes the first. So a rescuer thread starts one if a flush takes long.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sled::Db;

use crate::base::lock::lock;
use crate::base::panics::catch_panic;
use crate::storage::database::fault::io_error;

/// The time after which the rescuer starts a second flush. On a slow disk this is unnecessary, and harmless.
const PATIENCE: Duration = Duration::from_millis(100);

pub(crate) struct Flusher {
    db: Db,
    /// The first error of an operation, after which sled may wait for ever in the next flush.
    failed: OnceLock<(ErrorKind, String)>,
    watch: Arc<Watch>,
    rescuer: Option<JoinHandle<()>>,
    /// Keeps transactions out of sled during a flush: they would wait with locks held that the rescuer needs.
    gate: Mutex<()>,
}

#[derive(Default)]
struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the running flush.
    running: Option<u64>,
    flushes: u64,
    /// Whether the rescuer waits without a deadline.
    idle: bool,
    ended: bool,
}

/// An error of an operation of the database.
pub(crate) trait Failure: Display {
    /// The kind, which distinguishes a full disk from a broken one.
    fn kind(&self) -> ErrorKind;
}

impl Failure for io::Error {
    fn kind(&self) -> ErrorKind {
        Self::kind(self)
    }
}

impl Failure for sled::Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            // `io_error` uses the same kind.
            _ => ErrorKind::InvalidData,
        }
    }
}

impl Flusher {
    pub(crate) fn new(db: Db) -> io::Result<Self> {
        let watch = Arc::new(Watch::default());
        let (watched, database) = (watch.clone(), db.clone());
        let rescuer = std::thread::Builder::new().name("apikey-flush".into());
        let rescuer = rescuer.spawn(move || watched.rescue(&database))?;
        Ok(Self { db, failed: OnceLock::new(), watch, rescuer: Some(rescuer), gate: Mutex::new(()) })
    }

    /// Records the error of an operation, if it failed.
    pub(crate) fn noted<T, E: Failure>(&self, result: Result<T, E>) -> Result<T, E> {
        result.inspect_err(|error| {
            self.failed.get_or_init(|| (error.kind(), error.to_string()));
        })
    }

    /// Returns the first failure, if there was one, with its kind. After it the store writes nothing to the database:
    /// sled would reuse the space of replaced pages, while the new ones may not be on the disk.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.failed.get() {
            None => Ok(()),
            Some((kind, first)) => Err(io::Error::new(*kind, format!("the database has failed before: {first}"))),
        }
    }

    /// Locks out flushes during a write; fails with the first failure, if there was one.
    pub(crate) fn gate(&self) -> io::Result<MutexGuard<'_, ()>> {
        let gate = lock(&self.gate);
        self.check().map(|()| gate)
    }

    /// Hands everything that was written to the operating system.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let _gate = self.gate()?;
        self.watch.begin();
        let flushed = catch_panic(|| self.db.flush());
        self.watch.end();
        self.noted(match flushed {
            Ok(flushed) => flushed.map(|_| ()).map_err(io_error),
            Err(panic) => Err(io::Error::other(format!("the database panicked: {panic}"))),
        })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.watch.lock().ended = true;
        self.watch.changed.notify_all();
        if let Some(rescuer) = self.rescuer.take() {
            // An error means that the thread panicked, so there is nothing left to stop.
            let _ = rescuer.join();
        }
    }
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn begin(&self) {
        let mut state = self.lock();
        state.flushes += 1;
        state.running = Some(state.flushes);
        if state.idle {
            self.changed.notify_all();
        }
    }

    fn end(&self) {
        self.lock().running = None;
    }

    fn rescue(&self, database: &Db) {
        let mut state = self.lock();
        while !state.ended {
            let Some(seen) = state.running else {
                state.idle = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle = false;
                continue;
            };
            (state, _) = self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            if state.running == Some(seen) {
                drop(state);
                // The other flush returns the error.
                let _ = catch_panic(|| database.flush());
                state = self.lock();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_kind() {
        type Failing = fn(io::Error) -> io::Error;
        let failures: [(Failing, ErrorKind); 2] = [
            (|error| error, ErrorKind::StorageFull),
            (|error| io_error(sled::Error::from(error)), ErrorKind::ReadOnlyFilesystem),
        ];
        for (failure, kind) in failures {
            let directory = tempfile::tempdir().unwrap();
            let flusher = Flusher::new(sled::open(directory.path()).unwrap()).unwrap();
            assert!(flusher.check().is_ok());
            let _ = flusher.noted(Err::<(), _>(failure(io::Error::new(kind, "no"))));
            let _ = flusher.noted(Err::<(), _>(sled::Error::ReportableBug("later".into())));
            for error in [flusher.check().unwrap_err(), flusher.flush().unwrap_err()] {
                assert_eq!(error.kind(), kind);
                assert!(error.to_string().ends_with("failed before: no"), "{error}");
            }
        }
    }
}
