use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use apikey_core::cluster::Woken;

/// What the waits of a ledger share with whoever learns of appends: a value that changes, and whether the ledger is closed.
pub struct Waits<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    is_closed: bool,
    value: T,
}

impl<T> Waits<T> {
    /// Creates one with this value.
    pub const fn new(value: T) -> Self {
        Self { state: Mutex::new(State { is_closed: false, value }), changed: Condvar::new() }
    }

    /// Changes the value, and lets every wait see it.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.state().value);
        self.changed.notify_all();
        result
    }

    /// Reads the value.
    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.state().value)
    }

    /// Ends every wait, now and from now on.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// Returns whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Sleeps until `found` finds something in the value, which it looks for at once and at each change.
    ///
    /// # Errors
    /// [`Woken::Closed`] or [`Woken::TimedOut`], if that comes first.
    pub fn sleep<R>(&self, by: Instant, mut found: impl FnMut(&T) -> Option<R>) -> Result<R, Woken> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return Err(Woken::Closed);
            }
            if let Some(found) = found(&state.value) {
                return Ok(found);
            }
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Woken::TimedOut);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// No code of others runs under the lock that leaves the value half changed.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for Waits<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Waits<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_ends_by_a_change_the_time_or_the_close() {
        let waits = Waits::new(1);
        let soon = Instant::now() + Duration::from_secs(60);
        let beyond = |least: u32| move |value: &u32| (*value > least).then_some(*value);
        assert_eq!(waits.sleep(soon, beyond(0)), Ok(1));
        assert_eq!(waits.sleep(Instant::now(), beyond(1)), Err(Woken::TimedOut));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| waits.sleep(soon, beyond(2)));
            waits.change(|value| *value = 2);
            waits.change(|value| *value = 3);
            assert_eq!(waiting.join().unwrap(), Ok(3));
            let waiting = scope.spawn(|| waits.sleep(soon, beyond(3)));
            waits.close();
            assert_eq!(waiting.join().unwrap(), Err(Woken::Closed));
        });
        assert_eq!(waits.sleep(soon, beyond(0)), Err(Woken::Closed), "from now on");
    }
}
