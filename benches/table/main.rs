//! What does a verification cost, against the same check written by hand, and against what else there is?
//!
//! `cargo bench -p apikey-bench --bench table` prints the table of docs/reference/performance.md, with its goals. It needs about
//! five minutes, 8 GB of memory and 2 GB of disk under `TMPDIR`. `-- plot FILE` writes the plot, too; Cargo runs a bench in
//! its package's directory, so that of the documentation is `../docs/reference/performance.svg`.
//!
//! `-- durable` times durable changes alone, `-- axum` a guarded handler over a thousand keys; `-- quick` leaves out
//! everything above a thousand keys; `-- index` times a million keys in the index alone; `-- open DIRECTORY` only opens a
//! store with a million keys, which it creates there if it is missing; `-- large DIRECTORY MILLIONS` creates a store of
//! many millions there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench that fails shall stop"
)]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "nobody else uses this")]

mod baseline;
mod dependent_loads;
mod durable;
mod group;
mod http;
mod large;
mod memory;
mod peers;
mod plot;
mod report;
mod speed;
mod threads;
mod writes;

use std::path::Path;

use apikey::KeyStore;

use crate::report::Report;

const MILLION: usize = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == memory::CHILD) {
        return memory::child(&arguments[at + 1], &arguments[at + 2]);
    }
    if arguments.iter().any(|argument| argument == "index") {
        let mut report = Report::default();
        speed::index_only(MILLION, &mut report, &mut plot::Plot::default());
        speed::last_use(MILLION, &mut report);
        return report.print();
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "open") {
        let mut report = Report::default();
        let path = Path::new(&arguments[at + 1]);
        if !path.exists() {
            apikey_bench::fill(&KeyStore::open(path).unwrap(), MILLION);
        }
        memory::measure(path, MILLION, 3, &mut report);
        return report.print();
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "large") {
        let mut report = Report::default();
        large::measure(Path::new(&arguments[at + 1]), arguments[at + 2].parse().unwrap(), &mut report);
        return report.print();
    }
    if arguments.iter().any(|argument| argument == "axum") {
        let mut report = Report::default();
        let store = KeyStore::temporary().unwrap();
        let tokens = apikey_bench::fill(&store, 1_000);
        http::measure(speed::Case::new(&store, &tokens), 1_000, &mut report);
        return report.print();
    }
    if arguments.iter().any(|argument| argument == "durable") {
        let mut report = Report::default();
        durable::measure(&mut report);
        return report.print();
    }
    let quick = arguments.iter().any(|argument| argument == "quick");
    let plot_file = arguments.iter().position(|argument| argument == "plot").map(|at| &arguments[at + 1]);
    let (mut report, mut plot) = (Report::default(), plot::Plot::default());
    speed::thousand(&mut report, &mut plot);
    threads::measure(&mut report);
    if !quick {
        speed::between(&mut plot);
        report::section("1,000,000 keys: creates the store");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.db");
        let store = KeyStore::open(&path).unwrap();
        let tokens = apikey_bench::fill(&store, MILLION);
        store.close().unwrap();
        drop(store);
        memory::measure(&path, MILLION, 3, &mut report);
        report::section("1,000,000 keys");
        let store = KeyStore::open(&path).unwrap();
        let case = speed::Case::new(&store, &tokens);
        speed::million(&case, &tokens, &mut report, &mut plot);
        writes::measure(&store, &apikey_bench::Tokens::shuffled(&tokens), &mut report);
        drop(tokens);
        http::measure(case, MILLION, &mut report);
        drop(store);
        speed::last_use(MILLION, &mut report);
        speed::index_only(10 * MILLION, &mut report, &mut plot);
        if let Some(file) = plot_file {
            plot.write(Path::new(file));
        }
    }
    report.row("allocations in a verification", "see `cargo test -p apikey-behaviour --test allocations`", "0", "0");
    durable::measure_apart(&mut report);
    report.print();
}
