//! A node: a process with a replica of the keys, which serves the API.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use apikey::cluster::Cluster;
use apikey::etcd::Etcd;
use apikey::postgres::Postgres;
use apikey::{KeyStore, NewKey};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use two_tier::{Failure, api};

use crate::args::{Engine, Node};
use crate::manage;

/// A node that is cut off refuses every key after this time, and a revocation that cannot reach one waits no longer. It is the
/// least that there is, so that nobody waits long here; the default is 30 seconds.
pub(crate) const MAX_STALENESS: Duration = Duration::from_secs(5);

/// What a node prints once it serves.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) origin: String,
    /// The keys that it has made.
    pub(crate) keys: Vec<DemoKey>,
}

/// A key to try. The secret is known where it is made, and nowhere else.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DemoKey {
    pub(crate) owner: String,
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Serves until SIGTERM, or until the process that started it is gone.
#[tokio::main]
pub(crate) async fn run(node: Node) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, node.port)).await.map_err(|error| {
        format!("cannot listen on 127.0.0.1:{}: {error}; choose other ports with --first-port", node.port)
    })?;
    let origin = format!("http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;

    // Opening waits for the engine, so it is no work for a thread that serves requests.
    let (number, keys_are_made) = (node.number, node.number == 1);
    let (store, keys) = spawn_blocking(move || {
        let store = open(node)?;
        let keys = if keys_are_made { make_keys(&store)? } else { Vec::new() };
        Ok::<_, Failure>((store, keys))
    })
    .await??;

    let app = api::router(store.clone(), &origin)?.merge(manage::router(store.clone()));
    say(&serde_json::to_string(&Ready { origin, keys })?)?;
    let parent = parent_is_gone();
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = parent => {}
        }
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // The node leaves the cluster: no revocation waits for it from here on.
    spawn_blocking(move || store.close()).await??;
    eprintln!("three_nodes: node {number} has left the cluster");
    Ok(())
}

/// All that differs from a store for one machine.
fn open(node: Node) -> Result<KeyStore, Failure> {
    let cluster = match node.engine {
        // One server, of which no standby is ever promoted; with a failover there must be synchronous standbys instead.
        Engine::Postgres => Cluster::new(Postgres::new(node.connection).namespace("three_nodes").single()),
        Engine::Etcd => Cluster::new(Etcd::new([node.connection]).namespace("three_nodes")),
    };
    let cluster = cluster.name(format!("node-{}", node.number)).max_staleness(MAX_STALENESS);
    Ok(KeyStore::builder().cluster(cluster).admin_socket(true).open(node.replica)?)
}

fn make_keys(store: &KeyStore) -> Result<Vec<DemoKey>, Failure> {
    let keys = [("alice", "orders:read"), ("bob", "orders:read"), ("admin", "*")];
    let new = keys.map(|(owner, permission)| NewKey::for_owner(owner).permissions([permission]));
    let created = store.create_many(new)?;
    let shown = |created: &apikey::CreatedKey| DemoKey {
        owner: created.info.owner().to_owned(),
        id: created.info.id().to_string(),
        token: created.key.expose_secret().to_owned(),
    };
    Ok(created.iter().map(shown).collect())
}

/// Ends when the other end of standard input is closed.
fn parent_is_gone() -> oneshot::Receiver<()> {
    let (gone, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = gone.send(());
    });
    receiver
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}
