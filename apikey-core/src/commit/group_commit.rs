//! Changes wait here, in order, from the time they are written until they are on disk and become visible.
//!
//! One of the waiting threads syncs for all changes that were written before it began: sixteen simultaneous changes
//! take one fsync.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::base::lock::lock;
use crate::commit::applier::{Applier, Pending};
use crate::commit::log::Log;
use crate::index::Index;
use crate::key::event::stored::Head;

/// Changes between the log and the disk, and the threads that wait for them.
pub(crate) struct GroupCommit {
    state: Mutex<State>,
}

/// The longest that a sync waits for changes that are about to be appended; it also waits at most half as long as the
/// last sync took. Changes arrive one after the other, so without this each would meet a sync that began a moment too
/// early, and groups would be small.
const MAX_DELAY: Duration = Duration::from_millis(1);

#[derive(Default)]
struct State {
    /// The number of changes ever appended, and of those on disk. The applier's queue begins after the latter, and may
    /// end with changes that are not appended yet.
    appended: u64,
    durable: u64,
    applier: Applier,
    syncing: bool,
    /// The thread that waits for changes that are about to be appended, and syncs when its time is up.
    delayed: Option<Arc<Waiter>>,
    /// The threads that wait for a sync by another thread.
    parked: Vec<Arc<Waiter>>,
    /// The number of changes that have begun and are not written yet, and of those that wait for a sync, running or
    /// not.
    intents: usize,
    waiters: u64,
    /// The number of changes in the last sync: usually as many follow.
    last_group: u64,
    last_sync: Duration,
    /// The head after all written changes, and after all changes on disk.
    appended_head: Head,
    durable_head: Head,
    /// The failure after which the state of the disk is unknown: the store acknowledges nothing more until it is
    /// reopened.
    failed: Option<Failure>,
}

/// The reason for which the store acknowledges nothing more.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: io::ErrorKind,
    pub(crate) text: String,
    pub(crate) since: DateTime<Utc>,
}

impl GroupCommit {
    /// Enqueues changes that are about to be appended: from now on no more of earlier changes of their keys becomes
    /// visible than they leave. The caller is the one writer, and calls [`append`](Self::append),
    /// [`rollback`](Self::rollback) or [`fail`](Self::fail) next.
    pub(crate) fn enqueue(&self, changes: impl Iterator<Item = Pending>) {
        let mut state = self.lock();
        if state.failed.is_some() && !state.syncing {
            // Nothing becomes visible any more, so there is nothing to restrict.
            return;
        }
        changes.for_each(|change| state.applier.enqueue(change));
    }

    /// Removes what is enqueued and not appended.
    pub(crate) fn rollback(&self) {
        let mut state = self.lock();
        let keep = state.appended - state.durable;
        state.applier.rollback(keep);
    }

    /// Marks everything enqueued as appended to the log, where it waits for the sync. `head` is the head after it.
    pub(crate) fn append(&self, head: Head) {
        let mut state = self.lock();
        state.appended = state.durable + state.applier.len();
        state.appended_head = head;
    }

    /// Records a failed write: the store acknowledges nothing more. Enqueued changes continue to restrict what is
    /// visible.
    pub(crate) fn fail(&self, error: &io::Error) {
        let mut state = self.lock();
        state.fail(error);
        state.wake().iter().for_each(|waiter| waiter.thread.unpark());
    }

    /// The same after an error, if `restrict` takes anything away from keys whose records cannot be read. No change
    /// that is being synced may give that back, so nothing becomes visible from now on.
    pub(crate) fn fail_if_restricted(&self, error: &io::Error, restrict: impl FnOnce() -> usize) -> usize {
        let mut state = self.lock();
        let taken = restrict();
        if taken > 0 {
            state.fail(error);
            state.wake().iter().for_each(|waiter| waiter.thread.unpark());
        }
        taken
    }

    /// Returns the ticket of everything that is appended.
    pub(crate) fn appended(&self) -> u64 {
        self.lock().appended
    }

    /// Waits until every change up to the ticket is on disk and visible.
    pub(crate) fn wait(&self, ticket: u64, index: &Index, log: &impl Log) -> io::Result<()> {
        self.wait_in(self.lock(), ticket, index, log)
    }

    /// The same, for a writer that has announced itself with [`intend`](Self::intend).
    pub(crate) fn wait_after(
        &self,
        intent: WriterIntent<'_>,
        ticket: u64,
        index: &Index,
        log: &impl Log,
    ) -> io::Result<()> {
        // Dropping the intent would wake a thread, but this one is about to wait or sync itself.
        std::mem::forget(intent);
        let mut state = self.lock();
        state.intents -= 1;
        self.wait_in(state, ticket, index, log)
    }

