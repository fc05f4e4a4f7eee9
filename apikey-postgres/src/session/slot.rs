use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apikey_core::cluster::{LedgerError, LedgerResult};
use apikey_engine::{after_unknown, backoff};
use tokio::sync::Mutex;
use tokio::time::{sleep, sleep_until, timeout_at};

use super::connection::Connection;
use super::hosts::Hosts;
use crate::failure::{Failure, Meaning};
use crate::settings::Settings;

/// The place of one connection: one call at a time has it, and it is made anew when it is lost.
pub(crate) struct Slot {
    settings: Arc<Settings>,
    hosts: Arc<Hosts>,
    /// Whether the checks have passed that need two connections.
    checked: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// Connections that were lost or not made since a call was last done.
    failures: u32,
    /// When the next one may be made.
    after: Option<Instant>,
}

/// What to do when a connection is lost while a call waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Sending it again does no harm.
    Yes,
    /// It could be done twice.
    No,
}

/// The longest time after which a lost connection is made anew. While a standby is away every write that is given up leaves a session on the server that waits for it; nodes that came back at once
/// would use up `max_connections`.
const BACKOFF: Duration = Duration::from_secs(5);

/// How long one of several hosts has for an answer while none has given any.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

impl Slot {
    pub(crate) fn new(settings: Arc<Settings>, hosts: Arc<Hosts>, checked: Arc<AtomicBool>) -> Self {
        Self { settings, hosts, checked, state: Mutex::default() }
    }

    /// Does a call, by the time `by`.
    pub(crate) async fn run<T, F>(
        &self,
        by: Instant,
        repeat: Repeat,
        call: impl Fn(Arc<Connection>) -> F,
    ) -> LedgerResult<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let Ok(mut state) = timeout_at(by.into(), self.state.lock()).await else {
            return Err(LedgerError::refused("the time was up before another call on this connection ended"));
        };
        let mut unknown = None;
        loop {
            let connection = match self.connection(&mut state, by).await {
                Ok(connection) => connection,
                // What has been sent before may have been done.
                Err(refused) => return Err(unknown.unwrap_or(refused)),
            };
            // The call would be sent, and given up at once.
            if Instant::now() >= by {
                return Err(unknown.unwrap_or_else(|| LedgerError::refused("the time was up before the call was sent")));
            }
            // A node that opens has much time, and must not spend it all on a former primary.
            let until = match repeat {
                Repeat::Yes if self.hosts.are_unknown() => by.min(Instant::now() + FIRST_ANSWER),
                _ => by,
            };
            let meaning = match timeout_at(until.into(), call(connection)).await {
                Ok(Ok(done)) => {
                    state.failures = 0;
                    return Ok(done);
                }
                Ok(Err(failure)) => failure.meaning(),
                Err(_) => Meaning::Unknown(LedgerError::unknown("the time was up")),
            };
            match meaning {
                Meaning::Answer(error) => {
                    state.failures = 0;
                    return Err(after_unknown(unknown, error));
                }
                Meaning::Again(error) => {
                    let pause = backoff(0, BACKOFF);
                    if Instant::now() + pause >= by {
                        return Err(unknown.unwrap_or(error));
                    }
                    sleep(pause).await;
                }
                Meaning::Refused(error) => {
                    self.lose(&mut state);
                    return Err(unknown.unwrap_or(error));
                }
                Meaning::Unknown(error) => {
                    self.lose(&mut state);
                    if repeat == Repeat::No || Instant::now() >= by {
                        return Err(error);
                    }
                    unknown = Some(error);
                }
            }
        }
    }

    /// The connection, which is made if there is none. Nothing has been sent when this fails.
    async fn connection(&self, state: &mut State, by: Instant) -> LedgerResult<Arc<Connection>> {
        if let Some(connection) = &state.connection {
            if !connection.is_closed() && !connection.is_former() {
                return Ok(connection.clone());
            }
            // The server has ended it, or is not the primary any more, which is no reason to wait.
            state.connection = None;
        }
        if let Some(after) = state.after.take() {
            if after >= by {
                sleep_until(by.into()).await;
            } else {
                sleep_until(after.into()).await;
            }
        }
        let first = !self.checked.load(Ordering::Relaxed);
        let asked = AtomicUsize::new(0);
        match timeout_at(by.into(), Connection::open(&self.settings, &self.hosts, first, &asked)).await {
            Ok(Ok(connection)) => {
                self.checked.store(true, Ordering::Relaxed);
                Ok(state.connection.insert(Arc::new(connection)).clone())
            }
            Ok(Err(error)) => {
                state.lose();
                Err(error)
            }
            Err(_) => {
                state.lose();
                let asked = asked.into_inner();
                self.hosts.pass_over(asked);
                let server = self.settings.server_at(asked);
                Err(LedgerError::refused(format!("cannot connect to {server}: it does not answer in time")))
            }
        }
    }
}

impl Slot {
    /// Gives the connection up. Another host may be the primary by now.
    fn lose(&self, state: &mut State) {
        if let Some(connection) = &state.connection {
            self.hosts.pass_over(connection.host);
        }
        state.lose();
    }
}

impl State {
    fn lose(&mut self) {
        self.connection = None;
        self.after = Some(Instant::now() + backoff(self.failures, BACKOFF));
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_again_and_again_is_made_ever_later() {
        let mut state = State::default();
        for (failures, most) in [(0, 20), (1, 40), (7, 2_560), (8, 5_000), (40, 5_000)] {
            state.failures = failures;
            let before = Instant::now();
            state.lose();
            let after = state.after.unwrap().duration_since(before);
            assert!(after < Duration::from_millis(most + 1_000), "{failures}: {after:?}");
            assert_eq!(state.failures, failures + 1);
        }
    }
}
