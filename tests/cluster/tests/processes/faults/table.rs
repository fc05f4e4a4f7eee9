//! Every kind of fault, and on which engine it happens.

use std::time::Duration;

use apikey_cluster_tests::namespaces;
use apikey_cluster_tests::proxy::Traffic;
use apikey_testkit::power::Style;
use apikey_testkit::random::Random;

use super::{Fault, NodeFault, ServerFault, What, between};
use crate::processes::messages::Engine;
use crate::processes::servers::Former;

/// A row of the table.
pub(in crate::processes) struct Kind {
    pub(in crate::processes) name: &'static str,
    engines: &'static [Engine],
    needs: Needs,
    beside: Beside,
    make: fn(&mut Random) -> Drawn,
}

/// What a fault needs of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// That of the proxies, or that of the kernel.
    Any,
    /// Servers on machines of their own.
    Machines,
    /// Packets that come later.
    Delay,
}

impl Needs {
    fn are_met(self) -> bool {
        match self {
            Self::Any => true,
            Self::Machines => namespaces::are_used(),
            Self::Delay => !namespaces::are_used() || namespaces::can_delay(),
        }
    }
}

/// What may happen at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// Another fault.
    Any,
    /// Nothing: what is right afterwards would not be certain.
    Nothing,
    /// Nothing, and nothing afterwards with the same cluster.
    Last,
}

enum Drawn {
    Node(NodeFault),
    Servers(ServerFault),
    Upgrade,
}

const BOTH: &[Engine] = &[Engine::Postgres, Engine::Etcd];
const POSTGRES: &[Engine] = &[Engine::Postgres];
const ETCD: &[Engine] = &[Engine::Etcd];

const fn kind(name: &'static str, engines: &'static [Engine], beside: Beside, make: fn(&mut Random) -> Drawn) -> Kind {
    Kind { name, engines, needs: Needs::Any, beside, make }
}

impl Kind {
    const fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }
}

const KINDS: &[Kind] = {
    use Beside::{Any, Last, Nothing};
    use Drawn::{Node, Servers};
    &[
        // A node.
        kind("node killed", BOTH, Any, |random| Node(NodeFault::Kill { down: down(random) })),
        kind("node without power", BOTH, Any, |random| {
            let style = [Style::Dropped, Style::Torn, Style::Any][random.below(3)];
            Node(NodeFault::PowerLoss { style, down: down(random) })
        }),
        kind("node paused beyond the bound", BOTH, Any, |_| Node(NodeFault::PauseBeyondBound)),
        kind("node paused", BOTH, Any, |random| Node(NodeFault::Pause(between(random, 50, 3_000)))),
        kind("clock four minutes ahead", BOTH, Any, |random| Node(NodeFault::Clock { minutes: 4, span: long(random) })),
        kind("clock four minutes behind", BOTH, Any, |random| {
            Node(NodeFault::Clock { minutes: -4, span: long(random) })
        }),
        kind("disk of a node full", BOTH, Any, |random| {
            let calls = [0, 1, 2, 7, 40][random.below(5)];
            Node(NodeFault::FullDisk { calls, span: long(random) })
        }),
        kind("log trimmed while a node was away", BOTH, Nothing, |random| {
            Node(NodeFault::MissesTrim { is_paused: random.percent(50) })
        }),
        // The network of a node.
        kind("network delayed", BOTH, Any, |random| network(Traffic::Delayed(between(random, 5, 120)), random))
            .needs(Needs::Delay),
        kind("network of 50 ms with loss", BOTH, Any, |random| {
            let percent = [1, 5, 20][random.below(3)];
            network(Traffic::Lossy { delay: Duration::from_millis(50), percent }, random)
        }),
        kind("network lost to the servers", BOTH, Any, |random| network(Traffic::HeldToServer, random)),
        kind("network lost to the node", BOTH, Any, |random| network(Traffic::HeldToNode, random)),
        kind("network cut both ways", BOTH, Any, |random| network(Traffic::Held, random)),
        kind("network refused", BOTH, Any, |random| network(Traffic::Refused, random)),
        kind("network cut to the leader alone", BOTH, Any, |random| {
            Node(NodeFault::LeaderNetwork(failing(random), long(random)))
        }),
        kind("connections ended", BOTH, Any, |_| Node(NodeFault::Disconnect)),
        // Servers. The leader of PostgreSQL is its primary, and the follower its standby.
        kind("leader killed", BOTH, Any, |random| Servers(ServerFault::KillLeader { down: down(random) })),
        kind("leader paused", BOTH, Any, |random| Servers(ServerFault::PauseLeader(long(random)))),
        kind("follower killed", BOTH, Any, |random| Servers(ServerFault::KillFollower { down: down(random) })),
        kind("follower paused", BOTH, Any, |random| Servers(ServerFault::PauseFollower(long(random)))),
        kind("leader cut off from the other servers", BOTH, Any, |random| {
            Servers(ServerFault::IsolateLeader(failing(random), long(random)))
        })
        .needs(Needs::Machines),
        kind("follower cut off from the other servers", BOTH, Any, |random| {
            Servers(ServerFault::IsolateFollower(failing(random), long(random)))
        })
        .needs(Needs::Machines),
        kind("all servers killed", BOTH, Any, |random| Servers(ServerFault::KillAll { down: down(random) })),
        kind("sessions ended", POSTGRES, Any, |_| Servers(ServerFault::EndSessions)),
        kind("promoted", POSTGRES, Any, |_| Servers(ServerFault::Promote(Former::Gone))),
        kind("promoted beside a former primary", POSTGRES, Any, |random| {
            let former = [Former::ComesBack, Former::Paused, Former::RunsOn][random.below(3)];
            Servers(ServerFault::Promote(former))
        }),
        kind("leader moved", ETCD, Any, |_| Servers(ServerFault::MoveLeader)),
        // PostgreSQL has a full disk, and etcd has reached its quota.
        kind("no space on the servers", BOTH, Any, |random| Servers(ServerFault::Full(long(random)))),
        kind("compacted", BOTH, Any, |_| Servers(ServerFault::Compact)),
        kind("set back to a snapshot", BOTH, Nothing, |random| {
            Servers(ServerFault::SetBack { meanwhile: between(random, 300, 3_000) })
        }),
        kind("rolling upgrade to what must not be passed over", BOTH, Last, |_| Drawn::Upgrade),
    ]
};

