//! Looking at the ledger often enough that the gate stays open.

use std::time::Instant;

use crate::base::runtime::Runtime;
use crate::base::signal::Wake;
use crate::cluster::format::presence::{Incarnation, Presence};
use crate::cluster::format::settings::ClusterSettings;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Cell, CellKind, Look, Sight, Standing};
use crate::cluster::node::shared::{LOG_GONE, Node, PATIENCE, REPLACED};
use crate::cluster::protocol::intervals;
use crate::cluster::protocol::membership::{LookSent, Looked, NextStep};
use crate::commit::engine::Engine;

impl Node {
    /// Looks until the node closes.
    pub(crate) fn probe_until_closed(&self, engine: &Engine) {
        let interval = intervals::looks(self.settings.bound);
        loop {
            let begun = self.runtime.now();
            if let Err(error) = self.probe(engine) {
                tracing::debug!(%error, "a look at the cluster's ledger failed");
            }
            self.meter.stands(|| self.health(engine));
            if self.runtime.wait(&self.probing, Some(begun + interval)) == Wake::Closed {
                return;
            }
        }
    }

    /// Registers if the node is not listed, and looks.
    pub(crate) fn probe(&self, engine: &Engine) -> Result<(), LedgerError> {
        // An answer that comes later than this makes nothing fresh.
        let by = || self.runtime.now() + PATIENCE.min(self.settings.bound);
        self.delete_abandoned(by());
        if self.state().fault.is_some() {
            return self.unlist(by());
        }
        if self.is_recovering() {
            self.unlist(by())?;
            self.recover(engine).map_err(|error| LedgerError::refused(error.to_string()))?;
            if self.state().fault.is_some() {
                return Ok(());
            }
        }
        // A look may find that the node is not listed; registering and looking again must then do.
        for _ in 0..4 {
            let (incarnation, held) = match self.next_step() {
                NextStep::Register => {
                    // A node that cannot apply the log, as with a full disk, must not be waited for again and again.
                    self.catch_up_with_now(engine, by()).map_err(|error| LedgerError::refused(error.to_string()))?;
                    self.register(engine, by())?;
                    // It may have stopped meanwhile, and then nobody need wait for it.
                    if self.state().fault.is_some() {
                        return self.unlist(by());
                    }
                    continue;
                }
                NextStep::Look(incarnation, held) => (incarnation, held),
            };
            if self.look(engine, incarnation, &held, by())? {
                // A node that registered just now has acknowledged nothing yet.
                self.acknowledge(by())?;
                self.delete_former(by())?;
                break;
            }
        }
        Ok(())
    }

    fn next_step(&self) -> NextStep {
        self.state().membership.next_step()
    }

