//! The guards as rocket's request guards, and the check at launch that there is a store.

use ::rocket::outcome::Outcome;
use ::rocket::request::{self, FromRequest};
use ::rocket::{Ignite, Request, Rocket, Sentinel};
use apikey_core::KeyStore;

use super::request_state::RequestState;
use crate::ask::Rejection;
use crate::guard::{OptionalApiKey, RequireApiKey, Required};

#[::rocket::async_trait]
impl<'r, R: Required> FromRequest<'r> for RequireApiKey<R> {
    type Error = Rejection;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Rejection> {
        outcome(request, Self::from_source(request))
    }
}

#[::rocket::async_trait]
impl<'r, R: Required> FromRequest<'r> for OptionalApiKey<R> {
    type Error = Rejection;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Rejection> {
        outcome(request, Self::from_source(request))
    }
}

fn outcome<T>(request: &Request<'_>, answer: Result<T, Rejection>) -> request::Outcome<T, Rejection> {
    match answer {
        Ok(guard) => Outcome::Success(guard),
        Err(rejection) => Outcome::Error((RequestState::of(request).refuse(rejection.clone()), rejection)),
    }
}

impl<R: Required> Sentinel for RequireApiKey<R> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        lacks_store(rocket)
    }
}

/// Rocket calls this at launch, once for each handler. No code can see later whether rocket dropped a value, so the
/// warning is logged here.
impl<R: Required> Sentinel for OptionalApiKey<R> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        tracing::warn!(
            name: "apikey.rocket_optional", target: "apikey",
            "a handler accepts requests without a key (`optional`), and rocket drops header values that are not UTF-8: a \
             key of that kind counts as no key"
        );
        lacks_store(rocket)
    }
}

/// A service without a store would refuse every guarded request, so it does not launch.
fn lacks_store(rocket: &Rocket<Ignite>) -> bool {
    let is_missing = rocket.state::<KeyStore>().is_none() && KeyStore::installed().is_none();
    if is_missing {
        tracing::error!("a handler is guarded and there is no key store: .attach(apikey::rocket::supply(store))");
    }
    is_missing
}
