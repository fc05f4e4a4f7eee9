//! The thread that changes keys for callers, so that no async runtime waits for a disk.
//!
//! A runtime's own way to block (`spawn_blocking`, `block_in_place`) would tie the service to that runtime; a thread for
//! each change would let callers start threads. So there is one thread for a service, and a queue with an end: when a
//! disk is slow, callers are told so instead of piling up.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::Answer;

/// Changes that may wait.
const QUEUE: usize = 256;

type Work = Box<dyn FnOnce() -> Answer + Send>;

/// Starts its thread with the first change; the thread ends when the last clone is dropped.
#[derive(Clone, Default)]
pub(super) struct Worker(Arc<OnceLock<SyncSender<(Work, Slot)>>>);

/// An answer that comes from another thread; `None` if it will not come.
#[derive(Debug)]
pub(super) struct Coming(Arc<Mutex<State>>);

/// Where the answer is put; dropped without one, it says that none will come.
struct Slot(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Awaited(Option<Waker>),
    Here(Answer),
    Gone,
}

impl Worker {
    /// `None` if too many changes wait already.
    pub(super) fn run(&self, work: impl FnOnce() -> Answer + Send + 'static) -> Option<Coming> {
        let queue = self.0.get_or_init(|| {
            let (send, receive) = sync_channel::<(Work, Slot)>(QUEUE);
            let started = thread::Builder::new().name("apikey-self".into()).spawn(move || {
                for (work, slot) in receive {
                    // A panic is the end of this change, not of those that follow.
                    if let Ok(answer) = catch_unwind(AssertUnwindSafe(work)) {
                        slot.put(State::Here(answer));
                    }
                }
            });
            if let Err(error) = started {
                // Nobody takes from the queue now, so each change is told at once that it cannot be made.
                tracing::error!(%error, "the thread for callers' changes of their own keys does not start");
            }
            send
        });
        let state = Arc::new(Mutex::new(State::Awaited(None)));
        queue.try_send((Box::new(work), Slot(state.clone()))).ok()?;
        Some(Coming(state))
    }
}

impl Slot {
    fn put(&self, outcome: State) {
        let mut state = lock(&self.0);
        if let State::Awaited(waker) = &mut *state {
            let waker = waker.take();
            *state = outcome;
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.put(State::Gone);
    }
}

impl Future for Coming {
    type Output = Option<Answer>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Gone) {
            State::Awaited(_) => {
                *state = State::Awaited(Some(cx.waker().clone()));
                Poll::Pending
            }
            State::Here(answer) => Poll::Ready(Some(answer)),
            State::Gone => Poll::Ready(None),
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}
