//! Wakes a background thread, or ends it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::lock::lock;

/// Wakes a thread before its next tick, and ends it. Any thread notifies; one thread waits.
///
/// A notification without a waiting thread stays for the next wait, and several of them count as one: they say that
/// there is work, and not how much. Closing is final.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    notified: bool,
    closed: bool,
}

/// The reason for which a wait has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    Notified,
    TimedOut,
    Closed,
}

impl Signal {
    /// Wakes the thread that waits, or the next one that would.
    pub(crate) fn notify(&self) {
        let mut state = lock(&self.state);
        // A thread that has not taken the last notification yet is awake already.
        if !std::mem::replace(&mut state.notified, true) {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Ends every wait, now and from now on.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Whether a wait would end at once.
    #[cfg(all(test, feature = "cluster"))]
    pub(crate) fn is_due(&self) -> bool {
        let state = lock(&self.state);
        state.notified || state.closed
    }

    /// Waits for a notification and takes it, at most until `deadline`, or without a limit if there is none.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>) -> Wake {
        let mut state = self.wait_while(deadline, |state| !state.notified && !state.closed);
        match *state {
            State { closed: true, .. } => Wake::Closed,
            State { notified: true, .. } => {
                state.notified = false;
                Wake::Notified
            }
            State { .. } => Wake::TimedOut,
        }
    }

    /// Waits until `deadline` or the close, and returns whether the signal is closed. A notification stays for the next
    /// wait.
    pub(crate) fn wait_closed_until(&self, deadline: Instant) -> bool {
        self.wait_while(Some(deadline), |state| !state.closed).closed
    }

    fn wait_while(&self, deadline: Option<Instant>, idle: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        while idle(&state) {
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn soon() -> Option<Instant> {
        Some(Instant::now())
    }

    #[test]
    fn notifications_are_kept_and_count_as_one() {
        let signal = Signal::default();
        assert_eq!(signal.wait_until(soon()), Wake::TimedOut);
        signal.notify();
        signal.notify();
        assert!(!signal.wait_closed_until(Instant::now()), "this wait takes none");
        assert_eq!(signal.wait_until(None), Wake::Notified);
        assert_eq!(signal.wait_until(soon()), Wake::TimedOut);
    }

    #[test]
    fn closing_is_final_and_comes_before_notifications() {
        let signal = Signal::default();
        signal.notify();
        signal.close();
        for _ in 0..2 {
            assert_eq!(signal.wait_until(None), Wake::Closed);
            assert!(signal.wait_closed_until(Instant::now() + LONG));
        }
        assert!(signal.is_closed());
    }

    #[test]
    fn a_thread_that_waits_is_woken_each_time() {
        let (signal, answers) = (Signal::default(), std::sync::mpsc::channel());
        thread::scope(|scope| {
            scope.spawn(|| {
                while signal.wait_until(Some(Instant::now() + LONG)) == Wake::Notified {
                    answers.0.send(()).unwrap();
                }
            });
            for _ in 0..100 {
                signal.notify();
                answers.1.recv().unwrap();
            }
            signal.close();
        });
    }
}
