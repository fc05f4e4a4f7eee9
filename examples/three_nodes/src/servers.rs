//! The engine, in a temporary directory.

use std::panic::catch_unwind;

use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_cluster_tests::postgres::{Server, ServerConfig};
use two_tier::Failure;

use crate::args::Engine;

/// Servers that end when this is dropped.
pub(crate) enum Servers {
    Postgres(Server),
    Etcd(Members),
}

impl Servers {
    /// Starts what the engine needs, and installs it where it is missing.
    pub(crate) fn start(engine: Engine) -> Result<Self, Failure> {
        // They were written for tests, which panic where they cannot go on.
        let (started, name, part) = match engine {
            Engine::Postgres => {
                let start = || Self::Postgres(Server::start(ServerConfig { apart: true, ..ServerConfig::default() }));
                (catch_unwind(start), "PostgreSQL", "postgres")
            }
            Engine::Etcd => {
                let start = || Self::Etcd(Members::start(MembersConfig::default()));
                (catch_unwind(start), "etcd", "etcd")
            }
        };
        started.map_err(|_| {
            format!("{name} does not start: tests/install {part} installs it, or says what is missing").into()
        })
    }

    /// How a node connects to it.
    pub(crate) fn connection(&self) -> String {
        match self {
            Self::Postgres(server) => server.connection(),
            Self::Etcd(members) => members.endpoints().join(","),
        }
    }

    /// What it is and where, for people.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Postgres(server) => format!("PostgreSQL, at 127.0.0.1:{}", server.port()),
            Self::Etcd(members) => {
                let places: Vec<_> = members.endpoints().iter().map(|it| it.replace("http://", "")).collect();
                format!("etcd, three members at {}", places.join(", "))
            }
        }
    }
}
