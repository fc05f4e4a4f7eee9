//! What everything in a run shares: the engine, its faults, the machines, and what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::KeyStore;
use crate::base::lock::lock;
use crate::cluster::ledger::memory::{MemoryBackup, MemoryLedger};
use crate::cluster::ledger::{CellKind, Ledger, Position};
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::simulation::replayed;
use crate::cluster::simulation::stores::GENERATION;
use crate::cluster::simulation::stores::history::History;
use crate::cluster::simulation::stores::machine::Machine;
use crate::cluster::simulation::stores::plan::{Counts, Faults, Plan};
use crate::cluster::simulation::stores::promises::Promises;
use crate::cluster::simulation::stores::scheduler::{Process, Scheduler};
use crate::commit::cluster::propagation::Hold;

pub(super) struct Model {
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) plan: Plan,
    pub(super) engine: MemoryLedger,
    faults: Mutex<Arc<Faults>>,
    shared: Mutex<Shared>,
}

pub(super) struct Shared {
    pub(super) machines: Vec<Machine>,
    pub(super) history: History,
    pub(super) promises: Promises,
    pub(super) counts: Counts,
    pub(super) violation: Option<String>,
    /// What a former primary holds, which answers glances.
    former: Option<Arc<MemoryLedger>>,
    /// What the engine held, and the history then.
    backup: Option<(MemoryBackup, History)>,
    full_until: Duration,
    /// Until when nodes may serve by what an engine that went back has lost.
    pub(super) unsafe_until: Duration,
    /// The keys that each machine changes now, by call; `None` for all.
    pub(super) changing: BTreeMap<u64, (usize, Option<u128>)>,
    /// The most that the ledger has had of each replica's counts.
    pub(super) counted: BTreeMap<u64, u64>,
    /// No more faults, and no more calls.
    pub(super) is_calm: bool,
}

impl Model {
    pub(super) fn new(plan: Plan, scheduler: Arc<Scheduler>, faults: Faults, machines: Vec<Machine>) -> Arc<Self> {
        let shared = Shared {
            machines,
            history: History::default(),
            promises: Promises::default(),
            counts: Counts::default(),
            violation: None,
            former: None,
            backup: None,
            full_until: Duration::ZERO,
            unsafe_until: Duration::ZERO,
            changing: BTreeMap::new(),
            counted: BTreeMap::new(),
            is_calm: false,
        };
        let (faults, shared) = (Mutex::new(Arc::new(faults)), Mutex::new(shared));
        Arc::new(Self { scheduler, plan, engine: MemoryLedger::new(), faults, shared })
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    pub(super) fn faults(&self) -> Arc<Faults> {
        lock(&self.faults).clone()
    }

    /// Ends all faults.
    pub(super) fn calm_down(&self) {
        let mut faults = lock(&self.faults);
        *faults = Arc::new(Faults { way: faults.way.clone(), ..Faults::none(faults.way.len()) });
        let mut shared = self.shared();
        shared.is_calm = true;
        shared.former = None;
        shared.full_until = Duration::ZERO;
        for machine in &mut shared.machines {
            machine.isolated_until = Duration::ZERO;
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.shared().is_calm
    }

    pub(super) fn count(&self, name: &'static str) {
        self.shared().counts.count(name);
    }

    /// Prints what happens, while one case is replayed.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if replayed().is_some() {
            println!("{:10.4} {}", self.scheduler.now().as_secs_f64(), what());
        }
    }

    pub(super) fn violated(&self, what: impl FnOnce() -> String) {
        let now = self.scheduler.now().as_secs_f64();
        let what = what();
        self.say(|| what.clone());
        self.shared().violation.get_or_insert_with(|| format!("at {now:.3} s: {what}"));
    }

    pub(super) fn is_isolated(&self, machine: usize) -> bool {
        let now = self.scheduler.now();
        self.shared().machines[machine].isolated_until > now
    }

    pub(super) fn is_full(&self) -> bool {
        let now = self.scheduler.now();
        self.shared().full_until > now
    }

    pub(super) fn wakes(&self, machine: usize) -> u64 {
        self.shared().machines[machine].wakes
    }

    /// The store of a machine, if it is open and the machine runs.
    pub(super) fn store(&self, machine: usize) -> Option<KeyStore> {
        if self.scheduler.is_paused(machine) {
            return None;
        }
        self.scheduler.clocks(machine, |_| ());
        self.shared().machines[machine].store.clone()
    }

