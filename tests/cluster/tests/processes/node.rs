//! A node as the driver has it: the process that runs now, its network, and its directory.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use apikey_cluster_tests::Host;
use apikey_testkit::power::{Recording, Style, shim};
use apikey_testkit::random::Random;
use apikey_testkit::{copy_directory, this_test};
use rustix::process::{Pid, Signal, kill_process};

use super::child::{MARK, ROLE};
use super::messages::{Act, ClaimNumber, Done, Message, NodeConfig, Order, Outcome, Seen, now};
use super::network::Network;

/// What the verifications of a process answered.
pub(super) struct Report {
    pub(super) node: usize,
    /// Which process of the node.
    pub(super) run: u32,
    pub(super) seen: Seen,
}

/// The token of a claim, and whether the claim needs to write.
pub(super) type Claims = Arc<Mutex<BTreeMap<ClaimNumber, (String, bool)>>>;

pub(super) struct Node {
    pub(super) index: usize,
    pub(super) config: NodeConfig,
    host: Host,
    pub(super) network: Network,
    test: String,
    claims: Claims,
    reports: Arc<Mutex<Vec<Report>>>,
    running: Mutex<Option<Arc<Running>>>,
    runs: AtomicU32,
    /// Whether a fault has stopped or killed it: no new change goes to it then.
    pub(super) is_away: AtomicBool,
    /// Whether its next process is of a newer version.
    pub(super) is_newer: AtomicBool,
}

/// A process of a node.
struct Running {
    number: u32,
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    next: AtomicU64,
    /// The calls that wait for the end of an act; none waits for a process that has ended.
    waiting: Mutex<Option<HashMap<u64, Sender<Done>>>>,
    is_open: AtomicBool,
    /// Why it could not open, last.
    not_open: Mutex<Option<String>>,
}

impl Node {
    pub(super) fn new(
        index: usize,
        config: NodeConfig,
        (host, network): (&Host, Network),
        test: &str,
        claims: &Claims,
        reports: &Arc<Mutex<Vec<Report>>>,
    ) -> Self {
        Self {
            index,
            config,
            host: host.clone(),
            network,
            test: test.to_owned(),
            claims: claims.clone(),
            reports: reports.clone(),
            running: Mutex::default(),
            runs: AtomicU32::new(0),
            is_away: AtomicBool::new(false),
            is_newer: AtomicBool::new(false),
        }
    }

