//! The API in rocket.

use std::net::SocketAddr;

use ::rocket::data::ToByteUnit;
use ::rocket::http::Method;
use ::rocket::route::{Handler, Outcome, Route};
use ::rocket::{Data, Request};

use super::{head, headers, known, too_large, unreadable};
use crate::ask::KeySource;
use crate::frameworks::rocket::{RequestState, http_response};
use crate::served::{MAX_BODY, Served, respond};

/// Returns the routes of the [API for managing keys](crate::management), or of the console:
/// `rocket::build().mount("/admin/v1", manage(api))`.
#[must_use]
pub fn manage<S: Served>(served: S) -> Vec<Route> {
    let methods = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Options];
    // Behind the application's own routes.
    methods.map(|method| Route::ranked(100, method, "/<path..>", Mounted(served.clone()))).into()
}

#[derive(Clone)]
struct Mounted<S>(S);

#[::rocket::async_trait]
impl<S: Served> Handler for Mounted<S> {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let base = request.route().map(|route| route.uri.base().trim_end_matches('/')).unwrap_or_default();
        let full_path = path.as_str();
        let path = full_path.strip_prefix(base).unwrap_or(full_path);
        let fields: Vec<_> =
            request.headers().iter().map(|field| (field.name().to_string(), field.value().to_owned())).collect();
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let method = ::http::Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or_default();
        let head = head(method, path, query.map(|query| query.as_str()), headers(fields));
        let peer = request.remote().as_ref().map(SocketAddr::ip);
        let log = RequestState::of(request).log.clone();
        let body = async {
            match data.open((MAX_BODY + 1).bytes()).into_bytes().await {
                Ok(body) if body.len() > MAX_BODY => Err(too_large()),
                Ok(body) => Ok(body.into_inner()),
                Err(_) => Err(unreadable()),
            }
        };
        let head = known(head, full_path, peer, request.verified().cloned(), Some(log));
        let response = respond(&self.0, head, body).await;
        Outcome::Success(http_response(response))
    }
}
