//! axum 0.8: guards are extractors, and a rejection is a response.

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::extract::rejection::BytesRejection;
#[cfg(feature = "json")]
use axum_core::extract::{FromRequest, Request};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

#[cfg(feature = "json")]
use crate::answer::{JsonBody, from_json};
use crate::answer::{PlainResponse, Problem, SecretResponse};
use crate::ask::Rejection;
use crate::guard::{OptionalApiKey, RequireApiKey, Required};

// The layer puts the store into the request's extensions. A bound on the state (`FromRef<S>`) would exclude every
// `Router<()>`.

impl<S: Sync, R: Required> FromRequestParts<S> for RequireApiKey<R> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::from_source(parts)
    }
}

impl<S: Sync, R: Required> FromRequestParts<S> for OptionalApiKey<R> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::from_source(parts)
    }
}

macro_rules! into_response {
    ($($kind:ty),*) => {$(
        impl IntoResponse for $kind {
            fn into_response(self) -> Response {
                http::Response::<Body>::from(self)
            }
        }
    )*};
}

into_response!(Rejection, Problem, SecretResponse, PlainResponse);

#[cfg(feature = "json")]
impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = axum::body::Bytes::from_request(request, state).await?;
        from_json(body).map(Self)
    }
}

/// Converts to 413 `body_too_large`, and to 400 `unreadable_body` for a body that did not arrive whole.
impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status().as_u16() {
            413 => Self::new(413, "body_too_large", "the body is larger than this service reads"),
            _ => Self::new(400, "unreadable_body", "the body did not arrive whole"),
        }
    }
}
