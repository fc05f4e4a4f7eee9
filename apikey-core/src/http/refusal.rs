//! The response to a refused request, as plain data.

use crate::access::auth_error::AuthError;

/// The response to a refused request: an RFC 9457 problem, with the challenge that RFC 9110 requires for a 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status: 401, 403, 404, 429 or 503.
    pub status: u16,
    /// The header fields, in order. A name may occur twice.
    pub headers: Vec<(String, String)>,
    /// The body; it is JSON unless a renderer changed it.
    pub body: String,
}

impl Refusal {
    /// Returns the first value of a header field; the case of the name does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A renderer, which replaces the body and the headers of a refusal. The status and the challenge stay.
pub type Render = dyn Fn(&AuthError, Refusal) -> Refusal + Send + Sync;
