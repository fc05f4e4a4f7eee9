//! What a simulation of stores turns off, and which faults a run has.

use std::collections::BTreeMap;

use crate::cluster::protocol::safeguards::Safeguards;
use crate::cluster::simulation::random::Random;

/// What is in force in a simulation, and what it is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) safeguards: Safeguards,
    pub(super) course: Course,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Without faults.
    Smooth,
    /// Each run has some faults and lacks others.
    Rough,
    /// The other nodes create keys without a pause, while a distant one revokes.
    Storm,
    /// Every machine rotates keys while it has the hold, and hardly anything else happens: messages are held up and
    /// machines stand still for longer than a hold lasts.
    Rotators,
    /// Machines are without the engine for long, and restart meanwhile.
    Away,
    /// What a node has just written to its replica it cannot always read.
    Unreadable,
    /// The engine goes back to an earlier state, or to another history.
    GoesBack,
    /// Half of the calls edit roles, which keys have; with the faults of [`Rough`](Self::Rough).
    Roles,
    /// The same with those of [`GoesBack`](Self::GoesBack).
    RolesGoBack,
    /// Stores count uses, and mirror them.
    Counts,
}

impl Course {
    /// How long a run has faults and calls, and how long it then has to come to rest, in seconds.
    pub(super) fn length(self) -> (u64, u64) {
        match self {
            Self::Storm => (10, 20),
            Self::GoesBack | Self::RolesGoBack => (45, 80),
            Self::Rotators => (90, 60),
            // Counts are written each half minute, and sent again after another one.
            Self::Counts => (60, 150),
            Self::Rough | Self::Roles | Self::Away | Self::Smooth | Self::Unreadable => (45, 60),
        }
    }

    /// Whether calls edit roles. Other courses draw no random number for that, so that their seeds stay what they are.
    pub(super) fn edits_roles(self) -> bool {
        matches!(self, Self::Roles | Self::RolesGoBack)
    }
}

impl Plan {
    pub(super) const ALL: Self = Self { safeguards: Safeguards::ALL, course: Course::Rough };
}

/// The faults of a run. Spans are means in seconds, and infinite for what does not happen.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    /// The longest way of a message to the engine, for each machine.
    pub(super) way: Vec<f64>,
    /// The share of messages that get lost on either way.
    pub(super) loss: f64,
    /// The share of calls that the engine refuses.
    pub(super) refusals: f64,
    /// The share of messages that are held up, perhaps until long after the caller has given up.
    pub(super) held_up: f64,
    /// The share of wake-ups that do not come.
    pub(super) lost_wakes: f64,
    /// The share of waits that end for no reason.
    pub(super) false_wakes: f64,
    /// The share of glances that a former primary answers.
    pub(super) former: f64,
    /// The share of reads of a replica that fail.
    pub(super) unreadable: f64,
    pub(super) between_isolations: f64,
    pub(super) between_pauses: f64,
    pub(super) between_restarts: f64,
    /// Wrong marks of presences.
    pub(super) between_marks: f64,
    pub(super) between_jumps: f64,
    pub(super) between_trims: f64,
    /// Times at which the engine is full.
    pub(super) between_full: f64,
    pub(super) between_returns: f64,
    /// The pause of a caller between two calls.
    pub(super) between_calls: f64,
    /// The share of restarts that are kills.
    pub(super) kills: f64,
}

pub(super) const NEVER: f64 = f64::INFINITY;

impl Faults {
    pub(super) fn none(machines: usize) -> Self {
        Self {
            way: vec![0.001; machines],
            loss: 0.0,
            refusals: 0.0,
            held_up: 0.0,
            lost_wakes: 0.0,
            false_wakes: 0.0,
            former: 0.0,
            unreadable: 0.0,
            between_isolations: NEVER,
            between_pauses: NEVER,
            between_restarts: NEVER,
            between_marks: NEVER,
            between_jumps: NEVER,
            between_trims: NEVER,
            between_full: NEVER,
            between_returns: NEVER,
            between_calls: 1.5,
            kills: 0.0,
        }
    }

    pub(super) fn random(random: &mut Random, machines: usize, course: Course) -> Self {
        let mut way = |ways: &[f64]| (0..machines).map(|_| ways[random.below(ways.len())]).collect::<Vec<_>>();
        match course {
            Course::Smooth => Self { way: way(&[0.0005, 0.01]), ..Self::none(machines) },
            Course::Storm => {
                let mut way = way(&[0.005, 0.01]);
                way[0] = 0.1;
                Self { way, between_calls: 0.01, ..Self::none(machines) }
            }
            Course::Unreadable => {
                let way = way(&[0.0005, 0.01]);
                Self {
                    way,
                    loss: 0.02,
                    unreadable: 0.1,
                    between_restarts: 25.0,
                    between_calls: 0.5,
                    ..Self::none(machines)
                }
            }
            Course::Rotators => {
                let way = way(&[0.0005, 0.01]);
                Self { way, held_up: 0.3, between_pauses: 4.0, between_calls: 6.0, ..Self::none(machines) }
            }
            Course::Away => {
                let way = way(&[0.0005, 0.01]);
                let (between_isolations, between_restarts) = (6.0, 8.0);
                Self {
                    way,
                    between_isolations,
                    between_restarts,
                    kills: 0.5,
                    between_calls: 0.5,
                    ..Self::none(machines)
                }
            }
            Course::Rough | Course::GoesBack | Course::Roles | Course::RolesGoBack | Course::Counts => {
                let way = way(&[0.0005, 0.005, 0.05]);
                let mut one_of = |values: &[f64]| values[random.below(values.len())];
                let counts = course == Course::Counts;
                let goes_back = matches!(course, Course::GoesBack | Course::RolesGoBack);
                Self {
                    way,
                    loss: one_of(&[0.0, 0.01, 0.1]),
                    refusals: one_of(&[0.0, 0.02, 0.15]),
                    held_up: one_of(if counts { &[0.0, 0.15, 0.4] } else { &[0.0, 0.03, 0.15] }),
                    lost_wakes: one_of(&[0.0, 0.3, 1.0]),
                    false_wakes: one_of(&[0.0, 0.1]),
                    former: one_of(&[0.0, 0.5]),
                    unreadable: 0.0,
                    between_isolations: one_of(&[NEVER, 30.0]),
                    between_pauses: one_of(&[NEVER, 15.0]),
                    between_restarts: one_of(if counts { &[8.0, 15.0] } else { &[NEVER, 12.0, 25.0] }),
                    between_marks: one_of(&[NEVER, 10.0]),
                    between_jumps: one_of(&[NEVER, 25.0]),
                    between_trims: one_of(&[NEVER, 10.0]),
                    between_full: one_of(&[NEVER, NEVER, 40.0]),
                    between_returns: if goes_back { 25.0 } else { NEVER },
                    between_calls: one_of(&[0.3, 1.5]),
                    kills: one_of(if counts { &[0.0, 0.5, 0.9] } else { &[0.3, 0.7] }),
                }
            }
        }
    }
}

/// What a run has had, so that it is not empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(pub(super) BTreeMap<&'static str, u64>);

impl Counts {
    pub(super) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(super) fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub(super) fn add(&mut self, name: &'static str, number: u64) {
        *self.0.entry(name).or_default() += number;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (name, number) in &other.0 {
            self.add(name, *number);
        }
    }
}
