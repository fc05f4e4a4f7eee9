//! A network between a node and its servers that fails on order.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How often what is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(2);
/// How long a kernel waits at least before it sends again what was lost.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// What happens to what is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// It arrives.
    Flows,
    /// Each piece arrives so much later, in both directions.
    Delayed(Duration),
    /// The same, and some pieces are lost: each arrives once the kernel sends it again, after the least time that Linux
    /// waits for that, and what is lost again after twice the time.
    Lossy {
        /// How much later a piece arrives that is not lost.
        delay: Duration,
        /// How many of a hundred pieces are lost.
        percent: u32,
    },
    /// What the node sends is lost, and arrives once the network works again, as the kernel sends it again and again.
    HeldToServer,
    /// The same with what the server sends: it does what the node wants, and the node does not learn of it.
    HeldToNode,
    /// Nothing arrives, in both directions.
    Held,
    /// Every connection ends, and none is made.
    Refused,
}

/// The network of one node: a route to each of several servers.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    ports: Vec<u16>,
}

#[derive(Debug)]
struct Shared {
    closed: AtomicBool,
    routes: Vec<Route>,
}

/// The route to one server.
#[derive(Debug)]
struct Route {
    traffic: Mutex<Traffic>,
    open: Mutex<Vec<Weak<Connection>>>,
    /// What decides which pieces are lost.
    pieces: AtomicU64,
}

/// A connection of a node to a server.
#[derive(Debug)]
struct Connection {
    node: TcpStream,
    server: TcpStream,
}