    fn wait_in<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        ticket: u64,
        index: &Index,
        log: &impl Log,
    ) -> io::Result<()> {
        state.waiters += u64::from(state.durable < ticket);
        let mut until = None;
        loop {
            if state.durable >= ticket {
                return Ok(());
            }
            state.check()?;
            let is_due = until.is_some_and(|until| until <= Instant::now());
            if !state.syncing && (is_due || !state.is_incomplete()) {
                return self.sync_as_leader(state, ticket, index, log);
            }
            let waiter = Arc::new(Waiter::new(ticket));
            state.parked.push(waiter.clone());
            // One of the threads that wait for other changes watches the clock.
            let delays = !state.syncing && state.delayed.is_none();
            if delays {
                until = until.or_else(|| Some(Instant::now() + MAX_DELAY.min(state.last_sync / 2)));
                state.delayed = Some(waiter.clone());
            }
            drop(state);
            if waiter.park(until.filter(|_| delays)) {
                return Ok(());
            }
            state = self.lock();
            state.parked.retain(|other| !Arc::ptr_eq(other, &waiter));
            state.delayed.take_if(|other| Arc::ptr_eq(other, &waiter));
        }
    }

    /// Syncs for all that is written.
    fn sync_as_leader(
        &self,
        mut state: MutexGuard<'_, State>,
        ticket: u64,
        index: &Index,
        log: &impl Log,
    ) -> io::Result<()> {
        state.syncing = true;
        state.delayed = None;
        state.last_group = state.waiters;
        let (appended, head) = (state.appended, state.appended_head);
        drop(state);
        let begun = Instant::now();
        // A panic in the database must not let the others wait for ever.
        let synced = catch_unwind(AssertUnwindSafe(|| log.make_durable(head)));
        let mut state = self.lock();
        state.syncing = false;
        state.last_sync = begun.elapsed();
        // These threads have not woken up yet, but no longer wait.
        state.waiters -= state.last_group;
        let synced = synced.unwrap_or_else(|_| Err(io::Error::other("the database panicked while it was synced")));
        // Check for a failure meanwhile: its restrictions are not in the queue, so publishing would undo them.
        match synced.and_then(|()| state.check()).and_then(|()| state.publish(appended, index)) {
            Ok(()) => state.durable_head = head,
            Err(error) => state.fail(&error),
        }
        // The ticket is of what was appended before the sync.
        let result = if state.durable >= ticket { Ok(()) } else { state.check() };
        let woken = state.wake();
        drop(state);
        woken.iter().for_each(|waiter| waiter.thread.unpark());
        result
    }

    /// Counts a writer that is about to append, until it waits. A writer that gives up drops the result.
    pub(crate) fn intend(&self) -> WriterIntent<'_> {
        self.lock().intents += 1;
        WriterIntent(self)
    }

    /// Creates the state of a store whose last change, on disk, has this head.
    pub(crate) fn new(head: Head) -> Self {
        let state = State { appended_head: head, durable_head: head, ..State::default() };
        Self { state: Mutex::new(state) }
    }

    /// The records were replaced as a whole, on the disk, while nothing waited.
    #[cfg(feature = "cluster")]
    pub(crate) fn replace(&self, head: Head) {
        let mut state = self.lock();
        (state.appended_head, state.durable_head) = (head, head);
    }

    /// Returns the head on the disk.
    pub(crate) fn durable_head(&self) -> Head {
        self.lock().durable_head
    }

    /// The first failed write or sync, if there was one.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.lock().failed.clone()
    }

    /// Returns the error of the first failure, if there was one.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.lock().check()
    }

    /// Whether a key has not been published yet.
    pub(crate) fn is_unpublished(&self, id: u128) -> bool {
        self.lock().applier.is_unpublished(id)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A writer that has begun and has not appended.
pub(crate) struct WriterIntent<'a>(&'a GroupCommit);

impl Drop for WriterIntent<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.intents -= 1;
        if state.is_incomplete() {
            return;
        }
        // The last writer with an intent does not append.
        let delayed = state.delayed.take();
        drop(state);
        if let Some(delayed) = delayed {
            delayed.woken.store(RECHECK, Ordering::Release);
            delayed.thread.unpark();
        }
    }
}

/// A thread that waits for another's sync.
struct Waiter {
    ticket: u64,
    thread: Thread,
    woken: AtomicU8,
}

const PARKED: u8 = 0;
/// The waiter must check the state again: there was a failure, or no thread syncs.
const RECHECK: u8 = 1;
const DURABLE: u8 = 2;

impl Waiter {
    fn new(ticket: u64) -> Self {
        Self { ticket, thread: thread::current(), woken: AtomicU8::new(PARKED) }
    }

    /// Waits until another thread wakes this one, or until that time. Returns whether the change is durable.
    fn park(&self, until: Option<Instant>) -> bool {
        loop {
            let woken = self.woken.load(Ordering::Acquire);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                _ if woken != PARKED => return woken == DURABLE,
                Some(Duration::ZERO) => return false,
                // Both may return spuriously.
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

impl State {
    /// Whether other changes are about to be appended that the same sync could cover.
    fn is_incomplete(&self) -> bool {
        self.failed.is_none() && (self.intents > 0 || self.waiters < self.last_group)
    }

    /// Returns the threads to wake: those whose changes are durable, and one of the others for the next sync, or all of
    /// the others after a failure. The caller wakes them, best when it holds nothing that they need.
    fn wake(&mut self) -> Vec<Arc<Waiter>> {
        let (durable, failed) = (self.durable, self.failed.is_some());
        let mut is_led = self.syncing;
        let woken = |waiter: &mut Arc<Waiter>| {
            let why = match () {
                () if waiter.ticket <= durable => DURABLE,
                () if failed || !is_led => RECHECK,
                () => return false,
            };
            is_led |= why == RECHECK;
            waiter.woken.store(why, Ordering::Release);
            true
        };
        self.parked.extract_if(.., woken).collect()
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed.get_or_insert_with(|| Failure { kind: error.kind(), text: error.to_string(), since: Utc::now() });
    }

    fn check(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |failure| Err(io::Error::new(failure.kind, failure.text.clone())))
    }

    /// Makes every change up to `appended` visible.
    fn publish(&mut self, appended: u64, index: &Index) -> io::Result<()> {
        while self.durable < appended && self.applier.publish(index)? {
            self.durable += 1;
        }
        Ok(())
    }
}
