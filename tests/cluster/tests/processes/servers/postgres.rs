//! A primary, its standby, and perhaps a former primary that runs on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;

use apikey_cluster_tests::Host;
use apikey_cluster_tests::postgres::{Backup, Server, ServerConfig};
use apikey_core::cluster::Ledger;
use apikey_postgres::Postgres;

use super::{Former, NAMESPACE, PLACES};
use crate::processes::faults::ServerFault;
use crate::processes::network::Between;

pub(super) struct Servers {
    /// The port of the server at each place; 0 for none.
    places: [Arc<AtomicU16>; PLACES],
    primary: Placed,
    standby: Placed,
    former: Option<Placed>,
    backup: Option<Backup>,
    hosts: Vec<Host>,
    between: Between,
}

struct Placed {
    server: Server,
    place: usize,
}

impl Servers {
    pub(super) fn start(hosts: &[Host]) -> Self {
        // A server of its own machine is reached by the others.
        let host = Some(&hosts[0]).filter(|host| **host != Host::default());
        let primary = Server::start(ServerConfig { disk_can_fill: true, host, ..ServerConfig::default() });
        let standby = primary.add_standby(&hosts[1]);
        primary.wait_for_standbys();
        let places = [primary.port(), standby.port(), 0].map(|port| Arc::new(AtomicU16::new(port)));
        Self {
            places,
            primary: Placed { server: primary, place: 0 },
            standby: Placed { server: standby, place: 1 },
            former: None,
            backup: None,
            hosts: hosts.to_vec(),
            between: Between::new(hosts),
        }
    }

    fn set(&self, place: usize, port: u16) {
        self.places[place].store(port, Ordering::Relaxed);
    }

    /// Starts the primary again, which has ended.
    fn start_primary(&mut self) {
        self.primary.server.start_again(None);
        // Its standby knows it by its port.
        self.standby.server.follow(&self.primary.server);
        self.set(self.primary.place, self.primary.server.port());
        self.primary.server.wait_for_standbys();
    }

    fn start_standby(&mut self) {
        self.standby.server.start_again(None);
        self.set(self.standby.place, self.standby.server.port());
    }

    /// Makes the standby the primary, and another standby of it.
    fn promote(&mut self, former: Former) {
        match former {
            Former::Gone | Former::ComesBack => self.primary.server.kill(),
            Former::Paused => self.primary.server.pause(),
            Former::RunsOn => {}
        }
        self.standby.server.promote();
        // One of three places is free once an earlier former primary has left it.
        if let Some(gone) = self.former.take() {
            self.set(gone.place, 0);
        }
        let taken = [self.primary.place, self.standby.place];
        let place = (0..PLACES).find(|place| !taken.contains(place)).unwrap();
        let standby = Placed { server: self.standby.server.add_standby(&self.hosts[place]), place };
        self.set(place, standby.server.port());
        let promoted = std::mem::replace(&mut self.standby, standby);
        let mut before = std::mem::replace(&mut self.primary, promoted);
        self.primary.server.wait_for_standbys();
        match former {
            Former::Gone => self.set(before.place, 0),
            Former::ComesBack => {
                before.server.start_again(None);
                self.set(before.place, before.server.port());
            }
            Former::Paused => before.server.resume(),
            Former::RunsOn => {}
        }
        self.former = (former != Former::Gone).then_some(before);
    }
}

impl super::Servers for Servers {
    fn places(&self) -> &[Arc<AtomicU16>] {
        &self.places
    }

    fn leader(&self) -> usize {
        self.primary.place
    }

    fn connection(&self, addresses: &[String]) -> String {
        let (hosts, ports): (Vec<_>, Vec<_>) =
            addresses.iter().map(|address| address.rsplit_once(':').unwrap()).unzip();
        let (hosts, ports) = (hosts.join(","), ports.join(","));
        format!("host={hosts} port={ports} user=postgres dbname=postgres sslmode=disable")
    }

    fn ledger(&self) -> Box<dyn Ledger> {
        Box::new(Postgres::new(self.primary.server.connection()).namespace(NAMESPACE))
    }

    fn take_snapshot(&mut self) {
        self.backup = Some(self.primary.server.backup());
    }

    fn set_back(&mut self) {
        self.primary.server.kill();
        self.standby.server.kill();
        self.primary.server = Server::of_backup(self.backup.take().unwrap());
        self.standby.server = self.primary.server.add_standby(&self.hosts[self.standby.place]);
        for placed in [&self.primary, &self.standby] {
            self.set(placed.place, placed.server.port());
        }
        self.primary.server.wait_for_standbys();
    }

    fn happen(&mut self, fault: ServerFault) {
        match fault {
            ServerFault::KillLeader { down } => {
                self.primary.server.kill();
                sleep(down);
                self.start_primary();
            }
            ServerFault::KillFollower { down } => {
                self.standby.server.kill();
                sleep(down);
                self.start_standby();
            }
            ServerFault::KillAll { down } => {
                self.primary.server.kill();
                self.standby.server.kill();
                sleep(down);
                self.start_standby();
                self.start_primary();
            }
            ServerFault::IsolateLeader(traffic, span) => self.between.isolate(self.primary.place, traffic, span),
            ServerFault::IsolateFollower(traffic, span) => self.between.isolate(self.standby.place, traffic, span),
            ServerFault::PauseLeader(span) => {
                self.primary.server.pause();
                sleep(span);
                self.primary.server.resume();
            }
            ServerFault::PauseFollower(span) => {
                self.standby.server.pause();
                sleep(span);
                self.standby.server.resume();
            }
            ServerFault::EndSessions => {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'apikey'";
                self.primary.server.sql(end);
            }
            ServerFault::Promote(former) => self.promote(former),
            ServerFault::Full(span) => {
                self.primary.server.fill_disk();
                sleep(span);
                self.primary.server.free_disk();
                // Without room for its write-ahead log it has ended by itself.
                if !self.primary.server.runs() {
                    self.start_primary();
                }
            }
            ServerFault::Compact => drop(self.primary.server.sql("VACUUM (FULL, ANALYZE)")),
            ServerFault::MoveLeader | ServerFault::SetBack { .. } => panic!("no fault of PostgreSQL: {fault:?}"),
        }
    }
}
