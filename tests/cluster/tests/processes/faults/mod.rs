//! What goes wrong, by a seed.

mod node;
mod table;

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use apikey_cluster_tests::proxy::Traffic;

pub(super) use self::node::NodeFault;
pub(super) use self::table::{some, table};
use super::fixture::Fixture;
use super::messages::now;
use super::servers::Former;

/// A fault, and the name of its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: &'static str,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Node(usize, NodeFault),
    Servers(ServerFault),
    /// Each node is closed, and started as a newer version, which writes what those before it must not pass over.
    Upgrade,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ServerFault {
    KillLeader {
        down: Duration,
    },
    KillFollower {
        down: Duration,
    },
    KillAll {
        down: Duration,
    },
    PauseLeader(Duration),
    PauseFollower(Duration),
    /// It no longer reaches the other servers, or they do not reach it; nodes reach all.
    IsolateLeader(Traffic, Duration),
    IsolateFollower(Traffic, Duration),
    /// An operator ends all sessions of nodes.
    EndSessions,
    Promote(Former),
    MoveLeader,
    /// No space is left for so long.
    Full(Duration),
    Compact,
    /// All servers come back with a copy that was made so long before.
    SetBack {
        meanwhile: Duration,
    },
}

impl Fault {
    pub(super) fn of_node(kind: &'static str, node: usize, fault: NodeFault) -> Self {
        Self { kind, what: What::Node(node, fault) }
    }

    pub(super) fn of_servers(kind: &'static str, fault: ServerFault) -> Self {
        Self { kind, what: What::Servers(fault) }
    }

    /// Does it, inside a barrier if it can, and undoes it as far as it is undone at all. Returns when it began and ended.
    pub(super) fn happen(&self, fixture: &Fixture) -> (u64, u64) {
        fixture.wait_for_taking();
        let begun = now();
        match self.what {
            What::Node(node, fault) => fault.happen(fixture, node),
            What::Servers(ServerFault::SetBack { meanwhile }) => {
                let mut servers = fixture.servers.lock().unwrap();
                servers.take_snapshot();
                sleep(meanwhile);
                fixture.went_back.store(now(), Ordering::SeqCst);
                servers.set_back();
            }
            What::Servers(fault) => fixture.servers.lock().unwrap().happen(fault),
            What::Upgrade => node::upgrade(fixture),
        }
        (begun, now())
    }
}

/// So many milliseconds.
pub(super) fn between(random: &mut apikey_testkit::random::Random, from: usize, to: usize) -> Duration {
    Duration::from_millis(u64::try_from(from + random.below(to - from)).unwrap())
}
