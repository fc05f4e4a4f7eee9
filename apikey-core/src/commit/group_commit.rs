//! Changes wait here, in order, from the moment they are written until they are on disk; then they become visible.
//!
//! One of the waiting threads syncs for all that were written before it began: sixteen changes at once cost one fsync.

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

/// The longest that a sync waits for changes that are on their way, and never longer than half of what the last sync took.
/// Changes come one after the other, so without this each would find a sync under way that began a moment too
/// early, and groups would be small.
const MAX_DELAY: Duration = Duration::from_millis(1);

#[derive(Default)]
struct State {
    /// Number of changes ever appended, and of those on disk. The applier's queue begins behind the latter, and may end
    /// with changes that are not appended yet.
    appended: u64,
    durable: u64,
    applier: Applier,
    syncing: bool,
    /// Who waits for changes that are on their way, to sync at the latest when it has waited long enough.
    delayed: Option<Arc<Waiter>>,
    /// Who waits for a sync that another thread makes.
    parked: Vec<Arc<Waiter>>,
    /// Changes that have begun and are not written yet, and those that wait for a sync that has not begun, or runs.
    intents: usize,
    waiters: u64,
    /// How many the last sync was for: as many will come again, as a rule.
    last_group: u64,
    last_sync: Duration,
    /// Where history stands with all that is written, and with all that is on disk.
    appended_head: Head,
    durable_head: Head,
    /// After a failed sync nobody knows what is on disk: nothing more is acknowledged until the store is reopened.
    failed: Option<Failure>,
}

/// Why nothing more is acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: io::ErrorKind,
    pub(crate) text: String,
    pub(crate) since: DateTime<Utc>,
}

impl GroupCommit {
    /// Puts changes in line that are about to be appended: from now on nothing earlier of their keys becomes visible
    /// beyond what they leave. The caller is the one writer, and calls [`append`](Self::append),
    /// [`rollback`](Self::rollback) or [`fail`](Self::fail) next.
    pub(crate) fn enqueue(&self, changes: impl Iterator<Item = Pending>) {
        let mut state = self.lock();
        if state.failed.is_some() && !state.syncing {
            // Nothing becomes visible any more, so nothing has to be narrowed.
            return;
        }
        changes.for_each(|change| state.applier.enqueue(change));
    }

    /// Takes back what is enqueued and not appended.
    pub(crate) fn rollback(&self) {
        let mut state = self.lock();
        let keep = state.appended - state.durable;
        state.applier.rollback(keep);
    }

    /// All that is enqueued is in the log, and waits for the sync; `head` is where history stands then.
    pub(crate) fn append(&self, head: Head) {
        let mut state = self.lock();
        state.appended = state.durable + state.applier.len();
        state.appended_head = head;
    }

    /// A write failed: nothing more is acknowledged. What was enqueued goes on narrowing what is visible.
    pub(crate) fn fail(&self, error: &io::Error) {
        let mut state = self.lock();
        state.fail(error);
        state.wake().iter().for_each(|waiter| waiter.thread.unpark());
    }

    /// The same after an error, if `restrict` takes anything away from keys whose records cannot be read. No change that is
    /// being synced may give that back, so nothing becomes visible meanwhile, nor later.
    pub(crate) fn fail_if_restricted(&self, error: &io::Error, restrict: impl FnOnce() -> usize) -> usize {
        let mut state = self.lock();
        let taken = restrict();
        if taken > 0 {
            state.fail(error);
            state.wake().iter().for_each(|waiter| waiter.thread.unpark());
        }
        taken
    }

    /// The ticket to wait with for all that is appended.
    pub(crate) fn appended(&self) -> u64 {
        self.lock().appended
    }

    /// Returns when every change up to the ticket is on disk and visible.
    pub(crate) fn wait(&self, ticket: u64, index: &Index, log: &impl Log) -> io::Result<()> {
        self.wait_in(self.lock(), ticket, index, log)
    }

    /// The same, for a writer that has said that it would come.
    pub(crate) fn wait_after(
        &self,
        intent: WriterIntent<'_>,
        ticket: u64,
        index: &Index,
        log: &impl Log,
    ) -> io::Result<()> {
        // Wakes nobody: this one is about to wait, or to sync.
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
            // One of those who wait for others to come looks at the clock.
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
        // A panic in the database must not leave the others waiting for ever.
        let synced = catch_unwind(AssertUnwindSafe(|| log.make_durable(head)));
        let mut state = self.lock();
        state.syncing = false;
        state.last_sync = begun.elapsed();
        // They have not woken up yet, and wait no more.
        state.waiters -= state.last_group;
        let synced = synced.unwrap_or_else(|_| Err(io::Error::other("the database panicked while it was synced")));
        // A failure meanwhile: what was taken away then is not among what waits, and would be given back.
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

    /// Counts a writer that is about to append, until it waits, or gives up: then it drops the result.
    pub(crate) fn intend(&self) -> WriterIntent<'_> {
        self.lock().intents += 1;
        WriterIntent(self)
    }

    /// A store whose last change, on disk, is `head`.
    pub(crate) fn new(head: Head) -> Self {
        let state = State { appended_head: head, durable_head: head, ..State::default() };
        Self { state: Mutex::new(state) }
    }

    /// Where history stands on the disk.
    pub(crate) fn durable_head(&self) -> Head {
        self.lock().durable_head
    }

    /// The first failed write or sync, if there was one.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.lock().failed.clone()
    }

    /// Its error.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.lock().check()
    }

    /// Whether a key waits to be seen for the first time.
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
        // The last that was on its way does not wait.
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
/// The state has changed: a failure, or nobody who syncs.
const RECHECK: u8 = 1;
const DURABLE: u8 = 2;

impl Waiter {
    fn new(ticket: u64) -> Self {
        Self { ticket, thread: thread::current(), woken: AtomicU8::new(PARKED) }
    }

    /// Returns when it is woken, or at that time: whether the change is durable.
    fn park(&self, until: Option<Instant>) -> bool {
        loop {
            let woken = self.woken.load(Ordering::Acquire);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                _ if woken != PARKED => return woken == DURABLE,
                Some(Duration::ZERO) => return false,
                // Both also return for no reason.
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

impl State {
    /// Whether changes are on their way that one sync could do for, too.
    fn is_incomplete(&self) -> bool {
        self.failed.is_none() && (self.intents > 0 || self.waiters < self.last_group)
    }

    /// Those to wake: whose changes are durable; and one of the others, to make the next sync, or all of them if there is
    /// none. The caller does that, best when it holds nothing that they need.
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
