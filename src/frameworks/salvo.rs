//! salvo 1: the guards are extractors, a rejection writes itself, and two hoops stand for the layers.
//!
//! A whole program is the example `salvo` of tests/frameworks, which is what the tests run.
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
//! The store alone comes with `affix_state::inject(store)`, too. Whatever is named further in is asked.

use std::fmt::Debug;

use ::salvo_core::extract::{Extractible, Metadata};
use ::salvo_core::http::{HeaderName, HeaderValue, StatusCode};
use ::salvo_core::writing::Scribe;
use ::salvo_core::{Depot, FlowCtrl, Handler, Request, Response, Writer, async_trait};

use apikey_core::{HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};

use super::innermost_store::{Place, Seen, Undecided, further_in};
use crate::ask::{GuardLog, KeySource, Rejection, is_preflight, peer_addr};
use crate::guard::{OptionalApiKey, RequireApiKey, Required};

pub use super::middleware::{Require, Supply, require, supply};

/// A request alone: the store comes from [`supply`] or [`require`]. It cannot see the depot, nor a store that is injected
/// further in: in in-body mode say `request = (&*req, &*depot)`.
impl KeySource for Request {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers().presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        peer_addr::behind_proxies(config, self.remote_addr().ip(), self.headers())
    }

    fn store(&self) -> Option<&KeyStore> {
        self.extensions().get()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.extensions().get()
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        if let Some(trail) = self.extensions().get::<GuardLog>() {
            trail.asked(store, key);
        }
    }
}

/// A request with what the application has put into the depot: the store is the one that was named further in.
impl KeySource for (&Request, &Depot) {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.0.presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        KeySource::peer(self.0, config)
    }

    fn store(&self) -> Option<&KeyStore> {
        named(self.0, self.1).unwrap_or_default()
    }

    fn undecided(&self) -> bool {
        named(self.0, self.1).is_err()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.0.verified()
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        self.0.asked(store, key);
    }
}

fn named<'a>(request: &'a Request, depot: &'a Depot) -> Result<Option<&'a KeyStore>, Undecided> {
    further_in(places(request, depot), request.extensions().get::<Seen>().copied())
}

fn places<'a>(request: &'a Request, depot: &'a Depot) -> [Option<Place<'a>>; 2] {
    let place = |store: &'a KeyStore| Place::new(store, store);
    [request.extensions().get::<KeyStore>().map(place), depot.get_typed::<KeyStore>().ok().map(place)]
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

impl Scribe for Rejection {
    fn render(self, response: &mut Response) {
        response.status_code(StatusCode::from(self.clone()));
        let refusal = self.into_refusal();
        for (name, value) in refusal.headers {
            // A renderer may have made a name or a value that HTTP cannot carry: it is left out.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response.body(refusal.body);
    }
}

#[async_trait]
impl Handler for Supply {
    async fn handle(&self, request: &mut Request, depot: &mut Depot, response: &mut Response, flow: &mut FlowCtrl) {
        let trail = GuardLog::default();
        provide(&self.store, &trail, request, depot);
        flow.call_next(request, depot, response).await;
        trail.mark(response.headers_mut());
    }
}

#[async_trait]
impl Handler for Require {
    async fn handle(&self, request: &mut Request, depot: &mut Depot, response: &mut Response, flow: &mut FlowCtrl) {
        let has = |name: &'static str| request.headers().contains_key(name);
        let preflight = is_preflight(request.method().as_str(), has);
        let trail = GuardLog::default();
        match self.gate.ask(request, preflight) {
            Ok(key) => {
                if let Some(key) = key {
                    trail.asked(&self.gate.store, Some(&key));
                    request.extensions_mut().insert(key);
                }
                provide(&self.gate.store, &trail, request, depot);
                flow.call_next(request, depot, response).await;
            }
            Err(rejection) => {
                trail.asked(&self.gate.store, None);
                rejection.render(response);
                flow.skip_rest();
            }
        }
        trail.mark(response.headers_mut());
    }
}

fn provide(store: &KeyStore, trail: &GuardLog, request: &mut Request, depot: &mut Depot) {
    depot.insert_typed(store.clone());
    request.extensions_mut().insert(store.clone());
    request.extensions_mut().insert(trail.clone());
    let seen = Seen::new(places(request, depot));
    request.extensions_mut().insert(seen);
}