    fn register(&self, engine: &Engine, by: Instant) -> Result<(), LedgerError> {
        let incarnation = Incarnation(random(&self.runtime)?);
        let cell = incarnation.presence(self.generation());
        let value = self.presence(engine)?;
        match self.noted(self.ledger.swap(&cell, None, Some(&value), by)) {
            Ok(true) => {
                self.state().membership.registered(incarnation, value);
                Ok(())
            }
            Ok(false) => Err(LedgerError::Damaged { what: "a random name is taken".into() }),
            Err(error @ LedgerError::Unknown { .. }) => {
                self.state().membership.abandon(cell, value);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks, and returns whether the look counts.
    fn look(&self, engine: &Engine, incarnation: Incarnation, held: &[u8], by: Instant) -> Result<bool, LedgerError> {
        let cell = incarnation.presence(self.generation());
        let next = self.presence(engine)?;
        // Before the look is sent.
        let (sent, applied) = (self.reading(engine), self.head().number);
        let standing = Standing { cell: &cell, held, next: &next };
        let answer = self.noted(self.ledger.look(self.generation(), &standing, by));
        // What the cell holds after it.
        let next = if matches!(answer, Ok(Look::NotRenewed(_))) { held.to_vec() } else { next };
        let sent = LookSent { incarnation, next, sent, applied };
        let looked = match answer {
            Ok(Look::Standing(sight) | Look::NotRenewed(sight)) => {
                let Some(head) = sight.head else {
                    self.stop(engine, LOG_GONE);
                    return Ok(true);
                };
                let before = self.state().sight.clone();
                if let Some(why) = self.foreign(engine, before.as_ref(), &sight) {
                    self.stop(engine, &why);
                    return Ok(true);
                }
                let answered = self.reading(engine);
                let mut state = self.state();
                let place = state.chain.place(&head);
                state.sight = Some(*sight);
                state.membership.stood(sent, answered, head, place)
            }
            Ok(Look::NotListed) => self.state().membership.not_listed(&sent),
            Err(error) => {
                if matches!(error, LedgerError::Unknown { .. }) {
                    self.state().membership.unanswered(sent);
                }
                return Err(error);
            }
        };
        match looked {
            Looked::Counts => {
                self.set_gate(engine);
                Ok(true)
            }
            Looked::NotListed | Looked::Again => Ok(false),
            Looked::Elsewhere => {
                self.went_back(engine);
                Ok(true)
            }
        }
    }

    /// Why the ledger is no longer the one of this replica; `None` if it is.
    pub(crate) fn foreign(&self, engine: &Engine, before: Option<&Sight>, sight: &Sight) -> Option<String> {
        let settings = sight.meta.as_deref().map(ClusterSettings::decode);
        match settings {
            None => return Some("the settings of the cluster are gone".into()),
            Some(Err(error)) => return Some(format!("the settings of the cluster do not decode: {error}")),
            Some(Ok(settings)) if settings.uuid != self.settings.cluster => {
                return Some("another cluster is in the place of this one".into());
            }
            Some(Ok(settings)) if settings.generation != self.generation() => return Some(REPLACED.into()),
            Some(Ok(settings)) if settings.bound() != self.settings.bound => {
                return Some("max_staleness of the cluster was changed: open the node again".into());
            }
            Some(Ok(settings)) if settings.system != sight.identity.system => {
                return Some(format!(
                    "this is a copy of the engine: {:?} instead of {:?}",
                    sight.identity.system, settings.system
                ));
            }
            Some(Ok(settings)) => {
                if let Some(why) = self.follow_pepper(engine, &settings) {
                    return Some(why);
                }
            }
        }
        let timeline = before.map_or(0, |before| before.identity.timeline);
        (sight.identity.timeline < timeline).then(|| {
            let now = sight.identity.timeline;
            format!(
                "the engine is at timeline {now}, and this replica has seen timeline {timeline}: it is a former primary"
            )
        })
    }

    /// Deletes the cells of registrations that had no answer.
    fn delete_abandoned(&self, by: Instant) {
        let abandoned = self.state().membership.take_abandoned();
        for (cell, value) in abandoned {
            if self.ledger.swap(&cell, Some(&value), None, by).is_err() {
                self.state().membership.abandon(cell, value);
            }
        }
    }

    /// Deletes the presences under which this node is no longer listed, once it does not need them.
    fn delete_former(&self, by: Instant) -> Result<(), LedgerError> {
        let former = self.state().membership.take_former();
        if former.is_empty() {
            return Ok(());
        }
        // Whoever marked them wrote what they hold.
        let cells = self.noted(self.ledger.cells(self.generation(), &[CellKind::Presence], by));
        for former in former {
            let cell = former.presence(self.generation());
            let delete = |cells: &Vec<Cell>| match cells.iter().find(|found| found.cell == cell) {
                Some(found) => self.noted(self.ledger.swap(&cell, Some(&found.value), None, by)),
                None => Ok(true),
            };
            if !cells.as_ref().is_ok_and(|cells| delete(cells) == Ok(true)) {
                self.state().membership.keep_former(former);
            }
        }
        cells.map(drop)
    }

    /// The value of this node's presence, with a new beat.
    fn presence(&self, engine: &Engine) -> Result<Vec<u8>, LedgerError> {
        let presence = Presence {
            node: self.settings.name.clone(),
            beat: random(&self.runtime)?,
            marked: false,
            wall: engine.time.raw_ms(),
            pepper: self.settings.pepper,
            bound: u64::try_from(self.settings.bound.as_millis()).unwrap_or(u64::MAX),
        };
        presence.encode().map_err(|error| LedgerError::refused(error.to_string()))
    }
}

pub(crate) fn random(runtime: &Runtime) -> Result<u128, LedgerError> {
    let mut bytes = [0; 16];
    runtime.fill(&mut bytes).map_err(|error| LedgerError::refused(format!("no random numbers: {error}")))?;
    Ok(u128::from_be_bytes(bytes))
}
