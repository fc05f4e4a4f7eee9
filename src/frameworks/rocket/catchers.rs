//! Catchers that answer with the refusal.

use std::io::Cursor;

use ::rocket::futures::future::BoxFuture;
use ::rocket::http::{ContentType, Status};
use ::rocket::{Catcher, Request, Response, catcher};

use super::request_state::RequestState;
use super::respond::response;

/// Returns catchers that answer with the refusal: its body, its challenge, its headers. Without them, rocket answers
/// with a page of its own that has none of these.
///
/// They catch 401, 403, 429 and 503; the answer of a guard with `tenant = none`, 404, is written by
/// [`supply`](super::supply()), so that the 404 of your own stays yours. An error with such a status that is not a refusal gets its status as a line of
/// text. For your own wording use [`KeyStoreBuilder::render`](crate::KeyStoreBuilder::render), or your own catchers.
#[must_use]
pub fn catchers() -> Vec<Catcher> {
    [401, 403, 429, 503].map(|code| Catcher::new(code, answer)).into()
}

fn answer<'r>(status: Status, request: &'r Request<'_>) -> BoxFuture<'r, catcher::Result<'r>> {
    let response = match RequestState::of(request).rejection(status) {
        Some(rejection) => response(rejection.into()),
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
