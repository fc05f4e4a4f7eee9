//! Changes wait here, in order, from the moment they are written until they are on disk; then they become visible.
//!
//! One of the waiting threads syncs for all that were written before it began: sixteen changes at once cost one fsync.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::index::Index;
use crate::key::effective_key::EffectiveKey;
use crate::key::event::stored::Head;

/// A change that is not visible yet.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) id: u128,
    pub(crate) before: Option<EffectiveKey>,
    pub(crate) after: Option<EffectiveKey>,
}

pub(crate) struct Commit {
    state: Mutex<State>,
}

/// The longest that a sync waits for changes that are on their way, and never longer than half of what the last sync took.
/// Changes come one after the other, so without this each would find a sync under way that began a moment too
/// early, and groups would be small.
const GATHERING: Duration = Duration::from_millis(1);

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
    /// Who waits for changes that are on their way, to sync at the latest when it has waited long enough.
    gatherer: Option<Arc<Sleeper>>,
    /// Who waits for a sync that another thread makes.
    sleepers: Vec<Arc<Sleeper>>,
    /// Changes that have begun and are not written yet, and those that wait for a sync that has not begun, or runs.
    arriving: usize,
    waiters: u64,
    /// How many the last sync was for: as many will come again, as a rule.
    last_group: u64,
    last_sync: Duration,
    /// Where history stands with all that is written, and with all that is on disk.
    written_head: Head,
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

impl Commit {
    /// Names changes that are about to be written: from now on nothing earlier of their keys becomes visible beyond
    /// what they leave. The caller is the one writer, and calls [`written_now`](Self::written_now),
    /// [`retract`](Self::retract) or [`fail`](Self::fail) next.
    pub(crate) fn announce(&self, changes: impl Iterator<Item = Pending>) {
        let mut state = self.lock();
        if state.failed.is_some() && !state.syncing {
            // Nothing becomes visible any more, so nothing has to be narrowed.
            return;
        }
        for change in changes {
            *state.waiting.entry(change.id).or_default() += 1;
            state.queue.push_back(change);
        }
    }

    /// Takes back what is announced and not written.
    pub(crate) fn retract(&self) {
        let mut state = self.lock();
        while state.durable + (state.queue.len() as u64) > state.written {
            let Some(change) = state.queue.pop_back() else { break };
            state.leave(change.id);
        }
    }

    /// All that is announced is written, and waits for the sync; `head` is where history stands then.
    pub(crate) fn written_now(&self, head: Head) {
        let mut state = self.lock();
        state.written = state.durable + state.queue.len() as u64;
        state.written_head = head;
    }

    /// A write failed: nothing more is acknowledged. What was announced goes on narrowing what is visible.
    pub(crate) fn fail(&self, error: &io::Error) {
        let mut state = self.lock();
        state.fail(error);
        state.wake().iter().for_each(|sleeper| sleeper.thread.unpark());
    }

    /// The same after an error, if `take` takes anything away from keys whose records cannot be read. No change that is
    /// being synced may give that back, so nothing becomes visible meanwhile, nor later.
    pub(crate) fn fail_if_taken(&self, error: &io::Error, take: impl FnOnce() -> usize) -> usize {
        let mut state = self.lock();
        let taken = take();
        if taken > 0 {
            state.fail(error);
            state.wake().iter().for_each(|sleeper| sleeper.thread.unpark());
        }
        taken
    }

    /// The ticket to wait with for all that is written.
    pub(crate) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Returns when every change up to the ticket is on disk and visible. `sync` is told where history stands with all that
    /// it makes durable.
    pub(crate) fn wait(&self, ticket: u64, index: &Index, sync: impl Fn(Head) -> io::Result<()>) -> io::Result<()> {
        self.wait_in(self.lock(), ticket, index, sync)
    }

    /// The same, for a change that was on its way until now.
    pub(crate) fn arrived(
        &self,
        arriving: Arriving<'_>,
        ticket: u64,
        index: &Index,
        sync: impl Fn(Head) -> io::Result<()>,
    ) -> io::Result<()> {
        // Nobody is told: this one is about to wait, or to sync.
        std::mem::forget(arriving);
        let mut state = self.lock();
        state.arriving -= 1;
        self.wait_in(state, ticket, index, sync)
    }

