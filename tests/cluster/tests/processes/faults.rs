//! What goes wrong, by a seed.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use apikey_cluster_tests::proxy::Traffic;
use apikey_testkit::power::Style;
use apikey_testkit::random::Random;

use super::fixture::{BOUND, Fixture};
use super::messages::now;
use super::servers::Former;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Node(usize, NodeFault),
    Servers(ServerFault),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum NodeFault {
    /// It is killed, and starts again on its directory.
    Kill {
        down: Duration,
    },
    /// The power of its machine fails: what was not synced is gone, or a part of it. Without a disk that is a kill.
    PowerLoss {
        style: Style,
        down: Duration,
    },
    /// It stands still until a change that takes something away has been acknowledged elsewhere, longer than the bound.
    PauseBeyondBound,
    Pause(Duration),
    Network(Traffic, Duration),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ServerFault {
    KillPrimary { down: Duration },
    PausePrimary(Duration),
    PauseStandby(Duration),
    EndSessions,
    Promote(Former),
}

/// So many milliseconds.
pub(super) fn between(random: &mut Random, from: usize, to: usize) -> Duration {
    Duration::from_millis(u64::try_from(from + random.below(to - from)).unwrap())
}

impl Fault {
    /// A fault, and sometimes another one at the same time.
    pub(super) fn some(random: &mut Random, nodes: usize) -> Vec<Self> {
        let node = random.below(nodes);
        let first = if random.percent(50) { Self::of_node(node, random) } else { Self::of_servers(random) };
        let mut faults = vec![first];
        if random.percent(35) {
            faults.push(match first {
                Self::Node(..) if random.percent(50) => Self::of_servers(random),
                _ => Self::of_node((node + 1) % nodes, random),
            });
        }
        faults
    }

    fn of_node(node: usize, random: &mut Random) -> Self {
        let long = between(random, 200, 7_500);
        let fault = match random.below(10) {
            0..2 => NodeFault::Kill { down: between(random, 0, 4_000) },
            2 => {
                let style = [Style::Dropped, Style::Torn, Style::Any][random.below(3)];
                NodeFault::PowerLoss { style, down: between(random, 0, 4_000) }
            }
            3..5 => NodeFault::PauseBeyondBound,
            5 => NodeFault::Pause(between(random, 50, 3_000)),
            6 => NodeFault::Network(Traffic::Delayed(between(random, 5, 120)), long),
            7 => NodeFault::Network(Traffic::HeldToServer, long),
            8 => NodeFault::Network(Traffic::HeldToNode, long),
            _ if random.percent(50) => NodeFault::Network(Traffic::Held, long),
            _ => NodeFault::Network(Traffic::Refused, long),
        };
        Self::Node(node, fault)
    }

    fn of_servers(random: &mut Random) -> Self {
        let long = between(random, 200, 7_500);
        Self::Servers(match random.below(10) {
            0..2 => ServerFault::KillPrimary { down: between(random, 0, 3_000) },
            2..4 => ServerFault::PausePrimary(long),
            4 => ServerFault::PauseStandby(long),
            5 => ServerFault::EndSessions,
            6 => ServerFault::Promote(Former::Gone),
            7 => ServerFault::Promote(Former::ComesBack),
            8 => ServerFault::Promote(Former::Paused),
            _ => ServerFault::Promote(Former::RunsOn),
        })
    }

    /// Its kind, for the counts.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Node(_, NodeFault::Kill { .. }) => "node killed",
            Self::Node(_, NodeFault::PowerLoss { .. }) => "node without power",
            Self::Node(_, NodeFault::PauseBeyondBound) => "node paused beyond the bound",
            Self::Node(_, NodeFault::Pause(_)) => "node paused",
            Self::Node(_, NodeFault::Network(Traffic::Delayed(_), _)) => "network delayed",
            Self::Node(_, NodeFault::Network(Traffic::HeldToServer, _)) => "network lost to the server",
            Self::Node(_, NodeFault::Network(Traffic::HeldToNode, _)) => "network lost to the node",
            Self::Node(_, NodeFault::Network(_, _)) => "network cut",
            Self::Servers(ServerFault::KillPrimary { .. }) => "primary killed",
            Self::Servers(ServerFault::PausePrimary(_)) => "primary paused",
            Self::Servers(ServerFault::PauseStandby(_)) => "standby paused",
            Self::Servers(ServerFault::EndSessions) => "sessions ended",
            Self::Servers(ServerFault::Promote(Former::Gone)) => "promoted",
            Self::Servers(ServerFault::Promote(_)) => "promoted beside a former primary",
        }
    }

    /// Does it, and undoes it as far as it is undone at all. Returns when it began and ended.
    pub(super) fn happen(&self, fixture: &Fixture) -> (u64, u64) {
        let begun = now();
        match self {
            Self::Node(node, fault) => fault.happen(fixture, *node),
            Self::Servers(fault) => fault.happen(fixture),
        }
        (begun, now())
    }
}

impl NodeFault {
    fn happen(self, fixture: &Fixture, node: usize) {
        let node = &fixture.nodes[node];
        match self {
            Self::Kill { down } => {
                node.kill();
                sleep(down);
                node.start(fixture.scratch());
                node.is_away.store(false, Ordering::Relaxed);
            }
            Self::PowerLoss { style, down } => {
                node.kill();
                // Which of the writes survive is by chance each time: the same faults meet other writes anyway.
                node.lose_what_is_not_synced(style, fixture.scratch());
                sleep(down);
                node.start(fixture.scratch());
                node.is_away.store(false, Ordering::Relaxed);
            }
            Self::PauseBeyondBound => {
                let stopped = node.stop();
                let begun = Instant::now();
                sleep(BOUND + BOUND / 10);
                // Its first request after the pause is what this is about: something must have been taken away meanwhile.
                while begun.elapsed() < BOUND * 4 && !fixture.has_taken_since(stopped) {
                    sleep(Duration::from_millis(10));
                }
                node.go_on();
            }
            Self::Pause(span) => {
                node.stop();
                sleep(span);
                node.go_on();
            }
            Self::Network(traffic, span) => {
                node.network.set(traffic);
                sleep(span);
                node.network.set(Traffic::Flows);
            }
        }
    }
}

impl ServerFault {
    fn happen(self, fixture: &Fixture) {
        let mut servers = fixture.servers.lock().unwrap();
        match self {
            Self::KillPrimary { down } => servers.kill_primary(down),
            Self::PausePrimary(span) => {
                servers.primary.server.pause();
                sleep(span);
                servers.primary.server.resume();
            }
            Self::PauseStandby(span) => {
                servers.standby.server.pause();
                sleep(span);
                servers.standby.server.resume();
            }
            Self::EndSessions => {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'apikey'";
                servers.primary.server.sql(end);
            }
            Self::Promote(former) => servers.promote(former),
        }
    }
}
