//! Backs a store up at an interval.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;

use crate::base::panics::catch_panic;
use crate::base::signal::Signal;
use crate::base::time::from_ms;
use crate::copies::archive::Archive;
use crate::copies::backup_report::{BackupError, BackupReport};
use crate::store::health::LastBackup;

use crate::base::files::{make_directory, rename};
use crate::copies::backup::TEMPORARY;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::store::service::Service;

const BEGIN: &str = "apikey-";
const END: &str = ".backup";
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// The interval at which the thread reads the clock.
const TICK: Duration = Duration::from_secs(10);
/// The same with a clock of the service's own, which a test moves.
const TICK_OWN_CLOCK: Duration = Duration::from_millis(20);
/// The wait after a backup that failed.
const RETRY_MS: i64 = 60_000;

/// The arguments of [`backup_every`](crate::builder::KeyStoreBuilder::backup_every).
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) every: Duration,
    pub(crate) keep: usize,
    pub(crate) directory: PathBuf,
}

/// One of the store's own backups, ordered by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct BackupFile {
    at: NaiveDateTime,
    number: u64,
    path: PathBuf,
}

impl Schedule {
    /// Writes a backup, then deletes the oldest beyond the number to keep.
    fn run(&self, inner: &Inner, signal: &Signal) -> Result<BackupReport, BackupError> {
        let now = from_ms(inner.engine.time.raw_ms());
        let unnamed = self.directory.join(format!("{BEGIN}unfinished"));
        let mut report = inner.backup(&unnamed, &|| !signal.is_closed())?;
        let name = format!("{BEGIN}{}-{:020}{END}", now.format(TIME), report.number);
        report.path = self.directory.join(name);
        let io = BackupError::io(&self.directory);
        rename(&unnamed, &report.path).map_err(&io)?;
        self.prune(&report.path).map_err(&io)?;
        Ok(report)
    }

    /// Deletes the oldest backups, and never the newest one, whatever time its name has.
    fn prune(&self, newest: &Path) -> io::Result<()> {
        let others: Vec<BackupFile> = list(&self.directory)?.into_iter().filter(|one| one.path != newest).collect();
        let too_many = (others.len() + 1).saturating_sub(self.keep);
        others.iter().take(too_many).try_for_each(|one| fs::remove_file(&one.path))
    }

    fn every_ms(&self) -> i64 {
        i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX)
    }

    /// The time one interval after the last backup.
    fn first_due(&self, now: i64) -> i64 {
        self.last().map_or(now, |last| last.at.timestamp_millis().saturating_add(self.every_ms()))
    }

    /// The last backup by its name, whether it is whole or not.
    fn last(&self) -> Option<LastBackup> {
        let newest = list(&self.directory).ok()?.into_iter().next_back()?;
        Some(LastBackup { at: newest.at.and_utc(), number: newest.number })
    }
}

/// The newest backup in a directory that is whole.
pub(crate) fn newest_good(directory: &Path) -> Option<PathBuf> {
    let files = list(directory).ok()?;
    files.into_iter().rev().map(|one| one.path).find(|path| Archive::check(path).is_ok())
}

/// Lists the files whose names are those of such backups, oldest first.
fn list(directory: &Path) -> io::Result<Vec<BackupFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((at, number)) = name.to_str().and_then(parse) else { continue };
        found.push(BackupFile { at, number, path: entry.path() });
    }
    found.sort();
    Ok(found)
}

/// Removes the leftovers of a crash.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn parse(name: &str) -> Option<(NaiveDateTime, u64)> {
    let (at, number) = name.strip_prefix(BEGIN)?.strip_suffix(END)?.split_once('-')?;
    Some((NaiveDateTime::parse_from_str(at, TIME).ok()?, number.parse().ok()?))
}

/// The thread that writes the backups. Dropping this stops it, even during a backup.
pub(crate) struct BackupThread {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Service for BackupThread {
    fn stop(self: Box<Self>) {
        drop(self);
    }
}

impl Drop for BackupThread {
    fn drop(&mut self) {
        self.signal.close();
        // An error means that the thread panicked; then there is nothing left to stop.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Starts the thread that writes a store's backups.
pub(crate) fn start(schedule: Schedule, store: &KeyStore) -> io::Result<BackupThread> {
    let inner = store.shared();
    inner.backup_notes().last = schedule.last();
    make_directory(&schedule.directory)?;
    remove_unfinished(&schedule.directory)?;
    let signal = Arc::<Signal>::default();
    let running = signal.clone();
    let tick = if inner.engine.time.is_given() { TICK_OWN_CLOCK } else { TICK.min(schedule.every) };
    let thread = std::thread::Builder::new().name("apikey-backup".into()).spawn(move || {
        let every = schedule.every_ms();
        let mut due = schedule.first_due(inner.engine.time.raw_ms());
        loop {
            let now = inner.engine.time.raw_ms();
            // A clock that was set back must not delay the next backup for long.
            due = due.min(now.saturating_add(every));
            if due <= now {
                let failed = match catch_panic(|| schedule.run(&inner, &running)) {
                    Ok(Ok(report)) => {
                        tracing::info!(path = %report.path.display(), report.number, "the key store is backed up");
                        None
                    }
                    Ok(Err(BackupError::Stopped)) => return,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(panic) => Some(panic),
                };
                due = now.saturating_add(every);
                inner.backup_notes().error.clone_from(&failed);
                if let Some(error) = failed {
                    tracing::error!(error, "the key store is not backed up");
                    due = due.min(now.saturating_add(RETRY_MS));
                }
            }
            if running.wait_closed_until(Instant::now() + tick) {
                return;
            }
        }
    })?;
    Ok(BackupThread { signal, thread: Some(thread) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_names_are_its_own() {
        let at = NaiveDateTime::parse_from_str("20310504T120000Z", TIME).unwrap();
        assert_eq!(parse("apikey-20310504T120000Z-00000000000000000012.backup"), Some((at, 12)));
        for other in
            ["apikey-unfinished", "keys.backup", "apikey-20310504-12.backup", "apikey-20310504T120000Z-x.backup"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
