//! Tasks that take turns in virtual time. Each is a coroutine: where a thread of a node would wait, another task runs. So
//! the code of a node runs as it is, and a seed repeats every run.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use generator::{Generator, Gn};

use crate::base::lock::lock;
use crate::base::runtime::Simulated;
use crate::cluster::simulation::random::Random;
use crate::cluster::simulation::stores::clocks::Clocks;
use crate::cluster::simulation::stores::model::Model;
use crate::cluster::simulation::stores::verify::verify_on;

/// The stack of a task, in words. Only what is touched is memory.
const STACK: usize = 1 << 18;
/// How often a wait that is over goes on a little later, as a thread does that is woken on a busy machine.
const LATE_WAKES: f64 = 0.2;

pub(super) struct Scheduler {
    state: Mutex<State>,
    /// What its tasks are of.
    pub(super) model: OnceLock<Weak<Model>>,
}

struct State {
    origin: Instant,
    now: Duration,
    random: Random,
    /// Numbers of tasks and timers.
    next: u64,
    timers: BinaryHeap<Timer>,
    tasks: BTreeMap<u64, Task>,
    running: Option<u64>,
    /// Whether the running task did anything but find that it still has to wait.
    has_progressed: bool,
    machines: Vec<Machine>,
    /// Processes that were killed. What they still do reaches nobody.
    killed: BTreeSet<Process>,
    panics: Vec<String>,
    steps: u64,
    /// A digest of everything that ran, and when.
    trace: u64,
}

struct Machine {
    clocks: Clocks,
    /// Until when it stands still.
    paused: Duration,
}

/// A run of the program on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) machine: usize,
    pub(super) life: u64,
}

struct Task {
    process: Process,
    /// `None` while it runs.
    body: Option<Generator<'static, (), ()>>,
    /// It waits for something that another task of its process may do.
    polls: bool,
}

type Act = Box<dyn FnOnce() + Send>;

enum Due {
    Task(u64),
    Act(Act),
}

struct Timer {
    at: Duration,
    number: u64,
    due: Due,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap has its greatest first, and the earliest comes first here.
        other.at.cmp(&self.at).then(other.number.cmp(&self.number))
    }
}

