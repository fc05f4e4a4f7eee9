//! What do many nodes ask of an engine, without changes and for a revocation, and how long does that take?
//!
//! `cargo bench -p apikey-ledger-bench --bench sizes -- 1 3 10 30`: so many nodes in this process, each with a name, its threads and
//! its connections, on PostgreSQL of this machine: alone, and with a synchronous standby; `-- etcd 1 3 10 30`: on three members of
//! etcd. The calls are counted by kind. The simulation `apikey-core/src/cluster/simulation/sizing/` counts the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Cluster, Entry, Fence, Ledger, LedgerResult, Logged, Look, Piece, Position,
    Reserved, Sight, Standing, Step, Swap, Tally, Woken,
};
use apikey_core::{KeyStore, NewKey};
use apikey_ledger_bench::{Engine, of_this_process, on_each, percentiles};

/// How long the nodes have nothing to do.
const IDLE: Duration = Duration::from_secs(30);
const REVOCATIONS: usize = 200;
/// From one revocation to the next, so that each is alone.
const BETWEEN: Duration = Duration::from_millis(200);
/// A span without calls that no revocation makes.
const SETTLED: Duration = Duration::from_secs(5);

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1, 3, 10, 30] } else { sizes };
    on_each(|engine| {
        for nodes in &sizes {
            measure(engine, *nodes);
        }
    });
}

fn measure(engine: &dyn Engine, nodes: usize) {
    let name = engine.name();
    let counts = Arc::new(Counts::default());
    let open = |number: usize| {
        let ledger = Counted { ledger: engine.ledger(&format!("sizes{nodes}")), counts: counts.clone() };
        KeyStore::builder().cluster(Cluster::new(ledger).name(format!("node{number}"))).temporary().unwrap()
    };
    let stores: Vec<KeyStore> = (0..nodes).map(open).collect();
    let created = stores[0].create_many((0..REVOCATIONS).map(|_| NewKey::for_owner("alice"))).unwrap();
    std::thread::sleep(SETTLED);
    let idle = Taken::begin(engine, &counts);
    std::thread::sleep(IDLE);
    let idle = idle.end(engine, &counts);
    println!("{name}, nodes: {nodes}, a second without changes: {}", idle.of(IDLE.as_secs_f64()));
    let begun = (Instant::now(), Taken::begin(engine, &counts));
    let mut times = Vec::new();
    for (number, key) in created.iter().enumerate() {
        let due = begun.0 + BETWEEN * u32::try_from(number).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let called = Instant::now();
        assert!(stores[number % nodes].revoke(key.info.id(), "bench").unwrap());
        times.push(called.elapsed());
    }
    std::thread::sleep(BETWEEN);
    let (span, taken) = (begun.0.elapsed(), begun.1.end(engine, &counts));
    let without = span.as_secs_f64() / IDLE.as_secs_f64();
    let more = taken.less(&idle, without);
    let (p50, p99) = percentiles(times);
    let bare = bare_writes(engine);
    println!(
        "{name}, nodes: {nodes}, a revocation: p50 {p50:.1?}, p99 {p99:.1?}; a bare write: p50 {:.1?}, p99 {:.1?}; {:.2}x; {}",
        bare.0,
        bare.1,
        p50.as_secs_f64() / bare.0.as_secs_f64(),
        more.of(REVOCATIONS as f64)
    );
}

/// The median and the 99th percentile of writes of as many bytes as a revocation has, while the nodes have nothing to do.
fn bare_writes(engine: &dyn Engine) -> (Duration, Duration) {
    let mut write = engine.bare_writer();
    let times = (0..REVOCATIONS).map(|_| {
        std::thread::sleep(BETWEEN / 10);
        let begun = Instant::now();
        write(&[7; 600]);
        begun.elapsed()
    });
    percentiles(times.collect())
}

/// What was done so far, or in a span.
struct Taken {
    calls: [f64; KINDS.len()],
    /// What the engine counts, and what that is.
    counted: (f64, &'static str),
    engine: f64,
    nodes: f64,
}

impl Taken {
    fn begin(engine: &dyn Engine, counts: &Counts) -> Self {
        let (counted, what) = engine.count();
        Self {
            calls: std::array::from_fn(|kind| counts.0[kind].load(Ordering::Relaxed) as f64),
            counted: (counted as f64, what),
            engine: engine.cpu().as_secs_f64(),
            nodes: of_this_process().as_secs_f64(),
        }
    }

    fn end(self, engine: &dyn Engine, counts: &Counts) -> Self {
        Self::begin(engine, counts).less(&self, 1.0)
    }

    fn less(&self, other: &Self, times: f64) -> Self {
        Self {
            calls: std::array::from_fn(|kind| self.calls[kind] - other.calls[kind] * times),
            counted: (self.counted.0 - other.counted.0 * times, self.counted.1),
            engine: self.engine - other.engine * times,
            nodes: self.nodes - other.nodes * times,
        }
    }

    /// What each of so many has of it.
    fn of(&self, count: f64) -> String {
        let calls = KINDS.iter().zip(self.calls).map(|(kind, calls)| format!("{kind} {:.2}", calls / count));
        let calls: Vec<String> = calls.collect();
        format!(
            "{} {:.1}, CPU of the engine {:.2} ms, of the nodes {:.2} ms; calls {:.2}: {}",
            self.counted.1,
            self.counted.0 / count,
            self.engine / count * 1e3,
            self.nodes / count * 1e3,
            self.calls.iter().sum::<f64>() / count,
            calls.join(", ")
        )
    }
}

const KINDS: [&str; 13] = [
    "look", "sight", "append", "read", "wait", "cells", "glance", "note", "swap", "advance", "tally", "tallies",
    "reserve",
];

#[derive(Default)]
struct Counts([AtomicU64; KINDS.len()]);

/// A ledger that counts the calls of a node.
struct Counted {
    ledger: Box<dyn Ledger>,
    counts: Arc<Counts>,
}

impl Counted {
    fn count(&self, kind: &str) -> &dyn Ledger {
        let kind = KINDS.iter().position(|of| *of == kind).unwrap();
        self.counts.0[kind].fetch_add(1, Ordering::Relaxed);
        &*self.ledger
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

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        self.count("tally").tally(generation, tallies, by)
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        self.count("tallies").tallies(generation, begins, by)
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        self.ledger.forget_tallies(generation, from, to, by)
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        self.count("reserve").reserve(generation, swaps, by)
    }

    fn close(&self) {
        self.ledger.close();
    }
}
