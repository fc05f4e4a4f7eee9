//! rocket 0.5: the guards are request guards, refusals go through rocket's catchers, and a fairing gives the store.
//!
//! A whole program is the example `rocket` of tests/frameworks, which is what the tests run.
//!
//! ```ignore
//! use apikey::{KeyStore, Requirement, VerifiedKey, require_api_key};
//! use rocket::{get, routes};
//!
//! #[require_api_key(perm = "orders:read")]
//! #[get("/orders")]
//! fn list(key: VerifiedKey) -> String {
//!     key.owner().to_owned()
//! }
//!
//! #[get("/stats")]
//! fn stats() -> &'static str {
//!     "fine"
//! }
//!
//! let admin = Requirement::permission("admin")?;
//! rocket::build()
//!     .attach(apikey::rocket::supply(store))
//!     .register("/", apikey::rocket::catchers())
//!     .mount("/", routes![list])
//!     .mount("/admin", apikey::rocket::require(admin, routes![stats]));
//! ```
//!
//! Rocket drops a header value that is not UTF-8 before anybody can see it, and only its own log says so
//! (`Header 'x-api-key' contains invalid UTF-8`). A key of that kind is therefore no key: `missing_api_key`, and with
//! `optional` the caller is nobody, where every other framework refuses. Beside a good key it is not seen as a second one.

use std::borrow::Cow;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use ::rocket::fairing::{self, Fairing, Info, Kind};
use ::rocket::futures::future::BoxFuture;
use ::rocket::http::{ContentType, Header, Status};
use ::rocket::outcome::Outcome;
use ::rocket::request::{self, FromRequest};
use ::rocket::route::{self, Handler, Route};
use ::rocket::{Build, Catcher, Data, Ignite, Request, Response, Rocket, Sentinel, catcher};

use apikey_core::{AuthError, HeaderConfig, KeyStore, Peer, Presented, Requirement, VerifiedKey};

use crate::ask::{Fields, GuardLog, KeySource, Rejection, is_preflight, pass, reject};
use crate::guard::{OptionalApiKey, RequireApiKey, Required};

/// Gives the handlers their store, and requires nothing: the attribute on each handler says what that asks. A fairing.
///
/// On the response to a request for which a guard has asked, it adds what [`ApiKeyLayer`](crate::ApiKeyLayer) of tower
/// adds: `Vary`, `Cache-Control` where the application set none, and `X-API-Key-Superseded`. It also adds the challenge of
/// a refusal where a catcher of yours has left it out. The store alone comes with `.manage(store)`, too.
///
/// A rocket with a guarded handler and without a store does not launch.
#[must_use]
pub fn supply(store: KeyStore) -> Supply {
    Supply { store }
}

/// Guards these routes: a request without a key that meets the requirement is refused. For a whole `mount`.
///
/// The store is the rocket's own, see [`supply`]. A guard inside may ask for more, and verifies nothing twice. A route for
/// `OPTIONS` is run for a CORS preflight without a key, since a browser sends it so.
#[must_use]
pub fn require(requirement: impl Into<Requirement>, routes: Vec<Route>) -> Vec<Route> {
    let requirement = requirement.into();
    let guard = |mut route: Route| {
        route.handler = Box::new(Guarded { requirement: requirement.clone(), handler: route.handler });
        route
    };
    routes.into_iter().map(guard).collect()
}

/// Catchers that answer with the refusal: its body, its challenge, its headers. Without them, rocket shows a page of its
/// own that has none of these.
///
/// They are for 401, 403, 429 and 503. An error of these that is none of ours gets its status as a line of text. For words
/// of your own use [`KeyStoreBuilder::render`](crate::KeyStoreBuilder::render), or catchers of your own.
#[must_use]
pub fn catchers() -> Vec<Catcher> {
    [401, 403, 429, 503].map(|code| Catcher::new(code, answer)).into()
}

/// Made by [`supply`].
#[derive(Debug, Clone)]
pub struct Supply {
    store: KeyStore,
}

/// What guards leave in a request for those that come later.
#[derive(Debug, Default)]
struct Left {
    trail: GuardLog,
    key: OnceLock<VerifiedKey>,
    rejection: Mutex<Option<Rejection>>,
}

impl Left {
    fn of<'a>(request: &'a Request<'_>) -> &'a Self {
        request.local_cache(Self::default)
    }

    /// Rocket's errors carry no body, so the catcher must find the refusal here. Gives its status.
    fn refuse(&self, rejection: Rejection) -> Status {
        let status = Status::new(rejection.status());
        *self.rejection.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejection);
        status
    }

    /// The refusal that led to an error with this status.
    fn refusal(&self, status: Status) -> Option<Rejection> {
        let held = self.rejection.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|rejection| rejection.status() == status.code)
    }
}

impl KeySource for Request<'_> {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        let values = |name: &str| self.headers().get(name).map(str::as_bytes).collect::<Vec<_>>();
        config.presented(values(config.header()), values("authorization"))
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        // Not `client_ip`: that believes `X-Real-IP`, whoever sends it.
        let socket = self.remote().as_ref().map(SocketAddr::ip);
        let peer = config.peer(socket, |name| self.headers().get(name).map(str::as_bytes).collect::<Vec<_>>());
        match (peer, socket) {
            // A line that named the caller may be gone, since rocket drops what is not UTF-8. So no proxy is a caller here.
            (Peer::Known(address), Some(socket)) if config.trusts(address) => Peer::Behind(socket),
            (peer, _) => peer,
        }
    }

    fn store(&self) -> Option<&KeyStore> {
        self.rocket().state()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        Left::of(self).key.get()
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        Left::of(self).trail.asked(store, key);
    }
}