impl Network {
    /// Routes to servers, each of which listens at a port of the loopback interface; 0 for one that is not there.
    #[must_use]
    pub fn new(servers: &[Arc<AtomicU16>]) -> Self {
        let route = |_: &Arc<AtomicU16>| Route {
            traffic: Mutex::new(Traffic::Flows),
            open: Mutex::default(),
            pieces: AtomicU64::new(0),
        };
        let shared = Arc::new(Shared { closed: AtomicBool::new(false), routes: servers.iter().map(route).collect() });
        let ports = servers.iter().enumerate().map(|(route, server)| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (shared, server) = (shared.clone(), server.clone());
            thread::spawn(move || accept(&listener, &shared, route, &server));
            port
        });
        Self { ports: ports.collect(), shared }
    }

    /// The ports at which a node reaches the servers, in their order.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Sets what happens to the traffic from now on, to and from every server.
    pub fn set(&self, traffic: Traffic) {
        self.shared.routes.iter().for_each(|route| route.set(traffic));
    }

    /// Sets what happens to the traffic from now on, to and from one server.
    pub fn set_route(&self, server: usize, traffic: Traffic) {
        self.shared.routes[server].set(traffic);
    }

    /// Ends every connection.
    pub fn disconnect(&self) {
        self.shared.routes.iter().for_each(Route::disconnect);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.disconnect();
        for port in &self.ports {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, *port));
        }
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Route {
    fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, traffic: Traffic) {
        *self.traffic.lock().unwrap() = traffic;
        if traffic == Traffic::Refused {
            self.disconnect();
        }
    }

    fn disconnect(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in open.iter().filter_map(Weak::upgrade) {
            // What has ended in the meantime is none the worse.
            let _ = connection.node.shutdown(Shutdown::Both);
            let _ = connection.server.shutdown(Shutdown::Both);
        }
    }

    /// Whether the next piece is lost, as it is for so many of a hundred.
    fn loses(&self, percent: u32) -> bool {
        let piece = self.pieces.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (piece >> 32) % 100 < u64::from(percent)
    }

    /// How much later a piece arrives.
    fn late(&self, delay: Duration, percent: u32) -> Duration {
        let (mut late, mut again) = (delay, RETRANSMISSION);
        while percent < 100 && self.loses(percent) {
            late += again;
            again *= 2;
        }
        late
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, number: usize, server: &AtomicU16) {
    let route = &shared.routes[number];
    for node in listener.incoming() {
        if shared.is_closed() {
            return;
        }
        let (Ok(node), port) = (node, server.load(Ordering::Relaxed)) else { continue };
        if port == 0 || route.traffic() == Traffic::Refused {
            continue;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
        let up = Arc::new(Connection { node, server });
        {
            let mut open = route.open.lock().unwrap();
            open.retain(|connection| connection.strong_count() > 0);
            open.push(Arc::downgrade(&up));
        }
        let (down, to_server, to_node) = (up.clone(), shared.clone(), shared.clone());
        thread::spawn(move || carry(&up.node, &up.server, (&to_server, number), Traffic::HeldToServer));
        thread::spawn(move || carry(&down.server, &down.node, (&to_node, number), Traffic::HeldToNode));
    }
}

/// Carries bytes in one direction; `held` is what holds this direction alone.
fn carry(mut from: &TcpStream, mut to: &TcpStream, (shared, number): (&Shared, usize), held: Traffic) {
    let route = &shared.routes[number];
    let mut buffer = [0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        loop {
            match route.traffic() {
                Traffic::Delayed(span) => break thread::sleep(span),
                Traffic::Lossy { delay, percent } => break thread::sleep(route.late(delay, percent)),
                Traffic::Held => {}
                traffic if traffic == held => {}
                _ => break,
            }
            if shared.is_closed() {
                break;
            }
            thread::sleep(LOOK);
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            // What the other direction still has arrives.
            let _ = to.shutdown(Shutdown::Write);
            let _ = from.shutdown(Shutdown::Read);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_arrives_later_and_what_is_refused_never() {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = Arc::new(AtomicU16::new(echo.local_addr().unwrap().port()));
        thread::spawn(move || {
            for stream in echo.incoming() {
                let mut stream = stream.unwrap();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    stream.write_all(&[byte[0] + 1]).unwrap();
                }
            }
        });
        let network = Network::new(&[port, Arc::default()]);
        let connect = |at: usize| TcpStream::connect((Ipv4Addr::LOCALHOST, network.ports()[at])).unwrap();
        let mut stream = connect(0);
        let mut byte = [0];
        for traffic in [
            Traffic::Flows,
            Traffic::Delayed(Duration::from_millis(1)),
            Traffic::Lossy { delay: Duration::from_millis(1), percent: 30 },
            Traffic::Held,
            Traffic::HeldToServer,
            Traffic::HeldToNode,
        ] {
            network.set(traffic);
            stream.write_all(&[7]).unwrap();
            if !matches!(traffic, Traffic::Flows | Traffic::Delayed(_) | Traffic::Lossy { .. }) {
                stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                assert!(stream.read(&mut byte).is_err(), "{traffic:?}");
                stream.set_read_timeout(None).unwrap();
                network.set(Traffic::Flows);
            }
            stream.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [8], "{traffic:?}");
        }
        network.set(Traffic::Refused);
        assert!(!stream.read(&mut byte).is_ok_and(|read| read > 0));
        assert!(!connect(0).read(&mut byte).is_ok_and(|read| read > 0));
        network.set(Traffic::Flows);
        // The server of this route is not there.
        assert!(!connect(1).read(&mut byte).is_ok_and(|read| read > 0));
        let mut again = connect(0);
        again.write_all(&[1]).unwrap();
        again.read_exact(&mut byte).unwrap();
        network.disconnect();
        assert!(!again.read(&mut byte).is_ok_and(|read| read > 0));
    }

    #[test]
    fn one_way_fails_alone() {
        let servers = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let places = [0, 1].map(|at: usize| Arc::new(AtomicU16::new(servers[at].local_addr().unwrap().port())));
        let network = Network::new(&places);
        network.set_route(0, Traffic::Held);
        let mut byte = [0];
        let [mut held, mut open] = [0, 1].map(|at| {
            let mut node = TcpStream::connect((Ipv4Addr::LOCALHOST, network.ports()[at])).unwrap();
            node.write_all(&[7]).unwrap();
            let (server, _) = servers[at].accept().unwrap();
            server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            server
        });
        assert!(held.read(&mut byte).is_err());
        open.set_read_timeout(None).unwrap();
        open.read_exact(&mut byte).unwrap();
        network.set_route(0, Traffic::Flows);
        held.set_read_timeout(None).unwrap();
        held.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [7]);
    }

    #[test]
    fn of_a_hundred_pieces_so_many_are_late() {
        let network = Network::new(&[Arc::default()]);
        let route = &network.shared.routes[0];
        let late = (0..1000).filter(|_| route.late(Duration::ZERO, 10) > Duration::ZERO).count();
        assert!((50..150).contains(&late), "{late}");
    }
}
