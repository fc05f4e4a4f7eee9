//! The services that the layers make. Their futures are hand-written, so nothing is boxed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use apikey_core::KeyStore;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::mode::{Require, Supply};
use crate::ask::{GuardLog, Rejection, is_preflight};

/// A service inside of an [`ApiKeyLayer`](crate::ApiKeyLayer).
#[derive(Debug, Clone)]
pub struct ApiKeyService<S, M> {
    inner: S,
    store: KeyStore,
    mode: M,
}

impl<S, M> ApiKeyService<S, M> {
    pub(super) fn new(inner: S, store: KeyStore, mode: M) -> Self {
        Self { inner, store, mode }
    }

    /// Puts the store into the request, and the log in which guards record their decisions.
    fn provide<B>(&self, request: &mut Request<B>, log: &GuardLog) {
        request.extensions_mut().insert(self.store.clone());
        request.extensions_mut().insert(log.clone());
    }
}

impl<S, B, C> Service<Request<B>> for ApiKeyService<S, Supply>
where
    S: Service<Request<B>, Response = Response<C>>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = SupplyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let log = GuardLog::inside(request.extensions().get());
        self.provide(&mut request, &log);
        SupplyFuture { response: self.inner.call(request), log }
    }
}

impl<S, B, C> Service<Request<B>> for ApiKeyService<S, Require>
where
    S: Service<Request<B>, Response = Response<C>>,
    C: From<String>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let has = |name: &'static str| request.headers().contains_key(name);
        let preflight = is_preflight(request.method().as_str(), has);
        let log = GuardLog::inside(request.extensions().get());
        let state = match self.mode.gate.check(&request, preflight, &log) {
            Ok(key) => {
                self.provide(&mut request, &log);
                if let Some(key) = key {
                    request.extensions_mut().insert(key);
                }
                State::Passed { response: SupplyFuture { response: self.inner.call(request), log } }
            }
            Err(rejection) => State::Refused { rejection: Some(rejection), log },
        };
        RequireFuture { state }
    }
}

pin_project! {
    /// The response of a service inside of [`ApiKeyLayer::supply`](crate::ApiKeyLayer::supply).
    #[derive(Debug)]
    pub struct SupplyFuture<F> {
        #[pin]
        response: F,
        log: GuardLog,
    }
}

impl<F, C, E> Future for SupplyFuture<F>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = Result<Response<C>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        this.log.write_headers(response.headers_mut());
        this.log.insert_key(response.extensions_mut());
        Poll::Ready(Ok(response))
    }
}

pin_project! {
    /// The response of a service inside of [`ApiKeyLayer::require`](crate::ApiKeyLayer::require), or the refusal.
    #[derive(Debug)]
    pub struct RequireFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Passed { #[pin] response: SupplyFuture<F> },
        Refused { rejection: Option<Rejection>, log: GuardLog },
    }
}

impl<F, C, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<C>, E>>,
    C: From<String>,
{
    type Output = Result<Response<C>, E>;

    #[allow(clippy::panic, reason = "polling a future after it completed is a bug of the caller")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Passed { response } => response.poll(cx),
            StateProjection::Refused { rejection, log } => {
                let Some(rejection) = rejection.take() else { panic!("polled after completion") };
                let mut response = Response::from(rejection);
                log.write_headers(response.headers_mut());
                Poll::Ready(Ok(response))
            }
        }
    }
}
