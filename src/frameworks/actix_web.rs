//! actix-web 4: guards are extractors, a rejection is an error response, and the two layers are middlewares.
//!
//! The tests run a whole program, the example `actix_web` of tests/frameworks.
//!
//! ```ignore
//! use actix_web::{App, get, web};
//! use apikey::{KeyStore, Requirement, VerifiedKey, require_api_key};
//!
//! #[require_api_key(perm = "orders:read")]
//! #[get("/orders")]
//! async fn list(key: VerifiedKey) -> String {
//!     key.owner().to_owned()
//! }
//!
//! let admin = Requirement::permission("admin")?;
//! App::new()
//!     .service(list)
//!     .service(web::scope("/admin").wrap(apikey::actix_web::require(store.clone(), admin)))
//!     .wrap(apikey::actix_web::supply(store));
//! ```
//!
//! `.app_data(store)` and `.app_data(web::Data::new(store))` provide the store, too. `require` is for an app or a
//! scope. A guard asks the innermost store. actix-web does not say which of the two forms of app data is the inner one:
//! if they hold two different stores, with neither `supply` nor `require` between them, guards refuse the request.

use std::borrow::Cow;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::actix_web::body::{BoxBody, EitherBody};
use ::actix_web::dev::{Extensions, Payload, Service, ServiceRequest, ServiceResponse, Transform};
use ::actix_web::http::StatusCode;
use ::actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use ::actix_web::{Error, FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, Responder, ResponseError, web};

use apikey_core::{Charge, HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};

use super::actix_layer::LayerData;
use super::innermost_store::{AmbiguousStore, Slot, SlotSnapshot, innermost};
use crate::answer::{PlainResponse, Problem, SecretResponse};
use crate::ask::{FromRejection, Gate, GuardLog, HeaderFields, KeySource, Rejection, is_preflight};
use crate::guard::{OptionalApiKey, RequireApiKey, Required};

#[cfg(feature = "management")]
pub use super::manage::actix_web::manage;
pub use super::middleware::{Require, Supply, require, supply};

impl KeySource for HttpRequest {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        let values = |name: &str| self.headers().get_all(name).map(HeaderValue::as_bytes);
        config.presented(values(config.header()), values("authorization"))
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        let socket = self.peer_addr().as_ref().map(SocketAddr::ip);
        config.peer(socket, |name| self.headers().get_all(name).map(HeaderValue::as_bytes))
    }

    fn store(&self) -> Option<&KeyStore> {
        innermost_store(self).unwrap_or_default()
    }

    fn has_ambiguous_store(&self) -> bool {
        innermost_store(self).is_err()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.app_data()
    }

    fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        if let Some(layer) = self.app_data::<LayerData>() {
            layer.log.record(store, key);
        }
    }

    fn charge(&self, store: &KeyStore) -> Charge {
        self.app_data::<LayerData>().map(|layer| layer.log.charge(store)).unwrap_or_default()
    }

    fn note_charge(&self, store: &KeyStore, charge: &Charge) {
        if let Some(layer) = self.app_data::<LayerData>() {
            layer.log.note_charge(store, charge);
        }
    }
}

fn innermost_store(request: &HttpRequest) -> Result<Option<&KeyStore>, AmbiguousStore> {
    innermost(slots(request), request.app_data::<LayerData>().map(|layer| layer.snapshot))
}

/// The two forms in which app data holds a store. actix-web looks for each form on its own, from the inside out.
fn slots(request: &HttpRequest) -> [Option<Slot<'_>>; 2] {
    let bare = request.app_data::<KeyStore>().map(|store| Slot::new(store, store));
    let data = request.app_data::<web::Data<KeyStore>>().map(|data| Slot::new(data, data.get_ref()));
    [bare, data]
}

/// A log for the guards inside of a middleware.
fn log_inside(request: &HttpRequest) -> GuardLog {
    GuardLog::inside(request.app_data::<LayerData>().map(|layer| &layer.log))
}

/// Provides the store, and the log in which guards record their decisions.
fn provide(request: &mut ServiceRequest, store: &Rc<Extensions>, log: &GuardLog) {
    request.add_data_container(Rc::clone(store));
    let snapshot = SlotSnapshot::new(slots(request.request()));
    request.add_data_container(container(LayerData { log: log.clone(), snapshot }));
}

