//! An answer that another thread gives.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::answer::PlainResponse;

/// An answer from another thread; `None` if none will come.
#[derive(Debug)]
pub(crate) struct PendingAnswer(Arc<Mutex<State>>);

/// The slot into which another thread puts the answer. Dropping it without an answer ends the wait.
pub(super) struct AnswerSlot(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Pending(Option<Waker>),
    Ready(PlainResponse),
    Dropped,
}

/// An answer, and its slot.
pub(super) fn pending() -> (PendingAnswer, AnswerSlot) {
    let state = Arc::new(Mutex::new(State::Pending(None)));
    (PendingAnswer(state.clone()), AnswerSlot(state))
}

impl AnswerSlot {
    pub(super) fn fill(self, answer: PlainResponse) {
        self.put(State::Ready(answer));
    }

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
