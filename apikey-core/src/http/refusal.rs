//! The response to a refused request, as plain data.

use crate::access::auth_error::AuthError;

/// The response to a refused request: an RFC 9457 problem, with the challenge RFC 9110 asks of a 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status: 401, 403, 429 or 503.
    pub status: u16,
    /// The header fields, in order. A name may occur twice.
    pub headers: Vec<(String, String)>,
    /// The body, JSON unless a renderer changed it.
    pub body: String,
}

impl Refusal {
    /// The first value of a header field; names are compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A renderer: makes another body (and other headers) for a refusal; status and challenge stay.
pub type Render = dyn Fn(&AuthError, Refusal) -> Refusal + Send + Sync;
