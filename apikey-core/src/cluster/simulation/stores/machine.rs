//! A machine: the lives of its program, and the directory that outlives them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::base::runtime::{Runtime, Simulated};
use crate::cluster::config::Cluster;
use crate::cluster::ledger::Position;
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::simulation::stores::calls;
use crate::cluster::simulation::stores::ledger::SimulatedLedger;
use crate::cluster::simulation::stores::model::Model;
use crate::cluster::simulation::stores::plan::Course;
use crate::cluster::simulation::stores::promises::Here;
use crate::cluster::simulation::stores::scheduler::{Process, Seat};
use crate::cluster::simulation::stores::{BOUND, WRITE_TIMEOUT};
use crate::{KeyStore, OpenError};

/// Callers on a machine at a time.
const CALLERS: u64 = 2;

pub(super) struct Machine {
    pub(super) model: Weak<Model>,
    /// Where its directories are; `None` for a machine without a disk.
    pub(super) disk: Option<PathBuf>,
    /// The number of the directory that it uses.
    directory: u64,
    directories: u64,
    /// A copy of its directory as it was.
    backup: Option<u64>,
    pub(super) life: u64,
    /// The store, while it is open.
    pub(super) store: Option<KeyStore>,
    command: Option<Command>,
    pub(super) isolated_until: Duration,
    /// How often its waits were woken.
    pub(super) wakes: u64,
    /// The newest head that its replica had, in this directory.
    pub(super) head: Position,
    /// What of the replica and the index was last compared with the history.
    pub(super) compared: Option<Position>,
    /// When its gate was first seen open with a head that the log has lost.
    pub(super) is_down: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Close the store, and open it again.
    Restart,
    /// End at once, and open the store again.
    Crash,
    /// Close the store for good.
    End,
}

/// The directory with which a machine begins its next life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Same,
    Former,
    Empty,
}

impl Machine {
    pub(super) fn new(disk: Option<PathBuf>) -> Self {
        Self {
            model: Weak::new(),
            disk,
            directory: 0,
            directories: 0,
            backup: None,
            life: 0,
            store: None,
            command: None,
            isolated_until: Duration::ZERO,
            wakes: 0,
            head: Position::default(),
            compared: None,
            is_down: true,
        }
    }

    fn path(&self, directory: u64) -> Option<PathBuf> {
        self.disk.as_ref().map(|disk| disk.join(directory.to_string()))
    }

    fn new_directory(&mut self) -> u64 {
        self.directories += 1;
        self.directories
    }
}

impl Model {
    /// Has a machine do something, unless it is at it already.
    pub(super) fn command(&self, machine: usize, command: Command) {
        let mut shared = self.shared();
        let machine_of = &mut shared.machines[machine];
        // The program has to be there.
        if machine_of.command.is_none() || command == Command::End {
            machine_of.command = Some(command);
        }
        drop(shared);
        self.scheduler.nudge_machine(machine);
    }

    fn commanded(&self, machine: usize) -> Option<Command> {
        self.shared().machines[machine].command
    }

    /// Copies the directory of a machine as it is, for a later life.
    pub(super) fn back_up_machine(&self, machine: usize) {
        let mut shared = self.shared();
        let machine = &mut shared.machines[machine];
        if machine.store.is_none() {
            return;
        }
        let to = machine.new_directory();
        if let (Some(from), Some(path)) = (machine.path(machine.directory), machine.path(to)) {
            copy(&from, &path);
            machine.backup = Some(to);
        }
    }

    /// Begins the next life of a machine.
    pub(super) fn begin_life(self: &Arc<Self>, machine: usize) {
        let life = {
            let mut shared = self.shared();
            shared.machines[machine].life += 1;
            shared.machines[machine].life
        };
        let (model, process) = (self.clone(), Process { machine, life });
        let _ = self.scheduler.spawn(process, Box::new(move || live(&model, process)));
    }

    fn begin_next_life(self: &Arc<Self>, machine: usize, next: Next) {
        let has_replaced = {
            let mut shared = self.shared();
            let it = &mut shared.machines[machine];
            it.command = it.command.filter(|command| *command == Command::End);
            if it.command.is_some() {
                return;
            }
            let former = it.backup.filter(|_| next == Next::Former);
            match (next, former) {
                (Next::Former, Some(former)) => {
                    let to = it.new_directory();
                    if let (Some(from), Some(path)) = (it.path(former), it.path(to)) {
                        copy(&from, &path);
                    }
                    it.directory = to;
                    true
                }
                (Next::Empty, _) => {
                    it.directory = it.new_directory();
                    true
                }
                _ => it.disk.is_none(),
            }
        };
        if has_replaced {
            self.count("directories replaced");
            let mut shared = self.shared();
            shared.machines[machine].head = Position::default();
            for token in shared.promises.keys.iter_mut().flat_map(|key| &mut key.tokens) {
                token.ended_here.remove(&machine);
            }
        }
        let model = self.clone();
        let delay = self.scheduler.random(|random| random.between(0.05, 2.0));
        self.scheduler.after(Duration::from_secs_f64(delay), move || model.begin_life(machine));
    }

