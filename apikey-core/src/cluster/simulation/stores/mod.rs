//! Whole nodes: real stores on a ledger with faults, in virtual time.

mod calls;
mod checks;
mod clocks;
mod counting;
mod faults;
mod history;
mod ledger;
mod machine;
mod model;
mod plan;
mod promises;
mod scheduler;
mod tests;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::simulation::random::Random;
use crate::cluster::simulation::stores::machine::{Command, Machine};
use crate::cluster::simulation::stores::model::Model;
use crate::cluster::simulation::stores::plan::{Counts, Course, Faults, Plan};
use crate::cluster::simulation::stores::scheduler::Scheduler;

/// The generation of the log.
const GENERATION: u64 = 1;
const BOUND: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(6);

/// What a run came to.
struct Run {
    violation: Option<String>,
    counts: Counts,
    /// A digest of everything that happened.
    trace: u64,
}

/// Makes a run.
fn run(seed: u64, plan: Plan) -> Run {
    let mut random = Random::new(seed);
    let machines = 2 + random.below(2);
    let faults = Faults::random(&mut random, machines, plan.course);
    let has_disk = |random: &mut Random| plan.course == Course::Counts || random.chance(0.5);
    let has_disk: Vec<bool> = (0..machines).map(|_| has_disk(&mut random)).collect();
    let scheduler = Scheduler::new(random, machines);
    let root = directory();
    let disk = |at: usize| has_disk[at].then(|| root.path().join(format!("machine-{at}")));
    let model = Model::new(plan, scheduler.clone(), faults, (0..machines).map(|at| Machine::new(disk(at))).collect());
    let _ = scheduler.model.set(Arc::downgrade(&model));
    for machine in 0..machines {
        model.shared().machines[machine].model = Arc::downgrade(&model);
        model.begin_life(machine);
    }
    faults::schedule(&model);
    let mut check = |machine: usize| model.check(machine);
    let (length, rest) = plan.course.length();
    let (length, rest) = (Duration::from_secs(length), Duration::from_secs(rest));
    scheduler.run(length, &mut check);
    model.calm_down();
    if model.shared().violation.is_none() {
        scheduler.run(length + rest, &mut check);
    }
    if model.shared().violation.is_none()
        && let Some(fault) = model.check_end()
    {
        model.violated(|| fault);
    }
    let violation = model.shared().violation.clone();
    let (steps, trace) = scheduler.trace();
    // Whatever it came to, every store is closed.
    for machine in 0..machines {
        model.command(machine, Command::End);
    }
    scheduler.run(length + rest + Duration::from_secs(600), &mut |_| true);
    let mut counts = model.shared().counts.clone();
    counts.add("steps", steps);
    counts.add("tasks that did not end", scheduler.tasks() as u64);
    Run { violation, counts, trace }
}

/// A directory that syncs nothing to a disk, where there is one.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
