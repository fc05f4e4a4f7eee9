//! Self-service as a tower service, which axum takes with `nest_service`.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use apikey_core::{KeyStore, Need, Overlap};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::worker::{Coming, Worker};
use super::{Answer, Refused, out_of_bounds, presented, revoke_presented, rotate_verified};
use crate::ask::authorize;

/// [Self-service](crate::self_service) for callers: `POST /rotate`, `DELETE /` and `POST /revoke`, below where it is
/// mounted.
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
/// The key is looked at where the request comes in. The change waits for the disk on a thread of the service's own, in a
/// queue of 256; when that is full, the answer is 503. No runtime is needed, and none is blocked. A request that is given
/// up by its caller is carried out all the same once it is in the queue: that is what idempotency keys are for.
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

    /// How long the old secret goes on; [`Overlap::UntilFirstUse`] unless it is set.
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
            _ => SelfServiceFuture::ready(Answer::problem(404, "not_found", "There is nothing here")),
        }
    }

    fn rotate<B>(&self, request: &Request<B>) -> SelfServiceFuture {
        let key = match authorize(request, Some(&self.store), &Need::Authenticated) {
            Ok(key) => key,
            Err(rejection) => return SelfServiceFuture::ready(Refused::Rejection(rejection).into()),
        };
        let mut given = request.headers().get_all("idempotency-key").iter();
        let once = match (given.next().map(HeaderValue::to_str), given.next()) {
            (None, _) => None,
            (Some(Ok(once)), None) => Some(once.to_owned()),
            _ => return SelfServiceFuture::ready(Refused::Store(out_of_bounds("")).into()),
        };
        let (store, overlap) = (self.store.clone(), self.overlap);
        self.change(move || rotate_verified(&store, &key, overlap, once.as_deref()).into())
    }

    fn revoke<B>(&self, request: &Request<B>) -> SelfServiceFuture {
        let id = match presented(&self.store, request) {
            Ok(id) => id,
            Err(rejection) => return SelfServiceFuture::ready(Refused::Rejection(rejection).into()),
        };
        let store = self.store.clone();
        self.change(move || revoke_presented(&store, id).into())
    }

    fn change(&self, work: impl FnOnce() -> Answer + Send + 'static) -> SelfServiceFuture {
        self.worker.run(work).map_or_else(|| SelfServiceFuture::ready(busy()), |coming| SelfServiceFuture(Ok(coming)))
    }
}

fn not_allowed(allowed: &str) -> SelfServiceFuture {
    let mut answer = Answer::problem(405, "method_not_allowed", "This method does nothing here");
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
pub struct SelfServiceFuture(Result<Coming, Option<Answer>>);

impl SelfServiceFuture {
    fn ready(answer: Answer) -> Self {
        Self(Err(Some(answer)))
    }
}

impl Future for SelfServiceFuture {
    type Output = Result<Response<String>, Infallible>;

    #[allow(clippy::panic, reason = "who polls a future after its end is at fault, and may be told so")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            Ok(coming) => match Pin::new(coming).poll(cx) {
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
        for (name, value) in answer.headers {
            // A renderer may have made a name or a value that HTTP cannot carry: it is left out.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
