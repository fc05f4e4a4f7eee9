//! salvo 1: guards are extractors, a rejection renders itself, and the two layers are hoops.
//!
//! The tests run a whole program, the example `salvo` of tests/frameworks.
//!
//! ```ignore
//! use apikey::{KeyStore, Requirement, VerifiedKey, require_api_key};
//! use salvo::prelude::*;
//!
//! #[require_api_key(perm = "orders:read")]
//! #[handler]
//! async fn list(key: VerifiedKey) -> String {
//!     key.owner().to_owned()
//! }
//!
//! let admin = Requirement::permission("admin")?;
//! Router::new()
//!     .hoop(apikey::salvo::supply(store.clone()))
//!     .push(Router::with_path("orders").get(list))
//!     .push(Router::with_path("admin").hoop(apikey::salvo::require(store, admin)));
//! ```
//!
//! `affix_state::inject(store)` provides the store, too. A guard asks the innermost store.

use std::fmt::Debug;

use ::salvo_core::extract::{Extractible, Metadata};
use ::salvo_core::writing::Scribe;
use ::salvo_core::{Depot, FlowCtrl, Handler, Request, Response, Writer, async_trait};

use apikey_core::{Charge, HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};

use super::http::{from_extensions, status};
use super::innermost_store::{AmbiguousStore, Slot, SlotSnapshot, innermost};
use crate::answer::{PlainResponse, Problem, SecretResponse};
use crate::ask::{GuardLog, KeySource, Rejection, append_all, is_preflight, peer_addr};
use crate::guard::{OptionalApiKey, RequireApiKey, Required};

pub use super::middleware::{Require, Supply, require, supply};

/// A request alone: [`supply`] or [`require`] provides its store. It does not see the depot, nor a store that was
/// injected into it further in: in a plain function write `request = (&*req, &*depot)`.
impl KeySource for Request {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers().presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        peer_addr::behind_proxies(config, self.remote_addr().ip(), self.headers())
    }

    from_extensions!(self => self.extensions());
}

/// A request with its depot: the store is the innermost one.
impl KeySource for (&Request, &Depot) {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.0.presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        KeySource::peer(self.0, config)
    }

    fn store(&self) -> Option<&KeyStore> {
        innermost_store(self.0, self.1).unwrap_or_default()
    }

    fn has_ambiguous_store(&self) -> bool {
        innermost_store(self.0, self.1).is_err()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.0.verified()
    }

    fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        self.0.record(store, key);
    }

    fn charge(&self, store: &KeyStore) -> Charge {
        self.0.charge(store)
    }

    fn note_charge(&self, store: &KeyStore, charge: &Charge) {
        self.0.note_charge(store, charge);
    }
}

fn innermost_store<'a>(request: &'a Request, depot: &'a Depot) -> Result<Option<&'a KeyStore>, AmbiguousStore> {
    innermost(slots(request, depot), request.extensions().get::<SlotSnapshot>().copied())
}

fn slots<'a>(request: &'a Request, depot: &'a Depot) -> [Option<Slot<'a>>; 2] {
    let slot = |store: &'a KeyStore| Slot::new(store, store);
    [request.extensions().get::<KeyStore>().map(slot), depot.get_typed::<KeyStore>().ok().map(slot)]
}

impl<'ex, R: Required> Extractible<'ex> for RequireApiKey<R> {
    fn metadata() -> &'static Metadata {
        static METADATA: Metadata = Metadata::new("RequireApiKey");
        &METADATA
    }

    async fn extract(
        request: &'ex mut Request,
        depot: &'ex mut Depot,
    ) -> Result<Self, impl Writer + Send + Debug + 'static> {
        Self::from_source(&(&*request, &*depot))
    }
}

impl<'ex, R: Required> Extractible<'ex> for OptionalApiKey<R> {
    fn metadata() -> &'static Metadata {
        static METADATA: Metadata = Metadata::new("OptionalApiKey");
        &METADATA
    }

    async fn extract(
        request: &'ex mut Request,
        depot: &'ex mut Depot,
    ) -> Result<Self, impl Writer + Send + Debug + 'static> {
        Self::from_source(&(&*request, &*depot))
    }
}

macro_rules! scribe {
    ($($kind:ty),*) => {$(
        impl Scribe for $kind {
            fn render(self, response: &mut Response) {
                render(self.into(), response);
            }
        }
    )*};
}

scribe!(Rejection, Problem, SecretResponse, PlainResponse);

fn render(plain: PlainResponse, response: &mut Response) {
    response.status_code(status(plain.status));
    append_all(response.headers_mut(), plain.headers);
    response.body(plain.body);
}

#[async_trait]
impl Handler for Supply {
    async fn handle(&self, request: &mut Request, depot: &mut Depot, response: &mut Response, flow: &mut FlowCtrl) {
        let log = GuardLog::inside(request.extensions().get());
        provide(&self.store, &log, request, depot);
        flow.call_next(request, depot, response).await;
        log.write_headers(response.headers_mut());
        log.insert_key(&mut response.extensions);
    }
}

#[async_trait]
impl Handler for Require {
    async fn handle(&self, request: &mut Request, depot: &mut Depot, response: &mut Response, flow: &mut FlowCtrl) {
        let has = |name: &'static str| request.headers().contains_key(name);
        let preflight = is_preflight(request.method().as_str(), has);
        let log = GuardLog::inside(request.extensions().get());
        match self.gate.check(request, preflight, &log) {
            Ok(key) => {
                if let Some(key) = key {
                    request.extensions_mut().insert(key);
                }
                provide(&self.gate.store, &log, request, depot);
                flow.call_next(request, depot, response).await;
            }
            Err(rejection) => {
                rejection.render(response);
                flow.skip_rest();
            }
        }
        log.write_headers(response.headers_mut());
        log.insert_key(&mut response.extensions);
    }
}

/// Provides the store, and the log in which guards record their decisions.
fn provide(store: &KeyStore, log: &GuardLog, request: &mut Request, depot: &mut Depot) {
    depot.insert_typed(store.clone());
    request.extensions_mut().insert(store.clone());
    request.extensions_mut().insert(log.clone());
    let snapshot = SlotSnapshot::new(slots(request, depot));
    request.extensions_mut().insert(snapshot);
}
