//! Catchers that answer with the refusal.

use std::io::Cursor;

use ::rocket::futures::future::BoxFuture;
use ::rocket::http::{ContentType, Header, Status};
use ::rocket::{Catcher, Request, Response, catcher};

use super::request_state::RequestState;
use crate::ask::Rejection;

/// Catchers that answer with the refusal: its body, its challenge, its headers. Without them, rocket answers with a page of
/// its own that has none of these.
///
/// They catch 401, 403, 429 and 503. An error with such a status that is not a refusal gets its status as a line of text.
/// For your own wording use [`KeyStoreBuilder::render`](crate::KeyStoreBuilder::render), or your own catchers.
#[must_use]
pub fn catchers() -> Vec<Catcher> {
    [401, 403, 429, 503].map(|code| Catcher::new(code, answer)).into()
}

fn answer<'r>(status: Status, request: &'r Request<'_>) -> BoxFuture<'r, catcher::Result<'r>> {
    let response = match RequestState::of(request).rejection(status) {
        Some(rejection) => refusal(status, rejection),
        None => {
            let text = format!("{status}\n");
            Response::build()
                .status(status)
                .header(ContentType::Plain)
                .sized_body(text.len(), Cursor::new(text))
                .finalize()
        }
    };
    Box::pin(async move { Ok(response) })
}

fn refusal<'r>(status: Status, rejection: Rejection) -> Response<'r> {
    let refusal = rejection.into_refusal();
    let mut response = Response::build();
    response.status(status);
    for (name, value) in refusal.headers {
        // A renderer may have made a name or a value that HTTP cannot carry: drops that field.
        if is_token(&name) && !value.bytes().any(|byte| byte.is_ascii_control()) {
            response.header_adjoin(Header::new(name, value));
        }
    }
    response.sized_body(refusal.body.len(), Cursor::new(refusal.body)).finalize()
}

/// Whether a text can be the name of a header field (RFC 9110 section 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
