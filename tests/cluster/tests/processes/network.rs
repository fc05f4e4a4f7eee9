//! Where nodes and servers run, and the network between them: a proxy before each node, or that of the kernel.

use std::time::Duration;

use apikey_cluster_tests::Host;
use apikey_cluster_tests::namespaces::{self, Link, Namespaces};
use apikey_cluster_tests::proxy::{self, Traffic};

use super::servers::{PLACES, Servers};

/// The machines of a history: one for each place of a server, and one for each node.
pub(super) struct Machines {
    servers: Vec<Host>,
    nodes: Vec<Host>,
    // They are gone with this.
    _namespaces: Option<Namespaces>,
}

impl Machines {
    pub(super) fn new(nodes: usize) -> Self {
        if !namespaces::are_used() {
            let here = |count| vec![Host::default(); count];
            return Self { servers: here(PLACES), nodes: here(nodes), _namespaces: None };
        }
        let namespaces = Namespaces::new(PLACES + nodes);
        let (servers, of_nodes) = namespaces.hosts().split_at(PLACES);
        Self { servers: servers.to_vec(), nodes: of_nodes.to_vec(), _namespaces: Some(namespaces) }
    }

    pub(super) fn servers(&self) -> &[Host] {
        &self.servers
    }

    pub(super) fn node(&self, node: usize) -> &Host {
        &self.nodes[node]
    }
}

/// The network of a node: a route to each place of a server.
pub(super) enum Network {
    Proxied(proxy::Network),
    Kernel { link: Link, addresses: Vec<String> },
}

impl Network {
    pub(super) fn new(node: &Host, servers: &dyn Servers, machines: &Machines) -> Self {
        if !namespaces::are_used() {
            return Self::Proxied(proxy::Network::new(servers.places()));
        }
        let link = Link::new(node, machines.servers());
        // The third place of PostgreSQL has no server yet, and its port will be the same.
        let port = |place: usize| servers.place(place).unwrap_or_else(|| machines.servers()[place].port());
        let address = |(place, host): (usize, &Host)| format!("{}:{}", host.address(), port(place));
        Self::Kernel { link, addresses: machines.servers().iter().enumerate().map(address).collect() }
    }

    /// Where the node reaches each place.
    pub(super) fn addresses(&self) -> Vec<String> {
        match self {
            Self::Proxied(network) => network.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect(),
            Self::Kernel { addresses, .. } => addresses.clone(),
        }
    }

    pub(super) fn set(&self, traffic: Traffic) {
        match self {
            Self::Proxied(network) => network.set(traffic),
            Self::Kernel { link, .. } => link.set(traffic),
        }
    }

    pub(super) fn set_route(&self, place: usize, traffic: Traffic) {
        match self {
            Self::Proxied(network) => network.set_route(place, traffic),
            Self::Kernel { link, .. } => link.set_route(place, traffic),
        }
    }

    pub(super) fn disconnect(&self) {
        match self {
            Self::Proxied(network) => network.disconnect(),
            Self::Kernel { link, .. } => link.disconnect(),
        }
    }
}

/// The network of each place to the others, where it can fail.
pub(super) struct Between(Vec<Link>);

impl Between {
    pub(super) fn new(servers: &[Host]) -> Self {
        if !namespaces::are_used() {
            return Self(Vec::new());
        }
        let link = |own: usize| {
            let others: Vec<_> = servers.iter().enumerate().filter(|(at, _)| *at != own).collect();
            Link::new(&servers[own], &others.into_iter().map(|(_, host)| host.clone()).collect::<Vec<_>>())
        };
        Self((0..servers.len()).map(link).collect())
    }

    /// Cuts a place off from the others for so long. All nodes reach it, as before.
    pub(super) fn isolate(&self, place: usize, traffic: Traffic, span: Duration) {
        self.0[place].set(traffic);
        std::thread::sleep(span);
        self.0[place].set(Traffic::Flows);
    }
}
