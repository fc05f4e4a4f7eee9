//! What histories had, together.

use std::collections::BTreeMap;
use std::fmt;

use super::check::Counts;

#[derive(Default)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// Those inside a barrier, by their kinds.
    pub(super) faults: BTreeMap<&'static str, usize>,
    pub(super) runs: usize,
    /// Runs without a change that waited for the other nodes while something was wrong: they prove nothing.
    pub(super) idle: usize,
    pub(super) replicas: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.runs += other.runs;
        self.idle += other.idle;
        self.replicas += other.replicas;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, faults, runs, idle, replicas } = self;
        write!(
            f,
            "{} runs with a fault inside a barrier, and {idle} without one; {} faults {faults:?}; verifications: {} accepted, {} \
             refused, {} unavailable; changes: {} acknowledged, {} failed; {} late accepts, {} wrong refusals, {} lost changes, \
             {} other differences; {} keys uncertain after a fork; {replicas} replicas compared by their bytes",
            runs - idle,
            faults.values().sum::<usize>(),
            counts.accepted,
            counts.refused,
            counts.unavailable,
            counts.acknowledged,
            counts.failed,
            counts.late,
            counts.wrongly_refused,
            counts.lost,
            counts.broken,
            counts.uncertain,
        )
    }
}
