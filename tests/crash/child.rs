//! The process under test: this binary runs itself once more.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use apikey::KeyStore;
use serde::{Deserialize, Serialize};

use crate::work::{THREADS, Voice, Worker, work};

const ROLE: &str = "APIKEY_CRASH_CHILD";

/// What the process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Changes without end, said on its output.
    Work { store: PathBuf, seed: u64 },
    /// So many changes of each thread, said into the recording; closes the store, or ends without.
    Recorded { store: PathBuf, seed: u64, operations: usize, close: bool },
    /// Opens damaged stores, one after the other.
    Damaged { plan: PathBuf, first: usize },
    /// Holds the store open.
    Holds { store: PathBuf },
    /// Rotates keys into a directory without end.
    Rotates { root: PathBuf },
    /// Works while the disk refuses.
    Refused { scene: String, store: PathBuf, at: usize, seed: u64 },
}

/// Plays the process under test, where this is it.
pub(crate) fn plays() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    match serde_json::from_str(&role).unwrap() {
        Role::Work { store, seed } => {
            let voice: Voice = Mutex::new(Box::new(std::io::stdout()));
            work(&KeyStore::open(store).unwrap(), seed, usize::MAX, &voice, || {});
        }
        Role::Recorded { store, seed, operations, close } => {
            let voice: Voice = Mutex::new(Box::new(crate::shim::voice()));
            let store = KeyStore::open(store).unwrap();
            work(&store, seed, operations, &voice, || {});
            // A use that no change follows is lost with the process, or not: this one follows all of them.
            Worker::new(&store, THREADS, seed, &voice).create(1);
            if !close {
                std::process::exit(0);
            }
            store.close().unwrap();
        }
        Role::Damaged { plan, first } => crate::damage::play(&plan, first),
        Role::Holds { store } => {
            let _store = KeyStore::open(store).unwrap();
            println!("\nchild: open");
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        Role::Rotates { root } => crate::rotate::play(&root),
        Role::Refused { scene, store, at, seed } => crate::refuse::play(&scene, &store, at, seed),
    }
    true
}

/// The command for a process that runs one test of this binary, in which [`plays`] then plays the role.
pub(crate) fn command(test: &str, role: &Role) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, serde_json::to_string(role).unwrap()).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Killed with its test.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                let Ok(line) = line else { return };
                if line.starts_with("child: ") && sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line; `None` if it has ended, or says nothing for so long.
    pub(crate) fn says(&self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }

    /// As `kill -9` does; then what else it had said.
    pub(crate) fn kill(&mut self) -> Vec<String> {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.lines.iter().collect()
    }

    /// How it ended, if it has, or does within moments.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        for _ in 0..100 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Waits for its end; what it said, and how it ended.
    pub(crate) fn end(&mut self) -> (Vec<String>, ExitStatus) {
        drop(self.child.stdin.take());
        let lines = self.lines.iter().collect();
        (lines, self.child.wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does it, and gives up if it does not end.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = channel();
    std::thread::spawn(move || sender.send(work()));
    result.recv_timeout(limit).ok()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            // Not `fs::copy`: the shim knows no copies within the kernel.
            match std::fs::read(entry.path()) {
                // Of an open store: its thread has replaced a snapshot.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                bytes => std::fs::write(to.join(entry.file_name()), bytes.unwrap()).unwrap(),
            }
        }
    }
}

/// Copies the directory of a store that is open, as a kill would leave it: again, until nothing has changed meanwhile. The
/// store's thread may write down a first use, or bring the database up to the journal.
pub(crate) fn copy_as_killed(from: &Path, to: &Path) {
    loop {
        copy(from, to);
        if is_copy(from, to) {
            return;
        }
        std::fs::remove_dir_all(to).unwrap();
    }
}

fn is_copy(from: &Path, to: &Path) -> bool {
    let names = |directory: &Path| -> BTreeSet<_> {
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    names(from) == names(to)
        && names(from).iter().all(|name| match (from.join(name), to.join(name)) {
            (from, to) if from.is_dir() => is_copy(&from, &to),
            // What is gone by now is another directory, too.
            (from, to) => std::fs::read(from).is_ok_and(|bytes| bytes == std::fs::read(to).unwrap()),
        })
}

/// A directory in memory, if there is room for such: for tests that do not depend on what the disk does.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match tempfile::Builder::new().prefix("apikey-crash-").tempdir_in(memory) {
        Ok(directory) => directory,
        Err(_) => tempfile::tempdir().unwrap(),
    }
}