    fn wait_in<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        ticket: u64,
        index: &Index,
        sync: impl Fn(Head) -> io::Result<()>,
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
                return self.lead(state, ticket, index, &sync);
            }
            let sleeper = Arc::new(Sleeper::new(ticket));
            state.sleepers.push(sleeper.clone());
            // One of those who wait for others to come looks at the clock.
            let gathers = !state.syncing && state.gatherer.is_none();
            if gathers {
                until = until.or_else(|| Some(Instant::now() + GATHERING.min(state.last_sync / 2)));
                state.gatherer = Some(sleeper.clone());
            }
            drop(state);
            if sleeper.sleep(until.filter(|_| gathers)) {
                return Ok(());
            }
            state = self.lock();
            state.sleepers.retain(|other| !Arc::ptr_eq(other, &sleeper));
            state.gatherer.take_if(|other| Arc::ptr_eq(other, &sleeper));
        }
    }

    /// Syncs for all that is written.
    fn lead(
        &self,
        mut state: MutexGuard<'_, State>,
        ticket: u64,
        index: &Index,
        sync: &impl Fn(Head) -> io::Result<()>,
    ) -> io::Result<()> {
        state.syncing = true;
        state.gatherer = None;
        state.last_group = state.waiters;
        let (written, head) = (state.written, state.written_head);
        drop(state);
        let begun = Instant::now();
        // A panic in the database must not leave the others waiting for ever.
        let synced = catch_unwind(AssertUnwindSafe(|| sync(head)));
        let mut state = self.lock();
        state.syncing = false;
        state.last_sync = begun.elapsed();
        // They have not woken up yet, and wait no more.
        state.waiters -= state.last_group;
        let synced = synced.unwrap_or_else(|_| Err(io::Error::other("the database panicked while it was synced")));
        // A failure meanwhile: what was taken away then is not among what waits, and would be given back.
        match synced.and_then(|()| state.check()).and_then(|()| state.settle(written, index)) {
            Ok(()) => state.durable_head = head,
            Err(error) => state.fail(&error),
        }
        // The ticket is of what was written before the sync.
        let result = if state.durable >= ticket { Ok(()) } else { state.check() };
        let woken = state.wake();
        drop(state);
        woken.iter().for_each(|sleeper| sleeper.thread.unpark());
        result
    }

    /// Counts a change as on its way until it is written, or given up: then the result is to be dropped.
    pub(crate) fn arrive(&self) -> Arriving<'_> {
        self.lock().arriving += 1;
        Arriving(self)
    }

    /// A store whose last change, on disk, is `head`.
    pub(crate) fn new(head: Head) -> Self {
        let state = State { written_head: head, durable_head: head, ..State::default() };
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

    /// Whether a key was never visible.
    pub(crate) fn is_unborn(&self, id: u128) -> bool {
        let state = self.lock();
        state.waiting.contains_key(&id)
            && state.queue.iter().find(|change| change.id == id).is_some_and(|change| change.before.is_none())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change that has begun and is not written.
pub(crate) struct Arriving<'a>(&'a Commit);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.arriving -= 1;
        if state.is_incomplete() {
            return;
        }
        // The last that was on its way does not wait.
        let gatherer = state.gatherer.take();
        drop(state);
        if let Some(gatherer) = gatherer {
            gatherer.woken.store(LOOK, Ordering::Release);
            gatherer.thread.unpark();
        }
    }
}

/// A thread that waits for another's sync.
struct Sleeper {
    ticket: u64,
    thread: Thread,
    woken: AtomicU8,
}

const ASLEEP: u8 = 0;
/// There is something to look at: a failure, or nobody who syncs.
const LOOK: u8 = 1;
const DURABLE: u8 = 2;

impl Sleeper {
    fn new(ticket: u64) -> Self {
        Self { ticket, thread: thread::current(), woken: AtomicU8::new(ASLEEP) }
    }

    /// Returns when it is woken, or at that time: whether the change is durable.
    fn sleep(&self, until: Option<Instant>) -> bool {
        loop {
            let woken = self.woken.load(Ordering::Acquire);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                _ if woken != ASLEEP => return woken == DURABLE,
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
        self.failed.is_none() && (self.arriving > 0 || self.waiters < self.last_group)
    }

    /// Those to wake: whose changes are durable; and one of the others, to make the next sync, or all of them if there is
    /// none. The caller does that, best when it holds nothing that they need.
    fn wake(&mut self) -> Vec<Arc<Sleeper>> {
        let (durable, failed) = (self.durable, self.failed.is_some());
        let mut is_led = self.syncing;
        let woken = |sleeper: &mut Arc<Sleeper>| {
            let why = match () {
                () if sleeper.ticket <= durable => DURABLE,
                () if failed || !is_led => LOOK,
                () => return false,
            };
            is_led |= why == LOOK;
            sleeper.woken.store(why, Ordering::Release);
            true
        };
        self.sleepers.extract_if(.., woken).collect()
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed.get_or_insert_with(|| Failure { kind: error.kind(), text: error.to_string(), since: Utc::now() });
    }

    fn check(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |failure| Err(io::Error::new(failure.kind, failure.text.clone())))
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
            index.publish(change.before.as_ref(), visible.as_ref());
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
