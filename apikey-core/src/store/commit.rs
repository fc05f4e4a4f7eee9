//! Changes wait here, in order, from the moment they are written until they are on disk; then they become visible.
//!
//! One of the waiting threads syncs for all that were written before it began: sixteen changes at once cost one fsync.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::index::Index;
use crate::rights::Rights;

/// A change that is not visible yet.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) id: u128,
    pub(super) before: Option<Rights>,
    pub(super) after: Option<Rights>,
}

#[derive(Default)]
pub(super) struct Commit {
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
struct State {
    /// Number of changes ever written, and of those on disk. The queue begins behind the latter, and may end with
    /// changes that are announced and not written.
    written: u64,
    durable: u64,
    queue: VecDeque<Pending>,
    /// How many changes of a key are in the queue.
    waiting: HashMap<u128, u32>,
    syncing: bool,
    /// After a failed sync nobody knows what is on disk: nothing more is acknowledged until the store is reopened.
    failed: Option<(io::ErrorKind, String)>,
}

impl Commit {
    /// Names changes that are about to be written: from now on nothing earlier of their keys becomes visible beyond
    /// what they leave. The caller is the one writer, and calls [`written_now`](Self::written_now) or
    /// [`fail`](Self::fail) next.
    pub(super) fn announce(&self, changes: Vec<Pending>) {
        let mut state = self.lock();
        for change in changes {
            *state.waiting.entry(change.id).or_default() += 1;
            state.queue.push_back(change);
        }
    }

    /// All that is announced is written, and waits for the sync.
    pub(super) fn written_now(&self) {
        let mut state = self.lock();
        state.written = state.durable + state.queue.len() as u64;
    }

    /// A write failed: nothing more is acknowledged. What was announced goes on narrowing what is visible.
    pub(super) fn fail(&self, error: &io::Error) {
        let mut state = self.lock();
        state.failed.get_or_insert_with(|| (error.kind(), error.to_string()));
        self.turn.notify_all();
    }

    /// The ticket to wait with for all that is written.
    pub(super) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Returns when every change up to the ticket is on disk and visible.
    pub(super) fn wait(&self, ticket: u64, index: &Index, sync: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        loop {
            if state.durable >= ticket {
                return Ok(());
            }
            state.check()?;
            if state.syncing {
                state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            let written = state.written;
            drop(state);
            let synced = sync();
            state = self.lock();
            state.syncing = false;
            let settled = synced.and_then(|()| state.settle(written, index));
            if let Err(error) = settled {
                state.failed = Some((error.kind(), error.to_string()));
            }
            self.turn.notify_all();
        }
    }

    /// The error of a failed sync, if there was one.
    pub(super) fn check(&self) -> io::Result<()> {
        self.lock().check()
    }

    /// Whether a key was never visible.
    pub(super) fn is_unborn(&self, id: u128) -> bool {
        let state = self.lock();
        state.waiting.contains_key(&id)
            && state.queue.iter().find(|change| change.id == id).is_some_and(|change| change.before.is_none())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |(kind, text)| Err(io::Error::new(*kind, text.clone())))
    }

    /// Makes every change up to `written` visible, each narrowed by what later ones of its key take away.
    fn settle(&mut self, written: u64, index: &Index) -> io::Result<()> {
        while self.durable < written {
            let Some(change) = self.queue.pop_front() else { break };
            let mut visible = change.after;
            if self.leave(change.id) {
                for later in self.queue.iter().filter(|later| later.id == change.id) {
                    visible = match (visible, &later.after) {
                        (Some(rights), Some(later)) => Some(rights.common(later)?),
                        _ => None,
                    };
                }
            }
            index.settle(change.before.as_ref(), visible.as_ref());
            self.durable += 1;
        }
        Ok(())
    }

    /// Counts a change of the key out; whether others of it wait.
    fn leave(&mut self, id: u128) -> bool {
        let Some(count) = self.waiting.get_mut(&id) else { return false };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.waiting.remove(&id);
            return false;
        }
        true
    }
}
