//! Starts PostgreSQL and the nodes, and ends them.

use std::io::{self, Write};
use std::panic::catch_unwind;
use std::time::Duration;

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use tokio::signal::unix::{SignalKind, signal};
use two_tier::Failure;

use crate::processes::{self, NodeProcess};
use crate::welcome::{self, Running};

/// How often to look whether a node has ended.
const INTERVAL: Duration = Duration::from_millis(200);

pub(crate) fn run(first_port: u16) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything is started, so that Ctrl-C always ends all of it.
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let directory = tempfile::Builder::new().prefix("three_nodes-").tempdir()?;
    eprintln!("three_nodes: starting PostgreSQL and three nodes");
    // It was written for tests, which panic where they cannot go on.
    let server = catch_unwind(|| Server::start(ServerConfig { apart: true, ..ServerConfig::default() }))
        .map_err(|_| "PostgreSQL does not start: tests/install postgres installs it, or says what is missing")?;

    let mut nodes = Vec::new();
    for number in 1..=3 {
        let port = if first_port == 0 { 0 } else { first_port.saturating_add(u16::from(number) - 1) };
        nodes.push(NodeProcess::start(number, port, directory.path(), &server.connection())?);
    }
    let mut running = Vec::new();
    for node in &mut nodes {
        let ready = node.ready()?;
        running.push(Running { number: node.number, pid: node.id(), ready });
    }
    say(&welcome::text(&running, server.port(), directory.path())?)?;

    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = interrupt.recv() => return,
                _ = terminate.recv() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            for node in &mut nodes {
                if let Some(status) = node.has_ended() {
                    eprintln!("three_nodes: node {} has ended: {status}", node.number);
                }
            }
        }
    });
    processes::end(&mut nodes);
    drop(nodes);
    drop(server);
    say("Stopped.\n")
}

/// Prints without the panic of `println!` when the reader has gone.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("cannot print: {error}").into())
}
