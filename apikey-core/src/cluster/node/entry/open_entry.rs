//! An entry to which calls add their changes, before it is sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::cluster::format::entry::{EntryError, LogEntry, position};
use crate::cluster::format::here_only::KeptRevocation;
use crate::cluster::ledger::Position;
use crate::cluster::node::entry::line::{Line, Place};
use crate::cluster::node::entry::unresolved::Unresolved;
use crate::cluster::node::here_only::Taken;
use crate::commit::applier::replaces_unused;
use crate::commit::change_notice::ChangeNotice;
use crate::commit::cluster::propagation::Hold;
use crate::commit::first_use::FirstUse;
use crate::commit::outcome::Outcome;
use crate::commit::records::Decided;
use crate::commit::stage::Stage;
use crate::commit::writer::Writer;
use crate::key::change::{Action, Change};
use crate::key::error::Conflict;
use crate::key::error::StoreError;
use crate::key::error::cluster_error::ClusterError;
use crate::storage::batch::Write;

/// The most bytes of an entry that calls share.
const MAX_SHARED: usize = 1 << 20;

/// The line of the calls of a node that change something.
pub(crate) type EntryLine = Line<Box<OpenEntry>, Note>;
pub(crate) type EntryPlace<'l> = Place<'l, Box<OpenEntry>, Note>;

/// What became of an entry, for each call whose decision is in it.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// The log has it up to here. What was decided on it is true, also that nothing changes.
    Here(Position),
    /// It is not in the log: decide again.
    Again(Again),
    Failed(Failure),
}

/// Why to decide again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Again {
    /// A head that the log had while the entry was made.
    pub(crate) seen: Option<Position>,
    /// Whether another node was first.
    pub(crate) lost: bool,
    /// Whether the changes of one call spoilt the entry: each call gets one of its own.
    pub(crate) alone: bool,
}

/// An error of an entry, for each call whose decision is in it.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Cluster(ClusterError),
    /// Another node has the hold.
    Hold,
    Closed,
    Replica(std::io::ErrorKind, String),
    /// It has too many bytes, and the changes of one call.
    TooLong(usize),
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Cluster(error) => Self::Cluster(error),
            StoreError::Closed => Self::Closed,
            StoreError::Io { source } => Self::Replica(source.kind(), source.to_string()),
            other => Self::Replica(std::io::ErrorKind::Other, other.to_string()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Cluster(error) => error.into(),
            Failure::Hold => Self::Conflict(Conflict::Rotator),
            Failure::Closed => Self::Closed,
            Failure::Replica(kind, text) => std::io::Error::new(kind, text).into(),
            Failure::TooLong(bytes) => {
                Self::invalid("keys", &format!("{bytes} bytes"), "at most 64 MiB in one change of a cluster")
            }
        }
    }
}

/// What an entry has of one call.
pub(crate) struct Member {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) notices: Vec<ChangeNotice>,
    /// Whether it takes anything away.
    pub(crate) takes: bool,
    /// What is in force here before the log has it.
    pub(crate) here: Vec<(u128, Taken)>,
    /// The revocations, for the node to make again if the ledger does not take them.
    pub(crate) revocations: Vec<(u128, KeptRevocation)>,
}

/// An entry that is being made.
pub(crate) struct OpenEntry {
    /// The head of the replica that it follows; `None` before the first decision.
    base: Option<Position>,
    pub(super) decided: Decided,
    writes: Vec<Write>,
    bytes: usize,
    /// The time of its latest event.
    pub(super) at: i64,
    /// How many calls rest on it, also those that change nothing.
    pub(crate) calls: usize,
    /// The keys that it changes.
    pub(crate) keys: Vec<u128>,
    /// Those whose unused successors it replaces: the index no longer has them.
    replaced: BTreeSet<u128>,
    /// The secrets that a repeated request replaced, by key and version: nobody had used them.
    pub(crate) unused: Vec<(u128, u32)>,
    pub(super) hold: Option<Hold>,
    pub(super) takes: bool,
    /// Whether no other call may add to it.
    pub(super) is_full: bool,
    /// The first uses that it has, and their notices.
    pub(super) first_uses: Vec<FirstUse>,
    pub(super) notices: Vec<ChangeNotice>,
    /// The most losses of a call that rests on it.
    pub(crate) losses: u32,
    /// The latest time by which one of its calls wants an answer.
    pub(crate) by: Instant,
    pub(super) begun: Instant,
}

