//! The services that the layers make. Their futures are written by hand: nothing is boxed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use apikey_core::KeyStore;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Require, Supply};
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

    /// Leaves the store in the request, and something that guards write to.
    fn provide<B>(&self, request: &mut Request<B>) -> GuardLog {
        let trail = GuardLog::default();
        request.extensions_mut().insert(self.store.clone());
        request.extensions_mut().insert(trail.clone());
        trail
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
        let trail = self.provide(&mut request);
        SupplyFuture { response: self.inner.call(request), trail }
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
        let verified = self.mode.gate.ask(&request, is_preflight(request.method().as_str(), has));
        let trail = self.provide(&mut request);
        let state = match verified {
            Ok(key) => {
                if let Some(key) = key {
                    trail.asked(&self.store, Some(&key));
                    request.extensions_mut().insert(key);
                }
                State::Passed { response: SupplyFuture { response: self.inner.call(request), trail } }
            }
            Err(rejection) => {
                trail.asked(&self.store, None);
                State::Refused { rejection: Some(rejection), trail }
            }
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
        trail: GuardLog,
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
        this.trail.mark(response.headers_mut());
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
        Refused { rejection: Option<Rejection>, trail: GuardLog },
    }
}

impl<F, C, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<C>, E>>,
    C: From<String>,
{
    type Output = Result<Response<C>, E>;

    #[allow(clippy::panic, reason = "who polls a future after its end is at fault, and may be told so")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Passed { response } => response.poll(cx),
            StateProjection::Refused { rejection, trail } => {
                let Some(rejection) = rejection.take() else { panic!("polled after completion") };
                let mut response = Response::from(rejection);
                trail.mark(response.headers_mut());
                Poll::Ready(Ok(response))
            }
        }
    }
}
