//! The path of a change in a cluster: it is decided on the replica, appended to the ledger, applied as the entry of any
//! other node, and answered once it holds everywhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::format::here_only::KeptRevocation;
use crate::cluster::ledger::Position;
use crate::cluster::node::entry::decide::{Call, Joined};
use crate::cluster::node::entry::line::{Called, Next};
use crate::cluster::node::entry::open_entry::{EntryPlace, Member, Note, OpenEntry};
use crate::cluster::node::here_only::{HereOnly, Kept};
use crate::cluster::node::shared::{Node, PATIENCE, WENT_BACK};
use crate::commit::cluster::health::ClusterHealth;
use crate::commit::cluster::propagation::{Hold, Propagation, Terms};
use crate::commit::engine::{Decide, Engine, Order};
use crate::commit::outcome::Outcome;
use crate::key::error::StoreError;
use crate::key::error::cluster_error::ClusterError;
use crate::token::digest::Digest;

/// How long a change that only gives waits for the other nodes.
const GIVING_WAIT: Duration = Duration::from_millis(250);

/// How long it waits for the first block of a strict quota, without which that lets nothing through.
const FIRST_BLOCK_WAIT: Duration = Duration::from_secs(1);

/// Orders the changes of a store by the cluster's log.
pub(crate) struct ClusterOrder(pub(crate) Arc<Node>);

#[cfg(test)]
impl ClusterOrder {
    /// The node that orders the changes of a store.
    pub(crate) fn node_of(engine: &Engine) -> Arc<Node> {
        let order = engine.order().expect("it is in a cluster");
        order.as_any().downcast_ref::<Self>().expect("the order of a cluster").0.clone()
    }
}

impl Order for ClusterOrder {
    fn change(&self, engine: &Engine, terms: Terms, decide: &mut Decide<'_>) -> Result<Vec<Outcome>, StoreError> {
        self.0.change(engine, terms, decide)
    }

    fn wait_for_nodes(&self, longest: Duration) -> Vec<String> {
        self.0.wait_for_all(self.0.head(), Some(longest)).unwrap_or_else(|_| self.0.perhaps_without())
    }

    fn health(&self, engine: &Engine) -> ClusterHealth {
        self.0.health(engine)
    }

    fn leave(&self, engine: &Engine) -> bool {
        self.0.leave_for_good(engine)
    }

    fn write_first_uses(&self, _: &Engine) -> Result<(), StoreError> {
        // The thread that asks does what cannot wait for the engine.
        self.0.keeping.notify();
        Ok(())
    }

    fn wake_quotas(&self) {
        self.0.reserver.start();
        self.0.reserving.notify();
    }

    fn reserve_first_blocks(&self, engine: &Engine) {
        self.0.reserver.start();
        if let Err(error) = self.0.reserve_first(engine, self.0.runtime.now() + FIRST_BLOCK_WAIT) {
            tracing::debug!(%error, "the first block of a strict quota is not reserved yet");
            self.wake_quotas();
        }
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.0.line.waiting()
    }

    fn holds(&self, hold: Hold) -> bool {
        self.0.state().holds.contains_key(&hold)
    }

    fn take_hold(&self, hold: Hold) -> bool {
        self.0.take_hold(hold, self.0.runtime.now() + PATIENCE).unwrap_or(false)
    }

    #[cfg(test)]
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// What of a call is in the entry that it waits for.
enum Part {
    Changes(Member),
    /// The answer is that nothing changes.
    Nothing(Result<Vec<Outcome>, StoreError>),
}

impl Node {
    fn change(&self, engine: &Engine, terms: Terms, decide: &mut Decide<'_>) -> Result<Vec<Outcome>, StoreError> {
        let by = self.runtime.now() + self.settings.write_timeout;
        let mut asked = None;
        let made = match self.change_by(engine, terms, decide, by, &mut asked) {
            Err(StoreError::Cluster(error)) => Err(self.keep_what_it_takes(engine, terms, decide, error)),
            made => made,
        };
        if let Some(asked) = asked {
            self.let_others_go(&asked, self.runtime.now() + PATIENCE);
        }
        made
    }

