//! The log of a simulated cluster as an observer sees it, and the records that it leads to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::codec;
use crate::cluster::format::entry::LogEntry;
use crate::cluster::ledger::Position;
use crate::key::event::actor::Actor;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::Event;
use crate::key::record::Record;
use crate::key::subject::Subject;
use crate::token::digest::{Digest, Digester};

/// The records after some event, by key.
pub(super) type Records = BTreeMap<u128, Vec<u8>>;

/// Everything that was ever in the log.
#[derive(Default, Clone)]
pub(super) struct History {
    /// The records at each head, by its digest.
    states: HashMap<[u8; 32], Arc<Records>>,
    /// The entries that the log has now, by their operation.
    entries: BTreeMap<[u8; 16], Position>,
    head: Position,
    /// The digests of all secrets that each key ever had.
    secrets: BTreeMap<u128, BTreeSet<Digest>>,
}

impl History {
    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// Takes in an entry that the engine has appended.
    pub(super) fn append(
        &mut self,
        base: Position,
        last: Position,
        op: [u8; 16],
        bytes: &[u8],
    ) -> Result<BTreeSet<u64>, String> {
        if base != self.head || last.number <= base.number {
            return Err(format!("an entry after {base:?} is in the log, whose head was {:?}", self.head));
        }
        if self.entries.insert(op, last).is_some() {
            return Err(format!("the log has operation {op:x?} twice"));
        }
        let entry = LogEntry::decode(bytes, &[Digester::plain()]).map_err(|error| error.to_string())?;
        let mut records = (*self.records(&base)).clone();
        for write in entry.writes {
            let Some(id) = write.subject.record() else { continue };
            if let (Some(frame), Subject::Key(_)) = (&write.record, write.subject) {
                let record: Record = codec::decode(frame).map_err(|error| error.to_string())?;
                self.secrets.entry(id).or_default().extend(record.secrets.iter().map(|secret| secret.digest));
            }
            match write.record {
                Some(frame) => drop(records.insert(id, frame.to_vec())),
                None => drop(records.remove(&id)),
            }
        }
        self.states.insert(last.digest, Arc::new(records));
        self.head = last;
        Ok(calls_of(bytes))
    }

    /// Goes back to an earlier history.
    pub(super) fn go_back(&mut self, earlier: &Self) {
        self.head = earlier.head;
        self.entries.clone_from(&earlier.entries);
    }

    /// Whether the log has this head.
    pub(super) fn has(&self, at: &Position) -> bool {
        at.number == 0 || self.entries.values().any(|last| last == at)
    }

    pub(super) fn secrets(&self, id: u128) -> impl Iterator<Item = &Digest> {
        self.secrets.get(&id).into_iter().flatten()
    }

    /// The record of a key now.
    pub(super) fn record(&self, id: u128) -> Option<Record> {
        codec::decode(self.records(&self.head).get(&id)?).ok()
    }

    /// The records after the event at this position.
    pub(super) fn records(&self, at: &Position) -> Arc<Records> {
        self.states.get(&at.digest).cloned().unwrap_or_default()
    }
}

/// The actor of a call.
pub(super) fn actor(call: u64) -> String {
    format!("call-{call}")
}

/// The calls that made the changes of an entry. First uses are of no call.
pub(super) fn calls_of(bytes: &[u8]) -> BTreeSet<u64> {
    let Ok(entry) = LogEntry::decode(bytes, &[Digester::plain()]) else { return BTreeSet::new() };
    let events = entry.writes.iter().filter_map(|write| codec::decode::<Event>(&write.event.1).ok());
    let made = events.filter(|event| !matches!(event.kind, EventKind::FirstUsed { .. }));
    made.filter_map(|event| call_of(event.origin.actor.as_ref()?)).collect()
}

fn call_of(actor: &Actor) -> Option<u64> {
    actor.to_string().strip_prefix("call-")?.parse().ok()
}
