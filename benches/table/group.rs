//! The minimum that sixteen writers of one file need, to show what a machine allows: they append bytes, and one of them
//! syncs for all. This stores nothing, and it knows how many writers come, so that each sync is for all of them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};

/// What a change of ours adds to the write-ahead log, in bytes.
const CHANGE: usize = 640;

pub struct Group {
    file: File,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    waiters: Vec<(Thread, Arc<AtomicBool>)>,
}

impl Group {
    pub fn in_directory(directory: &Path) -> Self {
        let file = File::create(directory.join("group")).unwrap();
        file.write_all_at(&[0; 1 << 16], 0).unwrap();
        file.sync_all().unwrap();
        Self { file, state: Mutex::default() }
    }

    /// A change by one of so many concurrent writers; returns when it is on the disk.
    pub fn change(&self, writers: usize) {
        let mut state = self.state.lock().unwrap();
        state.bytes.extend([1; CHANGE]);
        if state.waiters.len() + 1 < writers {
            let woken = Arc::new(AtomicBool::new(false));
            state.waiters.push((thread::current(), woken.clone()));
            drop(state);
            while !woken.load(Ordering::Acquire) {
                thread::park();
            }
            return;
        }
        let State { bytes, waiters } = std::mem::take(&mut *state);
        drop(state);
        self.file.write_all_at(&bytes, 0).unwrap();
        self.file.sync_data().unwrap();
        for (thread, woken) in waiters {
            woken.store(true, Ordering::Release);
            thread.unpark();
        }
    }
}
