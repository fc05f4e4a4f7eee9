//! warp 0.4: filters that pass a handler the head of its request (one of them guards), and a filter that recovers.
//!
//! The tests run a whole program, the example `warp` of tests/frameworks.
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

use apikey_core::{Charge, HeaderConfig, KeyStore, Peer, Presented, Requirement, VerifiedKey};

use crate::answer::{PlainResponse, Problem, SecretResponse};
use crate::ask::{Gate, GuardLog, KeySource, PeerAddr, Rejection, is_preflight, peer_addr};

/// The head of a request, for a handler with the attribute: `request = head`.
///
/// It contains the headers, the store, and the key, if [`require`] verified one.
#[derive(Debug, Clone)]
pub struct Head {
    headers: HeaderMap,
    store: Option<KeyStore>,
    key: Option<VerifiedKey>,
    log: Option<GuardLog>,
    /// The socket's peer.
    peer: Option<IpAddr>,
}

impl Head {
    /// Returns the headers of the request.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// Passes a handler the head of its request, with the store that [`ApiKeyLayer`](crate::ApiKeyLayer) provides around
/// `warp::service(routes)`.
pub fn head() -> impl Filter<Extract = (Head,), Error = Infallible> + Clone + Send + Sync + 'static {
    ::warp::header::headers_cloned()
        .and(::warp::ext::optional::<KeyStore>())
        .and(::warp::ext::optional::<VerifiedKey>())
        .and(::warp::ext::optional::<GuardLog>())
        .and(::warp::ext::optional::<PeerAddr>())
        .and(::warp::addr::remote())
        .map(|headers, store, key: Option<VerifiedKey>, log: Option<GuardLog>, inserted: Option<PeerAddr>, remote| {
            // A filter may run once for each branch of an `or`: the later ones use the key that the first verified.
            let key = key.or_else(|| log.as_ref()?.key());
            let remote: Option<SocketAddr> = remote;
            let peer = inserted.map(|peer| peer.0).or_else(|| remote.as_ref().map(SocketAddr::ip));
            Head { headers, store, key, log, peer }
        })
}

/// Passes a handler the head of its request, with this store. It requires nothing: the attribute names the requirement.
pub fn supply(store: KeyStore) -> impl Filter<Extract = (Head,), Error = Infallible> + Clone + Send + Sync + 'static {
    head().map(move |head| Head { store: Some(store.clone()), ..head })
}

/// Rejects a request without a key that meets the requirement, and passes on the head of one that has it. Filters after
/// it, such as one for the body, do not run for a refused request.
///
/// A handler with the attribute may require more; it does not verify the key again. [`recover`] turns the rejection
/// into a response. A CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes, without a
/// key in its head.
pub fn require(
    store: KeyStore,
    requirement: impl Into<Requirement>,
) -> impl Filter<Extract = (Head,), Error = WarpRejection> + Clone + Send + Sync + 'static {
    let gate = Gate::new(store.clone(), requirement.into());
    supply(store).and(::warp::method()).and_then(move |mut head: Head, method: Method| {
        let preflight = is_preflight(method.as_str(), |name| head.headers.contains_key(name));
        // For the charge, where no layer outside has a log.
        head.log.get_or_insert_default();
        std::future::ready(match check(&gate, &head, preflight) {
            Ok(key) => {
                head.key = key;
                Ok(head)
            }
            Err(rejection) => Err(::warp::reject::custom(rejection)),
        })
    })
}

/// A filter may run once for each branch of an `or`: the later ones repeat the first one's refusal, so that the request
/// counts once.
fn check(gate: &Gate, head: &Head, is_preflight: bool) -> Result<Option<VerifiedKey>, Rejection> {
    if gate.lets_through(is_preflight) {
        return Ok(None);
    }
    if let Some(rejection) = head.log.as_ref().and_then(|log| log.refusal(&gate.store, &gate.requirement)) {
        return Err(rejection);
    }
    let charge = head.charge(&gate.store);
    let answer = gate.authenticate(head, &charge);
    head.note_charge(&gate.store, &charge);
    head.record(&gate.store, answer.as_ref().ok());
    if let (Some(log), Err(rejection)) = (&head.log, &answer) {
        log.record_refusal(&gate.store, rejection);
    }
    answer.map(Some)
}

/// Turns a [`Problem`] of a handler, else this crate's rejection, into a response:
/// `routes.recover(apikey::warp::recover)`. Passes other rejections on. Without it, warp answers a refused request with 500.
///
/// # Errors
/// The rejection, if it is not one of this crate.
pub async fn recover(error: WarpRejection) -> Result<Response, WarpRejection> {
    // warp keeps the rejections of every branch of an `or`. A handler ran and answers with the problem, so its branch was
    // the one for the request, and the refusals of other branches' guards say nothing about it.
    if let Some(problem) = error.find::<Problem>() {
        return Ok(problem.clone().into_response());
    }
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

    fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        if let Some(log) = &self.log {
            log.record(store, key);
        }
    }

    fn charge(&self, store: &KeyStore) -> Charge {
        self.log.as_ref().map(|log| log.charge(store)).unwrap_or_default()
    }

    fn note_charge(&self, store: &KeyStore, charge: &Charge) {
        if let Some(log) = &self.log {
            log.note_charge(store, charge);
        }
    }
}

impl Reject for Rejection {}
impl Reject for Problem {}

macro_rules! reply {
    ($($kind:ty),*) => {$(
        impl Reply for $kind {
            fn into_response(self) -> Response {
                self.into()
            }
        }
    )*};
}

reply!(Rejection, Problem, SecretResponse, PlainResponse);
