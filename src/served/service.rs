//! A service of this crate as a tower service, which axum, hyper, warp and tonic take.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{FullPath, MAX_BODY, Pending, Served};
use crate::answer::Problem;

/// Writes `tower_service::Service` of a type, which no blanket impl may.
macro_rules! tower_service {
    ($type:ty) => {
        /// The path of a request is that below the mount: axum's `nest_service` takes away what is before it. It reads the body of
        /// a request only once its head has passed, and at most [`MAX_BODY`](crate::management::MAX_BODY) bytes of it.
        impl<B> tower_service::Service<http::Request<B>> for $type
        where
            B: http_body_util::BodyExt + Send + 'static,
            B::Data: Send,
            B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        {
            type Response = http::Response<String>;
            type Error = std::convert::Infallible;
            type Future = $crate::served::ServiceFuture;

            fn poll_ready(
                &mut self,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), std::convert::Infallible>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<B>) -> $crate::served::ServiceFuture {
                $crate::served::call(self, request)
            }
        }
    };
}

pub(crate) use tower_service;

/// Answers a request, whose body is read once its head is admitted.
pub(crate) fn call<S, B>(served: &S, request: Request<B>) -> ServiceFuture
where
    S: Served,
    B: BodyExt + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (mut head, body) = request.into_parts();
    note_full_path(&mut head);
    let admitted = match served.begin(&mut head) {
        Ok(admitted) => admitted,
        Err(answer) => return ServiceFuture(State::Answering(*answer)),
    };
    let served = served.clone();
    ServiceFuture(State::Reading(Box::pin(async move {
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Problem::new(413, "body_too_large", format!("the body has more than {MAX_BODY} bytes")))
            }
            Err(_) => Err(Problem::new(400, "unreadable_body", "the body did not arrive whole")),
        };
        served.finish(head, admitted, body)
    })))
}

/// Notes the path that axum's router has seen.
fn note_full_path(head: &mut http::request::Parts) {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = head.extensions.get::<axum::extract::OriginalUri>() {
        let path = FullPath(uri.path().to_owned());
        head.extensions.insert(path);
        return;
    }
    if head.extensions.get::<FullPath>().is_none() {
        let path = FullPath(head.uri.path().to_owned());
        head.extensions.insert(path);
    }
}

/// The response of a service of this crate as a tower service.
pub struct ServiceFuture(State);

enum State {
    Reading(Pin<Box<dyn Future<Output = Pending> + Send>>),
    Answering(Pending),
}

impl Future for ServiceFuture {
    type Output = Result<Response<String>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                State::Reading(reading) => match reading.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(answer) => self.0 = State::Answering(answer),
                },
                State::Answering(answer) => return answer.poll(cx).map(Ok),
            }
        }
    }
}

impl fmt::Debug for ServiceFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceFuture")
    }
}
