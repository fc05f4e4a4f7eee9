//! The API in actix-web.

use std::net::SocketAddr;

use ::actix_web::http::StatusCode;
use ::actix_web::http::header::{HeaderName, HeaderValue};
use ::actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Scope, web};

use super::{below, head, headers, known, percent_decoded, too_large, unreadable};
use crate::ask::KeySource;
use crate::frameworks::actix_layer::LayerData;
use crate::served::{MAX_BODY, Served, respond};

/// Returns a scope with the [API for managing keys](crate::management), or the console:
/// `App::new().service(manage("/admin/v1", api))`.
pub fn manage<S: Served>(path: &str, served: S) -> Scope {
    let answer = move |request: HttpRequest, payload: web::Payload| {
        let served = served.clone();
        async move { answer(&served, &request, payload).await }
    };
    web::scope(path).default_service(web::route().to(answer))
}

async fn answer<S: Served>(served: &S, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    let fields = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let method = ::http::Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or_default();
    let query = Some(request.query_string()).filter(|query| !query.is_empty());
    // What is left of the path is decoded in part.
    let left = percent_decoded(request.match_info().unprocessed().trim_start_matches('/'));
    let head = head(method, below(request.uri().path(), &left), query, headers(fields));
    let peer = request.peer_addr().as_ref().map(SocketAddr::ip);
    let log = request.app_data::<LayerData>().map(|layer| layer.log.clone());
    let head = known(head, request.uri().path(), peer, request.verified().cloned(), log);
    let body = async {
        match payload.to_bytes_limited(MAX_BODY).await {
            Ok(Ok(body)) => Ok(body.to_vec()),
            Ok(Err(_)) => Err(unreadable()),
            Err(_) => Err(too_large()),
        }
    };
    let (parts, body) = respond(served, head, body).await.into_parts();
    let mut response = HttpResponseBuilder::new(StatusCode::from_u16(parts.status.as_u16()).unwrap_or_default());
    for (name, value) in &parts.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value.as_bytes()))
        {
            response.append_header((name, value));
        }
    }
    response.body(body)
}
