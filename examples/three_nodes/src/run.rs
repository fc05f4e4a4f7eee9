//! Starts the engine and the nodes, and ends them.

use std::io::{self, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use two_tier::Failure;

use crate::args::Engine;
use crate::processes::{self, NodeProcess};
use crate::servers::Servers;
use crate::welcome::{self, Running};

/// How often to look whether a node has ended.
const INTERVAL: Duration = Duration::from_millis(200);

pub(crate) fn run(engine: Engine, first_port: u16) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything is started, so that Ctrl-C always ends all of it, and so does a terminal that is closed.
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let directory = tempfile::Builder::new().prefix("three_nodes-").tempdir()?;
    eprintln!("three_nodes: starting the engine and three nodes");
    let servers = Servers::start(engine)?;
    let connection = servers.connection();

    let mut nodes = Vec::new();
    for number in 1..=3 {
        let port = if first_port == 0 { 0 } else { first_port.saturating_add(u16::from(number) - 1) };
        nodes.push(NodeProcess::start(number, port, directory.path(), engine, &connection)?);
    }
    let mut running = Vec::new();
    for node in &mut nodes {
        let ready = node.ready()?;
        running.push(Running { number: node.number, pid: node.id(), ready });
    }
    say(&welcome::text(&running, &servers.description(), directory.path())?)?;

    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = interrupt.recv() => return,
                _ = terminate.recv() => return,
                _ = hang_up.recv() => return,
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
    drop(servers);
    say("Stopped.\n")
}

/// Prints without the panic of `println!` when the reader has gone.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("cannot print: {error}").into())
}
