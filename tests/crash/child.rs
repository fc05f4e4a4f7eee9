//! The process under test: this binary runs itself once more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use apikey::KeyStore;
use apikey_testkit::{copy_directory, this_test};
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
    let mut command = this_test(test);
    command.env(ROLE, serde_json::to_string(role).unwrap());
    command
}

/// Does it, and gives up if it does not end.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = channel();
    std::thread::spawn(move || sender.send(work()));
    result.recv_timeout(limit).ok()
}

/// Copies the directory of a store that is open, as a kill would leave it: again, until nothing has changed meanwhile. The
/// store's thread may write down a first use, or bring the database up to the journal.
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
