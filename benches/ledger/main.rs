//! What does an append to the log of a cluster cost, against a bare write of the same bytes to the same engine?
//!
//! `cargo bench -p apikey-ledger-bench --bench ledger`: PostgreSQL on this machine, which writes to the disk, alone and with a
//! synchronous standby; `-- etcd`: three members of etcd. Appends and bare writes (an insert, a put) take turns, each from one
//! thread that waits for its answer.

#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]

use std::time::{Duration, Instant};

use apikey_core::cluster::{Appended, Entry, Position};
use apikey_engine::conformance::op;
use apikey_ledger_bench::{Engine, on_each, percentiles};

/// Appends, and bare writes, of each size; of large ones a tenth.
const TIMES: usize = 2_000;

fn main() {
    println!("{TIMES} appends and bare writes of each size, {} of large ones; in microseconds", TIMES / 10);
    println!(
        "{:<24} {:>7} {:>15} {:>15} {:>15} {:>15} {:>6}",
        "engine", "bytes", "bare p50", "append p50", "bare p99", "append p99", "ratio"
    );
    on_each(run);
}

fn run(engine: &dyn Engine) {
    let ledger = engine.ledger("bench");
    let mut write = engine.bare_writer();
    for (generation, size) in [(1_u64, 1 << 10), (2, 16 << 10), (3, 256 << 10)] {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at.wrapping_mul(at) >> 5).to_le_bytes()[0]).collect();
        assert!(ledger.begin(generation, &Position::default(), soon()).unwrap());
        let times = if size > 100_000 { TIMES / 10 } else { TIMES };
        let (mut bare, mut appends) = (Vec::new(), Vec::new());
        let mut base = Position::default();
        for number in 0..times as u64 + 50 {
            let last = Position { number: number + 1, digest: [generation.to_le_bytes()[0]; 32] };
            let entry = Entry { generation, op: op(), base, last, bytes: &bytes };
            let begun = Instant::now();
            assert_eq!(ledger.append(&entry, None, soon()).unwrap(), Appended::Here);
            let appended = begun.elapsed();
            let begun = Instant::now();
            write(&bytes);
            let written = begun.elapsed();
            base = last;
            // The first ones connect, and prepare statements.
            if number >= 50 {
                appends.push(appended);
                bare.push(written);
            }
        }
        let (bare, append) = (percentiles(bare), percentiles(appends));
        println!(
            "{:<24} {size:>7} {:>15} {:>15} {:>15} {:>15} {:>5.2}x",
            engine.name(),
            bare.0.as_micros(),
            append.0.as_micros(),
            bare.1.as_micros(),
            append.1.as_micros(),
            append.0.as_secs_f64() / bare.0.as_secs_f64()
        );
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
