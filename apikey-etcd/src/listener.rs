//! How a node learns what others have appended: a watch on the entries of the log, from the first wait on. It wakes, and
//! spares a node that follows a read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apikey_core::cluster::{Logged, Woken};
use apikey_engine::{Waits, backoff};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::calls::{Keys, head, inline};
use crate::failure::Failure;
use crate::recent::Recent;
use crate::rpc::KeyValue;
use crate::session::Members;

/// The longest pause before the next watch.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a member has for the first answer of a watch.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the waits and the thread of the connections share.
#[derive(Default)]
pub(crate) struct Listener {
    waits: Waits<Watched>,
    /// For the task that watches: the generation is another one, or it is closed.
    turned: Notify,
}

#[derive(Default)]
struct Watched {
    is_started: bool,
    /// The generation of the log that is watched.
    generation: u64,
    /// The number of its head, as far as the watch has shown it.
    number: Option<u64>,
    recent: Recent,
}

impl Listener {
    /// Turns to the log of this generation. Returns whether nothing has been watched before.
    pub(crate) fn turn_to(&self, generation: u64) -> bool {
        self.waits.change(|watched| {
            let is_first = !std::mem::replace(&mut watched.is_started, true);
            if watched.generation != generation {
                (watched.generation, watched.number) = (generation, None);
                watched.recent.clear();
                if !is_first {
                    self.turned.notify_one();
                }
            }
            is_first
        })
    }

    pub(crate) fn close(&self) {
        self.waits.close();
        self.turned.notify_one();
    }

    /// Sleeps until the head of the log has moved beyond `after`.
    pub(crate) fn sleep(&self, generation: u64, after: u64, by: Instant) -> Woken {
        // What the node has applied it needs no more, also what it appended itself.
        self.waits.change(|watched| {
            if watched.generation == generation {
                watched.recent.remove_through(after);
            }
        });
        // Another wait may have turned to another log.
        let has_moved = |watched: &Watched| {
            let is_beyond = watched.number.is_some_and(|number| number > after);
            (watched.generation == generation && is_beyond).then_some(Woken::Moved)
        };
        self.waits.sleep(by, has_moved).unwrap_or_else(|ended| ended)
    }

    /// Takes the entries that follow the event `after`, if the watch has brought the first of them.
    pub(crate) fn take(&self, generation: u64, after: u64, max_bytes: usize) -> Vec<Logged> {
        self.waits.change(|watched| {
            if watched.generation == generation { watched.recent.take(after, max_bytes) } else { Vec::new() }
        })
    }

    /// A watch has ended. What it has brought may be of a history that is lost.
    fn end(&self) {
        self.waits.change(|watched| {
            watched.recent.clear();
            watched.number = None;
        });
    }

    /// A watch begins, while the head has this number. What an earlier one has brought may be of a history that is lost.
    fn begin(&self, generation: u64, number: Option<u64>) {
        self.waits.change(|watched| {
            if watched.generation == generation {
                watched.recent.clear();
                watched.number = number.or(watched.number);
            }
        });
    }

    /// The log has got these entries, as pairs of etcd.
    fn see(&self, keys: &Keys, generation: u64, pairs: &[KeyValue]) {
        // Those that do not decode are errors of the calls that need them.
        let entries: Vec<_> = pairs.iter().map(|pair| inline(keys, generation, pair)).collect();
        self.waits.change(|watched| {
            if watched.generation != generation {
                return;
            }
            for entry in entries {
                let (number, whole) = entry.map_or((None, None), |(number, whole)| (Some(number), whole));
                watched.number = number.or(watched.number);
                watched.recent.add(whole);
            }
        });
    }

    /// The generation that is to be watched; `None` at the end.
    fn generation(&self) -> Option<u64> {
        (!self.waits.is_closed()).then(|| self.waits.read(|watched| watched.generation))
    }

    /// Watches until it is closed, at one member after the other.
    pub(crate) async fn listen(self: Arc<Self>, members: Arc<Members>, keys: Keys) {
        let mut failures = 0_u32;
        while let Some(generation) = self.generation() {
            let mut stood = false;
            let watched = self.watch(&members, &keys, generation, &mut stood).await;
            self.end();
            match watched {
                Ok(()) => failures = 0,
                Err(why) => {
                    tracing::debug!(why, "cannot watch the log for appends of other nodes");
                    failures = if stood { 1 } else { failures.saturating_add(1) };
                    sleep(backoff(failures, PAUSE)).await;
                }
            }
        }
    }

    /// Watches the log of one generation; ends well if another is to be watched, or none. `stood` becomes true once it stands.
    async fn watch(&self, members: &Members, keys: &Keys, generation: u64, stood: &mut bool) -> Result<(), String> {
        let connection = members.connection(Instant::now() + PATIENCE).await.map_err(|error| error.to_string())?;
        let why = |failure: Failure| format!("{failure:?}");
        let outcome: Result<(), String> = async {
            let begun = async {
                let mut watch = connection.watch(keys.entries(generation)).await?;
                let first = watch.next().await?;
                // The head after what was appended before the watch stood.
                let number = head(&connection, keys, generation).await?;
                Ok::<_, Failure>((watch, first, number))
            };
            let (mut watch, first, number) =
                timeout(PATIENCE, begun).await.map_err(|_| "no answer in time".to_owned())?.map_err(why)?;
            if first.is_none_or(|first| first.canceled || !first.created) {
                return Err("the watch does not begin".to_owned());
            }
            self.begin(generation, number);
            *stood = true;
            loop {
                let answer = tokio::select! {
                    answer = watch.next() => answer.map_err(why)?,
                    () = self.turned.notified() => return Ok(()),
                };
                let answer = answer.ok_or("the watch has ended")?;
                if answer.canceled {
                    return Err(answer.cancel_reason);
                }
                let pairs: Vec<KeyValue> = answer.events.into_iter().filter_map(|event| event.kv).collect();
                self.see(keys, generation, &pairs);
            }
        }
        .await;
        if outcome.is_err() {
            connection.lose();
        }
        outcome
    }
}