fn down(random: &mut Random) -> Duration {
    between(random, 0, 3_000)
}

/// From nothing much to beyond the bound.
fn long(random: &mut Random) -> Duration {
    between(random, 200, 7_000)
}

/// In either direction or both.
fn failing(random: &mut Random) -> Traffic {
    [Traffic::Held, Traffic::HeldToServer, Traffic::HeldToNode, Traffic::Refused][random.below(4)]
}

fn network(traffic: Traffic, random: &mut Random) -> Drawn {
    Drawn::Node(NodeFault::Network(traffic, long(random)))
}

/// The rows of an engine.
pub(in crate::processes) fn table(engine: Engine) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.engines.contains(&engine) && kind.needs.are_met())
}

/// A fault, and sometimes another one at the same time. `on_disk` is how many of the nodes have one of their own, and `is_last`
/// whether nothing happens to this cluster afterwards.
pub(in crate::processes) fn some(
    engine: Engine,
    (nodes, on_disk): (usize, usize),
    is_last: bool,
    random: &mut Random,
) -> Vec<Fault> {
    let kinds: Vec<_> = table(engine).collect();
    let pick = |random: &mut Random, may: fn(Beside) -> bool| loop {
        let kind = kinds[random.below(kinds.len())];
        if may(kind.beside) {
            return kind;
        }
    };
    let first = match is_last {
        // There is one such moment in many runs.
        true if random.percent(60) => pick(random, |beside| beside == Beside::Last),
        _ => pick(random, |beside| beside != Beside::Last),
    };
    let mut picked = vec![first];
    if first.beside == Beside::Any && random.percent(35) {
        picked.push(pick(random, |beside| beside == Beside::Any));
    }
    let mut node = random.below(nodes);
    let mut has_servers = false;
    let mut faults = Vec::new();
    for kind in picked {
        let what = match (kind.make)(random) {
            // Two faults of servers are one after the other.
            Drawn::Servers(_) if has_servers => continue,
            Drawn::Servers(fault) => {
                has_servers = true;
                What::Servers(fault)
            }
            Drawn::Upgrade => What::Upgrade,
            Drawn::Node(fault) => {
                node = (node + 1) % nodes;
                if matches!(fault, NodeFault::FullDisk { .. } | NodeFault::MissesTrim { .. }) && node >= on_disk {
                    node = 0;
                    if faults.iter().any(|fault: &Fault| matches!(fault.what, What::Node(0, _))) {
                        continue;
                    }
                }
                What::Node(node, fault)
            }
        };
        faults.push(Fault { kind: kind.name, what });
    }
    faults
}