    /// Keeps on this node what a change takes away, although the cluster did not make it: a revocation must not wait for
    /// the engine. Returns the error for the caller.
    fn keep_what_it_takes(
        &self,
        engine: &Engine,
        terms: Terms,
        decide: &mut Decide<'_>,
        error: ClusterError,
    ) -> StoreError {
        let now = self.runtime.now();
        // It is sent to nobody.
        let mut entry = OpenEntry::new(now);
        let member = match self.join(engine, &mut entry, &Call::new(terms, now), decide) {
            Ok(Joined::Added(member)) if !member.here.is_empty() => member,
            _ => {
                // What cannot be settled now is later.
                let _ = self.settle_again(engine, &entry.keys, &entry.unused);
                return error.into();
            }
        };
        let sent = self.state().unresolved.as_ref().map(|entry| entry.keys.clone()).unwrap_or_default();
        let mut revocations: HashMap<u128, KeptRevocation> = member.revocations.iter().cloned().collect();
        let taken: Vec<_> =
            member.here.into_iter().map(|(id, taken)| (id, (revocations.remove(&id), taken.ended))).collect();
        let keep = |here: &mut HereOnly, (revocation, ended): &(Option<KeptRevocation>, Vec<Digest>)| {
            here.end(ended);
            if let Some(revocation) = revocation {
                here.keep(Kept::Revocation(revocation.clone()));
            }
        };
        self.put_here(&taken, keep);
        // Of another entry that has some of the keys nobody may know yet whether the log has it.
        let decided: Vec<(u128, ())> =
            taken.iter().filter(|(id, _)| !sent.contains(id)).map(|(id, _)| (*id, ())).collect();
        self.put_here(&decided, |here, ()| here.forget_sent());
        if let Err(error) = self.settle(engine, &taken.iter().map(|(id, _)| *id).collect::<Vec<_>>()) {
            return error;
        }
        let is_kept = self.keep_revoked(engine, &member.revocations).inspect_err(|error| {
            tracing::error!(%error, "a revocation that the cluster did not take is in force here until a restart");
        });
        let is_kept = is_kept.is_ok() && !member.revocations.is_empty();
        ClusterError::OnlyHere { what: error.to_string(), is_kept }.into()
    }

    /// Makes a change by this time. `asked` is what asks other nodes to pause.
    pub(super) fn change_by(
        &self,
        engine: &Engine,
        terms: Terms,
        decide: &mut Decide<'_>,
        by: Instant,
        asked: &mut Option<Vec<u8>>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut call = Call::new(terms, by);
        let mut part = None;
        let place = self.line.enter(terms.lane);
        loop {
            match place.wait(&self.runtime, by) {
                Called::Turn(entry) => {
                    let entry = entry.unwrap_or_else(|| Box::new(OpenEntry::new(self.runtime.now())));
                    match self.take_turn(engine, &place, entry, &call, decide, asked)? {
                        Turn::Rides(rides) => part = Some(rides),
                        Turn::Answer(answer, at) => {
                            drop(place);
                            return self.answer(answer, at, terms);
                        }
                        Turn::Again => {}
                    }
                }
                Called::Note(Note::Here(at)) => match part.take() {
                    Some(Part::Changes(member)) => {
                        drop(place);
                        self.pass_barrier(at, terms.propagation, member.takes)?;
                        engine.emit(&member.notices);
                        return Ok(member.outcomes);
                    }
                    Some(Part::Nothing(answer)) => {
                        drop(place);
                        return self.answer(answer, at, terms);
                    }
                    // Only who is in an entry gets a note.
                    None => {}
                },
                Called::Note(Note::Again(again)) => {
                    part = None;
                    call.losses += u32::from(again.lost);
                    call.is_alone |= again.alone;
                    again.seen.iter().for_each(|head| call.confirmation.note(head));
                    if self.runtime.now() >= by {
                        return Err(self.no_turn(&call).into());
                    }
                }
                Called::Note(Note::Failed(failure)) => return Err(failure.into()),
                Called::TimedOut => {
                    let what = || "the entry that has it was not answered in time".to_owned();
                    return Err(match part {
                        Some(Part::Changes(_)) => ClusterError::Unknown { what: what() },
                        _ => self.no_turn(&call),
                    }
                    .into());
                }
            }
        }
    }

