//! Getting in step with the log again.

use std::fmt;
use std::time::Duration;

use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Position, Sight};
use crate::cluster::node::shared::{FollowError, LOG_GONE, Node, PATIENCE};
use crate::cluster::protocol::safeguards::stretched;
use crate::cluster::recovery::history::{Relation, relation};
use crate::cluster::recovery::lost::Lost;
use crate::cluster::recovery::publish::Published;
use crate::cluster::recovery::step::{BELOW_FLOOR, RecoveryStep};
use crate::commit::engine::Engine;

/// Several nodes notice at once, and one of them is enough.
const JITTER: Duration = Duration::from_millis(100);

impl Node {
    /// The log does not have what this replica has: the node serves no longer, and recovers when it looks next.
    pub(crate) fn went_back(&self, engine: &Engine) {
        {
            let mut state = self.state();
            state.membership.is_stale();
            engine.gate.close();
            if state.fault.is_some() || state.recovery.is_some() {
                return;
            }
            state.recovery = Some(RecoveryStep::WentBack);
            state.times_back += 1;
        }
        let event = self.head().number;
        tracing::error!(name: "apikey.cluster", target: "apikey", node = self.settings.name, event, "the engine of the cluster went back in time: it lacks events that this node has applied; the node refuses every key until it has brought them back");
        self.probing.notify();
    }

    /// The node was away for so long that the log no longer has what its replica lacks: it serves no longer, and loads its
    /// replica anew when it looks next.
    pub(crate) fn fell_behind(&self, engine: &Engine) {
        {
            let mut state = self.state();
            state.membership.is_stale();
            engine.gate.close();
            // One that cannot use an entry loads its replica anew for that.
            let is_loading = matches!(state.recovery, Some(RecoveryStep::BelowFloor | RecoveryStep::Unusable { .. }));
            if state.fault.is_some() || is_loading {
                return;
            }
            state.recovery = Some(RecoveryStep::BelowFloor);
        }
        let event = self.head().number;
        tracing::warn!(name: "apikey.cluster", target: "apikey", node = self.settings.name, event, "the log no longer has what this node lacks; the node refuses every key until it has loaded its replica anew");
        self.probing.notify();
    }

    /// Whether the node is out of step with the log.
    pub(crate) fn is_recovering(&self) -> bool {
        self.state().recovery.is_some()
    }

    /// What the node does now.
    pub(super) fn recovers(&self, step: RecoveryStep) {
        self.state().recovery = Some(step);
    }

    /// Gets in step with the log again, or stops. No other node waits for this one meanwhile.
    pub(crate) fn recover(&self, engine: &Engine) -> Result<(), FollowError> {
        let turn = self.line.take(&self.runtime, self.runtime.now() + PATIENCE);
        let _turn = turn.ok_or_else(|| LedgerError::refused("a change is on its way"))?;
        self.runtime.sleep(self.jittered(JITTER));
        let mut done = Done::Nothing;
        while !self.probing.is_closed() {
            let by = self.runtime.now() + PATIENCE;
            let sight = self.noted(self.ledger.sight(self.generation(), by))?;
            if let Some(why) = self.foreign(engine, None, &sight) {
                self.stop(engine, &why);
                return Ok(());
            }
            let Some(head) = sight.head else {
                self.stop(engine, LOG_GONE);
                return Ok(());
            };
            let step = self.state().recovery.clone();
            let own = self.head();
            let loads_for = match step {
                Some(RecoveryStep::Unusable { what, .. }) => Some(what),
                // The replica may have it from an own entry meanwhile.
                Some(RecoveryStep::BelowFloor) if own.number < sight.floor => Some(BELOW_FLOOR.to_owned()),
                _ => None,
            };
            if let Some(what) = loads_for {
                self.reload(engine)?;
                self.recovers(RecoveryStep::WentBack);
                done = Done::Loaded { what };
                continue;
            }
            match self.relation(engine, &head)? {
                Relation::Beyond => match self.read_on(engine, head.number, by, Self::try_apply) {
                    Ok(()) => {
                        self.recovered(&done);
                        return Ok(());
                    }
                    Err(FollowError::Elsewhere(_)) => done = self.diverged(engine, &sight)?,
                    Err(FollowError::Unusable { op, what }) => self.cannot_use(engine, op, what),
                    Err(error) => return Err(error),
                },
                Relation::Prefix => match self.publish(engine, head)? {
                    Published::Moved => done = done.and_published(self.head().number.saturating_sub(head.number)),
                    Published::NotKept => done = self.diverged(engine, &sight)?,
                },
                // Another node may know what comes after it.
                Relation::Unknown if self.publish(engine, head)? == Published::Moved => {}
                Relation::Unknown => return self.wait_for_others(engine),
                Relation::Fork => done = self.diverged(engine, &sight)?,
            }
            if self.state().fault.is_some() {
                return Ok(());
            }
        }
        Err(LedgerError::refused("the node closes").into())
    }

