//! The threads that read and change keys for callers, so that no async runtime waits for a disk.
//!
//! A runtime's own way to block (`spawn_blocking`, `block_in_place`) would tie the service to that runtime; a thread
//! for each change would let callers start threads. So a service has a few threads and a bounded queue: with a slow disk,
//! callers get an error instead of piling up. None of the threads waits for other machines: a change of a cluster waits for
//! them as a future, see [`propagation`].

mod pending;
#[cfg(feature = "cluster")]
mod propagation;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use apikey_core::KeyStore;

use crate::answer::{PlainResponse, Problem};
pub(crate) use pending::PendingAnswer;
use pending::{AnswerSlot, pending};

/// The most calls that may wait: so many that take something away, and so many others.
pub(crate) const QUEUE: usize = 256;
/// How long a change may have waited that is still made, unless it takes something away: its caller is likely to be gone.
const MAX_QUEUED: Duration = Duration::from_secs(10);
/// The threads that change keys: as many changes share one sync of the disk, or one entry of a cluster's log.
const CHANGING: usize = 8;
/// The threads that read keys.
#[cfg(any(test, feature = "management"))]
const READING: usize = 2;

type Work = Box<dyn FnOnce(AnswerSlot) + Send>;

/// Threads with a queue. The first call starts the first thread; they end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Worker(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    #[cfg(feature = "cluster")]
    propagation: propagation::Propagating,
}

struct Shared {
    name: &'static str,
    max_threads: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// A call that waits.
struct Queued {
    work: Work,
    slot: AnswerSlot,
    /// The time after which nobody carries it out.
    by: Option<Instant>,
}

#[derive(Default)]
struct State {
    /// Calls that take something away. They go first, and no number of others keeps them out: whoever may fill the queue shall
    /// not keep a key from being revoked.
    restricting: VecDeque<Queued>,
    others: VecDeque<Queued>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

impl Worker {
    /// Threads that change keys.
    pub(crate) fn changing() -> Self {
        Self::new("apikey-change", CHANGING)
    }

    /// Threads that read keys.
    #[cfg(any(test, feature = "management"))]
    pub(crate) fn reading() -> Self {
        Self::new("apikey-read", READING)
    }

    fn new(name: &'static str, max_threads: usize) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Handle {
            shared: Arc::new(Shared { name, max_threads, state, changed }),
            #[cfg(feature = "cluster")]
            propagation: propagation::Propagating::default(),
        }))
    }

    /// Queues a read; `None` if too many calls wait already.
    #[cfg(any(test, feature = "management"))]
    pub(crate) fn read(&self, work: impl FnOnce() -> PlainResponse + Send + 'static) -> Option<PendingAnswer> {
        self.run(Box::new(move |slot| slot.fill(work())), None, false)
    }

    /// Queues a change; `None` if too many calls wait already. The work gets a handle of the store whose changes return once
    /// they are in force here. If it succeeds, its answer waits until the change is on every node of the cluster, for 5
    /// seconds at most; then it is 202, with the nodes that do not have it.
    ///
    /// While the disk or the engine of a cluster is slow, a change that has waited for 10 seconds is not made, unless it
    /// `restricts`: what is to be taken away is, however long that takes.
    pub(crate) fn change(
        &self,
        store: &KeyStore,
        restricts: bool,
        work: impl FnOnce(&KeyStore) -> PlainResponse + Send + 'static,
    ) -> Option<PendingAnswer> {
        let by = (!restricts).then(|| Instant::now() + MAX_QUEUED);
        #[cfg(feature = "cluster")]
        {
            let (store, propagation) = (store.propagating(apikey_core::Propagation::Here), self.0.propagation.clone());
            let work = move |slot| {
                let answer = work(&store);
                propagation.complete(&store, answer, slot);
            };
            self.run(Box::new(work), by, restricts)
        }
        #[cfg(not(feature = "cluster"))]
        {
            let store = store.clone();
            self.run(Box::new(move |slot| slot.fill(work(&store))), by, restricts)
        }
    }

    fn run(&self, work: Work, by: Option<Instant>, restricts: bool) -> Option<PendingAnswer> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        if state.queue(restricts).len() >= QUEUE {
            return None;
        }
        let (answer, slot) = pending();
        state.queue(restricts).push_back(Queued { work, slot, by });
        if state.idle < state.waiting() && state.threads < shared.max_threads {
            let own = shared.clone();
            match thread::Builder::new().name(shared.name.into()).spawn(move || own.work()) {
                Ok(_) => state.threads += 1,
                Err(error) => {
                    tracing::error!(%error, "a thread that reads or changes keys for callers does not start");
                    if state.threads == 0 {
                        let refused = state.queue(restricts).pop_back();
                        drop(state);
                        drop(refused);
                        return None;
                    }
                }
            }
        }
        drop(state);
        shared.changed.notify_one();
        Some(answer)
    }
}

impl State {
    fn queue(&mut self, restricts: bool) -> &mut VecDeque<Queued> {
        if restricts { &mut self.restricting } else { &mut self.others }
    }

    fn waiting(&self) -> usize {
        self.restricting.len() + self.others.len()
    }