impl OpenEntry {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            base: None,
            decided: Decided::default(),
            writes: Vec::new(),
            bytes: 0,
            at: i64::MIN,
            calls: 0,
            keys: Vec::new(),
            replaced: BTreeSet::new(),
            unused: Vec::new(),
            hold: None,
            takes: false,
            is_full: false,
            first_uses: Vec::new(),
            notices: Vec::new(),
            losses: 0,
            by: now,
            begun: now,
        }
    }

    /// Whether it changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The head that it follows.
    pub(super) fn base(&self) -> Position {
        self.base.unwrap_or_default()
    }

    /// Makes it follow this head; `false` if it follows another one.
    pub(super) fn follows(&mut self, head: Position) -> bool {
        *self.base.get_or_insert(head) == head
    }

    /// Whether these changes must not be in it. The index shows what an earlier change of the entry took away, and
    /// nothing else of it: so what depends on the index for a key, waits until that is applied.
    pub(super) fn keeps_out(&self, stage: &Stage, changes: &[Change]) -> bool {
        if self.is_empty() {
            return false;
        }
        let has = |id: u128| self.keys.contains(&id);
        let depends = |change: &Change| {
            let acting = change.scope.actor.as_ref().is_some_and(|actor| has(actor.id().as_u128()));
            acting || self.replaced.contains(&change.id) || (replaces_unused(change) && has(change.id))
        };
        is_of_store(changes)
            || changes.iter().any(depends)
            || self.bytes + stage.staged.iter().map(|one| bytes_of(&one.write)).sum::<usize>() > MAX_SHARED
    }

    /// Adds changes that are decided on it.
    pub(super) fn add(&mut self, stage: Stage, changes: &[Change]) -> (Vec<Outcome>, Vec<ChangeNotice>) {
        self.at = self.at.max(stage.at);
        self.keys.extend(stage.staged.iter().map(|one| one.pending.id));
        self.replaced.extend(changes.iter().filter(|change| replaces_unused(change)).map(|change| change.id));
        self.is_full |= is_of_store(changes);
        let writes: Vec<Write> = stage.staged.into_iter().map(|one| one.write).collect();
        self.bytes += writes.iter().map(bytes_of).sum::<usize>();
        if self.is_full {
            self.decided.ends_at(stage.head);
        } else {
            self.decided.add(&writes, stage.head);
        }
        self.writes.extend(writes);
        (stage.outcomes, stage.notices)
    }

    /// Whether no other call may add to it.
    pub(super) fn is_full(&self) -> bool {
        self.is_full || self.bytes >= MAX_SHARED
    }

    /// Makes the bytes of the entry. What this node could not read would stop every node, so it reads them.
    pub(super) fn seal(&mut self, generation: u64, op: [u8; 16], writer: &Writer) -> Result<Unresolved, EntryError> {
        let head = self.decided.head().unwrap_or_else(|| writer.head());
        let writes = std::mem::take(&mut self.writes);
        let entry = LogEntry { generation, op: u128::from_be_bytes(op), base: self.base(), head, writes };
        let bytes = entry.encode(&writer.digester())?;
        LogEntry::decode(&bytes, &writer.digesters)?;
        Ok(Unresolved { bytes: Arc::new(bytes), ..self.unsent(op, position(&head)) })
    }

    /// The entry for what it leaves on this node, if it is not sent.
    pub(super) fn unsent(&self, op: [u8; 16], last: Position) -> Unresolved {
        let (keys, unused) = (self.keys.clone(), self.unused.clone());
        Unresolved { op, base: self.base(), last, bytes: Arc::default(), keys, unused, fence: None }
    }
}

/// Whether a change is of the store as a whole: others are not decided beside it.
fn is_of_store(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change.action, Action::AcceptClock { .. } | Action::PurgeEvents { .. }))
}

/// The bytes of a change in an entry, and somewhat more.
fn bytes_of(write: &Write) -> usize {
    let outcome = write.outcome.as_ref().map_or(0, |(name, frame)| name.len() + frame.len());
    let imported = (write.imported_in.len() + write.imported_out.len()) * size_of::<crate::token::digest::Digest>();
    let record = write.record.as_ref().map_or(0, |record| record.len());
    128 + write.owner.len() + record + imported + write.event.1.len() + outcome
}
