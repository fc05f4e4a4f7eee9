//! axum 0.8: guards are extractors, and a rejection is a response.

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

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

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        http::Response::<Body>::from(self)
    }
}
