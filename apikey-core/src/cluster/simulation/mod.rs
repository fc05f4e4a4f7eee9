//! Simulations of a cluster: many short runs in virtual time, each from a seed, with every fault that the protocol is to
//! stand.
//!
//! `protocol/` has nodes whose replica is a number and whose ledger is asynchronous: they take the steps of
//! [`crate::cluster::protocol`], as the threads of a node do. Each field of `Safeguards` and of `Practice` is turned off in
//! a test, which must find a node that serves without a change that holds everywhere.
//!
//! `sizing/` has up to a thousand light nodes on an engine that takes time for each call, and counts what they ask of it.
//!
//! `stores/` has whole nodes: real stores, whose threads are tasks of a scheduler, on a ledger with faults.
//!
//! `APIKEY_SIMULATED_CASES=100000 cargo test --release -p apikey-core --features cluster simulation -- --nocapture` runs the
//! long form, and prints what it counted. `APIKEY_SIMULATED_CASE=7` replays one case, and prints what happens in it.

mod protocol;
mod random;
mod sizing;
mod stores;

/// The case that is replayed, with everything that happens in it printed: `APIKEY_SIMULATED_CASE` names its seed.
fn replayed() -> Option<u64> {
    static REPLAYED: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *REPLAYED.get_or_init(|| Some(std::env::var("APIKEY_SIMULATED_CASE").ok()?.parse().unwrap()))
}

/// How many cases a simulation makes, unless `APIKEY_SIMULATED_CASES` says otherwise.
fn cases(short: u64) -> u64 {
    std::env::var("APIKEY_SIMULATED_CASES").map_or(short, |cases| cases.parse().unwrap())
}
