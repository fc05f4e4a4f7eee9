//! A node of a simulation.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::boot_time::{BootClock, BootTime, ManualBootClock};
use crate::cluster::format::presence::Incarnation;
use crate::cluster::ledger::{Logged, Position};
use crate::cluster::protocol::chain::Chain;
use crate::cluster::protocol::membership::Membership;
use crate::cluster::protocol::reading::Reading;
use crate::cluster::protocol::removal::MarkedSeen;
use crate::cluster::simulation::protocol::plan::{Course, Faults, Plan};
use crate::cluster::simulation::protocol::writing::Proposal;
use crate::cluster::simulation::protocol::{BOUND, LENGTH, SECONDS, Simulation, Then, UNITS};
use crate::cluster::simulation::random::Random;
use crate::commit::cluster::gate::Gate;

pub(super) struct SimulatedNode {
    /// How often it was started.
    pub(super) life: u64,
    /// The pace of its clock.
    pub(super) rate: f64,
    booted: BootTime,
    clock: BootClock,
    set: ManualBootClock,
    /// How long it was paused in all.
    pub(super) paused_for: f64,
    /// How far its wall clock is off.
    pub(super) skew: f64,
    pub(super) paused_until: f64,
    /// When it cannot reach the ledger.
    pub(super) isolated: Vec<(f64, f64)>,
    pub(super) membership: Membership,
    pub(super) chain: Chain,
    pub(super) marked: MarkedSeen,
    pub(super) gate: Gate,
    /// What the replica has, on its disk.
    pub(super) history: Vec<Position>,
    /// How much of it is in force.
    pub(super) in_force: u64,
    /// When it became more.
    pub(super) applied_at: f64,
    pub(super) acknowledged: Option<(Incarnation, Position)>,
    pub(super) is_applying: bool,
    pub(super) to_apply: VecDeque<(Vec<Logged>, Then)>,
    pub(super) is_following: bool,
    pub(super) must_follow: bool,
    pub(super) unresolved: Option<Proposal>,
    /// Whether a change has the turn.
    pub(super) is_writing: bool,
    /// The last head that a look saw, and when.
    pub(super) last_sight: Option<Position>,
    /// It does not follow the log.
    pub(super) is_stopped: bool,
    /// It has left, or has not begun.
    pub(super) is_down: bool,
}

impl SimulatedNode {
    pub(super) fn new(random: &mut Random, plan: &Plan, faults: &Faults) -> Self {
        let (clock, set) = BootClock::manual();
        let mut isolated = Vec::new();
        let mut at = random.span(faults.between_isolations);
        // In a tight run some clocks are as far off as they may be.
        let pace = if plan.course == Course::Tight { 2.0 } else { 1.0 } * random.between(-1.0, 1.0);
        while at < LENGTH {
            let end = at + random.span(1.8 * UNITS);
            isolated.push((at, end));
            at = end + random.span(faults.between_isolations);
        }
        Self {
            life: 0,
            rate: 1.0 + plan.machine.drift * pace.clamp(-1.0, 1.0),
            booted: clock.now(),
            gate: Gate::closed(clock.clone()),
            clock,
            set,
            paused_for: 0.0,
            skew: random.between(-300.0, 300.0),
            paused_until: 0.0,
            isolated,
            membership: Membership::new(BOUND, plan.safeguards),
            chain: Chain::new(Position::default(), plan.safeguards),
            marked: MarkedSeen::default(),
            history: Vec::new(),
            in_force: 0,
            applied_at: 0.0,
            acknowledged: None,
            is_applying: false,
            to_apply: VecDeque::new(),
            is_following: false,
            must_follow: false,
            unresolved: None,
            is_writing: false,
            last_sight: None,
            is_stopped: false,
            is_down: true,
        }
    }

    /// Begins a new life, with what is on the disk.
    pub(super) fn restarted(&mut self, plan: &Plan) {
        let head = self.head();
        self.life += 1;
        self.gate = Gate::closed(self.clock.clone());
        self.membership = Membership::new(BOUND, plan.safeguards);
        self.chain = Chain::new(head, plan.safeguards);
        self.marked = MarkedSeen::default();
        self.in_force = head.number;
        self.acknowledged = None;
        self.is_applying = false;
        self.to_apply.clear();
        (self.is_following, self.must_follow, self.is_writing) = (false, false, false);
        self.unresolved = None;
        self.last_sight = None;
        (self.is_stopped, self.is_down) = (false, false);
    }

