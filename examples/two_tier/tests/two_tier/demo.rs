//! The example as a child process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::printed::{self, Printed};

/// Far more than a start or a stop needs, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running example. Killed when dropped, if a test did not stop it.
pub(crate) struct Demo {
    child: Child,
    lines: Receiver<String>,
    /// What it printed up to "Ctrl-C stops.".
    pub(crate) welcome: String,
    /// The origin of the API.
    pub(crate) api: String,
    /// The origin of the page.
    pub(crate) page: String,
}

impl Demo {
    /// Starts it on free ports.
    pub(crate) fn start(store: &Path) -> Self {
        Self::start_with(store, &[])
    }

    /// Starts it on free ports, with more arguments.
    pub(crate) fn start_with(store: &Path, more: &[&str]) -> Self {
        let mut child = command(store).args(more).stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        // A thread reads to the end: the child must never wait for a full pipe.
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut demo = Self { child, lines, welcome: String::new(), api: String::new(), page: String::new() };
        while !demo.welcome.ends_with("Ctrl-C stops.\n") {
            let line = demo.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no welcome ({error}); so far: {}", demo.welcome));
            demo.welcome.push_str(&line);
            demo.welcome.push('\n');
        }
        demo.api = printed::origin(&demo.welcome, "api");
        demo.page = printed::origin(&demo.welcome, "page");
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
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        let asked = std::time::Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if asked.elapsed() > PATIENCE => panic!("{signal:?} did not stop it"),
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        (status, self.lines.iter().collect())
    }

    /// Stops it as Ctrl-C does.
    #[cfg(unix)]
    pub(crate) fn interrupt(self) {
        let (status, _) = self.stop(rustix::process::Signal::INT);
        assert!(status.success(), "{status}");
    }

    /// Ends it without leave, where there are no signals. Acknowledged changes must outlive that too.
    #[cfg(not(unix))]
    pub(crate) fn interrupt(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it where it is expected to end by itself.
pub(crate) fn run<A: AsRef<OsStr>>(store: &Path, more: &[A]) -> Output {
    command(store).args(more).output().unwrap()
}

fn command(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_two_tier"));
    // Later arguments win, so that a test can ask for a certain port.
    command.args(["--api-port", "0", "--page-port", "0", "--store"]).arg(store).stdin(Stdio::null());
    command
}
