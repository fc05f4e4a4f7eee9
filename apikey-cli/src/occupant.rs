//! Who has the store open, and how long that is waited for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apikey_core::admin::Holder;

use crate::failure::{Code, Failure};
use crate::out;

/// How long another command is waited for: as a rule it has the store open for a few milliseconds.
const FOR_COMMANDS: Duration = Duration::from_secs(5);
/// How long nothing is said about it.
const IN_SILENCE: Duration = Duration::from_secs(1);
const FIRST_STEP: Duration = Duration::from_millis(20);
const LONGEST_STEP: Duration = Duration::from_millis(500);

/// The process that has a store open, as far as it can be told.
#[derive(Debug)]
pub(crate) struct Occupant {
    store: PathBuf,
    holder: Option<Holder>,
}

impl Occupant {
    pub(crate) fn of(store: &Path) -> Self {
        Self { store: store.to_owned(), holder: Holder::of(store) }
    }

    /// Its socket, if it offers one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.holder.as_ref()?.socket.as_deref()
    }

    /// What the lock file names, if that process is still there. A restore and a salvage write nothing into the lock file of
    /// the store that they read.
    fn running(&self) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| is_running(holder.pid))
    }

    /// Whether it is a command, which ends soon, and not a service. Who notes nothing is a command, too.
    fn is_command(&self) -> bool {
        self.running().is_none_or(Holder::is_same_program)
    }

    /// Why a command does not run: with this advice, if it is a service.
    pub(crate) fn in_the_way(&self, waited: Duration, advice: &str) -> Failure {
        let seconds = waited.as_secs_f64();
        let text = match self.is_command() {
            true => {
                format!("{self}, as it seems another `apikey`, and was so for {seconds:.1} s; --wait 1m waits longer")
            }
            false => format!("{self}. {advice}"),
        };
        Failure::new(Code::InUse, text)
    }
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key store {} is in use by ", self.store.display())?;
        match self.running() {
            None => f.write_str("another process"),
            Some(Holder { pid, program: Some(program), .. }) => write!(f, "process {pid} ({program})"),
            Some(Holder { pid, .. }) => write!(f, "process {pid}"),
        }
    }
}

/// Whether there is such a process. One in another container is not seen from here.
#[cfg(unix)]
fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_running(_: u32) -> bool {
    true
}

/// How long a command waits for whoever has the store open.
#[derive(Debug)]
pub(crate) struct Patience {
    /// As the option says.
    given: Option<Duration>,
    begun: Instant,
    step: Duration,
    /// Whether it says so, when it takes longer.
    aloud: bool,
}

impl Patience {
    pub(crate) fn new(given: Option<Duration>, aloud: bool) -> Self {
        Self { given, begun: Instant::now(), step: FIRST_STEP, aloud }
    }

    /// How long it has been.
    pub(crate) fn waited(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits a little, and says whether to try again.
    pub(crate) fn wait_for(&mut self, occupant: &Occupant) -> bool {
        let most = self.given.unwrap_or(if occupant.is_command() { FOR_COMMANDS } else { Duration::ZERO });
        let Some(left) = most.checked_sub(self.waited()).filter(|left| !left.is_zero()) else { return false };
        if self.aloud && self.waited() >= IN_SILENCE {
            out::note(&format!("{occupant}: waiting for it, at most {} s", most.as_secs()));
            self.aloud = false;
        }
        std::thread::sleep(self.step.min(left));
        self.step = (self.step * 2).min(LONGEST_STEP);
        true
    }
}
