//! The guard of a server or a service: a layer, and an interceptor.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tonic::metadata::MetadataMap;
use ::tonic::server::NamedService;
use ::tonic::service::Interceptor;
use ::tonic::{Request, Status};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use apikey_core::{KeyStore, Requirement};

use crate::ask::{Gate, GuardLog, KeySource};

/// Guards a server or a service: answers a call without a key that meets the requirement with an error status.
///
/// It is a layer for `Server::layer`, and an interceptor for `OrdersServer::with_interceptor(orders, require(..))`. It
/// provides the store to the methods inside. A method with the attribute may require more; it does not verify the key
/// again.
///
/// As a layer it also writes the metadata of the response, as [`ApiKeyLayer`](crate::ApiKeyLayer) writes the headers of
/// others: `vary`, `cache-control`, `x-api-key-superseded`, `ratelimit-policy` and `ratelimit`. An interceptor never
/// sees a response: put `ApiKeyLayer::supply(store)` around the server, and that writes them.
#[must_use]
pub fn require(store: KeyStore, requirement: impl Into<Requirement>) -> Require {
    Require { gate: Gate::new(store, requirement.into()) }
}

/// The layer and interceptor that [`require`] returns.
#[derive(Debug, Clone)]
pub struct Require {
    gate: Gate,
}

impl Require {
    /// Sets the uses of the key's [quota](crate::NewKey::quota) that a call takes, as [`Attempt::cost`](crate::Attempt::cost)
    /// does; without it, it is 1. Of the costs of the guards that a call passes, the largest counts.
    #[must_use]
    pub fn cost(mut self, uses: u32) -> Self {
        self.gate.cost = uses;
        self
    }
}

impl Interceptor for Require {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let charge = request.charge(&self.gate.store);
        let answer = self.gate.authenticate(&request, &charge);
        if request.extensions().get::<GuardLog>().is_none() {
            // For the charge: an interceptor sees no response.
            request.extensions_mut().insert(GuardLog::default());
        }
        request.note_charge(&self.gate.store, &charge);
        request.record(&self.gate.store, answer.as_ref().ok());
        request.extensions_mut().insert(answer?);
        request.extensions_mut().insert(self.gate.store.clone());
        Ok(request)
    }
}

impl<S> Layer<S> for Require {
    type Service = RequireService<S>;

    fn layer(&self, inner: S) -> RequireService<S> {
        RequireService { inner, require: self.clone() }
    }
}

/// A service inside of [`require`].
#[derive(Debug, Clone)]
pub struct RequireService<S> {
    inner: S,
    require: Require,
}

/// Allows a guarded service to be added to a server.
impl<S: NamedService> NamedService for RequireService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, C> Service<::http::Request<B>> for RequireService<S>
where
    S: Service<::http::Request<B>, Response = ::http::Response<C>>,
    C: Default,
{
    type Response = ::http::Response<C>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ::http::Request<B>) -> Self::Future {
        let log = GuardLog::inside(request.extensions().get());
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(log.clone());
        let asked = Request::from_parts(MetadataMap::from_headers(parts.headers), parts.extensions, ());
        let state = match self.require.call(asked) {
            Ok(passed) => {
                let (metadata, extensions, ()) = passed.into_parts();
                (parts.headers, parts.extensions) = (metadata.into_headers(), extensions);
                State::Passed { response: self.inner.call(::http::Request::from_parts(parts, body)) }
            }
            Err(status) => State::Refused { status: Some(status) },
        };
        RequireFuture { state, log }
    }
}

pin_project! {
    /// The response of a service inside of [`require`], or the status that refuses the call.
    #[derive(Debug)]
    pub struct RequireFuture<F> {
        #[pin]
        state: State<F>,
        log: GuardLog,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Passed { #[pin] response: F },
        Refused { status: Option<Status> },
    }
}

impl<F, C, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<::http::Response<C>, E>>,
    C: Default,
{
    type Output = Result<::http::Response<C>, E>;

    #[allow(clippy::panic, reason = "polling a future after it completed is a bug of the caller")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.state.project() {
            StateProjection::Passed { response } => ready!(response.poll(cx))?,
            StateProjection::Refused { status } => {
                let Some(status) = status.take() else { panic!("polled after completion") };
                status.into_http()
            }
        };
        this.log.write_headers(response.headers_mut());
        this.log.insert_key(response.extensions_mut());
        Poll::Ready(Ok(response))
    }
}