#[::rocket::async_trait]
impl<'r, R: Required> FromRequest<'r> for RequireApiKey<R> {
    type Error = Rejection;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Rejection> {
        outcome(request, Self::from_source(request))
    }
}

#[::rocket::async_trait]
impl<'r, R: Required> FromRequest<'r> for OptionalApiKey<R> {
    type Error = Rejection;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Rejection> {
        outcome(request, Self::from_source(request))
    }
}

fn outcome<T>(request: &Request<'_>, answer: Result<T, Rejection>) -> request::Outcome<T, Rejection> {
    match answer {
        Ok(guard) => Outcome::Success(guard),
        Err(rejection) => Outcome::Error((Left::of(request).refuse(rejection.clone()), rejection)),
    }
}

impl<R: Required> Sentinel for RequireApiKey<R> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        no_store(rocket)
    }
}

/// Asked at launch, once for each handler. Whether a value was dropped cannot be seen later, so it is told here.
impl<R: Required> Sentinel for OptionalApiKey<R> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        tracing::warn!(
            name: "apikey.rocket_optional", target: "apikey",
            "a handler asks for a key with `optional`, and rocket drops header values that are not UTF-8: a key of that kind \
             passes as no key"
        );
        no_store(rocket)
    }
}

/// Better no launch than a service that refuses everything.
fn no_store(rocket: &Rocket<Ignite>) -> bool {
    let missing = rocket.state::<KeyStore>().is_none() && KeyStore::installed().is_none();
    if missing {
        tracing::error!("a handler is guarded and there is no key store: .attach(apikey::rocket::supply(store))");
    }
    missing
}

#[::rocket::async_trait]
impl Fairing for Supply {
    fn info(&self) -> Info {
        Info { name: "API keys", kind: Kind::Ignite | Kind::Response }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        if rocket.state::<KeyStore>().is_some() {
            tracing::error!("a key store is managed already: use apikey::rocket::supply(store) or .manage(store)");
            return Err(rocket);
        }
        if self.store.header_config().proxies_may_call() {
            tracing::warn!("proxies_may_call has no effect on rocket, which drops header values that are not UTF-8");
        }
        Ok(rocket.manage(self.store.clone()))
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let left = Left::of(request);
        if let Some(rejection) = left.refusal(response.status()) {
            // A catcher of the application's knows no challenge, and RFC 9110 asks for one on every 401.
            for name in ["www-authenticate", "cache-control", "retry-after", "ratelimit-policy", "ratelimit"] {
                if response.headers().contains(name) {
                    continue;
                }
                for (_, value) in rejection.refusal().headers.iter().filter(|(held, _)| held.eq_ignore_ascii_case(name))
                {
                    response.add(name, value.clone().into());
                }
            }
        }
        left.trail.mark(response);
    }
}

impl Fields for Response<'_> {
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.headers().get(name)
    }

    fn add(&mut self, name: &'static str, value: Cow<'static, str>) {
        self.adjoin_raw_header(name, value);
    }
}

/// A route's handler behind a guard.
#[derive(Clone)]
struct Guarded {
    requirement: Requirement,
    handler: Box<dyn Handler>,
}

#[::rocket::async_trait]
impl Handler for Guarded {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        let has = |name: &'static str| request.headers().contains(name);
        if !is_preflight(request.method().as_str(), has)
            && let Err(rejection) = self.ask(request)
        {
            return Outcome::Error(Left::of(request).refuse(rejection));
        }
        self.handler.handle(request, data).await
    }
}

impl Guarded {
    fn ask(&self, request: &Request<'_>) -> Result<(), Rejection> {
        let Some(store) = request.store().or(KeyStore::installed()) else {
            tracing::error!("no key store, so the request is refused: .attach(apikey::rocket::supply(store))");
            return Err(Rejection::from(AuthError::Unavailable));
        };
        let answer = pass(request, store, &self.requirement);
        request.asked(store, answer.as_ref().ok());
        match answer {
            Ok(key) => {
                // Taken already if the request was forwarded from another route: that key is of the same store.
                let _ = Left::of(request).key.set(key);
                Ok(())
            }
            Err(error) => Err(reject(request, store, error)),
        }
    }
}

fn answer<'r>(status: Status, request: &'r Request<'_>) -> BoxFuture<'r, catcher::Result<'r>> {
    let response = match Left::of(request).refusal(status) {
        Some(rejection) => refused(status, rejection),
        None => {
            let text = format!("{status}\n");
            Response::build()
                .status(status)
                .header(ContentType::Plain)
                .sized_body(text.len(), Cursor::new(text))
                .finalize()
        }
    };
    Box::pin(async move { Ok(response) })
}

fn refused<'r>(status: Status, rejection: Rejection) -> Response<'r> {
    let refusal = rejection.into_refusal();
    let mut response = Response::build();
    response.status(status);
    for (name, value) in refusal.headers {
        // A renderer may have made a name or a value that HTTP cannot carry: it is left out.
        if is_token(&name) && !value.bytes().any(|byte| byte.is_ascii_control()) {
            response.header_adjoin(Header::new(name, value));
        }
    }
    response.sized_body(refusal.body.len(), Cursor::new(refusal.body)).finalize()
}

/// Whether a text can be the name of a header field (RFC 9110 section 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
