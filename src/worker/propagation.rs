//! Waiting until changes are on every node of a cluster: one thread for all of them, whatever their number, and no thread of
//! a caller.
//!
//! It waits for the newest change of all that wait, which is after the others in the log. When the nodes have that, they have
//! all; and a change that has waited for 5 seconds is answered with the nodes that do not.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use apikey_core::KeyStore;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::pending::AnswerSlot;
use crate::answer::PlainResponse;

/// How long an answer waits for the other nodes.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The most answers that wait for other nodes.
const MAX_WAITING: usize = 4096;
/// The pause after a wait that ended early without a result.
const PAUSE: Duration = Duration::from_millis(20);

/// The thread that waits. It starts with the first change, and ends when the last clone is dropped and nothing waits.
#[derive(Clone, Default)]
pub(super) struct Propagating(Arc<OnceLock<SyncSender<Waiting>>>);

/// An answer to a change that is in force on this node.
struct Waiting {
    store: KeyStore,
    answer: PlainResponse,
    slot: AnswerSlot,
    /// The time by which the answer is given.
    by: Instant,
    /// The time by which every node has the change, or serves nothing.
    everywhere_by: DateTime<Utc>,
}

impl Propagating {
    /// Gives the answer once the change is on every node: at once outside a cluster, and for what is no success.
    pub(super) fn complete(&self, store: &KeyStore, answer: PlainResponse, slot: AnswerSlot) {
        let cluster = if (200..300).contains(&answer.status) { store.health().cluster } else { None };
        let Some(cluster) = cluster else { return slot.fill(answer) };
        let bound = TimeDelta::from_std(cluster.max_staleness).unwrap_or(TimeDelta::hours(1));
        let everywhere_by = Utc::now() + bound + bound / 50;
        let waiting = Waiting { store: store.clone(), answer, slot, by: Instant::now() + MAX_WAIT, everywhere_by };
        let queue = self.0.get_or_init(|| {
            let (send, receive) = sync_channel(MAX_WAITING);
            let started = thread::Builder::new().name("apikey-propagate".into()).spawn(move || run(&receive));
            if let Err(error) = started {
                tracing::error!(%error, "the thread that waits for other nodes does not start");
            }
            send
        });
        if let Err(TrySendError::Full(waiting) | TrySendError::Disconnected(waiting)) = queue.try_send(waiting) {
            let others = cluster.nodes.into_iter().map(|node| node.name).filter(|name| *name != cluster.node);
            waiting.give_up(&others.collect::<Vec<_>>());
        }
    }
}

fn run(queue: &Receiver<Waiting>) {
    let mut all: Vec<Waiting> = Vec::new();
    loop {
        if all.is_empty() {
            let Ok(waiting) = queue.recv() else { return };
            all.push(waiting);
        }
        all.extend(queue.try_iter().take(MAX_WAITING.saturating_sub(all.len())));
        let Some((store, first)) =
            all.iter().map(|one| one.by).min().zip(all.first()).map(|(by, one)| (one.store.clone(), by))
        else {
            continue;
        };
        let begun = Instant::now();
        let outstanding = store.wait_for_nodes(first.saturating_duration_since(begun));
        drop(store);
        if outstanding.is_empty() {
            all.drain(..).for_each(|waiting| waiting.slot.fill(waiting.answer));
            continue;
        }
        let now = Instant::now();
        for waiting in all.extract_if(.., |waiting| waiting.by <= now) {
            waiting.give_up(&outstanding);
        }
        if now.duration_since(begun) < PAUSE {
            thread::sleep(
                PAUSE.min(all.iter().map(|one| one.by.saturating_duration_since(now)).min().unwrap_or(PAUSE)),
            );
        }
    }
}

impl Waiting {
    /// Answers that these nodes do not have the change.
    fn give_up(self, outstanding: &[String]) {
        self.slot.fill(accepted(self.answer, outstanding, self.everywhere_by));
    }
}

/// Makes an answer 202, and says in its body which nodes do not have the change, and by when they do or serve nothing.
fn accepted(answer: PlainResponse, outstanding: &[String], everywhere_by: DateTime<Utc>) -> PlainResponse {
    // Texts always serialise.
    let nodes = serde_json::to_string(outstanding).unwrap_or_default();
    let by = everywhere_by.to_rfc3339_opts(SecondsFormat::Millis, true);
    let members = format!(r#""outstanding":{nodes},"everywhere_by":"{by}"}}"#);
    let PlainResponse { headers, body, .. } = answer;
    // `concat` allocates once: a string that grows leaves copies of a secret in memory.
    match body.strip_suffix('}') {
        Some("{") => PlainResponse { status: 202, headers, body: ["{", &members].concat() },
        Some(object) => PlainResponse { status: 202, headers, body: [object, ",", &members].concat() },
        None => {
            let mut answer = PlainResponse::new(202, "application/json", ["{", &members].concat());
            let others = headers.into_iter().filter(|(name, _)| name != "content-type" && name != "cache-control");
            answer.headers.extend(others);
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_gives_up_keeps_what_it_says() {
        let at = "2031-05-01T00:00:00Z".parse().unwrap();
        let tail = r#""outstanding":["b","c"],"everywhere_by":"2031-05-01T00:00:00.000Z"}"#;
        let nodes = ["b".to_owned(), "c".to_owned()];
        for (body, expected) in [("{}", format!("{{{tail}")), (r#"{"id":1}"#, format!(r#"{{"id":1,{tail}"#))] {
            let answer = PlainResponse::new(201, "application/json", body.to_owned()).with("location", "keys/1");
            let accepted = accepted(answer.clone(), &nodes, at);
            assert_eq!((accepted.status, accepted.body, accepted.headers), (202, expected, answer.headers));
        }
        let empty = accepted(PlainResponse::empty(204).with("etag", "\"1\""), &nodes, at);
        assert_eq!((empty.status, empty.body), (202, format!("{{{tail}")));
        let names: Vec<&str> = empty.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "cache-control", "etag"]);
    }
}