impl Scheduler {
    pub(super) fn new(mut random: Random, machines: usize) -> Arc<Self> {
        let machine = |random: &mut Random| Machine { clocks: Clocks::random(random), paused: Duration::ZERO };
        let machines = (0..machines).map(|_| machine(&mut random)).collect();
        let state = State {
            origin: Instant::now(),
            now: Duration::ZERO,
            random,
            next: 0,
            timers: BinaryHeap::new(),
            tasks: BTreeMap::new(),
            running: None,
            has_progressed: false,
            machines,
            killed: BTreeSet::new(),
            panics: Vec::new(),
            steps: 0,
            trace: 0,
        };
        Arc::new(Self { state: Mutex::new(state), model: OnceLock::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn now(&self) -> Duration {
        self.state().now
    }

    pub(super) fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.state().random)
    }

    /// Does something later.
    pub(super) fn after(&self, delay: Duration, act: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let at = state.now + delay;
        state.schedule(at, Due::Act(Box::new(act)));
    }

    /// The task that runs.
    pub(super) fn running(&self) -> Option<u64> {
        self.state().running
    }

    /// Has a task that waits find out whether it still has to.
    pub(super) fn nudge(&self, task: u64) {
        let mut state = self.state();
        let now = state.now;
        state.schedule(now, Due::Task(task));
    }

    /// The same for all tasks of a machine.
    pub(super) fn nudge_machine(&self, machine: usize) {
        let mut state = self.state();
        let its = state.tasks.iter().filter(|(_, task)| task.polls && task.process.machine == machine);
        let (now, its) = (state.now, its.map(|(number, _)| *number).collect::<Vec<_>>());
        for task in its {
            state.schedule(now, Due::Task(task));
        }
    }

    /// Lets a machine stand still.
    pub(super) fn pause(&self, machine: usize, span: Duration) {
        let mut state = self.state();
        let until = state.now + span;
        state.machines[machine].paused = until.max(state.machines[machine].paused);
    }

    pub(super) fn is_paused(&self, machine: usize) -> bool {
        let state = self.state();
        state.machines[machine].paused > state.now
    }

    /// Reads or sets the clocks of a machine.
    pub(super) fn clocks<T>(&self, machine: usize, work: impl FnOnce(&mut Clocks) -> T) -> T {
        let mut state = self.state();
        let now = state.now;
        let clocks = &mut state.machines[machine].clocks;
        let done = work(clocks);
        clocks.show(now);
        done
    }

    /// Kills a process: what it still does reaches nobody.
    pub(super) fn crash(&self, process: Process) {
        self.state().killed.insert(process);
    }

    pub(super) fn is_killed(&self, process: Process) -> bool {
        self.state().killed.contains(&process)
    }

    /// How many steps were made, and a digest of them.
    pub(super) fn trace(&self) -> (u64, u64) {
        let state = self.state();
        (state.steps, state.trace)
    }

    pub(super) fn panics(&self) -> Vec<String> {
        self.state().panics.clone()
    }

    pub(super) fn tasks(&self) -> usize {
        self.state().tasks.len()
    }

    /// Runs until this time, or until nothing is left to do. `check` sees the machine of each step, and ends the run by
    /// `false`.
    pub(super) fn run(&self, until: Duration, check: &mut dyn FnMut(usize) -> bool) {
        loop {
            let timer = {
                let mut state = self.state();
                match state.timers.pop() {
                    Some(timer) if timer.at <= until => {
                        state.now = state.now.max(timer.at);
                        timer
                    }
                    Some(timer) => {
                        state.timers.push(timer);
                        state.now = until;
                        return;
                    }
                    None => return,
                }
            };
            match timer.due {
                Due::Act(act) => act(),
                Due::Task(task) => {
                    let Some(machine) = self.resume(task) else { continue };
                    if !check(machine) || !self.poll(machine, check) {
                        return;
                    }
                }
            }
        }
    }

    /// Lets the other tasks of a machine notice what one has done.
    fn poll(&self, machine: usize, check: &mut dyn FnMut(usize) -> bool) -> bool {
        loop {
            let polling: Vec<u64> = {
                let state = self.state();
                let polls = |task: &Task| task.polls && task.process.machine == machine;
                state.tasks.iter().filter(|(_, task)| polls(task)).map(|(number, _)| *number).collect()
            };
            let mut progressed = false;
            for task in polling {
                if self.resume(task).is_some() {
                    progressed = true;
                    if !check(machine) {
                        return false;
                    }
                }
            }
            if !progressed {
                return true;
            }
        }
    }

    /// Lets a task run until it waits. Returns its machine if it did anything.
    fn resume(&self, number: u64) -> Option<usize> {
        let mut body = {
            let mut state = self.state();
            let now = state.now;
            let machine = state.tasks.get(&number)?.process.machine;
            let paused = state.machines[machine].paused;
            if paused > now {
                let late = Duration::from_micros(1 + state.random.next() % 5000);
                state.schedule(paused + late, Due::Task(number));
                return None;
            }
            state.machines[machine].clocks.show(now);
            state.running = Some(number);
            state.has_progressed = false;
            state.tasks.get_mut(&number)?.body.take()?
        };
        body.resume();
        let is_done = body.is_done();
        let mut state = self.state();
        state.running = None;
        let machine = state.tasks.get(&number)?.process.machine;
        if is_done {
            state.tasks.remove(&number);
            state.has_progressed = true;
        } else {
            state.tasks.get_mut(&number)?.body = Some(body);
        }
        if !state.has_progressed {
            return None;
        }
        state.steps += 1;
        let at = u64::try_from(state.now.as_nanos()).unwrap();
        state.trace = Random::new(state.trace ^ at.wrapping_mul(31).wrapping_add(number)).next();
        Some(machine)
    }

    /// Lets other tasks run until `deadline`, or until `is_over`.
    fn wait(&self, deadline: Option<Duration>, polls: bool, is_over: &dyn Fn() -> bool) {
        let task = self.running().expect("only a task waits");
        let mut is_first = true;
        loop {
            if is_over() {
                break;
            }
            let mut state = self.state();
            let now = state.now;
            if deadline.is_some_and(|deadline| deadline <= now) {
                break;
            } else if is_first {
                state.schedule_wait(task, deadline.unwrap_or(Duration::MAX), polls);
            }
            is_first = false;
            drop(state);
            switch();
        }
        self.state().has_progressed = true;
        if polls && self.random(|random| random.chance(LATE_WAKES)) {
            let late = self.random(|random| random.between(0.0, 0.002));
            let at = self.now() + Duration::from_secs_f64(late);
            self.wait(Some(at), false, &|| false);
        }
    }

    /// Starts a task, and returns whether it has ended.
    pub(super) fn spawn(
        self: &Arc<Self>,
        process: Process,
        work: Box<dyn FnOnce() + Send>,
    ) -> Box<dyn Fn() -> bool + Send> {
        let mut state = self.state();
        let number = state.number();
        let scheduler = Arc::downgrade(self);
        let body = Gn::new_opt(STACK, move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work))
                && let Some(scheduler) = scheduler.upgrade()
            {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                scheduler.state().panics.push(text.unwrap_or_default());
            }
        });
        state.tasks.insert(number, Task { process, body: Some(body), polls: false });
        let now = state.now;
        state.schedule(now, Due::Task(number));
        drop(state);
        let scheduler = self.clone();
        Box::new(move || !scheduler.state().tasks.contains_key(&number))
    }
}

