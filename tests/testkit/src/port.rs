//! Ports for servers that take theirs as an argument.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// The ports of servers: below those from which systems make connections.
const PORTS: Range<u16> = 15_000..31_000;
/// How many ports a process tries before it comes to those of the next one.
const PORTS_OF_ONE: u32 = 16;

/// The claims of this process, until it ends.
static CLAIMED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of the loopback address that nobody listens on, and that no other caller is given while this process lives.
///
/// Between this call and the server's `listen` the port is free, so that whoever else looked for one could find it too,
/// start its own server there, and answer the requests of this test. The UDP port of the same number is therefore bound
/// until the process ends: nobody asks it anything, and no two processes can hold it.
#[must_use]
pub fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_OF_ONE);
    PORTS
        .map(|_| {
            let slot = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
            PORTS.start + u16::try_from(slot % u32::from(PORTS.end - PORTS.start)).expect("less than the ports")
        })
        .find(|port| claim(*port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}

fn claim(port: u16) -> bool {
    let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { return false };
    CLAIMED.lock().unwrap().push(claim);
    true
}

/// Whether a server answers at this port of the loopback address.
#[must_use]
pub fn is_up(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{claim, free_port, is_up};
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_port_is_given_once() {
        let (one, two) = (free_port(), free_port());
        assert_ne!(one, two);
        assert!(!claim(one) && !claim(two), "another process cannot claim them either");
        assert!(!is_up(one));
        let _server = TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
        assert!(is_up(one));
    }
}
