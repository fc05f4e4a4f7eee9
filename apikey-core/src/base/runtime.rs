//! What background work takes from its process: threads, pauses, deadlines and random numbers. In a test a simulation may
//! give it those, so that a run of many threads is repeated by its seed.

use std::io;
use std::thread::JoinHandle;
use std::time::Instant;
#[cfg(feature = "cluster")]
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[cfg(feature = "cluster")]
use crate::base::lock::lock;
use crate::base::signal::{Signal, Wake};

/// The runtime of a store.
#[derive(Clone, Default)]
pub(crate) enum Runtime {
    /// The operating system's.
    #[default]
    System,
    #[cfg(all(test, feature = "cluster"))]
    Simulated(std::sync::Arc<dyn Simulated>),
}

/// A simulation of the operating system. It runs one task at a time; a wait lets others run.
#[cfg(all(test, feature = "cluster"))]
pub(crate) trait Simulated: Send + Sync {
    fn now(&self) -> Instant;

    /// Lets others run until `deadline`, or until `is_over`.
    fn wait(&self, deadline: Option<Instant>, is_over: &dyn Fn() -> bool);

    fn sleep(&self, span: Duration);

    fn fill(&self, bytes: &mut [u8]);

    /// Observes what readers see now. No other task runs.
    fn observe(&self);

    /// Whether a read of the replica fails.
    fn is_unreadable(&self) -> bool;

    /// Starts a task, and returns whether it has ended.
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> Box<dyn Fn() -> bool + Send>;
}

/// A thread that was started.
pub(crate) enum Task {
    Thread(JoinHandle<()>),
    #[cfg(all(test, feature = "cluster"))]
    Simulated(std::sync::Arc<dyn Simulated>, Box<dyn Fn() -> bool + Send>),
}

impl Runtime {
    /// The time now, for deadlines.
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            #[cfg(all(test, feature = "cluster"))]
            Self::Simulated(simulated) => simulated.now(),
        }
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn sleep(&self, span: Duration) {
        match self {
            Self::System => std::thread::sleep(span),
            #[cfg(all(test, feature = "cluster"))]
            Self::Simulated(simulated) => simulated.sleep(span),
        }
    }

    /// Fills these bytes with random ones.
    #[cfg(feature = "cluster")]
    pub(crate) fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::System => getrandom::fill(bytes),
            #[cfg(all(test, feature = "cluster"))]
            Self::Simulated(simulated) => {
                simulated.fill(bytes);
                Ok(())
            }
        }
    }

    /// Lets a simulation observe what readers see now: where that is so for a moment only, no task of it would.
    #[cfg(all(test, feature = "cluster"))]
    pub(crate) fn observe(&self) {
        if let Self::Simulated(simulated) = self {
            simulated.observe();
        }
    }

    /// Whether a read of the replica fails in a simulation.
    #[cfg(all(test, feature = "cluster"))]
    pub(crate) fn is_unreadable(&self) -> bool {
        match self {
            Self::System => false,
            Self::Simulated(simulated) => simulated.is_unreadable(),
        }
    }

    /// Starts a thread.
    pub(crate) fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Task> {
        match self {
            Self::System => Ok(Task::Thread(std::thread::Builder::new().name(name.into()).spawn(work)?)),
            #[cfg(all(test, feature = "cluster"))]
            Self::Simulated(simulated) => Ok(Task::Simulated(simulated.clone(), simulated.spawn(name, Box::new(work)))),
        }
    }

    /// Waits as [`Signal::wait_until`] does.
    pub(crate) fn wait(&self, signal: &Signal, deadline: Option<Instant>) -> Wake {
        match self {
            Self::System => signal.wait_until(deadline),
            #[cfg(all(test, feature = "cluster"))]
            Self::Simulated(simulated) => {
                simulated.wait(deadline, &|| signal.is_due());
                signal.wait_until(Some(Instant::now()))
            }
        }
    }

    /// Waits while the value `is_idle`, at most until `deadline`. `changed` is notified when it changes.
    #[cfg(feature = "cluster")]
    pub(crate) fn wait_while<'m, T>(
        &self,
        mutex: &'m Mutex<T>,
        changed: &Condvar,
        deadline: Instant,
        is_idle: impl Fn(&T) -> bool,
    ) -> MutexGuard<'m, T> {
        match self {
            Self::System => {
                let left = deadline.saturating_duration_since(Instant::now());
                let waited = changed.wait_timeout_while(lock(mutex), left, |value| is_idle(value));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            #[cfg(all(test, feature = "cluster"))]
            Self::Simulated(simulated) => {
                simulated.wait(Some(deadline), &|| !is_idle(&lock(mutex)));
                lock(mutex)
            }
        }
    }
}

impl Task {
    /// Waits for its end.
    pub(crate) fn join(self) {
        match self {
            // An error means that the thread panicked, so there is nothing left to wait for.
            Self::Thread(thread) => drop(thread.join()),
            #[cfg(all(test, feature = "cluster"))]
            Self::Simulated(simulated, has_ended) => simulated.wait(None, &*has_ended),
        }
    }
}

#[cfg(feature = "cluster")]
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A simulation without other tasks: each wait is over at once.
    struct Alone(Mutex<Instant>);

    impl Simulated for Alone {
        fn now(&self) -> Instant {
            *lock(&self.0)
        }

        fn wait(&self, deadline: Option<Instant>, is_over: &dyn Fn() -> bool) {
            if !is_over() {
                *lock(&self.0) = deadline.expect("nobody else would end it");
            }
        }

        fn sleep(&self, span: Duration) {
            *lock(&self.0) += span;
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }

        fn observe(&self) {}

        fn is_unreadable(&self) -> bool {
            false
        }

        fn spawn(&self, _: &str, work: Box<dyn FnOnce() + Send>) -> Box<dyn Fn() -> bool + Send> {
            work();
            Box::new(|| true)
        }
    }

    #[test]
    fn a_simulation_gives_the_time_and_the_random_numbers() {
        const DAY: Duration = Duration::from_secs(86_400);
        let begun = Instant::now();
        let runtime = Runtime::Simulated(Arc::new(Alone(Mutex::new(begun))));
        runtime.sleep(DAY);
        assert_eq!(runtime.now(), begun + DAY);
        let signal = Arc::new(Signal::default());
        assert_eq!(runtime.wait(&signal, Some(begun + 2 * DAY)), Wake::TimedOut);
        assert_eq!(runtime.now(), begun + 2 * DAY);
        let notified = signal.clone();
        runtime.spawn("other", move || notified.notify()).unwrap().join();
        assert_eq!(runtime.wait(&signal, Some(begun + 3 * DAY)), Wake::Notified);
        let (value, changed) = (Mutex::new(1), Condvar::new());
        assert_eq!(*runtime.wait_while(&value, &changed, begun, |value| *value == 2), 1);
        assert_eq!(runtime.now(), begun + 2 * DAY, "neither waited");
        let mut bytes = [0; 3];
        runtime.fill(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 3]);
    }
}
