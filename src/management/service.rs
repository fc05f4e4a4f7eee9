//! `Management` as a tower service, which axum, hyper, warp and tonic take.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_service::Service;

use super::future::Pending;
use super::{MAX_BODY, Management};
use crate::answer::Problem;

/// The path of a request is that below the mount: axum's `nest_service` takes away what is before it. It reads the body of a
/// request only once the key has passed, and at most [`MAX_BODY`] bytes of it.
impl<B> Service<Request<B>> for Management
where
    B: BodyExt + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<String>;
    type Error = Infallible;
    type Future = ManagementResponse;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ManagementResponse {
        let (mut head, body) = request.into_parts();
        let admitted = match self.begin(&mut head) {
            Ok(admitted) => admitted,
            Err(answer) => return ManagementResponse(State::Answering(*answer)),
        };
        let management = self.clone();
        ManagementResponse(State::Reading(Box::pin(async move {
            let body = match Limited::new(body, MAX_BODY).collect().await {
                Ok(body) => Ok(body.to_bytes().to_vec()),
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(Problem::new(413, "body_too_large", format!("the body has more than {MAX_BODY} bytes")))
                }
                Err(_) => Err(Problem::new(400, "unreadable_body", "the body did not arrive whole")),
            };
            management.finish(head, admitted, body)
        })))
    }
}

/// The response of [`Management`] as a tower service.
pub struct ManagementResponse(State);

enum State {
    Reading(Pin<Box<dyn Future<Output = Pending> + Send>>),
    Answering(Pending),
}

impl Future for ManagementResponse {
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

impl fmt::Debug for ManagementResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManagementResponse")
    }
}
