//! The address of the caller of an `http` request, in the types of the servers.

use std::net::{IpAddr, SocketAddr};

use apikey_core::{HeaderConfig, Peer};
use http::{Extensions, HeaderMap, HeaderValue};

/// The address of a request's caller, for servers that do not put it into the request (hyper). Insert it into the
/// request's extensions. It is the socket's peer; the store applies
/// [`trusted_proxies`](crate::KeyStoreBuilder::trusted_proxies) to it.
///
/// ```
/// # use http::Request;
/// use apikey::PeerAddr;
///
/// # let mut request = Request::new(());
/// # let address: std::net::SocketAddr = ([127, 0, 0, 1], 4711).into();
/// // `address` comes from `TcpListener::accept`, with the stream.
/// request.extensions_mut().insert(PeerAddr::from(address));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub IpAddr);

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        Self(address.ip())
    }
}

impl From<IpAddr> for PeerAddr {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

/// The peer of a request with these extensions and headers.
pub(crate) fn peer(config: &HeaderConfig, extensions: &Extensions, headers: &HeaderMap) -> Peer {
    behind_proxies(config, socket(extensions), headers)
}

/// The peer of a request whose socket's peer is known.
pub(crate) fn behind_proxies(config: &HeaderConfig, socket: Option<IpAddr>, headers: &HeaderMap) -> Peer {
    config.peer(socket, |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes))
}

fn socket(extensions: &Extensions) -> Option<IpAddr> {
    // The application's word comes before the server's.
    let peer = extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| {
        use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
        let info = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        info.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0)).map(|address| address.ip())
    });
    #[cfg(feature = "tonic")]
    let peer = peer.or_else(|| {
        let info = extensions.get::<::tonic::transport::server::TcpConnectInfo>();
        info.and_then(|info| info.remote_addr()).map(|address| address.ip())
    });
    peer
}
