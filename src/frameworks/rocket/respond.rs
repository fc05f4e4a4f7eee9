//! The responses of a handler, as rocket's responses.

use std::io::Cursor;

use ::rocket::http::{Header, Status};
use ::rocket::response::{self, Responder};
use ::rocket::{Request, Response};

use crate::answer::{PlainResponse, Problem, SecretResponse};
use crate::ask::Rejection;

macro_rules! responder {
    ($($kind:ty),*) => {$(
        impl<'r> Responder<'r, 'static> for $kind {
            fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
                Ok(response(self.into()))
            }
        }
    )*};
}

responder!(Rejection, Problem, SecretResponse, PlainResponse);

pub(super) fn response<'r>(plain: PlainResponse) -> Response<'r> {
    let mut response = Response::build();
    response.status(Status::new(plain.status));
    for (name, value) in plain.headers {
        // A renderer may have made a name or a value that HTTP cannot carry: drops that field.
        if is_token(&name) && !value.bytes().any(|byte| byte.is_ascii_control()) {
            response.header_adjoin(Header::new(name, value));
        }
    }
    response.sized_body(plain.body.len(), Cursor::new(plain.body)).finalize()
}

/// A response of the `http` crate.
#[cfg(feature = "management")]
pub(in crate::frameworks) fn http_response<'r>(response: ::http::Response<String>) -> Response<'r> {
    let (parts, body) = response.into_parts();
    let mut response = Response::build();
    response.status(Status::new(parts.status.as_u16()));
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            response.header_adjoin(Header::new(name.to_string(), value.to_owned()));
        }
    }
    response.sized_body(body.len(), Cursor::new(body)).finalize()
}

/// Whether a text can be the name of a header field (RFC 9110 section 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