    /// A former primary, if it answers this time.
    pub(super) fn former(&self) -> Option<Arc<MemoryLedger>> {
        let share = self.faults().former;
        let former = self.shared().former.clone()?;
        let answers = self.scheduler.random(|random| random.chance(share));
        if answers {
            self.count("glances at a former primary");
        }
        answers.then_some(former)
    }

    /// A process sends an entry with changes of these calls; `None` if it has lost a race.
    pub(super) fn sends(&self, process: Option<Process>, calls: &BTreeSet<u64>, base: Position) {
        // A node takes its hold again after a lost race.
        let held = process.and_then(|process| self.store(process.machine)).and_then(|store| {
            let node = ClusterOrder::node_of(&store.inner().engine);
            let state = node.state();
            state.holds.get(&Hold::Rotator).map(|fence| fence.value.clone())
        });
        let mut shared = self.shared();
        shared.promises.sends(process, calls, base.number);
        for call in calls {
            let call = shared.promises.calls.entry(*call).or_default();
            if call.held.is_some() && held.is_some() {
                call.held.clone_from(&held);
            }
        }
    }

    /// The engine has appended an entry.
    pub(super) fn appended(&self, base: Position, last: Position, op: [u8; 16], bytes: &[u8]) {
        let mut shared = self.shared();
        let Shared { history, promises, .. } = &mut *shared;
        let appended = history.append(base, last, op, bytes);
        let fault = match appended {
            Ok(calls) => promises.appended(&calls, last),
            Err(error) => Some(error),
        };
        shared.counts.count("appends");
        let machines = shared.machines.len();
        drop(shared);
        if let Some(fault) = fault {
            self.violated(|| fault);
        }
        let lost = self.faults().lost_wakes;
        for machine in 0..machines {
            let (is_lost, way) = self
                .scheduler
                .random(|random| (random.chance(lost), random.between(0.0, 2.0 * self.faults().way[machine])));
            if is_lost {
                continue;
            }
            let Some(model) = self.shared().machines[machine].model.upgrade() else { continue };
            self.scheduler.after(Duration::from_secs_f64(way), move || {
                model.shared().machines[machine].wakes += 1;
                model.scheduler.nudge_machine(machine);
            });
        }
    }

    /// What a rotator changes is in the log only while its machine has the hold.
    pub(super) fn check_hold(&self, calls: &BTreeSet<u64>) {
        let holds = self.engine.cells(GENERATION, &[CellKind::Hold], Self::by()).unwrap_or_default();
        let holder = holds.into_iter().find(|cell| cell.cell.name == Hold::Rotator.name()).map(|cell| cell.value);
        let by_rotator = |call: &&u64| {
            let promises = &self.shared().promises;
            promises.calls.get(call).is_some_and(|call| call.held.is_some() && call.held != holder)
        };
        if let Some(call) = calls.iter().find(by_rotator) {
            self.violated(|| format!("call {call} of a rotator is in the log, and another node has the hold"));
        }
    }

    pub(super) fn fill_up(&self, span: Duration) {
        let until = self.scheduler.now() + span;
        self.shared().full_until = until;
    }

    /// Another primary is promoted; the former one answers glances.
    pub(super) fn promote(&self) {
        let former = MemoryLedger::new();
        former.go_back(&self.engine.backup());
        self.shared().former = Some(Arc::new(former));
    }

    pub(super) fn back_up(&self) {
        let backup = self.engine.backup();
        let mut shared = self.shared();
        let history = shared.history.clone();
        shared.backup = Some((backup, history));
    }

    /// Restores the engine as it was.
    pub(super) fn go_back(&self, safe_after: Duration) -> bool {
        let now = self.scheduler.now();
        let mut shared = self.shared();
        let Some((backup, history)) = shared.backup.take() else { return false };
        if history.head() == shared.history.head() {
            return false;
        }
        self.engine.go_back(&backup);
        shared.history.go_back(&history);
        shared.promises.forget();
        shared.unsafe_until = now + safe_after;
        true
    }

    /// A time by which a call of the ledger in memory ends: it ignores it.
    pub(super) fn by() -> Instant {
        Instant::now()
    }
}
