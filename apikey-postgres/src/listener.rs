//! How a node learns that others have appended: a connection that listens, from the first wait on.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apikey_core::cluster::Woken;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use crate::acknowledged::Acknowledged;
use crate::calls::number_of_head;
use crate::session::{Connection, Hosts, jitter};
use crate::settings::Settings;

/// How often the head is read where notifications do not arrive.
const POLL: Duration = Duration::from_millis(250);

/// How often a connection that listens looks whether there is another primary.
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// How long the server has for a notification to itself.
const SELF_TEST: Duration = Duration::from_secs(3);

/// What the waits and the thread of the connections share.
pub(crate) struct Listener {
    state: Mutex<State>,
    changed: Condvar,
    /// What notifications say is acknowledged.
    acknowledged: Arc<Acknowledged>,
}

#[derive(Default)]
struct State {
    closed: bool,
    started: bool,
    /// Notifications so far, and what may have hidden some.
    notified: u64,
    /// Times at which to read the head, so far.
    ticks: u64,
    connection: Option<Arc<Connection>>,
}

/// What a wait has seen when it begins to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    notified: u64,
    ticks: u64,
}

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    Ended(Woken),
    /// It is time to read the head.
    ReadHead,
}

impl Listener {
    pub(crate) fn new(acknowledged: Arc<Acknowledged>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), acknowledged }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been seen up to now, and whether this is the first call.
    pub(crate) fn seen(&self) -> (Seen, bool) {
        let mut state = self.state();
        let first = !std::mem::replace(&mut state.started, true);
        (Seen { notified: state.notified, ticks: state.ticks }, first)
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The connection, if it is there.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        self.state().connection.clone()
    }

    /// Sleeps until there is more than was seen.
    pub(crate) fn sleep(&self, seen: Seen, by: Instant) -> Slept {
        let mut state = self.state();
        loop {
            if state.closed {
                return Slept::Ended(Woken::Closed);
            }
            if state.notified != seen.notified {
                return Slept::Ended(Woken::Moved);
            }
            if state.ticks != seen.ticks {
                return Slept::ReadHead;
            }
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Slept::Ended(Woken::TimedOut);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Listens until it is closed, on one connection after the other.
    pub(crate) async fn listen(self: Arc<Self>, settings: Arc<Settings>, hosts: Arc<Hosts>) {
        let mut failures = 0_u32;
        while !self.is_closed() {
            match Connection::open_listener(&settings, &hosts).await {
                Ok((connection, notifications)) => {
                    failures = 0;
                    self.receive(Arc::new(connection), notifications, &settings.channel()).await;
                    self.change(|state| state.connection = None);
                }
                Err(error) => tracing::debug!(%error, "cannot listen for appends of other nodes"),
            }
            failures = failures.saturating_add(1);
            let most =
                Duration::from_millis(20).saturating_mul(2_u32.saturating_pow(failures)).min(Duration::from_secs(5));
            sleep(jitter(most)).await;
        }
    }

    async fn receive(&self, connection: Arc<Connection>, mut notifications: UnboundedReceiver<String>, channel: &str) {
        // The namespace is plain, and so is the channel.
        let listens = connection.client().batch_execute(&format!("LISTEN {channel}")).await;
        if listens.is_err() {
            return;
        }
        let works = self_test(&connection, &mut notifications, channel).await;
        if !works {
            tracing::warn!(channel, "PostgreSQL's notifications do not arrive: the head is read every 250 ms instead");
        }
        // What came before may have been missed.
        self.change(|state| {
            state.connection = Some(connection.clone());
            state.notified += 1;
        });
        loop {
            // A former primary notifies nobody of what is appended elsewhere.
            if connection.is_former() {
                return;
            }
            if works {
                match timeout(LOOK_ROUND, notifications.recv()).await {
                    Ok(Some(payload)) => self.acknowledged.note_payload(&payload),
                    Ok(None) => return,
                    Err(_) => continue,
                }
                // What has come in the meantime is one piece of news.
                while let Ok(payload) = notifications.try_recv() {
                    self.acknowledged.note_payload(&payload);
                }
                self.change(|state| state.notified += 1);
            } else {
                sleep(POLL).await;
                if connection.is_closed() {
                    return;
                }
                self.change(|state| state.ticks += 1);
            }
        }
    }
}

/// Whether a notification of ours comes back.
async fn self_test(connection: &Connection, notifications: &mut UnboundedReceiver<String>, channel: &str) -> bool {
    const TEST: &str = "test";
    let test = async {
        // As an append does it: a role may be allowed the command, and not this.
        let sent = connection.client().batch_execute(&format!("SELECT pg_notify('{channel}', '{TEST}')")).await;
        if sent.is_err() {
            return false;
        }
        while let Some(payload) = notifications.recv().await {
            if payload == TEST {
                return true;
            }
        }
        false
    };
    timeout(SELF_TEST, test).await.unwrap_or(false)
}

/// Whether the log has an event after this one, as far as the connection knows; without one it is not known.
pub(crate) async fn has_moved(connection: &Connection, namespace: &str, generation: u64, after: u64) -> bool {
    let head = number_of_head(connection, namespace, generation).await;
    matches!(head, Ok(Some(number)) if number > after)
}