    fn next(&self) -> Next {
        let counts = self.plan.course == Course::Counts;
        if counts && self.faults().kills == 0.0 {
            return Next::Same;
        }
        self.scheduler.random(|random| match random.unit() * if counts { 0.4 } else { 1.0 } {
            share if share < 0.15 => Next::Former,
            share if share < 0.22 => Next::Empty,
            _ => Next::Same,
        })
    }
}

fn open(model: &Arc<Model>, process: Process) -> Result<KeyStore, OpenError> {
    let seat = || Seat { scheduler: model.scheduler.clone(), process };
    let ledger = SimulatedLedger { model: model.clone(), seat: seat(), closed: AtomicBool::new(false) };
    let (boot, wall) = model.scheduler.clocks(process.machine, |clocks| (clocks.boot.clone(), clocks.wall.clone()));
    let mut cluster = Cluster::new(ledger)
        .name(format!("machine-{}", process.machine))
        .max_staleness(BOUND)
        .write_timeout(WRITE_TIMEOUT);
    (cluster.clock, cluster.runtime) = (boot, Runtime::Simulated(Arc::new(seat())));
    cluster.safeguards = model.plan.safeguards;
    let builder = KeyStore::builder().clock(wall).cluster(cluster).count_use(model.plan.course == Course::Counts);
    let path = {
        let shared = model.shared();
        let machine = &shared.machines[process.machine];
        machine.path(machine.directory)
    };
    match path {
        Some(path) => builder.open(path),
        None => builder.temporary(),
    }
}

/// A life of the program of a machine.
fn live(model: &Arc<Model>, process: Process) {
    let machine = process.machine;
    let seat = Seat { scheduler: model.scheduler.clone(), process };
    let store = loop {
        match open(model, process) {
            Ok(store) => break store,
            Err(error) => {
                model.count("openings that failed");
                let text = error.to_string();
                model.say(|| format!("machine {machine} does not open: {text}"));
                if model.commanded(machine) == Some(Command::End) {
                    return;
                }
                // The operator gives a node that is ahead of an engine that went back an empty directory.
                let is_of_ledger = text.starts_with("simulated: ") || text.contains(": simulated: ");
                if !is_of_ledger || text.contains("went back") {
                    return model.begin_next_life(machine, Next::Empty);
                }
                seat.sleep(Duration::from_millis(500));
            }
        }
    };
    model.count("openings");
    model.say(|| format!("machine {machine} is open, life {}", process.life));
    let node = ClusterOrder::node_of(&store.inner().engine);
    {
        let mut shared = model.shared();
        let it = &mut shared.machines[machine];
        (it.store, it.compared, it.is_down) = (Some(store.clone()), None, false);
        for token in shared.promises.keys.iter_mut().flat_map(|key| &mut key.tokens) {
            token.ended_here.retain(|at, here| *at != machine || *here == Here::Directory);
        }
    }
    let callers = Arc::new(AtomicU64::new(CALLERS));
    for caller in 0..CALLERS {
        let (model, store, callers) = (model.clone(), store.clone(), callers.clone());
        let seat = Seat { scheduler: model.scheduler.clone(), process };
        let _ = model.scheduler.clone().spawn(
            process,
            Box::new(move || {
                let is_over =
                    || model.commanded(machine).is_some() || model.is_calm() || model.scheduler.is_killed(process);
                calls::call_until(&model, &seat, &store, caller, is_over);
                drop(store);
                callers.fetch_sub(1, Ordering::SeqCst);
            }),
        );
    }
    seat.wait(None, &|| model.commanded(machine).is_some() || node.state().fault.is_some());
    let command = model.commanded(machine).unwrap_or_else(|| {
        // An operator finds a node that has stopped, and restarts it.
        model.count("nodes that stopped");
        seat.sleep(Duration::from_secs(2));
        Command::Restart
    });
    let fault = node.state().fault.clone();
    model.say(|| format!("machine {machine}: {command:?}, {fault:?}"));
    drop(node);
    let is_last = command == Command::End;
    if command == Command::Crash {
        model.count("kills");
        {
            let mut shared = model.shared();
            let it = &mut shared.machines[machine];
            (it.store, it.is_down) = (None, true);
            // What the program still does to its directory is not in the copy.
            let to = it.new_directory();
            if let (Some(from), Some(path)) = (it.path(it.directory), it.path(to)) {
                copy(&from, &path);
                it.directory = to;
            }
        }
        model.scheduler.crash(process);
        let next = model.next();
        model.begin_next_life(machine, next);
    }
    seat.wait(None, &|| callers.load(Ordering::SeqCst) == 0);
    model.shared().machines[machine].store.take_if(|held| held.instance() == store.instance());
    if let Err(error) = store.close() {
        model.violated(|| format!("machine {machine} cannot close its store: {error}"));
    }
    drop(store);
    if command == Command::Restart {
        model.count("restarts");
        model.shared().machines[machine].is_down = true;
        let next = model.next();
        model.begin_next_life(machine, next);
    }
    if is_last {
        model.shared().machines[machine].is_down = true;
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let (from, to) = (item.path(), to.join(item.file_name()));
        match item.file_type().unwrap() {
            kind if kind.is_dir() => copy(&from, &to),
            // A file that is gone meanwhile was there for a moment.
            _ => drop(std::fs::copy(&from, &to)),
        }
    }
}