    fn next(&mut self) -> Option<Queued> {
        self.restricting.pop_front().or_else(|| self.others.pop_front())
    }
}

impl Queued {
    /// Does the work, or says that it is too late for it. Nothing of either is left afterwards, since what it drops may be the
    /// last of the worker's clones, which locks the queue.
    fn carry_out(self) {
        let Self { work, slot, by } = self;
        // A panic ends this call, not the ones that follow; without an answer the slot ends the wait.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if by.is_some_and(|by| by < Instant::now()) {
                drop(work);
                slot.fill(busy());
            } else {
                work(slot);
            }
        }));
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.lock();
        loop {
            match state.next() {
                Some(queued) => {
                    drop(state);
                    queued.carry_out();
                    state = self.lock();
                }
                None if state.is_closed => return,
                None => {
                    state.idle += 1;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

/// The answer to a call that is not queued, because too many wait.
pub(crate) fn busy() -> PlainResponse {
    let title = "The request could not be carried out";
    PlainResponse::from(Problem::titled(503, "unavailable", title, title)).with("retry-after", "1")
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("name", &self.0.shared.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait(mut answer: PendingAnswer) -> Option<PlainResponse> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match Pin::new(&mut answer).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }

    #[test]
    fn a_full_queue_takes_nothing_and_everything_in_it_is_answered() {
        let worker = Worker::reading();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (begun, has_begun) = mpsc::channel();
        let work = |status: u16| {
            let (gate, begun) = (gate.clone(), begun.clone());
            move || {
                begun.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
                PlainResponse::empty(status)
            }
        };
        let mut answers: Vec<_> = (0..READING).map(|_| worker.read(work(200)).unwrap()).collect();
        // A thread waits in the work of another; both have begun.
        has_begun.recv().unwrap();
        while answers.len() < READING + QUEUE {
            answers.extend(worker.read(work(201)));
            assert!(answers.len() <= READING + QUEUE);
            if worker.0.shared.lock().waiting() == QUEUE {
                break;
            }
        }
        assert!(worker.read(|| PlainResponse::empty(202)).is_none());
        for _ in &answers {
            release.send(()).unwrap();
        }
        assert!(answers.into_iter().all(|answer| wait(answer).unwrap().status < 202));
    }

    #[test]
    fn what_takes_something_away_is_taken_and_goes_first() {
        let store = KeyStore::temporary().unwrap();
        let worker = Worker::new("test", 1);
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (done, order) = mpsc::channel();
        let other = || {
            let (gate, done) = (gate.clone(), done.clone());
            worker.change(&store, false, move |_| {
                gate.lock().unwrap().recv().unwrap();
                done.send("other").unwrap();
                PlainResponse::empty(200)
            })
        };
        let mut answers = Vec::new();
        // The thread waits in the first, and then its queue is full.
        answers.extend(other());
        while worker.0.shared.lock().waiting() > 0 {
            thread::yield_now();
        }
        answers.extend((0..QUEUE).map(|_| other().unwrap()));
        assert!(other().is_none());
        let revoke = {
            let done = done.clone();
            move |_: &KeyStore| {
                done.send("restricting").unwrap();
                PlainResponse::empty(204)
            }
        };
        answers.push(worker.change(&store, true, revoke).unwrap());
        for _ in 1..answers.len() {
            release.send(()).unwrap();
        }
        assert!(answers.into_iter().all(|answer| wait(answer).is_some()));
        assert_eq!(order.iter().take(3).collect::<Vec<_>>(), ["other", "restricting", "other"]);
    }

    #[test]
    fn work_that_is_too_late_may_have_the_last_clone() {
        let worker = Worker::reading();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let blocked: Vec<_> = (0..READING)
            .map(|_| {
                let gate = gate.clone();
                let wait = move || {
                    gate.lock().unwrap().recv().unwrap();
                    PlainResponse::empty(200)
                };
                worker.read(wait).unwrap()
            })
            .collect();
        let own = worker.clone();
        let work = move |slot: AnswerSlot| {
            let _own = own;
            slot.fill(PlainResponse::empty(200));
        };
        let late = worker.run(Box::new(work), Some(Instant::now()), false).unwrap();
        let after = worker.read(|| PlainResponse::empty(204)).unwrap();
        drop(worker);
        for _ in 0..READING {
            release.send(()).unwrap();
        }
        assert!(blocked.into_iter().all(|answer| wait(answer).unwrap().status == 200));
        assert_eq!(wait(late).unwrap().status, 503);
        assert_eq!(wait(after).unwrap().status, 204);
    }

    #[test]
    fn a_panic_ends_its_own_call() {
        let worker = Worker::reading();
        let broken = worker.read(|| panic!("a fault of the test")).unwrap();
        assert_eq!(wait(broken), None);
        for _ in 0..10 {
            let answer = worker.read(|| PlainResponse::empty(204)).unwrap();
            assert_eq!(wait(answer).unwrap().status, 204);
        }
        let left = worker.read(|| PlainResponse::empty(205)).unwrap();
        drop(worker);
        assert_eq!(wait(left).unwrap().status, 205, "what is queued is done");
    }
}
