//! How a node learns that others have appended: a connection that listens, from the first wait on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apikey_core::cluster::Woken;
use apikey_engine::{Waits, backoff};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use crate::acknowledged::Acknowledged;
use crate::calls::number_of_head;
use crate::session::{Connection, Hosts};
use crate::settings::Settings;

/// The longest pause before the next connection.
const PAUSE: Duration = Duration::from_secs(5);

/// How often the head is read where notifications do not arrive.
const POLL: Duration = Duration::from_millis(250);

/// How often a connection that listens looks whether there is another primary.
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// How long the server has for a notification to itself.
const SELF_TEST: Duration = Duration::from_secs(3);

/// What the waits and the thread of the connections share.
pub(crate) struct Listener {
    waits: Waits<News>,
    /// What notifications say is acknowledged.
    acknowledged: Arc<Acknowledged>,
}

#[derive(Default)]
struct News {
    is_started: bool,
    seen: Seen,
    connection: Option<Arc<Connection>>,
}

/// What a wait has seen when it begins to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Notifications so far, and what may have hidden some.
    notified: u64,
    /// Times at which to read the head, so far.
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
        Self { waits: Waits::default(), acknowledged }
    }

    /// What has been seen up to now, and whether this is the first call.
    pub(crate) fn seen(&self) -> (Seen, bool) {
        self.waits.change(|news| (news.seen, !std::mem::replace(&mut news.is_started, true)))
    }

    pub(crate) fn close(&self) {
        self.waits.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waits.is_closed()
    }

    /// The connection, if it is there.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        self.waits.read(|news| news.connection.clone())
    }

    /// Sleeps until there is more than was seen.
    pub(crate) fn sleep(&self, seen: Seen, by: Instant) -> Slept {
        let more = |news: &News| match news.seen {
            now if now.notified != seen.notified => Some(Slept::Ended(Woken::Moved)),
            now if now.ticks != seen.ticks => Some(Slept::ReadHead),
            _ => None,
        };
        self.waits.sleep(by, more).unwrap_or_else(Slept::Ended)
    }

    /// Listens until it is closed, on one connection after the other.
    pub(crate) async fn listen(self: Arc<Self>, settings: Arc<Settings>, hosts: Arc<Hosts>) {
        let mut failures = 0_u32;
        while !self.is_closed() {
            match Connection::open_listener(&settings, &hosts).await {
                Ok((connection, notifications)) => {
                    failures = 0;
                    self.receive(Arc::new(connection), notifications, &settings.channel()).await;
                    self.waits.change(|news| news.connection = None);
                }
                Err(error) => tracing::debug!(%error, "cannot listen for appends of other nodes"),
            }
            failures = failures.saturating_add(1);
            sleep(backoff(failures, PAUSE)).await;
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
        self.waits.change(|news| {
            news.connection = Some(connection.clone());
            news.seen.notified += 1;
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
                self.waits.change(|news| news.seen.notified += 1);
            } else {
                sleep(POLL).await;
                if connection.is_closed() {
                    return;
                }
                self.waits.change(|news| news.seen.ticks += 1);
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
