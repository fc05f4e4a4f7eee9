//! The engines that the benches of clusters run on, each with servers of its own on this machine; CPU time and percentiles.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a bench that fails shall stop, and nobody else uses this"
)]

mod etcd;
mod measure;
mod postgres;

use std::time::Duration;

use apikey_core::cluster::{Cluster, Ledger};

use crate::etcd::EtcdServers;
use crate::postgres::PostgresServers;
pub use measure::{of_this_process, percentiles};

/// Writes bytes, and returns when they are durable.
pub type Writer = Box<dyn FnMut(&[u8])>;

/// An engine of clusters, whose servers write to the disk and end when this is dropped.
pub trait Engine {
    /// The engine, and how its servers stand to each other.
    fn name(&self) -> &'static str;

    fn ledger(&self, namespace: &str) -> Box<dyn Ledger>;

    fn cluster(&self, namespace: &str) -> Cluster;

    /// A baseline: writes bytes under a new key with the client library that the ledger uses, from the thread that calls, and
    /// returns when they are durable.
    fn bare_writer(&self) -> Writer;

    /// The processes whose CPU time counts.
    fn processes(&self) -> Vec<u32>;

    /// What it has done so far, as it counts itself, and what that is.
    fn count(&self) -> (u64, &'static str);

    /// Does what it does by itself after a while.
    fn tidy(&self) {}

    /// Gives up what was replaced or deleted, and returns the bytes that it holds.
    fn space_after_cleaning(&self) -> u64;

    /// The bytes that it holds.
    fn space(&self) -> u64;

    /// The CPU time so far of its processes.
    fn cpu(&self) -> Duration {
        measure::of_processes(&self.processes())
    }
}

/// Starts the engine that the arguments of this program name: three members of `etcd`, or else PostgreSQL with a synchronous
/// standby.
#[must_use]
pub fn start() -> Box<dyn Engine> {
    if is_etcd() { Box::new(EtcdServers::start()) } else { Box::new(PostgresServers::start_with_standby()) }
}

/// Runs with the engine that the arguments of this program name: three members of `etcd`, or else PostgreSQL alone, and then with
/// a synchronous standby.
pub fn on_each(run: impl Fn(&dyn Engine)) {
    if !is_etcd() {
        run(&PostgresServers::start_alone());
    }
    run(&*start());
}

fn is_etcd() -> bool {
    std::env::args().any(|argument| argument == "etcd")
}
