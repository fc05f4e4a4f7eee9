//! Three members of etcd.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::thread::sleep;

use apikey_cluster_tests::Host;
use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_core::cluster::Ledger;
use apikey_etcd::Etcd;

use super::{NAMESPACE, PLACES};
use crate::processes::faults::ServerFault;
use crate::processes::network::Between;

/// How much they store before they take no writes.
pub(in crate::processes) const QUOTA: u64 = 32 << 20;

pub(super) struct Servers {
    members: Members,
    places: Vec<Arc<AtomicU16>>,
    snapshot: Option<PathBuf>,
    between: Between,
}

impl Servers {
    pub(super) fn start(hosts: &[Host]) -> Self {
        let quota = format!("--quota-backend-bytes={QUOTA}");
        let config = MembersConfig { count: PLACES, hosts, arguments: &[&quota], ..MembersConfig::default() };
        let members = Members::start(config);
        let port = |endpoint: String| Arc::new(AtomicU16::new(endpoint.rsplit(':').next().unwrap().parse().unwrap()));
        let places = members.endpoints().into_iter().map(port).collect();
        Self { members, places, snapshot: None, between: Between::new(hosts) }
    }

    /// A member that does not lead.
    fn follower(&self) -> usize {
        (self.members.leader() + 1) % PLACES
    }
}

impl super::Servers for Servers {
    fn places(&self) -> &[Arc<AtomicU16>] {
        &self.places
    }

    fn leader(&self) -> usize {
        self.members.leader()
    }

    fn connection(&self, addresses: &[String]) -> String {
        let endpoints: Vec<_> = addresses.iter().map(|address| format!("http://{address}")).collect();
        endpoints.join(",")
    }

    fn ledger(&self) -> Box<dyn Ledger> {
        Box::new(Etcd::new(self.members.endpoints()).namespace(NAMESPACE))
    }

    fn take_snapshot(&mut self) {
        self.snapshot = Some(self.members.snapshot());
    }

    fn set_back(&mut self) {
        self.members.restore(&self.snapshot.take().unwrap());
    }

    fn happen(&mut self, fault: ServerFault) {
        match fault {
            ServerFault::KillLeader { down } | ServerFault::KillFollower { down } => {
                let is_leader = matches!(fault, ServerFault::KillLeader { .. });
                let member = if is_leader { self.members.leader() } else { self.follower() };
                self.members.end(member);
                sleep(down);
                self.members.start_again(member);
                self.members.wait();
            }
            ServerFault::PauseLeader(span) | ServerFault::PauseFollower(span) => {
                let is_leader = matches!(fault, ServerFault::PauseLeader(_));
                let member = if is_leader { self.members.leader() } else { self.follower() };
                self.members.pause(member);
                sleep(span);
                self.members.resume(member);
            }
            ServerFault::IsolateLeader(traffic, span) => self.between.isolate(self.members.leader(), traffic, span),
            ServerFault::IsolateFollower(traffic, span) => self.between.isolate(self.follower(), traffic, span),
            ServerFault::KillAll { down } => {
                (0..PLACES).for_each(|member| self.members.end(member));
                sleep(down);
                (0..PLACES).for_each(|member| self.members.start_again(member));
                self.members.wait();
            }
            ServerFault::MoveLeader => self.members.move_leader(self.follower()),
            ServerFault::Full(span) => {
                self.members.fill();
                sleep(span);
                self.members.make_room();
            }
            ServerFault::Compact => self.members.compact(),
            ServerFault::EndSessions | ServerFault::Promote(_) | ServerFault::SetBack { .. } => {
                panic!("no fault of etcd: {fault:?}")
            }
        }
    }
}
