//! Opening a store as a node of a cluster: it catches up with the log, registers, and serves once it is fresh.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::files::parent;
use crate::base::runtime::Task;
use crate::cluster::config::Cluster;
use crate::cluster::format::entry::position;
use crate::cluster::join::{Joined, OPEN_TIMEOUT};
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::node::shared::{Node, PATIENCE, Settings};
use crate::commit::cluster::gate::Gate;
use crate::commit::engine::Engine;
use crate::storage::kept_entries::KeptEntries;
use crate::storage::open_error::{OpenError, read_error};
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::store::service::Service;
use crate::store::uses::mirror::Mirror;

/// The pause before another try to become fresh.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts a store whose database is a replica.
pub(super) fn start(
    inner: impl FnOnce(Engine) -> Inner,
    engine: Engine,
    cluster: &Cluster,
    joined: &Joined,
    path: &Path,
) -> Result<KeyStore, OpenError> {
    let (head, pepper) = {
        let mut writer = engine.writer();
        let newest = writer.digester().pepper();
        writer.pepper = Some(joined.settings.pepper);
        (position(&writer.head()), newest)
    };
    let settings = Settings {
        name: cluster.node_name(),
        cluster: joined.settings.uuid,
        generation: joined.settings.generation,
        bound: joined.settings.bound(),
        write_timeout: cluster.write_timeout,
        pepper,
        safeguards: cluster.safeguards,
    };
    let kept = {
        let log = engine.log.open().map_err(|error| read_error(path, "its database", error))?;
        KeptEntries::open(parent(&log.directory)).map_err(|source| OpenError::io(path, source))?
    };
    let node = Arc::new(Node::new(cluster, settings, head, kept));
    let mirror = {
        let log = engine.log.open().map_err(|error| read_error(path, "its database", error))?;
        Mirror::new(node.clone(), &log).map_err(|error| read_error(path, "its counts of uses", error))?
    };
    let gate = Gate::closed(cluster.clock.clone());
    let mut inner = inner(engine.join(Box::new(ClusterOrder(node.clone())), gate));
    inner.mirror = Some(mirror);
    let store = KeyStore::start(inner).map_err(|source| OpenError::io(path, source))?;
    node.restore_kept(&store.inner().engine).map_err(|error| OpenError::Cluster(error.to_string()))?;
    if let Err(error) = node.complete_kept(&store.inner().engine) {
        tracing::debug!(%error, "the entries that the replica keeps are not completed");
    }
    // A node that is stuck before this point is not listed, so no revocation waits for it.
    if let Err(error) = become_fresh(&node, &store.inner().engine) {
        node.leave(&store.inner().engine);
        return Err(error);
    }
    // The first request finds a block of a strict quota.
    if let Err(error) = node.reserve(&store.inner().engine, node.runtime.now() + PATIENCE) {
        tracing::debug!(%error, "no block of the quotas is reserved yet");
    }
    store.inner().begin_mirror();
    let service = NodeThreads::start(node, &store.shared()).map_err(|source| OpenError::io(path, source))?;
    store.add_service(Box::new(service));
    Ok(store)
}

/// Catches up, registers and looks, until the gate is open.
fn become_fresh(node: &Node, engine: &Engine) -> Result<(), OpenError> {
    let by = node.runtime.now() + OPEN_TIMEOUT;
    loop {
        // A node that is out of step with the log recovers when it looks.
        let caught_up = if node.is_recovering() { Ok(()) } else { node.catch_up_with_now(engine, by) };
        let tried = caught_up
            .map_err(|error| error.to_string())
            .and_then(|()| node.probe(engine).map_err(|error| error.to_string()))
            .and_then(|()| node.catch_up_with_now(engine, by).map_err(|error| error.to_string()))
            .and_then(|()| node.acknowledge(by).map_err(|error| error.to_string()));
        if let Some(fault) = node.state().fault.clone() {
            return Err(OpenError::Cluster(fault));
        }
        if tried.is_ok() && engine.is_ready() {
            return Ok(());
        }
        if node.runtime.now() >= by {
            let why = tried.err().unwrap_or_else(|| "the replica did not catch up with the log".into());
            return Err(OpenError::Cluster(format!("{}: {why}", node.ledger.name())));
        }
        node.runtime.sleep(PAUSE);
    }
}

/// What a thread of a node does until the node closes.
type Work = fn(&Node, &Inner);

/// The threads of a node.
struct NodeThreads {
    node: Arc<Node>,
    inner: Arc<Inner>,
    threads: Vec<Task>,
}

impl NodeThreads {
    fn start(node: Arc<Node>, inner: &Arc<Inner>) -> std::io::Result<Self> {
        let mut started = Self { node, inner: inner.clone(), threads: Vec::new() };
        let works: [(&str, Work); 3] = [
            ("apikey-follow", |node, inner| node.follow_until_closed(&inner.engine)),
            ("apikey-probe", |node, inner| node.probe_until_closed(&inner.engine)),
            ("apikey-keep", |node, inner| node.keep_until_closed(&inner.engine, || inner.mirror_usage())),
        ];
        for (name, work) in works {
            match spawn(&started.node, inner, name, work) {
                Ok(thread) => started.threads.push(thread),
                Err(error) => {
                    started.end();
                    return Err(error);
                }
            }
        }
        started.reserve_when_needed();
        Ok(started)
    }

    /// Starts the thread that reserves blocks of quotas, once there is a quota.
    fn reserve_when_needed(&self) {
        // The node outlives the store that has it.
        let (node, inner) = (Arc::downgrade(&self.node), Arc::downgrade(&self.inner));
        self.node.reserver.when_needed(Box::new(move || {
            let (node, inner) = (node.upgrade()?, inner.upgrade()?);
            let thread = spawn(&node, &inner, "apikey-reserve", |node, inner| node.reserve_until_closed(&inner.engine));
            thread.inspect_err(|error| tracing::error!(%error, "no blocks of quotas are reserved")).ok()
        }));
        if self.inner.engine.index.has_quotas() {
            self.node.reserver.start();
        }
    }

    fn end(&mut self) {
        self.node.close();
        for thread in self.threads.drain(..).chain(self.node.reserver.end()) {
            thread.join();
        }
        // Only now: the threads would register the node again.
        self.node.leave(&self.inner.engine);
        // The gate is closed, so nothing more is counted.
        self.inner.mirror_rest();
    }
}

fn spawn(node: &Arc<Node>, inner: &Arc<Inner>, name: &str, work: Work) -> std::io::Result<Task> {
    let (node, inner) = (node.clone(), inner.clone());
    let runtime = node.runtime.clone();
    runtime.spawn(name, move || work(&node, &inner))
}

impl Service for NodeThreads {
    fn stop(mut self: Box<Self>) {
        self.end();
    }
}