    /// The head of the replica.
    pub(super) fn head(&self) -> Position {
        self.history.last().copied().unwrap_or_default()
    }

    /// The head of what is in force here.
    pub(super) fn head_in_force(&self) -> Position {
        let last = usize::try_from(self.in_force).unwrap().checked_sub(1);
        last.and_then(|last| self.history.get(last)).copied().unwrap_or_default()
    }

    /// Whether a change is in force here.
    pub(super) fn has(&self, at: Position) -> bool {
        at.number == 0
            || (at.number <= self.in_force
                && usize::try_from(at.number - 1).ok().and_then(|index| self.history.get(index)) == Some(&at))
    }

    pub(super) fn is_up(&self) -> bool {
        !self.is_stopped && !self.is_down
    }

    pub(super) fn is_isolated(&self, now: f64) -> bool {
        self.isolated.iter().any(|(from, until)| (*from..*until).contains(&now))
    }

    fn reading(&self, now: f64, plan: &Plan) -> Reading {
        let shown = |goes_on: bool| if goes_on { now } else { now - self.paused_for };
        let since = Duration::from_secs_f64(shown(plan.machine.counts_pauses) * self.rate * SECONDS);
        let boot = self.booted.after(since);
        self.set.set(boot);
        let wall = shown(plan.machine.has_a_wall_clock) + self.skew + 1e6;
        Reading { boot, wall: i64::try_from(Duration::from_secs_f64(wall * SECONDS).as_millis()).unwrap() }
    }
}

impl Simulation {
    /// What the clocks of a node show. Its gate reads the same.
    pub(super) fn reading(&self, n: usize) -> Reading {
        self.nodes[n].reading(self.now, &self.plan)
    }

    pub(super) fn is_isolated(&self, n: usize) -> bool {
        self.nodes[n].is_isolated(self.now)
    }

    /// How long a span is for everybody else that the clock of a node measures.
    pub(super) fn by_clock(&self, n: usize, span: f64) -> f64 {
        span / self.nodes[n].rate
    }

    pub(super) fn set_gate(&mut self, n: usize) {
        let boot = self.reading(n).boot;
        let node = &mut self.nodes[n];
        match node.membership.gate(boot) {
            Some((until, wall)) => node.gate.open_until(until, wall),
            None => node.gate.close(),
        }
        // Without the deadline a thread closes it.
        if !self.plan.safeguards.gate_is_a_deadline
            && let Some(until) = self.nodes[n].membership.serves_until()
        {
            let left = until.since(boot).as_secs_f64() / SECONDS;
            if left > 0.0 {
                let delay = self.by_clock(n, left) + 0.01;
                self.for_node(n, delay, Self::set_gate);
            }
        }
    }

    /// A node does not follow the log. Later somebody has it load the state.
    pub(super) fn stop(&mut self, n: usize, why: &'static str) {
        if self.nodes[n].is_stopped {
            return;
        }
        self.count(why);
        self.say(|| format!("node {n} {why}"));
        let node = &mut self.nodes[n];
        node.membership.is_stale();
        node.gate.close();
        node.is_stopped = true;
        let delay = self.random.between(20.0, 200.0);
        self.for_node(n, delay, |simulation, n| simulation.restart_node(n, true));
    }

    /// Starts a node again: with the state of the ledger, or with its replica.
    pub(super) fn restart_node(&mut self, n: usize, loads: bool) {
        if loads {
            self.nodes[n].history = self.log.clone();
        }
        let plan = self.plan;
        self.nodes[n].restarted(&plan);
        self.say(|| {
            format!("node {n} begins life {} at {:?}, loads: {loads}", self.nodes[n].life, self.nodes[n].head())
        });
        self.for_node(n, 0.1, |simulation, n| simulation.start_node(n));
    }

    /// Catches up, and then looks and follows until the next restart.
    pub(super) fn start_node(&mut self, n: usize) {
        self.nodes[n].is_down = false;
        self.catch_up(
            n,
            Box::new(|simulation, n, caught_up| {
                if simulation.nodes[n].is_stopped {
                    return;
                }
                if !caught_up {
                    return simulation.for_node(n, 5.0, |simulation, n| simulation.start_node(n));
                }
                simulation.probe(n);
                simulation.follow_each_interval(n);
                simulation.keep_each_second(n);
                simulation.verify_now_and_then(n);
            }),
        );
    }
}
