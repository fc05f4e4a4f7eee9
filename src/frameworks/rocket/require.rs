//! Routes behind a guard.

use ::rocket::outcome::Outcome;
use ::rocket::route::{self, Handler, Route};
use ::rocket::{Data, Request};
use apikey_core::{AuthError, KeyStore, Requirement};

use super::request_state::RequestState;
use crate::ask::{KeySource, Rejection, authenticate, is_preflight, reject};

/// Guards these routes, such as those of a `mount`: it refuses a request without a key that meets the requirement.
///
/// The store is the rocket's own, see [`supply`](super::supply). A guard inside may require more; it does not verify
/// the key again. A route for `OPTIONS` also runs for a CORS preflight without a key, since browsers send preflights
/// without one.
#[must_use]
pub fn require(requirement: impl Into<Requirement>, routes: Vec<Route>) -> Vec<Route> {
    let requirement = requirement.into();
    let guard = |mut route: Route| {
        route.handler = Box::new(Guarded { requirement: requirement.clone(), handler: route.handler });
        route
    };
    routes.into_iter().map(guard).collect()
}

/// A route's handler behind a guard.
#[derive(Clone)]
struct Guarded {
    requirement: Requirement,
    handler: Box<dyn Handler>,
}

#[::rocket::async_trait]
impl Handler for Guarded {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        let has = |name: &'static str| request.headers().contains(name);
        if !is_preflight(request.method().as_str(), has)
            && let Err(rejection) = self.check(request)
        {
            return Outcome::Error(RequestState::of(request).refuse(rejection));
        }
        self.handler.handle(request, data).await
    }
}

impl Guarded {
    fn check(&self, request: &Request<'_>) -> Result<(), Rejection> {
        let Some(store) = request.store().or(KeyStore::installed()) else {
            tracing::error!("no key store, so the request is refused: .attach(apikey::rocket::supply(store))");
            return Err(Rejection::from(AuthError::Unavailable));
        };
        let charge = request.charge(store);
        let answer = authenticate(request, store, &self.requirement, 1, &charge);
        request.note_charge(store, &charge);
        request.record(store, answer.as_ref().ok());
        let key = answer.map_err(|error| reject(request, store, error))?;
        RequestState::of(request).keep_key(key);
        Ok(())
    }
}
