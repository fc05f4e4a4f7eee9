//! The process that has the store open, and the wait for it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apikey_core::admin::Holder;

use crate::failure::{Code, Failure};
use crate::output;

/// How long to wait for another command, which usually has the store open for a few milliseconds. Several that wait for
/// each other, each of which opens a large store, take longer.
const WAIT_FOR_COMMAND: Duration = Duration::from_secs(30);
/// How long to wait before the note.
const SILENT: Duration = Duration::from_secs(1);
const FIRST_STEP: Duration = Duration::from_millis(20);
const LONGEST_STEP: Duration = Duration::from_millis(500);

/// The process that has a store open, as far as its lock file names it.
#[derive(Debug)]
pub(crate) struct LockHolder {
    store: PathBuf,
    holder: Option<Holder>,
}

impl LockHolder {
    pub(crate) fn of(store: &Path) -> Self {
        Self { store: store.to_owned(), holder: Holder::of(store) }
    }

    /// Returns the path of its admin socket, if it has one.
    #[cfg(unix)]
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.holder.as_ref()?.socket.as_deref()
    }

    /// The process that the lock file names, if it still runs. A restore and a salvage write nothing into the lock file
    /// of the store that they read.
    fn running(&self) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| is_running(holder.pid))
    }

    /// Whether it is a command, which ends soon, and not a service. A holder without a note is a command, too.
    fn is_command(&self) -> bool {
        self.running().is_none_or(Holder::is_same_program)
    }

    /// The failure of a command that cannot run; for a service with this advice.
    pub(crate) fn failure(&self, waited: Duration, advice: &str) -> Failure {
        let seconds = waited.as_secs_f64();
        let text = match self.is_command() {
            true if waited < SILENT => format!("{self}, probably another `apikey`; --wait 1m waits for it"),
            true => {
                format!("{self}, probably another `apikey`, and still was after {seconds:.1} s; --wait 1m waits longer")
            }
            false => format!("{self}. {advice}"),
        };
        Failure::new(Code::InUse, text)
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key store {} is in use by ", self.store.display())?;
        match self.running() {
            None => f.write_str("another process"),
            Some(Holder { pid, program: Some(program), .. }) => write!(f, "process {pid} ({program})"),
            Some(Holder { pid, .. }) => write!(f, "process {pid}"),
        }
    }
}

/// Whether this process runs. A process in another container cannot be seen.
#[cfg(unix)]
fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_running(_: u32) -> bool {
    true
}

/// How long a command waits for the process that has the store open.
#[derive(Debug)]
pub(crate) struct LockWait {
    /// The value of the option.
    given: Option<Duration>,
    begun: Instant,
    step: Duration,
    /// Whether to print a note when it takes longer.
    verbose: bool,
}

impl LockWait {
    pub(crate) fn new(given: Option<Duration>, verbose: bool) -> Self {
        Self { given, begun: Instant::now(), step: FIRST_STEP, verbose }
    }

    /// How long the command has waited.
    pub(crate) fn waited(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits for a moment; returns whether to try again.
    pub(crate) fn wait_for(&mut self, holder: &LockHolder) -> bool {
        let max = self.given.unwrap_or(if holder.is_command() { WAIT_FOR_COMMAND } else { Duration::ZERO });
        let Some(left) = max.checked_sub(self.waited()).filter(|left| !left.is_zero()) else { return false };
        if self.verbose && self.waited() >= SILENT {
            output::note(&format!("{holder}: waiting for it, at most {} s", max.as_secs()));
            self.verbose = false;
        }
        std::thread::sleep(self.step.min(left));
        self.step = (self.step * 2).min(LONGEST_STEP);
        true
    }
}
