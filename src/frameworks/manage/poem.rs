//! The API in poem.

use std::net::SocketAddr;

use ::poem::error::ReadBodyError;
use ::poem::{Endpoint, Request, Response, Result};

use super::{head, known, too_large, unreadable};
use crate::ask::GuardLog;
use crate::frameworks::poem::response;
use crate::management::{MAX_BODY, Management};

/// The [API for managing keys](crate::management): `Route::new().nest("/admin/v1", api)`.
impl Endpoint for Management {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
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
        Ok(response(self.respond(known(head, peer, key, log), body).await))
    }
}
