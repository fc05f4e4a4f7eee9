//! What a simulation turns off, and which faults a run has.

use crate::cluster::protocol::safeguards::Safeguards;
use crate::cluster::simulation::protocol::Kinds;
use crate::cluster::simulation::random::Random;

/// What is in force in a simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) safeguards: Safeguards,
    pub(super) practice: Practice,
    pub(super) machine: Machine,
    pub(super) course: Course,
    /// Whether the engine may go back in time.
    pub(super) goes_back: bool,
}

/// What the runs are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Without faults.
    Smooth,
    /// Each run has some faults and lacks others.
    Rough,
    /// The first node is cut off after a look, and another one changes something at once: what happens at the very end
    /// of a bound.
    Tight,
    /// Nodes leave and come back all the time.
    Restless,
}

/// What whoever takes the steps of the protocol must do in the right order: the threads of a node, and a verification.
#[derive(Debug, Clone, Copy)]
pub(super) struct Practice {
    /// A verification reads the gate before it reads the key.
    pub(super) reads_the_gate_first: bool,
    /// A barrier begins after the answer of the append.
    pub(super) begins_the_barrier_after_the_answer: bool,
    /// An answer that changes nothing waits for the barrier of what it rests on.
    pub(super) passes_the_barrier_for_no_change: bool,
    /// An answer that changes nothing is confirmed by a sight that the node asked for after the call began.
    pub(super) confirms_with_a_new_sight: bool,
    /// After an append without an answer the same entry is appended again, and no other one for the same call.
    pub(super) repeats_the_same_entry: bool,
}

impl Practice {
    pub(super) const ALL: Self = Self {
        reads_the_gate_first: true,
        begins_the_barrier_after_the_answer: true,
        passes_the_barrier_for_no_change: true,
        confirms_with_a_new_sight: true,
        repeats_the_same_entry: true,
    };
}

/// The clocks of a machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    /// The boot-time clock goes on while the machine is paused.
    pub(super) counts_pauses: bool,
    /// The wall clock goes on while the machine is paused.
    pub(super) has_a_wall_clock: bool,
    /// How far the pace of a clock may be off.
    pub(super) drift: f64,
}

impl Machine {
    /// One with a boot-time clock, such as Linux has.
    pub(super) const GOOD: Self = Self { counts_pauses: true, has_a_wall_clock: true, drift: 0.005 };
}

impl Plan {
    pub(super) const ALL: Self = Self {
        safeguards: Safeguards::ALL,
        practice: Practice::ALL,
        machine: Machine::GOOD,
        course: Course::Rough,
        goes_back: false,
    };
}

/// The faults of a run. Spans are means, and infinite for what does not happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// The longest delay of a message that is not held up.
    pub(super) quick: f64,
    /// The share of messages that are held up.
    pub(super) held_up: f64,
    /// How long a call waits for its answer.
    pub(super) patience: f64,
    /// The share of messages that get lost.
    pub(super) loss: f64,
    /// The share of calls that commit long after they read.
    pub(super) late_commits: f64,
    /// The share of entries that a node applies late.
    pub(super) late_applies: f64,
    /// The share of wake-ups that do not come.
    pub(super) lost_wakes: f64,
    pub(super) between_isolations: f64,
    pub(super) between_pauses: f64,
    pub(super) between_restarts: f64,
    pub(super) between_leaves: f64,
    /// Wrong marks of presences.
    pub(super) between_marks: f64,
    /// Jumps of wall clocks.
    pub(super) between_jumps: f64,
    pub(super) between_returns: f64,
    /// Promotions, after which a former primary answers glances, too.
    pub(super) between_promotions: f64,
    pub(super) between_changes: f64,
}

impl Faults {
    pub(super) fn random(random: &mut Random, plan: &Plan) -> Self {
        const NEVER: f64 = f64::INFINITY;
        let mut one_of = |values: &[f64]| values[random.below(values.len())];
        let rough = Self {
            held_up: one_of(&[0.0, 0.05, 0.15]),
            quick: one_of(&[0.2, 1.0, 5.0]),
            patience: one_of(&[50.0, 50.0, 600.0]),
            loss: one_of(&[0.0, 0.01, 0.1]),
            late_commits: one_of(&[0.0, 0.1, 0.5]),
            late_applies: one_of(&[0.0, 0.05, 0.2]),
            lost_wakes: one_of(&[0.0, 0.3, 1.0]),
            between_isolations: one_of(&[NEVER, NEVER, 400.0]),
            between_pauses: one_of(&[NEVER, NEVER, 300.0]),
            between_restarts: one_of(&[NEVER, NEVER, 500.0]),
            between_leaves: one_of(&[NEVER, NEVER, 100.0]),
            between_marks: one_of(&[NEVER, NEVER, 150.0]),
            between_jumps: if plan.machine.counts_pauses { one_of(&[NEVER, 1000.0]) } else { NEVER },
            between_returns: if plan.goes_back { one_of(&[300.0, 800.0]) } else { NEVER },
            between_changes: one_of(&[15.0, 60.0]),
            between_promotions: one_of(&[NEVER, 500.0]),
        };
        let smooth = Self {
            held_up: 0.0,
            quick: 0.2,
            patience: 50.0,
            loss: 0.0,
            late_commits: 0.0,
            late_applies: 0.0,
            lost_wakes: 0.0,
            between_isolations: NEVER,
            between_pauses: NEVER,
            between_restarts: NEVER,
            between_leaves: NEVER,
            between_marks: NEVER,
            between_jumps: NEVER,
            between_returns: NEVER,
            between_promotions: NEVER,
            between_changes: 60.0,
        };
        match plan.course {
            Course::Rough => rough,
            Course::Smooth => smooth,
            Course::Tight => Self { quick: 0.1, between_changes: 300.0, ..smooth },
            Course::Restless => Self {
                quick: 1.0,
                held_up: 0.1,
                late_commits: 0.5,
                late_applies: 0.1,
                lost_wakes: 0.3,
                between_leaves: 40.0,
                between_changes: 5.0,
                ..smooth
            },
        }
    }
}

/// What a run has had, so that it is not empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    /// The longest barrier of a change.
    pub(super) longest_barrier: f64,
    /// By name.
    pub(super) kinds: Kinds,
}

impl Counts {
    pub(super) fn of(&self, name: &str) -> u64 {
        self.kinds.get(name).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.longest_barrier = self.longest_barrier.max(other.longest_barrier);
        for (name, count) in &other.kinds {
            *self.kinds.entry(name).or_default() += count;
        }
    }
}
