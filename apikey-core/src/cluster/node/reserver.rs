//! The thread that reserves blocks of quotas, which a node without quotas does not have.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::lock::lock;
use crate::base::runtime::Task;

/// Starts the thread; `None` if that fails, or the store has ended.
type Start = Box<dyn Fn() -> Option<Task> + Send>;

/// Starts a thread once it is needed.
#[derive(Default)]
pub(crate) struct Reserver {
    is_started: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    start: Option<Start>,
    thread: Option<Task>,
}

impl Reserver {
    /// Sets how the thread starts, and starts it if it is needed already.
    pub(crate) fn when_needed(&self, start: Start) {
        let mut state = lock(&self.state);
        if self.is_started.load(Ordering::Relaxed) {
            state.thread = start();
        } else {
            state.start = Some(start);
        }
    }

    /// Starts the thread, the first time. A verification may call it.
    pub(crate) fn start(&self) {
        if self.is_started.load(Ordering::Relaxed) || self.is_started.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut state = lock(&self.state);
        if let Some(start) = state.start.take() {
            state.thread = start();
        }
    }

    /// Returns the thread, and starts none any more.
    pub(crate) fn end(&self) -> Option<Task> {
        let mut state = lock(&self.state);
        self.is_started.store(true, Ordering::Relaxed);
        state.start = None;
        state.thread.take()
    }
}