    /// An entry of the log cannot be applied. Nothing in it can be relied on, or it speaks of other records than this replica
    /// has: it may take something from any key, so the node serves none until the replica is loaded anew. The second time
    /// the entry is at fault, and the node stops.
    pub(crate) fn cannot_use(&self, engine: &Engine, op: [u8; 16], what: String) {
        let mut state = self.state();
        if state.reloaded_for == Some(op) {
            drop(state);
            self.stop(engine, &format!("{what}, also after the replica was loaded anew"));
            return;
        }
        tracing::error!(name: "apikey.cluster", target: "apikey", node = self.settings.name, what, "this node cannot apply an entry of the log; it refuses every key until it has loaded its replica anew");
        state.membership.is_stale();
        engine.gate.close();
        state.reloaded_for = Some(op);
        state.recovery = Some(RecoveryStep::Unusable { op, what });
        drop(state);
        self.probing.notify();
    }

    fn relation(&self, engine: &Engine, head: &Position) -> Result<Relation, FollowError> {
        let log = engine.log.open()?;
        let own = engine.writer().head();
        Ok(relation(&log, &own, head)?)
    }

    /// The log has another history than the replica, or the replica does not keep what the log lost: what the log lost is taken
    /// from keys again, and the replica becomes what the log says.
    fn diverged(&self, engine: &Engine, sight: &Sight) -> Result<Done, FollowError> {
        self.recovers(RecoveryStep::Diverged);
        let Some(common) = self.last_in_common(engine, sight)? else {
            self.stop(engine, ELSEWHERE);
            return Ok(Done::Nothing);
        };
        let events = self.head().number.saturating_sub(common);
        let lost = self.keep_lost(engine, common)?;
        self.reload(engine)?;
        Ok(Done::Reapplied { events, lost })
    }

    /// The replica's history begins after the log's head, so it does not show what the log lost. Another node may bring it
    /// back; if none does, the node stops.
    fn wait_for_others(&self, engine: &Engine) -> Result<(), FollowError> {
        let now = self.runtime.now();
        let since = *self.state().waits_since.get_or_insert(now);
        if now.duration_since(since) < stretched(self.settings.bound) {
            return Err(LedgerError::refused("another node may have what the engine lost").into());
        }
        self.stop(engine, ELSEWHERE);
        Ok(())
    }

    /// The replica and the log are one again. What the node knew of the engine is of another time.
    fn recovered(&self, done: &Done) {
        let what = done.to_string();
        tracing::warn!(name: "apikey.cluster", target: "apikey", node = self.settings.name, what, "the node is in step with the cluster again");
        {
            let mut state = self.state();
            state.recovery = None;
            state.recovered = Some(what);
            state.waits_since = None;
            state.forget_engine();
        }
        // What is in force here alone is made again at once.
        self.keeping.notify();
    }
}

/// What a node did to be in step with the log again.
enum Done {
    Nothing,
    Published { events: u64 },
    Reapplied { events: u64, lost: Lost },
    Loaded { what: String },
}

impl Done {
    fn and_published(self, events: u64) -> Self {
        match self {
            Self::Published { events: before } => Self::Published { events: before.max(events) },
            Self::Nothing => Self::Published { events },
            other => other,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("the engine had lost events, which another node published"),
            Self::Published { events: 1 } => f.write_str("the engine had lost 1 event, which this node published"),
            Self::Published { events } => write!(f, "the engine had lost {events} events, which this node published"),
            Self::Reapplied { events, lost: Lost { keys, named } } => {
                let named = if *named == 0 { String::new() } else { format!(" and {named} roles, tenants and owners") };
                write!(
                    f,
                    "the engine had lost {events} events, and had others instead: this node takes again what they took from \
                     {keys} keys{named}, and loaded its replica anew; what they gave is lost"
                )
            }
            Self::Loaded { what } => write!(f, "{what}: this node loaded its replica anew"),
        }
    }
}

/// Why a node stops that does not know what the log lost.
const ELSEWHERE: &str = "the log of the cluster has another history than this replica, and nothing shows where they parted: the \
    engine went back in time; restore the cluster from a backup of this node, or remove the replica";
