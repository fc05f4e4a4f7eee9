//! A lock that goes to callers in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::base::lock::lock;
use crate::base::runtime::Runtime;

/// A lock that is fair: who came first is next.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// The tickets of those who have the turn or wait for it; the first has it.
    tickets: VecDeque<u64>,
}

/// The turn of a caller, until it is dropped.
#[derive(Debug)]
pub(crate) struct MyTurn<'t> {
    turn: &'t Turn,
    ticket: u64,
}

impl Turn {
    /// Waits for the turn; `None` if it does not come in time.
    pub(crate) fn take(&self, runtime: &Runtime, by: Instant) -> Option<MyTurn<'_>> {
        let ticket = {
            let mut line = lock(&self.line);
            let ticket = line.next;
            line.next += 1;
            line.tickets.push_back(ticket);
            ticket
        };
        // Dropping it leaves the line.
        let mine = MyTurn { turn: self, ticket };
        let line = runtime.wait_while(&self.line, &self.moved, by, |line| line.tickets.front() != Some(&ticket));
        let is_first = line.tickets.front() == Some(&ticket);
        drop(line);
        is_first.then_some(mine)
    }
}

impl Drop for MyTurn<'_> {
    fn drop(&mut self) {
        let mut line: MutexGuard<'_, Line> = lock(&self.turn.line);
        line.tickets.retain(|ticket| *ticket != self.ticket);
        drop(line);
        self.turn.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_to_one_at_a_time_and_in_order() {
        let turn = Turn::default();
        let soon = || Instant::now() + Duration::from_millis(5);
        let first = turn.take(&Runtime::System, soon()).unwrap();
        assert!(turn.take(&Runtime::System, soon()).is_none(), "it is taken, and the wait ends");
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (turn, order) = (&turn, &order);
                // Each is in line before the next begins.
                while lock(&turn.line).tickets.len() != 1 + number {
                    std::thread::yield_now();
                }
                scope.spawn(move || {
                    let mine = turn.take(&Runtime::System, Instant::now() + Duration::from_secs(60)).unwrap();
                    lock(order).push(number);
                    drop(mine);
                });
            }
            while lock(&turn.line).tickets.len() != 9 {
                std::thread::yield_now();
            }
            drop(first);
        });
        assert_eq!(*lock(&order), (0..8).collect::<Vec<_>>());
    }
}
