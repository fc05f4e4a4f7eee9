//! The process under test: the test binary starts itself again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use apikey::KeyStore;
use apikey_testkit::{copy_directory, this_test};
use serde::{Deserialize, Serialize};

use crate::work::{Output, THREADS, Worker, work};

const ROLE: &str = "APIKEY_CRASH_CHILD";

/// What the child does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Changes keys without end and logs each change on its output.
    Work { store: PathBuf, seed: u64 },
    /// Makes so many changes in each thread, logs them in the recording, and closes the store, or ends without that.
    Recorded { store: PathBuf, seed: u64, operations: usize, close: bool },
    /// Opens damaged stores, one after the other.
    Damaged { plan: PathBuf, first: usize },
    /// Holds the store open.
    Holds { store: PathBuf },
    /// Rotates keys into a directory without end.
    Rotates { root: PathBuf },
    /// Uses the quotas of three keys, from a time of the store on.
    UsesQuotas { store: PathBuf, secrets: [String; 3], begin: i64 },
    /// Uses strict quotas, and logs each use in the recording.
    UsesStrict { store: PathBuf, close: bool },
    /// Makes changes while the disk refuses calls.
    Refused { case: String, store: PathBuf, at: usize, seed: u64 },
}

/// Does the child's part, and answers `true`, if this process is the child.
pub(crate) fn ran_as_child() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    match serde_json::from_str(&role).unwrap() {
        Role::Work { store, seed } => {
            let output: Output = Mutex::new(Box::new(std::io::stdout()));
            work(&KeyStore::open(store).unwrap(), seed, usize::MAX, &output, || {});
        }
        Role::Recorded { store, seed, operations, close } => {
            let output: Output = Mutex::new(Box::new(apikey_testkit::power::shim::recording()));
            let store = KeyStore::open(store).unwrap();
            work(&store, seed, operations, &output, || {});
            // A use without a later change may be lost with the process; this change comes after all uses.
            Worker::new(&store, THREADS, seed, &output).create(1);
            if !close {
                std::process::exit(0);
            }
            store.close().unwrap();
        }
        Role::Damaged { plan, first } => crate::damage::run_child(&plan, first),
        Role::Holds { store } => {
            let _store = KeyStore::open(store).unwrap();
            println!("\nchild: open");
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        Role::Rotates { root } => crate::rotate::run_child(&root),
        Role::UsesQuotas { store, secrets, begin } => crate::quotas::run_child(&store, &secrets, begin),
        Role::UsesStrict { store, close } => crate::strict::run_child(&store, close),
        Role::Refused { case, store, at, seed } => crate::refuse::run_child(&case, &store, at, seed),
    }
    true
}

/// The command for a process that runs one test of this binary, in which [`ran_as_child`] then does what the role says.
pub(crate) fn command(test: &str, role: &Role) -> Command {
    let mut command = this_test(test);
    command.env(ROLE, serde_json::to_string(role).unwrap());
    command
}

/// The result of `work`; `None` if it does not end in time.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = channel();
    std::thread::spawn(move || sender.send(work()));
    result.recv_timeout(limit).ok()
}

/// Copies the directory of an open store as a kill would leave it. It copies again until nothing has changed meanwhile:
/// the maintenance thread may write a first use, or flush the memtable.
pub(crate) fn copy_as_killed(from: &Path, to: &Path) {
    loop {
        copy_directory(from, to);
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
            // A directory without a file that the copy has is different, too.
            (from, to) => std::fs::read(from).is_ok_and(|bytes| bytes == std::fs::read(to).unwrap()),
        })
}

/// A directory in memory where the system has one: for tests that do not depend on the disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match tempfile::Builder::new().prefix("apikey-crash-").tempdir_in(memory) {
        Ok(directory) => directory,
        Err(_) => tempfile::tempdir().unwrap(),
    }
}
