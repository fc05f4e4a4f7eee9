//! The example as a child process.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use apikey_testkit::Process;

use crate::printed::{self, Printed};

/// Far more than a start or a stop needs, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running example. A drop kills it, if the test did not stop it.
pub(crate) struct Demo {
    process: Process,
    /// What it printed up to "Ctrl-C stops.".
    pub(crate) welcome: String,
    /// The origin of the API.
    pub(crate) api: String,
    /// The origin of the page.
    pub(crate) page: String,
    /// The link to the console.
    pub(crate) console: String,
}

impl Demo {
    /// Starts it on free ports.
    pub(crate) fn start(store: &Path) -> Self {
        Self::start_with(store, &[])
    }

    /// Starts it on free ports, with more arguments.
    pub(crate) fn start_with(store: &Path, more: &[&str]) -> Self {
        let process = Process::start(command(store).args(more));
        let mut demo =
            Self { process, welcome: String::new(), api: String::new(), page: String::new(), console: String::new() };
        while !demo.welcome.ends_with("Ctrl-C stops.\n") {
            let line = demo.process.line(PATIENCE);
            let line = line.unwrap_or_else(|| panic!("no welcome; so far: {}", demo.welcome));
            demo.welcome.push_str(&line);
            demo.welcome.push('\n');
        }
        demo.api = printed::origin(&demo.welcome, "api");
        demo.page = printed::origin(&demo.welcome, "page");
        demo.console = printed::origin(&demo.welcome, "console");
        demo
    }

    /// The requests it printed.
    pub(crate) fn printed(&self) -> Vec<Printed> {
        printed::requests(&self.welcome)
    }

    /// A key it printed, by name.
    pub(crate) fn key(&self, name: &str) -> String {
        printed::key(&self.welcome, name).unwrap_or_else(|| panic!("no key {name:?} in: {}", self.welcome))
    }

    /// Sends it a signal, and returns how it ended and what it printed after the welcome.
    #[cfg(unix)]
    pub(crate) fn stop(mut self, signal: rustix::process::Signal) -> (std::process::ExitStatus, Vec<String>) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        let status = self.process.ended(PATIENCE).unwrap_or_else(|| panic!("{signal:?} did not stop it"));
        (status, self.process.rest())
    }

    /// Stops it as Ctrl-C does.
    #[cfg(unix)]
    pub(crate) fn interrupt(self) {
        let (status, _) = self.stop(rustix::process::Signal::INT);
        assert!(status.success(), "{status}");
    }

    /// Kills it where there are no signals. Acknowledged changes survive that too.
    #[cfg(not(unix))]
    pub(crate) fn interrupt(mut self) {
        self.process.kill();
    }
}

/// Runs it to its end, with arguments that make it end by itself.
pub(crate) fn run<A: AsRef<OsStr>>(store: &Path, more: &[A]) -> Output {
    command(store).args(more).output().unwrap()
}

fn command(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_two_tier"));
    // Later arguments win, so that a test can ask for a certain port.
    command
        .args(["--api-port", "0", "--page-port", "0", "--console-port", "0", "--store"])
        .arg(store)
        .stdin(Stdio::null());
    command
}
