//! An answer as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Response};

use crate::answer::PlainResponse;
use crate::ask::GuardLog;
use crate::worker::{PendingAnswer, busy};

/// An answer that is there, or is awaited, with what its header fields depend on.
#[doc(hidden)]
pub struct Pending {
    answer: Result<PendingAnswer, Option<PlainResponse>>,
    log: GuardLog,
    is_head: bool,
    /// Header fields of every answer of the service.
    fields: &'static [(&'static str, &'static str)],
}

impl Pending {
    pub(crate) fn ready(answer: PlainResponse, log: GuardLog, is_head: bool) -> Self {
        Self { answer: Err(Some(answer)), log, is_head, fields: &[] }
    }

    pub(crate) fn waiting(answer: PendingAnswer, log: GuardLog, is_head: bool) -> Self {
        Self { answer: Ok(answer), log, is_head, fields: &[] }
    }

    /// Adds header fields to the answer, whatever it is.
    #[cfg(feature = "console")]
    pub(crate) fn with_fields(self, fields: &'static [(&'static str, &'static str)]) -> Self {
        Self { fields, ..self }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<String>> {
        let answer = match &mut self.answer {
            Ok(pending) => match Pin::new(pending).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer.unwrap_or_else(busy),
            },
            #[allow(clippy::panic, reason = "polling a future after it completed is a bug of the caller")]
            Err(answer) => match answer.take() {
                Some(answer) => answer,
                None => panic!("polled after completion"),
            },
        };
        let mut response: Response<String> = answer.into();
        if self.is_head {
            response.body_mut().clear();
        }
        for (name, value) in self.fields {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        self.log.write_headers(response.headers_mut());
        self.log.insert_key(response.extensions_mut());
        Poll::Ready(response)
    }
}

/// The response to a request, of [`management::handle`](crate::management::handle) and of the console's.
#[must_use = "a future does nothing until it is polled"]
pub struct AnswerFuture(Pending);

impl AnswerFuture {
    pub(super) fn new(pending: Pending) -> Self {
        Self(pending)
    }
}

impl Future for AnswerFuture {
    type Output = Response<String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<String>> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for AnswerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerFuture")
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