/// Leaves the running task.
#[allow(deprecated, reason = "the code of a node knows nothing of the scope that the other form of the call needs")]
fn switch() {
    generator::yield_with(());
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn schedule(&mut self, at: Duration, due: Due) {
        let number = self.number();
        self.timers.push(Timer { at, number, due });
    }

    fn schedule_wait(&mut self, number: u64, at: Duration, polls: bool) {
        if let Some(task) = self.tasks.get_mut(&number) {
            task.polls = polls;
        }
        if at < Duration::MAX {
            self.schedule(at, Due::Task(number));
        }
    }
}

/// What a process on a machine has of the simulation.
pub(super) struct Seat {
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) process: Process,
}

impl Seat {
    fn since_origin(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.scheduler.state().origin)
    }
}

impl Simulated for Seat {
    fn now(&self) -> Instant {
        let state = self.scheduler.state();
        state.origin + state.now
    }

    fn wait(&self, deadline: Option<Instant>, is_over: &dyn Fn() -> bool) {
        let deadline = deadline.map(|deadline| self.since_origin(deadline));
        self.scheduler.wait(deadline, true, is_over);
    }

    fn sleep(&self, span: Duration) {
        let deadline = self.scheduler.now() + span;
        self.scheduler.wait(Some(deadline), false, &|| false);
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.scheduler.random(|random| bytes.fill_with(|| random.next().to_be_bytes()[0]));
    }

    fn observe(&self) {
        if let Some(model) = self.scheduler.model.get().and_then(Weak::upgrade) {
            verify_on(&model, self.process.machine);
        }
    }

    fn is_unreadable(&self) -> bool {
        let Some(model) = self.scheduler.model.get().and_then(Weak::upgrade) else { return false };
        let share = model.faults().unreadable;
        let fails = share > 0.0 && !model.is_calm() && self.scheduler.random(|random| random.chance(share));
        if fails {
            model.count("reads of a replica that failed");
        }
        fails
    }

    fn spawn(&self, _: &str, work: Box<dyn FnOnce() + Send>) -> Box<dyn Fn() -> bool + Send> {
        self.scheduler.spawn(self.process, work)
    }
}