    /// Why a call had no turn in its time.
    fn no_turn(&self, call: &Call) -> ClusterError {
        let seconds = self.settings.write_timeout.as_secs();
        if call.losses > 0 {
            return ClusterError::Busy { losses: call.losses, seconds };
        }
        let state = self.state();
        let why = match (&state.recovery, &state.ledger_error) {
            (Some(step), _) => step.to_string(),
            (None, Some(error)) => format!("a change before it has no answer: {error}"),
            (None, None) => "changes before it take so long".to_owned(),
        };
        ClusterError::Refused { what: format!("this node did not come to it in {seconds} seconds: {why}") }
    }

    /// Answers that nothing changes, by the records at this position.
    fn answer(
        &self,
        answer: Result<Vec<Outcome>, StoreError>,
        at: Position,
        terms: Terms,
    ) -> Result<Vec<Outcome>, StoreError> {
        // An earlier call may have taken it away, and not returned yet. Another fault of the request says nothing of that.
        if self.settings.safeguards.passes_the_barrier_for_no_change
            && matches!(answer, Ok(_) | Err(StoreError::NotFound(_) | StoreError::Conflict(_)))
        {
            self.pass_barrier(at, terms.propagation, true)?;
        }
        answer
    }

    /// What a call does with its turn: it decides, adds its changes to the entry, and hands the turn over.
    fn take_turn(
        &self,
        engine: &Engine,
        place: &EntryPlace<'_>,
        mut entry: Box<OpenEntry>,
        call: &Call,
        decide: &mut Decide<'_>,
        asked: &mut Option<Vec<u8>>,
    ) -> Result<Turn, StoreError> {
        let joined = self.may_join(engine, &entry, call).and_then(|()| self.join(engine, &mut entry, call, decide));
        let part = match joined {
            Ok(Joined::Added(member)) => Part::Changes(member),
            Ok(Joined::Nothing(answer, at)) if entry.calls == 0 && call.confirmation.confirms(&at) => {
                return Ok(Turn::Answer(answer, at));
            }
            Ok(Joined::Nothing(answer, _)) => Part::Nothing(answer),
            Ok(Joined::Apart) => {
                self.send_for_all(engine, place, entry, Next::Waits, asked);
                return Ok(Turn::Again);
            }
            Ok(Joined::FirstUse) => {
                // The entry gets the first uses that wait.
                self.send_for_all(engine, place, entry, Next::Waits, asked);
                return Ok(Turn::Again);
            }
            Ok(Joined::Stale) => {
                self.give_up(engine, place, &entry, Next::Waits);
                return Ok(Turn::Again);
            }
            // The others go on.
            Err(error) => {
                self.forward(engine, place, entry, Next::Leaves, asked);
                return Err(error);
            }
        };
        entry.calls += 1;
        entry.losses = entry.losses.max(call.losses);
        entry.by = entry.by.max(call.by);
        self.forward(engine, place, entry, Next::Rides, asked);
        Ok(Turn::Rides(part))
    }

    /// Whether a call may add to an entry now.
    fn may_join(&self, engine: &Engine, entry: &OpenEntry, call: &Call) -> Result<(), StoreError> {
        if self.runtime.now() >= call.by {
            return Err(self.no_turn(call).into());
        }
        if entry.calls == 0 {
            self.resolve(engine, call.by)?;
        }
        if let Some(what) = self.state().fault.clone() {
            return Err(ClusterError::Stopped { what }.into());
        }
        if self.is_recovering() {
            return Err(ClusterError::Refused { what: WENT_BACK.into() }.into());
        }
        Ok(())
    }

    /// Waits until a change is as far as the caller wants it.
    fn pass_barrier(&self, at: Position, propagation: Propagation, takes: bool) -> Result<(), ClusterError> {
        let longest = match propagation {
            Propagation::Here => return Ok(()),
            Propagation::Within(longest) => Some(longest),
            Propagation::Everywhere => (!takes).then_some(GIVING_WAIT),
        };
        let begun = self.runtime.now();
        let passed = self.wait_for_all(at, longest);
        self.meter.waited(self.runtime.now().duration_since(begun));
        passed.map(drop)
    }
}

/// How a turn ended.
enum Turn {
    /// This is in the entry.
    Rides(Part),
    /// The answer is that nothing changes, by the records at this position.
    Answer(Result<Vec<Outcome>, StoreError>, Position),
    /// The call waits for the turn again.
    Again,
}
