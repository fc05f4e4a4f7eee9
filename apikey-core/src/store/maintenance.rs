//! The thread behind a store: brings the database up to the journal, writes down first uses, erases ended secrets, and
//! writes back times of use.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::pace::Pace;
use crate::base::panics::catch_panic;

use crate::copies::schedule;
use crate::store::Inner;

const ROUND: Duration = Duration::from_secs(30);
/// How long a written mark waits for its sync, and the database for what the journal holds; with the sync itself this
/// stays below half a second.
const MARK_LAG: Duration = Duration::from_millis(400);

/// Wakes the thread, or ends it.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<Ring>,
    rung: Condvar,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Ring {
    #[default]
    Silent,
    Work,
    End,
}

impl Bell {
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == Ring::Silent {
            *state = Ring::Work;
        }
        self.rung.notify_one();
    }

    pub(crate) fn end(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Ring::End;
        self.rung.notify_one();
    }

    /// Waits for a ring, at most until then.
    fn wait(&self, until: Instant) -> Ring {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = |ring: &mut Ring| *ring == Ring::Silent;
        let left = until.saturating_duration_since(Instant::now());
        let (mut state, _) = self.rung.wait_timeout_while(state, left, silent).unwrap_or_else(PoisonError::into_inner);
        let ring = *state;
        if ring == Ring::Work {
            *state = Ring::Silent;
        }
        ring
    }
}

/// Starts the thread. It ends when the bell says so; the store's last handle sees to that.
pub(crate) fn start(inner: Arc<Inner>) -> std::io::Result<JoinHandle<()>> {
    let backups = schedule::start(&inner)?;
    let mut pace = Pace::new(inner.time.raw_ms(), Instant::now());
    let mut told_lead = false;
    inner.tell_lead(&mut told_lead);
    std::thread::Builder::new().name("apikey".into()).spawn(move || {
        // Ends with this thread.
        let _backups = backups;
        // The first round at once: secrets may have ended while the store was closed.
        let mut round = Instant::now();
        let mut mark: Option<Instant> = None;
        loop {
            if inner.bell.wait(mark.map_or(round, |mark| mark.min(round))) == Ring::End {
                return;
            }
            let now = Instant::now();
            // A panic in the database must not end the rounds.
            let turned = catch_panic(|| {
                inner.keep_first_uses();
                let is_due = mark.is_some_and(|due| due <= now);
                if is_due || inner.journal_presses() {
                    inner.settle();
                }
                if is_due {
                    inner.keep_mark();
                }
                if round <= now {
                    inner.erase_ended();
                    inner.write_back_uses();
                    inner.forget_made();
                    inner.refusal_counts().log_rest();
                    inner.follow_clock(&mut pace, Instant::now);
                    inner.tell_lead(&mut told_lead);
                }
                inner.notice_failure();
            });
            if let Err(panic) = turned {
                tracing::error!(panic, "the database panicked behind the key store");
            }
            if round <= now {
                round = now + ROUND;
            }
            mark = match (mark, inner.mark_is_dirty()) {
                (_, false) => None,
                (Some(due), true) if due > now => Some(due),
                (_, true) => Some(now + MARK_LAG),
            };
        }
    })
}
