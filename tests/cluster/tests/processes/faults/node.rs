//! What goes wrong with one node, or with the node after the other.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use apikey_cluster_tests::proxy::Traffic;
use apikey_testkit::power::Style;

use crate::processes::fixture::{BOUND, Fixture};
use crate::processes::messages::Act;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::processes) enum NodeFault {
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
    /// Its clock is wrong by so much.
    Clock {
        minutes: i64,
        span: Duration,
    },
    /// Its disk takes nothing after so many more calls. It is started again once there is room.
    FullDisk {
        calls: u32,
        span: Duration,
    },
    /// It is away until the log no longer has what it lacks.
    MissesTrim {
        is_paused: bool,
    },
    Network(Traffic, Duration),
    /// The same on its route to the server that leads at the beginning.
    LeaderNetwork(Traffic, Duration),
    /// Every connection of it ends.
    Disconnect,
}

impl NodeFault {
    pub(super) fn happen(self, fixture: &Fixture, node: usize) {
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
            Self::Clock { minutes, span } => {
                node.act(Act::Clock { minutes });
                sleep(span);
                node.act(Act::Clock { minutes: 0 });
            }
            Self::FullDisk { calls, span } => {
                node.act(Act::FillDisk { calls });
                sleep(span);
                node.kill();
                node.start(fixture.scratch());
                node.is_away.store(false, Ordering::Relaxed);
            }
            Self::MissesTrim { is_paused } => {
                let ledger = fixture.servers.lock().unwrap().ledger();
                if is_paused {
                    node.stop();
                } else {
                    node.kill();
                }
                fixture.trim_beyond_now(&*ledger);
                if is_paused {
                    node.go_on();
                } else {
                    node.start(fixture.scratch());
                    node.is_away.store(false, Ordering::Relaxed);
                }
            }
            Self::LeaderNetwork(traffic, span) => {
                // Something may be wrong with the servers meanwhile.
                let leader = fixture.servers.try_lock().map_or(0, |servers| servers.leader());
                node.network.set_route(leader, traffic);
                sleep(span);
                node.network.set_route(leader, Traffic::Flows);
            }
            Self::Disconnect => node.network.disconnect(),
            Self::Network(traffic, span) => {
                node.network.set(traffic);
                sleep(span);
                node.network.set(Traffic::Flows);
            }
        }
    }
}

/// Upgrades one node after the other. Those that are left stop at the first change of one that is upgraded, so each is
/// closed when it is its turn, and starts where it was.
pub(super) fn upgrade(fixture: &Fixture) {
    for node in &fixture.nodes {
        let begun = node.leave();
        node.is_newer.store(true, Ordering::Relaxed);
        node.start(fixture.scratch());
        node.is_away.store(false, Ordering::Relaxed);
        let end = Instant::now() + BOUND * 4;
        while Instant::now() < end && !(node.is_open() && fixture.has_taken_since(begun)) {
            sleep(Duration::from_millis(10));
        }
    }
}
