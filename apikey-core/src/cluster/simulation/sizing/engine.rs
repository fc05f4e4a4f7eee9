//! An engine with a finite capacity: some cores, which do one call after the other, and a disk for which commits wait.

use std::time::Duration;

/// What a call of a node costs, in microseconds: measured on PostgreSQL 15 by
///
/// `cargo bench -p apikey-ledger-bench --bench calls`
///
/// Its columns are `engine`, `node` and the latency of a call that is alone; `waits` is what is left of the latency. Put in the
/// figures of an engine of your own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// CPU time of the engine.
    pub(super) engine: f64,
    /// CPU time of the node that calls.
    pub(super) node: f64,
    /// What the caller waits beyond both: for the disk, the standby, and other threads.
    pub(super) waits: f64,
    /// CPU time of the engine and of the node for each row of the answer, or for each session that is notified.
    pub(super) row: (f64, f64),
}

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Look,
    Sight,
    Append,
    /// The notification behind an append; its rows are the sessions that listen.
    Notify,
    /// A read of the log that finds nothing; its rows are the entries that it finds.
    Read,
    /// The head that a wait reads before it sleeps.
    Wait,
    /// An exact list; its rows are cells.
    Cells,
    Glance,
    Note,
    Advance,
}

impl Call {
    pub(super) const ALL: [Self; 10] = [
        Self::Look,
        Self::Sight,
        Self::Append,
        Self::Notify,
        Self::Read,
        Self::Wait,
        Self::Cells,
        Self::Glance,
        Self::Note,
        Self::Advance,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Sight => "sight",
            Self::Append => "append",
            Self::Notify => "notify",
            Self::Read => "read",
            Self::Wait => "wait",
            Self::Cells => "cells",
            Self::Glance => "glance",
            Self::Note => "note",
            Self::Advance => "advance",
        }
    }
}

/// The costs of all calls on one kind of server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    pub(super) name: &'static str,
    /// In the order of [`Call::ALL`].
    pub(super) calls: [Cost; 10],
    /// CPU time in which a node applies an entry.
    pub(super) apply: f64,
    /// CPU time in which a node is woken.
    pub(super) wake: f64,
}

/// A call of a node comes alone, in a session that has slept, and costs more than one in a row of its kind: with 3, 10 and 30
/// nodes the CPU time of the server is 1.2 to 2 times what the calls cost in a row (`cargo bench -p apikey-ledger-bench --bench
/// sizes`).
pub(super) const ALONE: f64 = 1.5;

const fn cost(engine: f64, node: f64, waits: f64, row: (f64, f64)) -> Cost {
    Cost { engine, node, waits, row }
}

/// A server that never fails over (`.single()`).
pub(super) const SINGLE: Costs = Costs {
    name: "alone",
    calls: [
        cost(640.0, 330.0, 5300.0, (0.0, 0.0)),
        cost(62.0, 58.0, 0.0, (0.0, 0.0)),
        cost(483.0, 216.0, 3995.0, (0.0, 0.0)),
        cost(0.0, 0.0, 0.0, (54.6, 0.0)),
        cost(217.0, 90.0, 0.0, (25.0, 1.5)),
        cost(41.0, 46.0, 0.0, (0.0, 0.0)),
        cost(38.0, 63.0, 0.0, (0.72, 0.67)),
        cost(45.0, 64.0, 0.0, (0.83, 0.74)),
        cost(95.0, 51.0, 0.0, (0.0, 0.0)),
        cost(498.0, 158.0, 3424.0, (0.0, 0.0)),
    ],
    apply: 100.0,
    wake: 15.0,
};

/// A server whose every commit waits for a standby.
pub(super) const STANDBY: Costs = Costs {
    name: "with a standby",
    calls: [
        cost(585.0, 227.0, 4172.0, (0.0, 0.0)),
        cost(578.0, 207.0, 6196.0, (0.0, 0.0)),
        cost(800.0, 257.0, 7437.0, (0.0, 0.0)),
        cost(0.0, 0.0, 0.0, (48.2, 0.0)),
        cost(260.0, 102.0, 0.0, (43.0, 29.0)),
        cost(53.0, 60.0, 0.0, (0.0, 0.0)),
        cost(563.0, 215.0, 7000.0, (0.65, 0.59)),
        cost(42.0, 53.0, 0.0, (0.54, 0.37)),
        cost(101.0, 63.0, 0.0, (0.0, 0.0)),
        cost(552.0, 162.0, 3273.0, (0.0, 0.0)),
    ],
    apply: 100.0,
    wake: 15.0,
};

/// The engine: cores that take calls in the order in which they come.
#[derive(Debug)]
pub(super) struct Engine {
    /// When each core is free.
    cores: Vec<Duration>,
    /// When the row of the log's head is free: an append has it until its commit.
    head: Duration,
    /// The time that the cores have worked.
    pub(super) worked: Duration,
}

impl Engine {
    pub(super) fn new(cores: usize) -> Self {
        Self { cores: vec![Duration::ZERO; cores], head: Duration::ZERO, worked: Duration::ZERO }
    }

    /// Works for so many microseconds, and returns when that is done.
    pub(super) fn work(&mut self, now: Duration, micros: f64) -> Duration {
        let span = Duration::from_secs_f64(micros / 1e6);
        let core = self.cores.iter_mut().min().unwrap();
        *core = (*core).max(now) + span;
        self.worked += span;
        *core
    }

    /// Appends: the work, and then the commit, one after the other.
    pub(super) fn append(&mut self, now: Duration, micros: f64, waits: f64) -> Duration {
        let done = self.work(now, micros).max(self.head) + Duration::from_secs_f64(waits / 1e6);
        self.head = done;
        done
    }
}