    /// Starts a process. It tries to open its replica until it succeeds.
    pub(super) fn start(&self, scratch: &Path) {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let mut command = self.host.run(this_test(&self.test));
        let config = NodeConfig { is_newer: self.is_newer.load(Ordering::Relaxed), ..self.config.clone() };
        command.env(ROLE, serde_json::to_string(&config).unwrap()).env("TMPDIR", scratch);
        if let Some(disk) = self.disk() {
            std::fs::create_dir_all(disk).unwrap();
            let (base, calls) = self.recording(scratch);
            let _ = std::fs::remove_dir_all(&base);
            copy_directory(disk, &base);
            let _ = std::fs::remove_file(&calls);
            shim::put_into(&mut command, disk, Some(&calls));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let running = Arc::new(Running {
            number,
            child: Mutex::new(child),
            input: Mutex::new(input),
            next: AtomicU64::new(0),
            waiting: Mutex::new(Some(HashMap::new())),
            is_open: AtomicBool::new(false),
            not_open: Mutex::default(),
        });
        for (claim, (token, write)) in self.claims.lock().unwrap().iter() {
            running.order(&Order::Watch { claim: *claim, token: token.clone(), write: *write });
        }
        let (of_reader, reports, node) = (running.clone(), self.reports.clone(), self.index);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The last line of a process that was killed may be cut off.
                let Some(Ok(said)) = line.split_once(MARK).map(|(_, said)| serde_json::from_str(said)) else {
                    continue;
                };
                of_reader.take(said, node, &reports);
            }
            *of_reader.waiting.lock().unwrap() = None;
        });
        *self.running.lock().unwrap() = Some(running);
    }

    fn running(&self) -> Option<Arc<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of its processes so far.
    pub(super) fn run(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }

    pub(super) fn is_open(&self) -> bool {
        self.running().is_some_and(|running| running.is_open.load(Ordering::Relaxed))
    }

    /// Why it could not open, last.
    pub(super) fn why_not_open(&self) -> Option<String> {
        self.running()?.not_open.lock().unwrap().clone()
    }

    /// Has the node do something. `None` if the process ends before it has answered.
    pub(super) fn act(&self, act: Act) -> Option<Done> {
        let running = self.running()?;
        let number = running.next.fetch_add(1, Ordering::Relaxed);
        let (sender, done) = channel();
        running.waiting.lock().unwrap().as_mut()?.insert(number, sender);
        running.order(&Order::Do { number, act });
        done.recv().ok()
    }

    pub(super) fn health(&self) -> Option<super::messages::Health> {
        match self.act(Act::Health)?.outcome {
            Outcome::Health(health) => Some(health),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn watch(&self, claim: ClaimNumber, token: &str, write: bool) {
        if let Some(running) = self.running() {
            running.order(&Order::Watch { claim, token: token.to_owned(), write });
        }
    }

    pub(super) fn unwatch(&self, claim: ClaimNumber) {
        if let Some(running) = self.running() {
            running.order(&Order::Unwatch { claim });
        }
    }

    pub(super) fn kill(&self) {
        self.is_away.store(true, Ordering::Relaxed);
        if let Some(running) = self.running() {
            let mut child = running.child.lock().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(super) fn stop(&self) -> u64 {
        self.is_away.store(true, Ordering::Relaxed);
        self.signal(Signal::STOP);
        now()
    }

    pub(super) fn go_on(&self) {
        self.signal(Signal::CONT);
        self.is_away.store(false, Ordering::Relaxed);
    }

    fn signal(&self, signal: Signal) {
        if let Some(running) = self.running() {
            kill_process(Pid::from_child(&running.child.lock().unwrap()), signal).unwrap();
        }
    }

    /// Closes it, as for an upgrade. Returns when that began.
    pub(super) fn leave(&self) -> u64 {
        self.is_away.store(true, Ordering::Relaxed);
        let begun = now();
        self.close();
        begun
    }

    /// Has the store closed, and waits for the end of the process.
    pub(super) fn close(&self) {
        if let Some(running) = self.running() {
            running.order(&Order::Close);
            let status = running.child.lock().unwrap().wait().unwrap();
            assert!(status.success(), "the node {} ends with {status}", self.config.name);
        }
    }

    /// What its disk holds; `None` for a node without one.
    fn disk(&self) -> Option<&Path> {
        self.config.replica.as_ref().and_then(|replica| replica.parent())
    }

    /// What the disk held when the process began, and the calls since.
    fn recording(&self, scratch: &Path) -> (PathBuf, PathBuf) {
        let name = &self.config.name;
        (scratch.join(format!("{name}-before")), scratch.join(format!("{name}-calls")))
    }

    /// Leaves on the disk of a process that was killed what a power cut at that moment may leave.
    pub(super) fn lose_what_is_not_synced(&self, style: Style, scratch: &Path) {
        let Some(disk) = self.disk() else { return };
        let (base, calls) = self.recording(scratch);
        let recording = Recording::read(&std::fs::read(calls).unwrap_or_default(), disk, Some(&base));
        std::fs::remove_dir_all(disk).unwrap();
        recording.rebuild(recording.end(), style, &mut Random::new(now()), disk);
    }

    /// Where its replica is.
    pub(super) fn replica(&self) -> Option<&PathBuf> {
        self.config.replica.as_ref()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(running) = self.running() {
            let mut child = running.child.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Running {
    fn order(&self, order: &Order) {
        let line = serde_json::to_string(order).unwrap() + "\n";
        // A process that has been killed reads no more.
        let _ = self.input.lock().unwrap().write_all(line.as_bytes());
    }

    fn take(&self, said: Message, node: usize, reports: &Mutex<Vec<Report>>) {
        match said {
            Message::Open => self.is_open.store(true, Ordering::Relaxed),
            Message::NotOpen(why) => *self.not_open.lock().unwrap() = Some(why),
            Message::Done(done) => {
                let waits = self.waiting.lock().unwrap().as_mut().and_then(|waiting| waiting.remove(&done.number));
                // Whoever waited has a channel of its own, so it takes every answer.
                if let Some(waits) = waits {
                    let _ = waits.send(done);
                }
            }
            Message::Seen(seen) => {
                let of_run = seen.into_iter().map(|seen| Report { node, run: self.number, seen });
                reports.lock().unwrap().extend(of_run);
            }
        }
    }
}
