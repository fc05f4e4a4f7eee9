//! What a guard adds to a request through axum, beside a layer written by hand around the baseline. No network: the
//! router is called in this thread, and its CPU time counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use apikey::{ApiKeyLayer, VerifiedKey, require_api_key};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use axum::routing::get;
use axum::{Extension, Router};
use rustix::time::{ClockId, clock_gettime};
use tower::{Layer, Service};

use crate::baseline::Baseline;
use crate::dependent_loads::median;
use crate::report::{Report, section};
use crate::speed::Case;

const ROUNDS: usize = 60;
const BURST: usize = 2_000;

async fn open() -> &'static str {
    "ok"
}

#[require_api_key(perm = "orders:read")]
async fn guarded(key: VerifiedKey) -> &'static str {
    if key.secret_version() == 1 { "ok" } else { "rotated" }
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Checks the header, and sets `Vary` and `Cache-Control` on the response.
#[derive(Clone)]
struct HandWritten<S> {
    baseline: Arc<Baseline>,
    inner: S,
}

#[derive(Clone)]
struct HandWrittenLayer(Arc<Baseline>);

impl<S> Layer<S> for HandWrittenLayer {
    type Service = HandWritten<S>;

    fn layer(&self, inner: S) -> HandWritten<S> {
        HandWritten { baseline: self.0.clone(), inner }
    }
}

/// The caller, for the handler.
#[derive(Clone, Copy)]
struct Owner(u32);

/// The same as [`guarded`], with the caller that the hand-written layer provides.
async fn owned(Extension(owner): Extension<Owner>) -> &'static str {
    if owner.0 < u32::MAX { "ok" } else { "nobody" }
}

impl<S> Service<Request<Body>> for HandWritten<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Marked<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let token = request.headers().get(X_API_KEY).and_then(|value| value.to_str().ok());
        match token.ok_or(401).and_then(|token| self.baseline.check(token, 0)) {
            Ok(caller) => {
                request.extensions_mut().insert(Owner(caller.owner));
                Marked { inner: Some(Box::pin(self.inner.call(request))), status: 200 }
            }
            Err(status) => Marked { inner: None, status },
        }
    }
}

/// Boxed: a projection by hand would need `unsafe`. axum boxes the future of every layer and handler, too.
struct Marked<F> {
    inner: Option<Pin<Box<F>>>,
    status: u16,
}

impl<F, E> Future for Marked<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Ok(Response::builder().status(self.status).body(Body::empty()).unwrap()));
        };
        let mut response = ready!(inner.as_mut().poll(cx))?;
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("X-API-Key"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        Poll::Ready(Ok(response))
    }
}

/// CPU time of this thread, in nanoseconds.
pub fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Times the routers with all the keys of `case`.
pub fn measure(case: Case<'_>, keys: usize, report: &mut Report) {
    section("axum");
    let baseline = Arc::new(case.baseline);
    let route = |handler| Router::new().route("/orders", handler);
    let mut routers = [
        route(get(open)),
        route(get(guarded)).layer(ApiKeyLayer::supply(case.store.clone())),
        route(get(owned)).layer(HandWrittenLayer(baseline.clone())),
        route(get(open)).layer(HandWrittenLayer(baseline)),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut overheads = [const { Vec::new() }; 4];
    let mut at = [0, 1, 2, 3].map(|part| case.valid.len() / 4 * part);
    for round in 0..=ROUNDS {
        let took = [0, 1, 2, 3].map(|one: usize| {
            runtime.block_on(async {
                let mut took = 0.0;
                for _ in 0..BURST {
                    at[one] = (at[one] + 1) % case.valid.len();
                    let request = Request::get("/orders").header("x-api-key", case.valid.get(at[one]));
                    let request = request.body(Body::empty()).unwrap();
                    let start = cpu_ns();
                    let response = routers[one].call(request).await.unwrap();
                    took += cpu_ns() - start;
                    assert_eq!(response.status(), 200);
                }
                took / BURST as f64
            })
        });
        if round > 0 {
            overheads.iter_mut().zip(took).for_each(|(all, took)| all.push(took));
        }
    }
    let ratio = |of: &dyn Fn(usize) -> f64| median((0..ROUNDS).map(of).collect());
    let over = |one: usize, round: usize| overheads[one][round] - overheads[0][round];
    let guard = ratio(&|round| over(1, round));
    let bare = median(overheads[0].clone());
    let to = |hand_written: usize| {
        let (times, hand) =
            (ratio(&|round| over(1, round) / over(hand_written, round)), ratio(&|round| over(hand_written, round)));
        format!("{times:.2}x (+{guard:.0} ns to +{hand:.0} ns, on {bare:.0} ns)")
    };
    let keys = if keys < 1_000_000 { format!("{} k", keys / 1_000) } else { format!("{} M", keys / 1_000_000) };
    report.row(format!("axum guard, {keys} keys, CPU added, to a layer by hand"), to(2), "<= 1.5x", "2.5x");
    report.row("the same, where its handler does not ask who called", to(3), "-", "-");
}
