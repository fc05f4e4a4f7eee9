//! The API in salvo.

use ::salvo_core::http::ParseError;
use ::salvo_core::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use super::{below, head, known, too_large, unreadable};
use crate::ask::GuardLog;
#[cfg(feature = "console")]
use crate::console::Console;
use crate::management::Management;
use crate::served::{MAX_BODY, Served, respond};

/// The [API for managing keys](crate::management): `Router::with_path("admin/v1/{**path}").goal(api)`.
#[async_trait]
impl Handler for Management {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        answer(self, request, response).await;
    }
}

/// The [console](crate::console): `Router::with_path("console/{**path}").goal(console)`, and for the path without a slash at its
/// end a second `Router::with_path("console")`.
#[cfg(feature = "console")]
#[async_trait]
impl Handler for Console {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        answer(self, request, response).await;
    }
}

async fn answer<S: Served>(served: &S, request: &mut Request, response: &mut Response) {
    let path = below(request.uri().path(), request.params().tail().unwrap_or_default()).to_owned();
    let head = head(request.method().clone(), &path, request.uri().query(), request.headers().clone());
    let peer = request.remote_addr().ip();
    let (key, log) = (request.extensions().get().cloned(), request.extensions().get::<GuardLog>().cloned());
    let head = known(head, request.uri().path(), peer, key, log);
    let body = async {
        match request.payload_with_max_size(MAX_BODY).await {
            Ok(body) => Ok(body.to_vec()),
            Err(ParseError::PayloadTooLarge) => Err(too_large()),
            Err(_) => Err(unreadable()),
        }
    };
    let (parts, body) = respond(served, head, body).await.into_parts();
    response.status_code(parts.status);
    response.headers_mut().extend(parts.headers);
    response.body(body);
}
