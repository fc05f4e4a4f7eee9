//! The servers of an engine, and what goes wrong with them.

mod etcd;
mod postgres;

use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use apikey_core::cluster::Ledger;

use super::faults::ServerFault;
use super::messages::Engine;

pub(super) use self::etcd::QUOTA;

/// What the nodes of a history call their cluster.
pub(super) const NAMESPACE: &str = "processes";

/// The servers of an engine. Each is at a place, which the nodes name in their connection.
pub(super) trait Servers: Send {
    /// The port of the server at each place; 0 for none.
    fn places(&self) -> &[Arc<AtomicU16>];

    /// The place of the server that takes changes.
    fn leader(&self) -> usize;

    /// How a node connects that reaches the places at these ports.
    fn connection(&self, ports: &[u16]) -> String;

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

pub(super) fn start(engine: Engine) -> Box<dyn Servers> {
    match engine {
        Engine::Postgres => Box::new(postgres::Servers::start()),
        Engine::Etcd => Box::new(etcd::Servers::start()),
    }
}
