//! The processes of the nodes, which end with this one.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use two_tier::Failure;

use crate::args::Engine;
use crate::node::Ready;

/// How long a node has to end by itself: it lets its requests end, and leaves the cluster.
const GRACE: Duration = Duration::from_secs(10);

/// The process of a node. Dropping it ends the process.
pub(crate) struct NodeProcess {
    pub(crate) number: u8,
    child: Child,
    /// Whether its end was reported.
    ended: bool,
}

impl NodeProcess {
    /// Starts a node, which is not ready yet.
    pub(crate) fn start(
        number: u8,
        port: u16,
        directory: &Path,
        engine: Engine,
        connection: &str,
    ) -> Result<Self, Failure> {
        let engine = engine.to_possible_value().ok_or("an engine without a name")?;
        let child = Command::new(std::env::current_exe()?)
            .args(["node", &number.to_string(), &port.to_string()])
            .arg(directory.join(format!("node-{number}.db")))
            .args([engine.get_name(), connection])
            // It ends when this pipe does, so also if this process is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the terminal is for this process, which ends the nodes in order.
            .process_group(0)
            .spawn()?;
        Ok(Self { number, child, ended: false })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it serves. It says itself why it does not.
    pub(crate) fn ready(&mut self) -> Result<Ready, Failure> {
        let mut line = String::new();
        if let Some(output) = self.child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let ready = serde_json::from_str(&line);
        ready.map_err(|_| format!("node {} did not start", self.number).into())
    }

    /// How it ended, once, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten().filter(|_| !self.ended)?;
        self.ended = true;
        Some(status)
    }

    fn ask_to_end(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| !self.ended) {
            // One that has ended in the meantime is none the worse.
            let _ = kill_process(pid, Signal::TERM);
            // A process that was stopped ends only once it runs.
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

/// Ends all of them, together.
pub(crate) fn end(nodes: &mut [NodeProcess]) {
    nodes.iter().for_each(NodeProcess::ask_to_end);
    let until = Instant::now() + GRACE;
    while nodes.iter_mut().any(|node| matches!(node.child.try_wait(), Ok(None))) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
