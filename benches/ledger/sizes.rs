//! What do many nodes ask of PostgreSQL, without changes and for a revocation, and how long does that take?
//!
//! `cargo bench -p apikey-ledger-bench --bench sizes -- 3 10 30`: so many nodes in this process, each with a name, its threads and
//! its connections, on a server of this machine: alone, and with a synchronous standby. The calls are counted by kind. The simulation
//! `apikey-core/src/cluster/simulation/sizing/` counts the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apikey_cluster_tests::postgres::Server;
use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Cluster, Entry, Fence, Ledger, LedgerResult, Logged, Look, Piece, Position,
    Sight, Standing, Step, Woken,
};
use apikey_core::{KeyStore, NewKey};
use apikey_postgres::Postgres;

use crate::shared::{of_server, of_this_process, on_both, percentiles};

/// How long the nodes have nothing to do.
const IDLE: Duration = Duration::from_secs(30);
const REVOCATIONS: usize = 200;
/// From one revocation to the next, so that each is alone.
const BETWEEN: Duration = Duration::from_millis(200);
/// A span without calls that no revocation makes.
const SETTLED: Duration = Duration::from_secs(5);

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![3, 10, 30] } else { sizes };
    on_both(|name, server, single| {
        for nodes in &sizes {
            measure(name, server, single, *nodes);
        }
    });
}

fn measure(name: &str, server: &Server, single: bool, nodes: usize) {
    let counts = Arc::new(Counts::default());
    let open = |number: usize| {
        let ledger = Postgres::new(server.connection()).namespace(format!("sizes{nodes}"));
        let ledger = Counted { ledger: if single { ledger.single() } else { ledger }, counts: counts.clone() };
        KeyStore::builder().cluster(Cluster::new(ledger).name(format!("node{number}"))).temporary().unwrap()
    };
    let stores: Vec<KeyStore> = (0..nodes).map(open).collect();
    let created = stores[0].create_many((0..REVOCATIONS).map(|_| NewKey::for_owner("alice"))).unwrap();
    std::thread::sleep(SETTLED);
    let idle = Taken::begin(server, &counts);
    std::thread::sleep(IDLE);
    let idle = idle.end(server, &counts);
    println!("{name}, {nodes} nodes, a second without changes: {}", idle.of(IDLE.as_secs_f64()));
    let begun = (Instant::now(), Taken::begin(server, &counts));
    let mut times = Vec::new();
    for (number, key) in created.iter().enumerate() {
        let due = begun.0 + BETWEEN * u32::try_from(number).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let called = Instant::now();
        assert!(stores[number % nodes].revoke(key.info.id(), "bench").unwrap());
        times.push(called.elapsed());
    }
    std::thread::sleep(BETWEEN);
    let (span, taken) = (begun.0.elapsed(), begun.1.end(server, &counts));
    let without = span.as_secs_f64() / IDLE.as_secs_f64();
    let more = taken.less(&idle, without);
    let (p50, p99) = percentiles(times);
    println!("{name}, {nodes} nodes, a revocation: p50 {p50:.1?}, p99 {p99:.1?}; {}", more.of(REVOCATIONS as f64));
}

/// What was done so far, or in a span.
struct Taken {
    calls: [f64; KINDS.len()],
    commits: f64,
    server: f64,
    nodes: f64,
}

impl Taken {
    fn begin(server: &Server, counts: &Counts) -> Self {
        let commits =
            server.sql("SELECT pg_stat_clear_snapshot(), xact_commit FROM pg_stat_database WHERE datname = 'postgres'");
        Self {
            calls: std::array::from_fn(|kind| counts.0[kind].load(Ordering::Relaxed) as f64),
            commits: commits.trim_start_matches('|').parse().unwrap(),
            server: of_server(server).as_secs_f64(),
            nodes: of_this_process().as_secs_f64(),
        }
    }

    fn end(self, server: &Server, counts: &Counts) -> Self {
        Self::begin(server, counts).less(&self, 1.0)
    }

    fn less(&self, other: &Self, times: f64) -> Self {
        Self {
            calls: std::array::from_fn(|kind| self.calls[kind] - other.calls[kind] * times),
            commits: self.commits - other.commits * times,
            server: self.server - other.server * times,
            nodes: self.nodes - other.nodes * times,
        }
    }

    /// What each of so many has of it.
    fn of(&self, count: f64) -> String {
        let calls = KINDS.iter().zip(self.calls).map(|(kind, calls)| format!("{kind} {:.2}", calls / count));
        let calls: Vec<String> = calls.collect();
        format!(
            "transactions {:.1}, CPU of the server {:.2} ms, of the nodes {:.2} ms; calls {:.2}: {}",
            self.commits / count,
            self.server / count * 1e3,
            self.nodes / count * 1e3,
            self.calls.iter().sum::<f64>() / count,
            calls.join(", ")
        )
    }
}

const KINDS: [&str; 10] = ["look", "sight", "append", "read", "wait", "cells", "glance", "note", "swap", "advance"];

#[derive(Default)]
struct Counts([AtomicU64; KINDS.len()]);

/// A ledger that counts the calls of a node.
struct Counted {
    ledger: Postgres,
    counts: Arc<Counts>,
}

impl Counted {
    fn count(&self, kind: &str) -> &Postgres {
        let kind = KINDS.iter().position(|of| *of == kind).unwrap();
        self.counts.0[kind].fetch_add(1, Ordering::Relaxed);
        &self.ledger
    }
}

impl Ledger for Counted {
    fn name(&self) -> String {
        self.ledger.name()
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        self.count("sight").sight(generation, by)
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        self.count("look").look(generation, standing, by)
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        self.ledger.begin(generation, head, by)
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        self.count("append").append(entry, fence, by)
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        self.count("read").read(generation, after, max_bytes, by)
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        self.ledger.load(generation, by, take)
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        self.count("advance").advance(step, fence, by)
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        self.ledger.trim(generation, through, by)
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        self.count("wait").wait(generation, after, by)
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        self.count("cells").cells(generation, kinds, by)
    }

    fn glance(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        self.count("glance").glance(generation, kinds, by)
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        self.count("swap").swap(cell, old, new, by)
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        self.count("note").note(cell, value, by)
    }

    fn close(&self) {
        self.ledger.close();
    }
}
