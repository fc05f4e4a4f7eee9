//! The servers of an engine, and what goes wrong with them.

mod etcd;
mod postgres;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use apikey_cluster_tests::Host;
use apikey_core::cluster::Ledger;

use super::faults::ServerFault;
use super::messages::Engine;

pub(super) use self::etcd::QUOTA;

/// How many places there are.
pub(super) const PLACES: usize = 3;
/// What the nodes of a history call their cluster.
pub(super) const NAMESPACE: &str = "processes";

/// The servers of an engine. Each is at a place, which the nodes name in their connection.
pub(super) trait Servers: Send {
    /// The port of the server at each place; 0 for none.
    fn places(&self) -> &[Arc<AtomicU16>];

    /// The port of the server at a place, if one is there.
    fn place(&self, place: usize) -> Option<u16> {
        Some(self.places()[place].load(Ordering::Relaxed)).filter(|port| *port != 0)
    }

    /// The place of the server that takes changes.
    fn leader(&self) -> usize;

    /// How a node connects that reaches the places at these addresses.
    fn connection(&self, addresses: &[String]) -> String;

    /// The ledger of the nodes, past all that is wrong with their network.
    fn ledger(&self) -> Box<dyn Ledger>;

    /// Copies what the servers have, while they run.
    fn take_snapshot(&mut self);

    /// Ends all servers, and brings them back with what the snapshot has.
    fn set_back(&mut self);

    /// Does it, and undoes it as far as it is undone at all.
    fn happen(&mut self, fault: ServerFault);
}

/// What becomes of the primary at a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Former {
    /// It is killed, and does not come back.
    Gone,
    /// It is killed, and starts again as a primary.
    ComesBack,
    /// It stands still, and goes on as a primary.
    Paused,
    /// It runs on as a primary.
    RunsOn,
}

/// Starts them, each on the host of its place.
pub(super) fn start(engine: Engine, hosts: &[Host]) -> Box<dyn Servers> {
    match engine {
        Engine::Postgres => Box::new(postgres::Servers::start(hosts)),
        Engine::Etcd => Box::new(etcd::Servers::start(hosts)),
    }
}
