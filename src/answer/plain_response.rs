//! A response as plain data, which each web framework's module converts.

use std::fmt;

use crate::ask::Rejection;

/// A response as plain data, for code without a web framework: made from a [`Problem`](crate::Problem), a
/// [`SecretResponse`](crate::SecretResponse), a [`Rejection`], and the results of
/// [self-service](crate::self_service). Each web framework takes it as a response, too.
///
/// Header names are in lower case. `Debug` hides the body, which may contain a secret.
///
/// ```
/// use apikey::{KeyStore, NewKey, PlainResponse, SecretResponse};
///
/// let created = KeyStore::temporary()?.create(NewKey::for_owner("alice"))?;
/// let response = PlainResponse::from(SecretResponse::created(created));
/// assert_eq!((response.status, response.headers[0].0.as_str()), (201, "content-type"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlainResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header fields, in order. A name may occur twice.
    pub headers: Vec<(String, String)>,
    /// The body: JSON, unless a renderer changed it, or empty.
    pub body: String,
}

impl PlainResponse {
    /// Creates a response with a body of this type, which no cache may keep.
    pub(crate) fn new(status: u16, content_type: &str, body: String) -> Self {
        let content_type = ("content-type".to_owned(), content_type.to_owned());
        Self { status, headers: vec![content_type, no_store()], body }
    }

    /// Creates a response with a body of this type, which any cache may keep for a while.
    #[cfg(feature = "management")]
    pub(crate) fn cached(status: u16, content_type: &str, body: String) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![header("content-type", content_type), header("cache-control", "public, max-age=300")];
        Self { status, headers, body }
    }

    /// Creates a response without a body, which no cache may keep.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: vec![no_store()], body: String::new() }
    }

    /// Adds a header field, whose name is in lower case.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

fn no_store() -> (String, String) {
    ("cache-control".to_owned(), "no-store".to_owned())
}

impl From<Rejection> for PlainResponse {
    fn from(rejection: Rejection) -> Self {
        let refusal = rejection.into_refusal();
        let headers = refusal.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Self { status: refusal.status, headers, body: refusal.body }
    }
}

impl fmt::Debug for PlainResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("PlainResponse");
        all.field("status", &self.status).field("headers", &self.headers).finish_non_exhaustive()
    }
}
