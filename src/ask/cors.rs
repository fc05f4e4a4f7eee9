//! The header fields of this crate that CORS must allow a page of another origin to send and to read.

use http::{HeaderName, header};

/// The header fields that a browser must be allowed to send (`Access-Control-Allow-Headers`): `X-API-Key`,
/// `Authorization` for `bearer(true)`, and `Idempotency-Key` for [self-service](crate::self_service). Add what your API
/// reads, such as `Content-Type`, and the name of [`KeyStoreBuilder::header`](crate::KeyStoreBuilder::header) if you
/// chose one.
///
/// With the `CorsLayer` of tower-http, which goes outside of the [`ApiKeyLayer`](crate::ApiKeyLayer):
///
/// ```
/// use apikey::{REQUEST_HEADERS, RESPONSE_HEADERS};
/// use axum::http::{HeaderValue, Method, header};
/// use tower_http::cors::CorsLayer;
///
/// let cors = CorsLayer::new()
///     .allow_origin(HeaderValue::from_static("https://shop.example")) // no `*`: name who may read
///     .allow_methods([Method::GET, Method::POST])
///     .allow_headers(REQUEST_HEADERS.into_iter().chain([header::CONTENT_TYPE]).collect::<Vec<_>>())
///     .expose_headers(RESPONSE_HEADERS);
/// # let _: axum::Router = axum::Router::new().layer(cors);
/// ```
pub const REQUEST_HEADERS: [HeaderName; 3] =
    [HeaderName::from_static("x-api-key"), header::AUTHORIZATION, HeaderName::from_static("idempotency-key")];

/// The header fields of responses that a page must be allowed to read (`Access-Control-Expose-Headers`): the challenge
/// of a 401, the wait and the limits of a 429, `X-API-Key-Superseded`, and the `Location` of a new key. Browsers hide every field that is not
/// listed. See [`REQUEST_HEADERS`].
pub const RESPONSE_HEADERS: [HeaderName; 6] = [
    HeaderName::from_static("x-api-key-superseded"),
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    header::LOCATION,
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("ratelimit"),
];
