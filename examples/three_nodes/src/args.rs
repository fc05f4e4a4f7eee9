//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Three nodes of one cluster: the same API keys on each, with PostgreSQL or etcd between them.
///
/// It starts the engine in a temporary directory (and installs it with apt-get where it is missing), three processes that
/// serve the API of the example two_tier, makes keys on the first, and prints curl lines to try. All listen on 127.0.0.1
/// only. At the end it removes everything.
#[derive(Debug, Parser)]
#[command(
    name = "three_nodes",
    after_help = "Ctrl-C stops. Through cargo: cargo run -p three_nodes -- --engine etcd --first-port 9001"
)]
pub(crate) struct Args {
    /// What has the log of the cluster
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    pub(crate) engine: Engine,

    /// Port of the first node; the others have the next ones. 0 takes any free ports
    #[arg(long, value_name = "PORT", default_value_t = 8091)]
    pub(crate) first_port: u16,

    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// What has the log of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// One server of PostgreSQL
    Postgres,
    /// Three members of etcd
    Etcd,
}

/// A part of the example, which the program starts itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    #[command(hide = true)]
    Node(Node),
}

/// One node.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Node {
    pub(crate) number: u8,
    pub(crate) port: u16,
    /// The directory of its replica.
    pub(crate) replica: PathBuf,
    pub(crate) engine: Engine,
    /// How to connect to the engine.
    pub(crate) connection: String,
}
