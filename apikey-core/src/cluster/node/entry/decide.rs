//! A call decides its changes, on the replica and on what the entry leaves that it adds them to.

use std::collections::HashMap;
use std::time::Instant;

use crate::base::lock::lock;
use crate::cluster::format::entry::position;
use crate::cluster::format::here_only::KeptRevocation;
use crate::cluster::ledger::Position;
use crate::cluster::node::entry::open_entry::{Member, OpenEntry};
use crate::cluster::node::here_only::{HereOnly, Taken};
use crate::cluster::node::shared::Node;
use crate::cluster::protocol::confirmation::Confirmation;
use crate::commit::applier::{Pending, replace_unused};
use crate::commit::cluster::propagation::{Lane, Terms};
use crate::commit::engine::{Decide, Engine};
use crate::commit::outcome::Outcome;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;

/// A call that changes something.
pub(crate) struct Call {
    pub(crate) terms: Terms,
    /// The time by which it wants an answer.
    pub(crate) by: Instant,
    /// How often another node was first.
    pub(crate) losses: u32,
    /// Whether it wants an entry of its own.
    pub(crate) is_alone: bool,
    pub(crate) confirmation: Confirmation,
}

impl Call {
    pub(crate) fn new(terms: Terms, by: Instant) -> Self {
        let is_alone = terms.lane == Lane::Bulk;
        Self { terms, by, losses: 0, is_alone, confirmation: Confirmation::default() }
    }
}

/// What a decision comes to.
pub(crate) enum Joined {
    /// The entry has its changes.
    Added(Member),
    /// Nothing changes, by the records at this position and what the entry leaves.
    Nothing(Result<Vec<Outcome>, StoreError>, Position),
    /// The changes must not be in this entry.
    Apart,
    /// A successor that the change was to replace has been used here: that comes first.
    FirstUse,
    /// The replica has gone on since the entry was begun.
    Stale,
}

impl Node {
    /// Decides, and adds the changes to the entry. What a revocation takes is in force here from now on.
    pub(crate) fn join(
        &self,
        engine: &Engine,
        entry: &mut OpenEntry,
        call: &Call,
        decide: &mut Decide<'_>,
    ) -> Result<Joined, StoreError> {
        if entry.calls > 0 && (call.is_alone || entry.hold != call.terms.hold) {
            return Ok(Joined::Apart);
        }
        // No entry becomes visible between the decision and what it does to the index.
        let applying = lock(&self.applying);
        let log = engine.log.open()?;
        let mut writer = engine.writer();
        engine.group.check()?;
        // What is answered of the records must hold here.
        let in_force = self.state().here.clone();
        self.settle_rest(engine, &log, &in_force)?;
        let at = position(&writer.head());
        if !entry.follows(at) {
            return Ok(Joined::Stale);
        }
        let records = entry.decided.records(&log);
        let floor = engine.time.floor().max(entry.at);
        let decided = decide(&mut writer, &records).and_then(|mut changes| {
            for change in &mut changes {
                if !matches!(change.action, Action::AcceptClock { .. }) {
                    change.at = change.at.max(floor);
                }
            }
            Ok((engine.stage(&mut writer, &records, &changes)?, changes))
        });
        let (stage, changes) = match decided {
            // What the replica cannot read says nothing about the keys.
            Err(error @ (StoreError::Io { .. } | StoreError::Closed)) => return Err(error),
            Err(error) => return Ok(Joined::Nothing(Err(error), at)),
            Ok((stage, _)) if stage.staged.is_empty() => return Ok(Joined::Nothing(Ok(stage.outcomes), at)),
            Ok(decided) => decided,
        };
        if entry.keeps_out(&stage, &changes) {
            return Ok(Joined::Apart);
        }
        let takes = rotates(&changes) || stage.staged.iter().any(|one| one.pending.takes());
        if !takes {
            self.check_giving()?;
        }
        if !replace_unused(&engine.index, &changes, stage.staged.iter().map(|one| &one.pending)) {
            drop((writer, log, applying));
            self.settle(engine, &changes.iter().map(|change| change.id).collect::<Vec<_>>())?;
            return Ok(Joined::FirstUse);
        }
        let ending: HashMap<u128, &Change> =
            changes.iter().filter(|change| ends_at_once(change)).map(|change| (change.id, change)).collect();
        let of = |pending: &Pending| ending.get(&pending.id).copied();
        let here: Vec<_> = stage.staged.iter().filter_map(|one| at_once(of(&one.pending)?, &one.pending)).collect();
        let taken: Vec<u128> = here.iter().map(|(id, _)| *id).collect();
        // Another entry may have taken something from the others: that gives it back.
        let only_this: Vec<(u128, ())> = {
            let state = self.state();
            let is_sent = |id: &u128| state.here.get(id).is_some_and(HereOnly::is_sent);
            taken.iter().filter(|id| !is_sent(id)).map(|id| (*id, ())).collect()
        };
        self.put_here(&here, HereOnly::take);
        let in_force = self.state().here.clone();
        entry.unused.extend(stage.staged.iter().filter_map(|one| repeated(of(&one.pending)?, &one.pending)));
        if let Err(error) = self.settle_in(engine, &taken, &log, &in_force, &[]) {
            if self.settings.safeguards.gives_back_what_it_could_not_take {
                self.put_here(&only_this, |here, ()| here.forget_sent());
            }
            // The entry settles them, and the secrets that it replaces are unused again.
            entry.keys.extend(stage.staged.iter().map(|one| one.pending.id));
            return Err(error);
        }
        entry.hold = call.terms.hold;
        entry.takes |= takes;
        entry.is_full |= call.is_alone;
        let (outcomes, notices) = entry.add(stage, &changes);
        let revocations = changes.iter().filter_map(revocation).collect();
        Ok(Joined::Added(Member { outcomes, notices, takes, here, revocations }))
    }
}

/// Whether a change ends secrets on this node before the log has it.
fn ends_at_once(change: &Change) -> bool {
    matches!(change.action, Action::Revoke { .. } | Action::Replace { .. } | Action::Repeat { .. })
}

/// What a change takes here before it is in the log.
fn at_once(change: &Change, pending: &Pending) -> Option<(u128, Taken)> {
    match change.action {
        Action::Revoke { .. } => Some((pending.id, Taken { is_revoked: true, ended: Vec::new() })),
        Action::Replace { .. } => {
            Some((pending.id, Taken { is_revoked: false, ended: pending.before.as_ref()?.digests() }))
        }
        _ => None,
    }
}

/// The secret that a repeated request replaces, which nobody has used.
fn repeated(change: &Change, pending: &Pending) -> Option<(u128, u32)> {
    let is_repeat = matches!(change.action, Action::Repeat { .. });
    let newest = pending.before.as_ref()?.secrets.last().filter(|_| is_repeat)?;
    Some((pending.id, newest.version))
}

fn revocation(change: &Change) -> Option<(u128, KeptRevocation)> {
    let Action::Revoke { reason } = &change.action else { return None };
    let actor = change.origin.actor.as_ref().map(ToString::to_string);
    Some((change.id, KeptRevocation { reason: reason.clone(), actor }))
}

/// Whether a change gives an old secret an end: every node must know it in time.
fn rotates(changes: &[Change]) -> bool {
    changes.iter().any(|change| {
        matches!(
            change.action,
            Action::Rotate { .. } | Action::Repeat { .. } | Action::Promote { .. } | Action::Replace { .. }
        )
    })
}
