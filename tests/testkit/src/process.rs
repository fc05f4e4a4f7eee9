//! Child processes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What a test binary prints before a line that is meant for the parent: the test harness prints lines of its own.
const CHILD: &str = "child: ";

/// A child process and the lines that it prints. Dropping it kills the child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

/// The command that runs one test of the current test binary in another process.
///
/// The environment tells the child that it is the child. What it prints as `child: text` is what [`Process::message`] reads.
pub fn this_test(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).stdin(Stdio::piped());
    command
}

impl Process {
    /// Starts a command and reads its standard output to the end, so that the child never waits for a full pipe.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        // Reads on where nobody receives: a closed pipe would end the child.
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, lines }
    }

    /// The number that the system knows it by.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line. `None` if the child has ended, or prints nothing for so long.
    pub fn line(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// The text of the next message, `child: text`; other lines are skipped. `None` as with [`line`](Self::line).
    pub fn message(&self, limit: Duration) -> Option<String> {
        let end = Instant::now() + limit;
        loop {
            let line = self.line(end.saturating_duration_since(Instant::now()))?;
            if let Some(message) = message(&line) {
                return Some(message.to_owned());
            }
        }
    }

    /// The lines that nobody has read yet, to the end of the child's output.
    pub fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// The messages among [`rest`](Self::rest).
    pub fn messages(&self) -> Vec<String> {
        self.lines.iter().filter_map(|line| message(&line).map(str::to_owned)).collect()
    }

    /// Kills it as `kill -9` does and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// How it ended; `None` if it has not ended after so long.
    pub fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait().unwrap() {
                None if Instant::now() < end => thread::sleep(Duration::from_millis(10)),
                status => return status,
            }
        }
    }

    /// Closes its standard input and waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }
}

fn message(line: &str) -> Option<&str> {
    line.split_once(CHILD).map(|(_, text)| text)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
