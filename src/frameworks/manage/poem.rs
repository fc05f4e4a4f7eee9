//! The API in poem.

use std::net::SocketAddr;

use ::poem::error::ReadBodyError;
use ::poem::{Endpoint, Request, Response, Result};

use super::{head, known, too_large, unreadable};
use crate::ask::GuardLog;
#[cfg(feature = "console")]
use crate::console::Console;
use crate::frameworks::poem::response;
use crate::management::Management;
use crate::served::{MAX_BODY, Served, respond};

/// The [API for managing keys](crate::management): `Route::new().nest("/admin/v1", api)`.
impl Endpoint for Management {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(answer(self, request).await)
    }
}

/// The [console](crate::console): `Route::new().nest("/console", console)`.
#[cfg(feature = "console")]
impl Endpoint for Console {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(answer(self, request).await)
    }
}

async fn answer<S: Served>(served: &S, mut request: Request) -> Response {
    let uri = request.uri().clone();
    let head = head(request.method().clone(), uri.path(), uri.query(), request.headers().clone());
    let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
    let (key, log) = (request.extensions().get().cloned(), request.extensions().get::<GuardLog>().cloned());
    let body = request.take_body();
    let body = async {
        match body.into_bytes_limit(MAX_BODY).await {
            Ok(body) => Ok(body.to_vec()),
            Err(ReadBodyError::PayloadTooLarge) => Err(too_large()),
            Err(_) => Err(unreadable()),
        }
    };
    response(respond(served, known(head, request.original_uri().path(), peer, key, log), body).await)
}
