//! What a simulation counts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::simulation::sizing::engine::Call;

#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    calls: BTreeMap<Call, u64>,
    rows: BTreeMap<Call, u64>,
    /// Nodes that a notification has woken.
    pub(super) woken: u64,
    /// Revocations.
    pub(super) begun: u64,
    /// How long each has waited that has returned.
    pub(super) waits: Vec<Duration>,
    /// Those that returned because the bound was over.
    pub(super) waited_out: u64,
    /// Those that were not appended in time.
    pub(super) failed: u64,
    /// Appends for which another node was first.
    pub(super) lost: u64,
    /// Looks without an answer in time.
    pub(super) unanswered: u64,
    /// Looks that came after the gate of their node had closed.
    pub(super) closed: u64,
    /// The number of the event at which the state stands.
    pub(super) state: u64,
}

impl Counts {
    pub(super) fn called(&mut self, call: Call, rows: usize) {
        *self.calls.entry(call).or_default() += 1;
        *self.rows.entry(call).or_default() += rows as u64;
    }

    pub(super) fn passed(&mut self, waits: Duration, is_waited_out: bool) {
        self.waits.push(waits);
        self.waited_out += u64::from(is_waited_out);
    }

    pub(super) fn of(&self, call: Call) -> u64 {
        self.calls.get(&call).copied().unwrap_or_default()
    }

    /// The rows of the answers of a kind.
    pub(super) fn rows_of(&self, call: Call) -> u64 {
        self.rows.get(&call).copied().unwrap_or_default()
    }

    /// The time in which this share of the revocations has returned.
    pub(super) fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits.get(waits.len() * percent / 100).copied()
    }
}
