//! Appending a change to the ledger, also when an answer does not come.

use std::time::{Duration, Instant};

use crate::cluster::format::entry::position;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Appended, Entry, Logged, Position};
use crate::cluster::node::entry::unresolved::Unresolved;
use crate::cluster::node::shared::{FollowError, Node, WENT_BACK};
use crate::cluster::recovery::history::digest_at;
use crate::commit::engine::Engine;
use crate::key::error::StoreError;
use crate::key::error::cluster_error::ClusterError;

/// The first pause after an append without an answer, which doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What became of an append.
pub(super) enum Sent {
    Here,
    /// The log has another head.
    Lost(Position),
}

impl Node {
    /// The log has decided on an entry. From now on the records say what its keys may do.
    pub(super) fn resolved(&self, engine: &Engine, entry: &Unresolved) -> Result<(), StoreError> {
        let decided: Vec<(u128, ())> = entry.keys.iter().map(|id| (*id, ())).collect();
        self.put_here(&decided, |here, ()| here.forget_sent());
        self.settle_again(engine, &entry.keys, &entry.unused)
    }

    /// Appends an entry and applies it, again and again while there is no answer.
    pub(super) fn send(&self, engine: &Engine, entry: &Unresolved, by: Instant) -> Result<Sent, ClusterError> {
        let mut pause = FIRST_PAUSE;
        let mut unanswered = false;
        loop {
            if let Some(head) = self.shows_lost(engine, entry) {
                self.state().unresolved = None;
                return Ok(Sent::Lost(head));
            }
            let append = Entry {
                generation: self.generation(),
                op: entry.op,
                base: entry.base,
                last: entry.last,
                bytes: &entry.bytes,
            };
            match self.noted(self.ledger.append(&append, entry.fence.as_ref(), by)) {
                Ok(Appended::Here) => {
                    let logged = Logged {
                        first: entry.base.number + 1,
                        last: entry.last,
                        op: entry.op,
                        bytes: entry.bytes.to_vec(),
                    };
                    if let Err(error) = self.apply(engine, &[logged]) {
                        // What it takes stays in force here, and the next change applies it.
                        self.state().unresolved = Some(entry.clone());
                        let what = format!("the cluster's log has it, and this node cannot apply it: {error}");
                        return Err(ClusterError::Unknown { what });
                    }
                    self.state().unresolved = None;
                    return Ok(Sent::Here);
                }
                Ok(Appended::Lost { head }) => {
                    self.state().unresolved = None;
                    if head.number < entry.base.number {
                        self.went_back(engine);
                        return Err(ClusterError::Refused { what: WENT_BACK.into() });
                    }
                    return Ok(Sent::Lost(head));
                }
                // After an append without an answer this is no verdict on that one.
                Err(error) if unanswered || matches!(error, LedgerError::Unknown { .. }) => {
                    if !self.settings.safeguards.repeats_the_same_operation {
                        return Ok(Sent::Lost(entry.base));
                    }
                    unanswered = true;
                    self.state().unresolved = Some(entry.clone());
                    if self.runtime.now() + pause >= by {
                        return Err(ClusterError::Unknown { what: error.to_string() });
                    }
                    self.runtime.sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(ClusterError::Refused { what: error.to_string() }),
            }
        }
    }

    /// The head of the replica, if that has another entry after the base of this one. Then the entry must not be sent again: an
    /// engine that went back to the base would take it in the place of what it lost.
    fn shows_lost(&self, engine: &Engine, entry: &Unresolved) -> Option<Position> {
        let own = engine.writer().head();
        if own.number <= entry.base.number {
            return None;
        }
        let digest = digest_at(&*engine.log.open().ok()?, &own, entry.last.number).ok()?;
        // A replica that was loaded anew does not say.
        let is_known = digest.is_some() || own.number < entry.last.number;
        (is_known && digest != Some(entry.last.digest)).then(|| position(&own))
    }

    /// Finds out what became of an append without an answer, before another one.
    pub(super) fn resolve(&self, engine: &Engine, by: Instant) -> Result<(), StoreError> {
        let Some(entry) = self.state().unresolved.clone() else { return Ok(()) };
        if !self.settings.safeguards.resolves_before_the_next {
            self.state().unresolved = None;
            return Ok(());
        }
        let sent = self.send(engine, &entry, by).map_err(|error| match error {
            ClusterError::Unknown { what } | ClusterError::Refused { what } => {
                ClusterError::Refused { what: format!("a change of this node before it is not settled: {what}") }
            }
            other => other,
        });
        // Also an error may be a verdict: an engine that went back does not have it.
        if sent.is_ok() || (self.settings.safeguards.gives_back_what_is_lost && self.state().unresolved.is_none()) {
            self.resolved(engine, &entry)?;
        }
        Ok(sent.map(drop)?)
    }
}

pub(super) fn stopped(error: FollowError) -> StoreError {
    match error {
        FollowError::Replica(error) => error,
        FollowError::Ledger(error) => ClusterError::Refused { what: error.to_string() }.into(),
        FollowError::Elsewhere(_) => ClusterError::Refused { what: WENT_BACK.into() }.into(),
        FollowError::Unusable { what, .. } => ClusterError::Refused { what }.into(),
        other => ClusterError::Stopped { what: other.to_string() }.into(),
    }
}
