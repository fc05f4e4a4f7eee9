use std::future::Future;
use std::sync::{Arc, Mutex as PlainMutex, PoisonError};
use std::time::{Duration, Instant};

use apikey_core::cluster::{LedgerError, LedgerResult};
use apikey_engine::{after_unknown, backoff};
use tokio::sync::Mutex;
use tokio::time::{sleep, sleep_until, timeout_at};

use super::checks;
use super::connection::Connection;
use crate::failure::{Failure, Meaning};
use crate::rpc::StatusResponse;
use crate::settings::{Endpoint, Settings};

/// How long a member has for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// The longest pause after a round in which no member could be reached.
const BACKOFF: Duration = Duration::from_secs(2);
/// The least and the greatest time that a member has for an answer before the call goes to another one, where that does no
/// harm.
const ATTEMPT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// The longest pause before a call is made again.
const PAUSE: Duration = Duration::from_millis(250);

/// The members of a cluster. All calls share a connection to one of them; another one takes its place when it fails.
pub(crate) struct Members {
    settings: Arc<Settings>,
    /// A key of the namespace.
    key: Vec<u8>,
    state: Mutex<State>,
    seen: PlainMutex<Seen>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// The member that comes next, in the order of the settings.
    next: usize,
    /// Rounds in which no member could be reached.
    failures: u32,
    /// When the next round may begin.
    after: Option<Instant>,
}

/// What members have said of their cluster.
#[derive(Default)]
struct Seen {
    cluster: Option<String>,
    alarms: Vec<String>,
}

/// What to do when a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Sending it again does no harm.
    Yes,
    /// It could be done twice.
    No,
}

impl Members {
    pub(crate) fn new(settings: Arc<Settings>, key: Vec<u8>) -> Self {
        Self { settings, key, state: Mutex::default(), seen: PlainMutex::default() }
    }

    /// Makes a call, by the time `by`. Its second argument is whether an earlier try of it may have been done.
    pub(crate) async fn run<T, F>(
        &self,
        by: Instant,
        repeat: Repeat,
        call: impl Fn(Arc<Connection>, bool) -> F,
    ) -> LedgerResult<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut unknown: Option<LedgerError> = None;
        let mut has_logged_in = false;
        let mut tries = 0_u32;
        loop {
            let connection = match self.connection(by).await {
                Ok(connection) => connection,
                Err(error) => return Err(after_unknown(unknown, error)),
            };
            let now = Instant::now();
            // The call would be sent, and given up at once.
            if now >= by {
                return Err(unknown.unwrap_or_else(|| LedgerError::refused("the time was up before the call was sent")));
            }
            let until = match repeat {
                Repeat::No => by,
                Repeat::Yes => by.min(now + ((by - now) / 2).clamp(ATTEMPT.0, ATTEMPT.1)),
            };
            let meaning = match timeout_at(until.into(), call(connection.clone(), unknown.is_some())).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(failure)) => failure.meaning(),
                Err(_) => Meaning::Unknown(LedgerError::unknown("the time was up")),
            };
            match meaning {
                Meaning::Answer(error) => return Err(after_unknown(unknown, error)),
                Meaning::LogIn(error) => {
                    if std::mem::replace(&mut has_logged_in, true) {
                        return Err(unknown.unwrap_or(error));
                    }
                    match timeout_at(by.into(), connection.log_in(&self.settings)).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => return Err(unknown.unwrap_or(error)),
                        Err(_) => {
                            connection.lose();
                            return Err(unknown.unwrap_or_else(|| LedgerError::refused("the time was up at the login")));
                        }
                    }
                }
                Meaning::Elsewhere(error) => {
                    connection.lose();
                    if tries as usize >= 2 * self.settings.endpoints().len() {
                        return Err(unknown.unwrap_or(error));
                    }
                }
                Meaning::Unknown(error) => {
                    connection.lose();
                    if repeat == Repeat::No {
                        return Err(error);
                    }
                    unknown = Some(error);
                }
            }
            let pause = backoff(tries, PAUSE);
            tries = tries.saturating_add(1);
            if Instant::now() + pause >= by {
                return Err(unknown.unwrap_or_else(|| LedgerError::refused("no member took the call in time")));
            }
            sleep(pause).await;
        }
    }

    /// A connection to a member. Nothing has been sent when this fails.
    pub(crate) async fn connection(&self, by: Instant) -> LedgerResult<Arc<Connection>> {
        let Ok(mut state) = timeout_at(by.into(), self.state.lock()).await else {
            return Err(LedgerError::refused(format!(
                "cannot connect to {}: no answer in time",
                self.settings.server()
            )));
        };
        if let Some(connection) = &state.connection {
            if !connection.is_lost() {
                return Ok(connection.clone());
            }
            state.connection = None;
            state.next += 1;
        }
        if let Some(after) = state.after.take() {
            sleep_until(after.min(by).into()).await;
        }
        let endpoints = self.settings.endpoints();
        let mut errors: Vec<String> = Vec::new();
        for _ in endpoints {
            let Some(endpoint) = endpoints.get(state.next % endpoints.len()) else { break };
            let until = by.min(Instant::now() + CONNECT);
            let why = match timeout_at(until.into(), self.reach(endpoint)).await {
                Ok(Ok((connection, status))) => {
                    if self.see(&connection, &status)? {
                        let report = checks::report(&connection, &status, endpoint, self.key.clone());
                        // It only informs.
                        let _ = timeout_at(until.into(), report).await;
                    }
                    state.failures = 0;
                    return Ok(state.connection.insert(Arc::new(connection)).clone());
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("cannot connect to {endpoint}: no answer in time"),
            };
            if !errors.contains(&why) {
                errors.push(why);
            }
            state.next += 1;
        }
        state.after = Some(Instant::now() + backoff(state.failures, BACKOFF));
        state.failures = state.failures.saturating_add(1);
        Err(LedgerError::refused(errors.join("; ")))
    }

    /// Connects to a member that can be used, and logs in.
    async fn reach(&self, endpoint: &Endpoint) -> LedgerResult<(Connection, StatusResponse)> {
        let (connection, status) = Connection::open(&self.settings, endpoint).await?;
        checks::member(&status, endpoint)?;
        connection.log_in(&self.settings).await?;
        Ok((connection, status))
    }

    /// Notes which cluster it is, and its alarms. Returns whether it is the first connection.
    fn see(&self, connection: &Connection, status: &StatusResponse) -> LedgerResult<bool> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = connection.cluster_name();
        let is_first = match &seen.cluster {
            Some(before) if *before != cluster => {
                let what = format!("the members are of two clusters of etcd, {before} and {cluster}");
                return Err(LedgerError::Foreign { what });
            }
            Some(_) => false,
            None => {
                seen.cluster = Some(cluster);
                true
            }
        };
        let alarms = checks::alarms(status);
        if !alarms.is_empty() && alarms != seen.alarms {
            tracing::warn!(alarms = alarms.join(", "), "etcd is in trouble");
        }
        seen.alarms = alarms;
        Ok(is_first)
    }
}
