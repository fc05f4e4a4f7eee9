//! The thread that changes keys for callers, so that no async runtime waits for a disk.
//!
//! A runtime's own way to block (`spawn_blocking`, `block_in_place`) would tie the service to that runtime; a thread
//! for each change would let callers start threads. So a service has one thread and a bounded queue: with a slow disk,
//! callers get an error instead of piling up.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::answer::PlainResponse;

/// The most changes that may wait.
const QUEUE: usize = 256;

type Work = Box<dyn FnOnce() -> PlainResponse + Send>;

/// Starts its thread with the first change. The thread ends when the last clone is dropped.
#[derive(Clone, Default)]
pub(super) struct Worker(Arc<OnceLock<SyncSender<(Work, AnswerSlot)>>>);

/// An answer from another thread; `None` if none will come.
#[derive(Debug)]
pub(super) struct PendingAnswer(Arc<Mutex<State>>);

/// The slot into which the worker puts the answer. Dropping it without an answer ends the wait.
struct AnswerSlot(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Pending(Option<Waker>),
    Ready(PlainResponse),
    Dropped,
}

impl Worker {
    /// Queues a change; `None` if too many changes wait already.
    pub(super) fn run(&self, work: impl FnOnce() -> PlainResponse + Send + 'static) -> Option<PendingAnswer> {
        let queue = self.0.get_or_init(|| {
            let (send, receive) = sync_channel::<(Work, AnswerSlot)>(QUEUE);
            let started = thread::Builder::new().name("apikey-self".into()).spawn(move || {
                for (work, slot) in receive {
                    // A panic ends this change, not the ones that follow.
                    if let Ok(answer) = catch_unwind(AssertUnwindSafe(work)) {
                        slot.put(State::Ready(answer));
                    }
                }
            });
            if let Err(error) = started {
                // The queue has lost its receiver, so every change fails at once.
                tracing::error!(%error, "the thread for callers' changes of their own keys does not start");
            }
            send
        });
        let state = Arc::new(Mutex::new(State::Pending(None)));
        queue.try_send((Box::new(work), AnswerSlot(state.clone()))).ok()?;
        Some(PendingAnswer(state))
    }
}

impl AnswerSlot {
    fn put(&self, outcome: State) {
        let mut state = lock(&self.0);
        if let State::Pending(waker) = &mut *state {
            let waker = waker.take();
            *state = outcome;
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for AnswerSlot {
    fn drop(&mut self) {
        self.put(State::Dropped);
    }
}

impl Future for PendingAnswer {
    type Output = Option<PlainResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PlainResponse>> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Dropped) {
            State::Pending(_) => {
                *state = State::Pending(Some(cx.waker().clone()));
                Poll::Pending
            }
            State::Ready(answer) => Poll::Ready(Some(answer)),
            State::Dropped => Poll::Ready(None),
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