impl<R: Required + 'static> FromRequest for RequireApiKey<R> {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::from_source(request))
    }
}

impl<R: Required + 'static> FromRequest for OptionalApiKey<R> {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::from_source(request))
    }
}

macro_rules! response_error {
    ($($kind:ty),*) => {$(
        impl ResponseError for $kind {
            fn status_code(&self) -> StatusCode {
                status(self.status())
            }

            fn error_response(&self) -> HttpResponse {
                response(self.clone().into())
            }
        }
    )*};
}

response_error!(Rejection, Problem);

macro_rules! responder {
    ($($kind:ty),*) => {$(
        impl Responder for $kind {
            type Body = BoxBody;

            fn respond_to(self, _: &HttpRequest) -> HttpResponse {
                response(self.into())
            }
        }
    )*};
}

responder!(SecretResponse, PlainResponse);

/// Every response has a valid status.
fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

fn response(plain: PlainResponse) -> HttpResponse {
    let mut response = HttpResponseBuilder::new(status(plain.status));
    for (name, value) in plain.headers {
        // A renderer may have made a name or a value that HTTP cannot carry: drops that field.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.append_header((name, value));
        }
    }
    response.body(plain.body)
}

impl FromRejection for HttpResponse {
    fn from_rejection(rejection: Rejection) -> Self {
        rejection.error_response()
    }
}

impl HeaderFields for HeaderMap {
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.get_all(name).filter_map(|value| value.to_str().ok())
    }

    fn add(&mut self, name: &'static str, value: Cow<'static, str>) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            self.append(HeaderName::from_static(name), value);
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Supply
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = SupplyService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(SupplyService { inner, store: container(self.store.clone()) }))
    }
}

impl<S, B> Transform<S, ServiceRequest> for Require
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = RequireService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let store = container(self.gate.store.clone());
        ready(Ok(RequireService { inner, store, gate: self.gate.clone() }))
    }
}

/// A service inside of [`supply`].
#[derive(Debug)]
pub struct SupplyService<S> {
    inner: S,
    /// The store as app data, which a guard can borrow from the request; the request's extensions are behind a
    /// `RefCell`.
    store: Rc<Extensions>,
}

/// A service inside of [`require`].
#[derive(Debug)]
pub struct RequireService<S> {
    inner: S,
    store: Rc<Extensions>,
    gate: Gate,
}

type LocalFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

impl<S, B> Service<ServiceRequest> for SupplyService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = LocalFuture<Self::Response>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let log = log_inside(request.request());
        provide(&mut request, &self.store, &log);
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            log.write_headers(response.headers_mut());
            insert_key(&log, &mut response);
            Ok(response)
        })
    }
}

impl<S, B> Service<ServiceRequest> for RequireService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalFuture<Self::Response>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let has = |name: &'static str| request.headers().contains_key(name);
        let preflight = is_preflight(request.method().as_str(), has);
        let log = log_inside(request.request());
        match self.gate.check(request.request(), preflight, &log) {
            Ok(key) => {
                provide(&mut request, &self.store, &log);
                if let Some(key) = key {
                    request.add_data_container(container(key));
                }
                let response = self.inner.call(request);
                Box::pin(async move {
                    let mut response = response.await?;
                    log.write_headers(response.headers_mut());
                    insert_key(&log, &mut response);
                    Ok(response.map_into_left_body())
                })
            }
            Err(rejection) => {
                let mut response: ServiceResponse<BoxBody> = request.error_response(rejection);
                log.write_headers(response.headers_mut());
                Box::pin(ready(Ok(response.map_into_right_body())))
            }
        }
    }
}

/// Puts the key among the extensions of a response, for a middleware further out that logs it.
fn insert_key<B>(log: &GuardLog, response: &mut ServiceResponse<B>) {
    if let Some(key) = log.key() {
        response.response_mut().extensions_mut().insert(key);
    }
}

fn container<T: 'static>(value: T) -> Rc<Extensions> {
    let mut extensions = Extensions::new();
    extensions.insert(value);
    Rc::new(extensions)
}
