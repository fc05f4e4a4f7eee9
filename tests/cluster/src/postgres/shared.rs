use std::path::Path;

use super::server::{Server, ServerConfig};
use crate::shared_servers::{Kept, keep};

/// A primary with a synchronous standby that all processes of a test run share, each test with a namespace of its own.
#[derive(Debug)]
pub struct Shared(Kept);

impl Shared {
    /// The servers of this run; they are started if they are not there. `program` keeps them: it calls [`serve`] with its
    /// second argument. `directory` is one of this build.
    #[must_use]
    pub fn start(program: &str, directory: &str) -> Self {
        Self(Kept::start(program, "postgres", directory))
    }

    /// How the superuser connects to the primary, without TLS.
    #[must_use]
    pub fn connection(&self) -> String {
        self.0.place.clone()
    }
}

/// Keeps a primary and its standby until nobody uses them.
pub fn serve(directory: &Path) {
    keep(directory, || {
        let servers = Server::start_with_standby(ServerConfig::default());
        let connection = servers.0.connection();
        (servers, connection)
    });
}
