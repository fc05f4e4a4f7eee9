//! The servers of a cluster: a primary, its standby, and perhaps a former primary that runs on. Each is at one of three
//! places, which the nodes name in their connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use apikey_cluster_tests::postgres::{Server, ServerConfig};

const PLACES: usize = 3;

pub(super) struct Servers {
    /// The port of the server at each place; 0 for none.
    places: [Arc<AtomicU16>; PLACES],
    pub(super) primary: Placed,
    pub(super) standby: Placed,
    pub(super) former: Option<Placed>,
}

pub(super) struct Placed {
    pub(super) server: Server,
    place: usize,
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

impl Servers {
    pub(super) fn start() -> Self {
        let (primary, standby) = Server::start_with_standby(ServerConfig::default());
        let places = [primary.port(), standby.port(), 0].map(|port| Arc::new(AtomicU16::new(port)));
        Self {
            places,
            primary: Placed { server: primary, place: 0 },
            standby: Placed { server: standby, place: 1 },
            former: None,
        }
    }

    pub(super) fn places(&self) -> &[Arc<AtomicU16>] {
        &self.places
    }

    fn set(&self, place: usize, port: u16) {
        self.places[place].store(port, Ordering::Relaxed);
    }

    /// Kills the primary, and starts it again.
    pub(super) fn kill_primary(&mut self, down: std::time::Duration) {
        self.primary.server.kill();
        std::thread::sleep(down);
        self.primary.server.start_again(None);
        // Its standby knows it by its port.
        self.standby.server.follow(self.primary.server.port());
        self.set(self.primary.place, self.primary.server.port());
        self.primary.server.wait_for_standbys();
    }

    /// Makes the standby the primary, and another standby of it.
    pub(super) fn promote(&mut self, former: Former) {
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
        let standby = Placed { server: self.standby.server.add_standby(None), place };
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
