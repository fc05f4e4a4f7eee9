//! The lists of cells that barriers take in: the ledger gets one question for all barriers that wait on a node.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::base::boot_time::{BootClock, BootTime};
use crate::base::lock::lock;
use crate::base::runtime::Runtime;
use crate::cluster::ledger::Cell;
use crate::cluster::protocol::barrier::Listing;

/// The newest lists, of each kind.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    exact: Newest,
    glance: Newest,
}

#[derive(Debug, Default)]
struct Newest {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a question is on its way.
    is_pending: bool,
    last: Option<Listed>,
}

/// A list, as the ledger answered.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// A time before the question.
    pub(crate) sent: BootTime,
    /// `None` if the ledger did not answer.
    pub(crate) cells: Option<Arc<Vec<Cell>>>,
}

impl Listings {
    /// Returns a list for which somebody asked after this time. One caller asks; those who come before the answer take
    /// it, or the next one.
    pub(crate) fn list(
        &self,
        runtime: &Runtime,
        clock: &BootClock,
        listing: Listing,
        after: BootTime,
        by: Instant,
        ask: impl FnOnce() -> Option<Vec<Cell>>,
    ) -> Listed {
        let newest = match listing {
            Listing::Exact => &self.exact,
            Listing::Glance => &self.glance,
        };
        {
            let is_idle = |state: &State| state.is_pending && state.answer(after).is_none();
            let mut state = runtime.wait_while(&newest.state, &newest.answered, by, is_idle);
            if let Some(answer) = state.answer(after) {
                return answer;
            }
            if state.is_pending {
                return Listed { sent: clock.now(), cells: None };
            }
            state.is_pending = true;
        }
        // Also after a panic the next one may ask.
        let _asking = Asking(newest);
        let sent = clock.now();
        let listed = Listed { sent, cells: ask().map(Arc::new) };
        lock(&newest.state).last = Some(listed.clone());
        listed
    }
}

impl State {
    /// The newest list, if somebody asked for it after this time.
    fn answer(&self, after: BootTime) -> Option<Listed> {
        self.last.clone().filter(|last| last.sent > after)
    }
}

struct Asking<'n>(&'n Newest);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).is_pending = false;
        self.0.answered.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn barriers_that_wait_at_once_ask_once_and_a_later_one_asks_anew() {
        let (clock, hands) = BootClock::manual();
        let (listings, questions) = (Listings::default(), AtomicU32::new(0));
        let begun = clock.now();
        hands.set(begun.after(Duration::from_millis(1)));
        let by = Instant::now() + Duration::from_secs(60);
        let list = |listing, after| {
            listings.list(&Runtime::System, &clock, listing, after, by, || {
                questions.fetch_add(1, Ordering::Relaxed);
                Some(Vec::new())
            })
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(list(Listing::Exact, begun).cells.is_some()));
            }
        });
        assert_eq!(questions.load(Ordering::Relaxed), 1);
        let _ = list(Listing::Glance, begun);
        assert_eq!(questions.load(Ordering::Relaxed), 2, "a glance is no exact list");
        let seen = list(Listing::Exact, begun).sent;
        hands.set(seen.after(Duration::from_millis(1)));
        assert!(list(Listing::Exact, seen).sent > seen);
        assert_eq!(questions.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_ledger_that_does_not_answer_keeps_nobody_beyond_its_time() {
        let (clock, _hands) = BootClock::manual();
        let listings = Listings::default();
        let (answer, answered) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let (begun, is_begun) = std::sync::mpsc::channel();
            let (listings, clock) = (&listings, &clock);
            scope.spawn(move || {
                let by = Instant::now() + Duration::from_secs(60);
                listings.list(&Runtime::System, clock, Listing::Exact, clock.now(), by, || {
                    begun.send(()).unwrap();
                    answered.recv().ok();
                    None
                })
            });
            is_begun.recv().unwrap();
            let by = Instant::now() + Duration::from_millis(5);
            let listed = listings.list(&Runtime::System, clock, Listing::Exact, clock.now(), by, || unreachable!());
            assert!(listed.cells.is_none());
            drop(answer);
        });
    }
}
