//! Self-service as a tower service, which axum takes with `nest_service`.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use apikey_core::{KeyStore, Need, Overlap, VerifiedKey};
use http::{HeaderValue, Method, Request, Response};
use tower_service::Service;
use tracing::Span;

use super::change::{Refused, identify, out_of_bounds, revoke_identified, rotate_verified};
use crate::answer::{PlainResponse, Problem};
use crate::ask::{KeySource, authorize};
use crate::worker::{PendingAnswer, Worker, busy};

/// [Self-service](crate::self_service) for callers: `POST /rotate`, `DELETE /` and `POST /revoke`, below the path where
/// you mount it.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn wire(store: apikey::KeyStore) -> axum::Router {
/// use apikey::self_service::SelfService;
/// use axum::Router;
///
/// Router::new().nest_service("/key", SelfService::new(store))
/// # }
/// ```
///
/// ```sh
/// curl -X POST   -H "X-API-Key: $KEY" -H "Idempotency-Key: $(uuidgen)" https://shop.example/key/rotate
/// curl -X DELETE -H "X-API-Key: $KEY" https://shop.example/key
/// ```
///
/// The service verifies the key on the calling thread. Threads of its own, 8 at most, make the changes and wait for the disk.
/// Their queue holds 256 rotations and 256 revocations, which go first; if it is full, the service answers 503. It needs no
/// async runtime, and blocks none. A queued change is made even if its caller gives up: idempotency keys make a repeat safe.
///
/// In a cluster the answer waits, as a future, until every node has the change. If some do not have it after 5 seconds, the
/// answer is 202, with them as `outstanding`, and the time `everywhere_by` which they have it, or serve nothing.
#[derive(Debug, Clone)]
pub struct SelfService {
    store: KeyStore,
    overlap: Overlap,
    worker: Worker,
}

impl SelfService {
    /// Creates the service for the keys of this store.
    #[must_use]
    pub fn new(store: KeyStore) -> Self {
        Self { store, overlap: Overlap::UntilFirstUse, worker: Worker::changing() }
    }

    /// Sets how long the old secret stays valid; the default is [`Overlap::UntilFirstUse`].
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    fn answer<B>(&self, request: &Request<B>) -> SelfServiceFuture {
        let method = request.method();
        match request.uri().path().trim_end_matches('/') {
            "" if method == Method::DELETE => self.revoke(request),
            "" => not_allowed("DELETE"),
            "/rotate" if method == Method::POST => self.rotate(request),
            "/revoke" if method == Method::POST => self.revoke(request),
            "/rotate" | "/revoke" => not_allowed("POST"),
            _ => SelfServiceFuture::ready(problem(404, "not_found", "There is no such resource")),
        }
    }

    fn rotate<B>(&self, request: &Request<B>) -> SelfServiceFuture {
        let key = match authorize(request, Some(&self.store), (&Need::Authenticated).into()) {
            Ok(key) => key,
            Err(rejection) => return SelfServiceFuture::ready(Refused::Rejection(rejection).into()),
        };
        let mut given = request.headers().get_all("idempotency-key").iter();
        let idempotency_key = match (given.next().map(HeaderValue::to_str), given.next()) {
            (None, _) => None,
            (Some(Ok(given)), None) => Some(given.to_owned()),
            _ => return SelfServiceFuture::ready(Refused::Store(out_of_bounds("")).into()),
        };
        let overlap = self.overlap;
        let peer = KeySource::peer(request, self.store.header_config());
        let caller = key.clone();
        let rotate =
            move |store: &KeyStore| rotate_verified(store, &key, peer, overlap, idempotency_key.as_deref()).into();
        SelfServiceFuture { caller: Some(caller), ..self.change(false, rotate) }
    }

    fn revoke<B>(&self, request: &Request<B>) -> SelfServiceFuture {
        let id = match identify(&self.store, request) {
            Ok(id) => id,
            Err(rejection) => return SelfServiceFuture::ready(Refused::Rejection(rejection).into()),
        };
        let peer = KeySource::peer(request, self.store.header_config());
        let span = Span::current();
        self.change(true, move |store| revoke_identified(store, id, peer, &span).into())
    }

    fn change(
        &self,
        restricts: bool,
        work: impl FnOnce(&KeyStore) -> PlainResponse + Send + 'static,
    ) -> SelfServiceFuture {
        let Some(pending) = self.worker.change(&self.store, restricts, work) else {
            return SelfServiceFuture::ready(busy());
        };
        SelfServiceFuture { answer: Ok(pending), caller: None }
    }
}

fn not_allowed(allowed: &str) -> SelfServiceFuture {
    let problem = problem(405, "method_not_allowed", "The resource does not support this method");
    SelfServiceFuture::ready(problem.with("allow", allowed))
}

fn problem(status: u16, code: &'static str, title: &'static str) -> PlainResponse {
    Problem::titled(status, code, title, title).into()
}

impl<B> Service<Request<B>> for SelfService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = SelfServiceFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> SelfServiceFuture {
        self.answer(&request)
    }
}

/// The response of [`SelfService`].
pub struct SelfServiceFuture {
    answer: Result<PendingAnswer, Option<PlainResponse>>,
    /// The verified key of the caller, for a layer that logs it.
    caller: Option<VerifiedKey>,
}

impl SelfServiceFuture {
    fn ready(answer: PlainResponse) -> Self {
        Self { answer: Err(Some(answer)), caller: None }
    }
}

impl Future for SelfServiceFuture {
    type Output = Result<Response<String>, Infallible>;

    #[allow(clippy::panic, reason = "polling a future after it completed is a bug of the caller")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.answer {
            Ok(pending) => match Pin::new(pending).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer.unwrap_or_else(busy),
            },
            Err(answer) => match answer.take() {
                Some(answer) => answer,
                None => panic!("polled after completion"),
            },
        };
        let mut response = Response::from(answer);
        if let Some(caller) = self.caller.take() {
            response.extensions_mut().insert(caller);
        }
        Poll::Ready(Ok(response))
    }
}

impl fmt::Debug for SelfServiceFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelfServiceFuture")
    }
}
