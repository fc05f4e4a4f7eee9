//! warp 0.4: filters that give a handler the head of the request, one of them a guard, and a filter that recovers.
//!
//! A whole program is the example `warp` of tests/frameworks, which is what the tests run.
//!
//! ```ignore
//! use apikey::{KeyStore, Requirement, require_api_key};
//! use apikey::warp::Head;
//! use warp::reply::{Reply, Response};
//! use warp::Filter;
//!
//! #[require_api_key(perm = "orders:read", request = head, key = key)]
//! async fn list(head: Head) -> Response {
//!     key.owner().to_owned().into_response()
//! }
//!
//! let admin = Requirement::permission("admin")?;
//! let orders = warp::path("orders").and(apikey::warp::supply(store.clone())).then(list);
//! let stats = warp::path("stats").and(apikey::warp::require(store, admin)).map(|_| "fine");
//! let routes = orders.or(stats).recover(apikey::warp::recover);
//! ```

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use ::http::{HeaderMap, Method};
use ::warp::reject::Reject;
use ::warp::reply::{Reply, Response};
use ::warp::{Filter, Rejection as WarpRejection};

use apikey_core::{HeaderConfig, KeyStore, Peer, Presented, Requirement, VerifiedKey};

use crate::ask::{Gate, GuardLog, KeySource, PeerAddr, Rejection, is_preflight, peer_addr};

/// The head of a request, for a handler with the attribute: `request = head`.
///
/// It has the headers, the store, and the key, if [`require`] has verified one.
#[derive(Debug, Clone)]
pub struct Head {
    headers: HeaderMap,
    store: Option<KeyStore>,
    key: Option<VerifiedKey>,
    trail: Option<GuardLog>,
    /// The socket's peer.
    peer: Option<IpAddr>,
}

impl Head {
    /// The headers of the request.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// Gives a handler the head of its request, with the store that [`ApiKeyLayer`](crate::ApiKeyLayer) has supplied around
/// `warp::service(routes)`.
pub fn head() -> impl Filter<Extract = (Head,), Error = Infallible> + Clone + Send + Sync + 'static {
    ::warp::header::headers_cloned()
        .and(::warp::ext::optional::<KeyStore>())
        .and(::warp::ext::optional::<VerifiedKey>())
        .and(::warp::ext::optional::<GuardLog>())
        .and(::warp::ext::optional::<PeerAddr>())
        .and(::warp::addr::remote())
        .map(|headers, store, key: Option<VerifiedKey>, trail: Option<GuardLog>, given: Option<PeerAddr>, remote| {
            // A filter may run once for each branch of an `or`: what the first has verified, the others need not.
            let key = key.or_else(|| trail.as_ref()?.key());
            let remote: Option<SocketAddr> = remote;
            let peer = given.map(|peer| peer.0).or_else(|| remote.as_ref().map(SocketAddr::ip));
            Head { headers, store, key, trail, peer }
        })
}

/// Gives a handler the head of its request, with this store. It requires nothing: the attribute says what that asks.
pub fn supply(store: KeyStore) -> impl Filter<Extract = (Head,), Error = Infallible> + Clone + Send + Sync + 'static {
    head().map(move |head| Head { store: Some(store.clone()), ..head })
}

/// Rejects a request without a key that meets the requirement, and gives the head of one that has it. What comes after it,
/// such as a body, is not read for a request that is refused.
///
/// A handler with the attribute may ask for more, and verifies nothing twice. [`recover`] makes the rejection a response. A
/// true CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes, without a key in its head.
pub fn require(
    store: KeyStore,
    requirement: impl Into<Requirement>,
) -> impl Filter<Extract = (Head,), Error = WarpRejection> + Clone + Send + Sync + 'static {
    let gate = Gate::new(store.clone(), requirement.into());
    supply(store).and(::warp::method()).and_then(move |mut head: Head, method: Method| {
        let preflight = is_preflight(method.as_str(), |name| head.headers.contains_key(name));
        std::future::ready(match ask(&gate, &head, preflight) {
            Ok(key) => {
                head.key = key;
                Ok(head)
            }
            Err(rejection) => Err(::warp::reject::custom(rejection)),
        })
    })
}

/// A filter may run once for each branch of an `or`: what the first has refused, the others refuse too, and the request
/// counts once.
fn ask(gate: &Gate, head: &Head, preflight: bool) -> Result<Option<VerifiedKey>, Rejection> {
    if preflight {
        return gate.ask(head, true);
    }
    let trail = head.trail.as_ref();
    if let Some(rejection) = trail.and_then(|trail| trail.refusal(&gate.store, &gate.requirement)) {
        return Err(rejection);
    }
    let answer = gate.ask(head, false);
    head.asked(&gate.store, answer.as_ref().ok().and_then(Option::as_ref));
    if let (Some(trail), Err(rejection)) = (trail, &answer) {
        trail.refused(&gate.store, rejection);
    }
    answer
}

/// Makes a response of our rejection: `routes.recover(apikey::warp::recover)`. Another rejection stays one. Without it, warp
/// answers a refused request with 500.
///
/// # Errors
/// The rejection, if it is not ours.
pub async fn recover(error: WarpRejection) -> Result<Response, WarpRejection> {
    match error.find::<Rejection>() {
        Some(rejection) => Ok(rejection.clone().into_response()),
        None => Err(error),
    }
}

impl KeySource for Head {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers.presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        peer_addr::behind_proxies(config, self.peer, &self.headers)
    }

    fn store(&self) -> Option<&KeyStore> {
        self.store.as_ref()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.key.as_ref()
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        if let Some(trail) = &self.trail {
            trail.asked(store, key);
        }
    }
}

impl Reject for Rejection {}

impl Reply for Rejection {
    fn into_response(self) -> Response {
        self.into()
    }
}
