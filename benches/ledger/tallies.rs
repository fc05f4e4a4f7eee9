//! What do the counts of all nodes take in the engine, and how long does it take to write and to read them?
//!
//! `cargo bench -p apikey-ledger-bench --bench tallies`: three nodes with a thousand owners each, whose rows of a day are written
//! for the first time and then again and again, as when each owner calls in each half minute; on PostgreSQL alone and with a
//! synchronous standby; `-- etcd`: on three members of etcd.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::time::{Duration, Instant};

use apikey_core::cluster::{Ledger, Tally};
use apikey_ledger_bench::{Engine, on_each, percentiles};

const NODES: u64 = 3;
const OWNERS: u64 = 1_000;
/// The rows of an owner on a node: its hours of a day, its days, and the sum of all time; and the bytes of their values, if
/// something was counted in each hour of the day, and on each of 32 days.
const ROWS: [(u8, usize); 3] = [(2, 24 * 5 + 9), (3, 32 * 5 + 9), (4, 17)];
/// How often each row is written once it is there.
const AGAIN: u32 = 20;

fn main() {
    on_each(|engine| run(engine, &*engine.ledger("bench")));
}

fn run(engine: &dyn Engine, ledger: &dyn Ledger) {
    let _ = ledger.sight(1, soon()).unwrap();
    let rows = NODES * OWNERS * ROWS.len() as u64;
    let each = |bytes: u64, rows: u64| bytes as f64 / rows as f64;
    let empty = engine.space_after_cleaning();
    let mut times = write(ledger, 1);
    let first = engine.space_after_cleaning();
    (0..AGAIN).for_each(|time| times.extend(write(ledger, time)));
    let (later, cleaned) = (engine.space(), engine.space_after_cleaning());
    let (p50, p99) = percentiles(times);
    println!(
        "{}: {rows} rows take {:.0} bytes each; after {AGAIN} more writes of each {:.0}, and {:.0} once what was replaced is gone; \
         a write more takes {:.0} until then; a call with {} rows: p50 {p50:.1?}, p99 {p99:.1?}",
        engine.name(),
        each(first - empty, rows),
        each(later - empty, rows),
        each(cleaned - empty, rows),
        each(later.saturating_sub(first), rows * u64::from(AGAIN)),
        Tally::MAX,
    );
    let mut times = Vec::new();
    for owner in 0..OWNERS {
        // By the hour for 14 days and of all time.
        let begins: Vec<_> = (0..15).map(|day| name(2, 20_000 + day, owner)).chain([name(4, 0, owner)]).collect();
        let begins: Vec<&[u8]> = begins.iter().map(Vec::as_slice).collect();
        let begun = Instant::now();
        assert_eq!(ledger.tallies(1, &begins, soon()).unwrap().len() as u64, 2 * NODES);
        times.push(begun.elapsed());
    }
    let (p50, p99) = percentiles(times);
    let begun = Instant::now();
    ledger.forget_tallies(1, &[2], &[3], soon()).unwrap();
    let (deleted, span) = (NODES * OWNERS, begun.elapsed());
    println!("{}: a report: p50 {p50:.1?}, p99 {p99:.1?}; {deleted} rows are deleted in {span:.1?}", engine.name());
}

/// Writes each row, and returns how long the calls took.
fn write(ledger: &dyn Ledger, time: u32) -> Vec<Duration> {
    let mut rows = Vec::new();
    for node in 0..NODES {
        for owner in 0..OWNERS {
            for (span, bytes) in ROWS {
                let name =
                    [name(span, if span == 2 { 20_000 } else { 0 }, owner), node.to_be_bytes().to_vec()].concat();
                // Counts do not compress.
                let value =
                    (0..bytes).map(|at| (at as u64 * at as u64 * 31 + owner * 7 + u64::from(time)).to_le_bytes()[0]);
                rows.push(Tally { name, value: value.collect() });
            }
        }
    }
    let call = |rows: &[Tally]| {
        let begun = Instant::now();
        ledger.tally(1, rows, soon()).unwrap();
        begun.elapsed()
    };
    rows.chunks(Tally::MAX).map(call).collect()
}

/// How the names of an owner's rows begin.
fn name(span: u8, number: u32, owner: u64) -> Vec<u8> {
    let digest = u128::from(owner).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    [&[span][..], &number.to_be_bytes(), b"o", &digest.to_be_bytes()].concat()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
