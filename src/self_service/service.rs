//! Self-service as a tower service, which axum takes with `nest_service`.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use apikey_core::{KeyStore, Need, Overlap};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::answer::Answer;
use super::change::{Refused, identify, out_of_bounds, revoke_identified, rotate_verified};
use super::worker::{PendingAnswer, Worker};
use crate::ask::{KeySource, append_all, authorize};

/// [Self-service](crate::self_service) for callers: `POST /rotate`, `DELETE /` and `POST /revoke`, below the path where you
/// mount it.
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
/// The service verifies the key on the calling thread. A thread of its own makes the change and waits for the disk; its
/// queue holds 256 changes, and a full queue is answered with 503. It needs no async runtime, and blocks none. A queued
/// change is made even if its caller gives up: idempotency keys make a repeat safe.
#[derive(Debug, Clone)]
pub struct SelfService {
    store: KeyStore,
    overlap: Overlap,
    worker: Worker,
}

impl SelfService {
    /// Self-service for the keys of this store.
    #[must_use]
    pub fn new(store: KeyStore) -> Self {
        Self { store, overlap: Overlap::UntilFirstUse, worker: Worker::default() }
    }

    /// How long the old secret stays valid: [`Overlap::UntilFirstUse`] by default.
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
            _ => SelfServiceFuture::ready(Answer::problem(404, "not_found", "There is no such resource")),
        }
    }

    fn rotate<B>(&self, request: &Request<B>) -> SelfServiceFuture {
        let key = match authorize(request, Some(&self.store), &Need::Authenticated) {
            Ok(key) => key,
            Err(rejection) => return SelfServiceFuture::ready(Refused::Rejection(rejection).into()),
        };
        let mut given = request.headers().get_all("idempotency-key").iter();
        let idempotency_key = match (given.next().map(HeaderValue::to_str), given.next()) {
            (None, _) => None,
            (Some(Ok(given)), None) => Some(given.to_owned()),
            _ => return SelfServiceFuture::ready(Refused::Store(out_of_bounds("")).into()),
        };
        let (store, overlap) = (self.store.clone(), self.overlap);
        let peer = KeySource::peer(request, store.header_config());
        self.change(move || rotate_verified(&store, &key, peer, overlap, idempotency_key.as_deref()).into())
    }

    fn revoke<B>(&self, request: &Request<B>) -> SelfServiceFuture {
        let id = match identify(&self.store, request) {
            Ok(id) => id,
            Err(rejection) => return SelfServiceFuture::ready(Refused::Rejection(rejection).into()),
        };
        let store = self.store.clone();
        let peer = KeySource::peer(request, store.header_config());
        self.change(move || revoke_identified(&store, id, peer).into())
    }

    fn change(&self, work: impl FnOnce() -> Answer + Send + 'static) -> SelfServiceFuture {
        let pending = self.worker.run(work);
        pending.map_or_else(|| SelfServiceFuture::ready(busy()), |pending| SelfServiceFuture(Ok(pending)))
    }
}

fn not_allowed(allowed: &str) -> SelfServiceFuture {
    let mut answer = Answer::problem(405, "method_not_allowed", "The resource does not support this method");
    answer.headers.push(("allow".to_owned(), allowed.to_owned()));
    SelfServiceFuture::ready(answer)
}

fn busy() -> Answer {
    let mut answer = Answer::problem(503, "unavailable", "The change could not be made");
    answer.headers.push(("retry-after".to_owned(), "1".to_owned()));
    answer
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
pub struct SelfServiceFuture(Result<PendingAnswer, Option<Answer>>);

impl SelfServiceFuture {
    fn ready(answer: Answer) -> Self {
        Self(Err(Some(answer)))
    }
}

impl Future for SelfServiceFuture {
    type Output = Result<Response<String>, Infallible>;

    #[allow(clippy::panic, reason = "polling a future after it completed is a bug of the caller")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            Ok(pending) => match Pin::new(pending).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer.unwrap_or_else(busy),
            },
            Err(answer) => match answer.take() {
                Some(answer) => answer,
                None => panic!("polled after completion"),
            },
        };
        Poll::Ready(Ok(answer.into()))
    }
}

impl fmt::Debug for SelfServiceFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelfServiceFuture")
    }
}

impl<B: From<String>> From<Answer> for Response<B> {
    fn from(answer: Answer) -> Self {
        let mut response = Response::new(B::from(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        append_all(response.headers_mut(), answer.headers);
        response
    }
}
