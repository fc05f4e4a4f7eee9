//! How a node learns that others have appended: a watch on the head, from the first wait on. It only wakes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apikey_core::cluster::Woken;
use apikey_engine::{Waits, backoff};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::calls::{Keys, head, position};
use crate::failure::Failure;
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
    /// The generation of the head that is watched.
    generation: u64,
    /// The number of the head, as far as the watch has shown it.
    number: Option<u64>,
}

impl Listener {
    /// Turns to the log of this generation. Returns whether nothing has been watched before.
    pub(crate) fn turn_to(&self, generation: u64) -> bool {
        self.waits.change(|watched| {
            let is_first = !std::mem::replace(&mut watched.is_started, true);
            if watched.generation != generation {
                (watched.generation, watched.number) = (generation, None);
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
        // Another wait may have turned to another log.
        let has_moved = |watched: &Watched| {
            let is_beyond = watched.number.is_some_and(|number| number > after);
            (watched.generation == generation && is_beyond).then_some(Woken::Moved)
        };
        self.waits.sleep(by, has_moved).unwrap_or_else(|ended| ended)
    }

    /// The head has this number.
    fn see(&self, generation: u64, number: u64) {
        self.waits.change(|watched| {
            if watched.generation == generation {
                watched.number = Some(number);
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
            match self.watch(&members, &keys, generation).await {
                Ok(()) => failures = 0,
                Err(why) => {
                    tracing::debug!(why, "cannot watch the log for appends of other nodes");
                    failures = failures.saturating_add(1);
                    sleep(backoff(failures, PAUSE)).await;
                }
            }
        }
    }

    /// Watches the head of one generation; ends well if another is to be watched, or none.
    async fn watch(&self, members: &Members, keys: &Keys, generation: u64) -> Result<(), String> {
        let key = keys.head(generation);
        let connection = members.connection(Instant::now() + PATIENCE).await.map_err(|error| error.to_string())?;
        let why = |failure: Failure| format!("{failure:?}");
        let outcome: Result<(), String> = async {
            let begun = async {
                let mut watch = connection.watch(key.clone()).await?;
                let first = watch.next().await?;
                // What was appended before the watch stood.
                let number = head(&connection, keys, generation).await?;
                Ok::<_, Failure>((watch, first, number))
            };
            let (mut watch, first, number) =
                timeout(PATIENCE, begun).await.map_err(|_| "no answer in time".to_owned())?.map_err(why)?;
            if first.is_none_or(|first| first.canceled || !first.created) {
                return Err("the watch does not begin".to_owned());
            }
            if let Some(number) = number {
                self.see(generation, number);
            }
            loop {
                let answer = tokio::select! {
                    answer = watch.next() => answer.map_err(why)?,
                    () = self.turned.notified() => return Ok(()),
                };
                let answer = answer.ok_or("the watch has ended")?;
                if answer.canceled {
                    return Err(answer.cancel_reason);
                }
                let heads = answer.events.iter().filter_map(|event| event.kv.as_ref());
                // A head that does not decode is an error of the calls that need it.
                if let Some(Ok(head)) = heads.map(|pair| position(&pair.value)).next_back() {
                    self.see(generation, head.number);
                }
            }
        }
        .await;
        if outcome.is_err() {
            connection.lose();
        }
        outcome
    }
}
