//! A network between a node and its servers that fails on order.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How often what is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(2);

/// What happens to what is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// It arrives.
    Flows,
    /// Each piece arrives so much later, in both directions.
    Delayed(Duration),
    /// What the node sends is lost, and arrives once the network works again, as the kernel sends it again and again.
    HeldToServer,
    /// The same with what the server sends: it does what the node wants, and the node does not learn of it.
    HeldToNode,
    /// Nothing arrives, in both directions.
    Held,
    /// Every connection ends, and none is made.
    Refused,
}

/// The network of one node: a way to each of several servers.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    ports: Vec<u16>,
}

#[derive(Debug)]
struct Shared {
    traffic: Mutex<Traffic>,
    closed: AtomicBool,
    open: Mutex<Vec<Weak<Connection>>>,
}

/// A connection of a node to a server.
#[derive(Debug)]
struct Connection {
    node: TcpStream,
    server: TcpStream,
}

impl Network {
    /// Ways to servers, each of which listens at a port of the loopback interface; 0 for one that is not there.
    #[must_use]
    pub fn new(servers: &[Arc<AtomicU16>]) -> Self {
        let shared = Arc::new(Shared {
            traffic: Mutex::new(Traffic::Flows),
            closed: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let ports = servers.iter().map(|server| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (shared, server) = (shared.clone(), server.clone());
            thread::spawn(move || accept(&listener, &shared, &server));
            port
        });
        Self { ports: ports.collect(), shared }
    }

    /// The ports at which a node reaches the servers, in their order.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Sets what happens to the traffic from now on.
    pub fn set(&self, traffic: Traffic) {
        *self.shared.traffic.lock().unwrap() = traffic;
        if traffic == Traffic::Refused {
            self.shared.disconnect();
        }
    }

    /// Ends every connection.
    pub fn disconnect(&self) {
        self.shared.disconnect();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.disconnect();
        for port in &self.ports {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, *port));
        }
    }
}

impl Shared {
    fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disconnect(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in open.iter().filter_map(Weak::upgrade) {
            // What has ended in the meantime is none the worse.
            let _ = connection.node.shutdown(Shutdown::Both);
            let _ = connection.server.shutdown(Shutdown::Both);
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, server: &AtomicU16) {
    for node in listener.incoming() {
        if shared.is_closed() {
            return;
        }
        let (Ok(node), port) = (node, server.load(Ordering::Relaxed)) else { continue };
        if port == 0 || shared.traffic() == Traffic::Refused {
            continue;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
        let up = Arc::new(Connection { node, server });
        {
            let mut open = shared.open.lock().unwrap();
            open.retain(|connection| connection.strong_count() > 0);
            open.push(Arc::downgrade(&up));
        }
        let (down, to_server, to_node) = (up.clone(), shared.clone(), shared.clone());
        thread::spawn(move || carry(&up.node, &up.server, &to_server, Traffic::HeldToServer));
        thread::spawn(move || carry(&down.server, &down.node, &to_node, Traffic::HeldToNode));
    }
}

/// Carries bytes in one direction; `held` is what holds this direction alone.
fn carry(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared, held: Traffic) {
    let mut buffer = [0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        loop {
            match shared.traffic() {
                Traffic::Delayed(span) => break thread::sleep(span),
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
            Traffic::Held,
            Traffic::HeldToServer,
            Traffic::HeldToNode,
        ] {
            network.set(traffic);
            stream.write_all(&[7]).unwrap();
            if !matches!(traffic, Traffic::Flows | Traffic::Delayed(_)) {
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
        // The server of this way is not there.
        assert!(!connect(1).read(&mut byte).is_ok_and(|read| read > 0));
        let mut again = connect(0);
        again.write_all(&[1]).unwrap();
        again.read_exact(&mut byte).unwrap();
        network.disconnect();
        assert!(!again.read(&mut byte).is_ok_and(|read| read > 0));
    }
}
