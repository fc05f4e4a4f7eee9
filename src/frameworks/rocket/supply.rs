//! The fairing that provides the store and completes responses.

use std::borrow::Cow;

use ::rocket::fairing::{self, Fairing, Info, Kind};
use ::rocket::{Build, Request, Response, Rocket};
use apikey_core::KeyStore;

use super::request_state::RequestState;
use super::respond;
use crate::ask::HeaderFields;

/// Returns a fairing that provides the store to the handlers, and requires nothing: the attribute on each handler names
/// its requirement.
///
/// To the response of a guarded request it adds the same headers as tower's [`ApiKeyLayer`](crate::ApiKeyLayer):
/// `Vary`, `Cache-Control` if the application set none, and `X-API-Key-Superseded`. It also adds a refusal's challenge
/// if one of the application's catchers leaves it out, and a guard's 404 has the refusal as its body. `.manage(store)` provides the store, too.
///
/// A rocket with a guarded handler and without a store does not launch.
#[must_use]
pub fn supply(store: KeyStore) -> Supply {
    Supply { store }
}

/// The fairing that [`supply`] returns.
#[derive(Debug, Clone)]
pub struct Supply {
    store: KeyStore,
}

#[::rocket::async_trait]
impl Fairing for Supply {
    fn info(&self) -> Info {
        Info { name: "API keys", kind: Kind::Ignite | Kind::Response }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        if rocket.state::<KeyStore>().is_some() {
            tracing::error!("a key store is managed already: use apikey::rocket::supply(store) or .manage(store)");
            return Err(rocket);
        }
        if self.store.header_config().proxies_may_call() {
            tracing::warn!("proxies_may_call has no effect on rocket, which drops header values that are not UTF-8");
        }
        Ok(rocket.manage(self.store.clone()))
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let state = RequestState::of(request);
        if let Some(rejection) = state.rejection(response.status()) {
            // The catcher of a 404 is the application's, which answers for paths without a route, too.
            if rejection.status() == 404 {
                *response = respond::response(rejection.clone().into());
            }
            // An application's catcher knows no challenge, and RFC 9110 requires one on every 401.
            for name in ["www-authenticate", "cache-control", "retry-after", "ratelimit-policy", "ratelimit"] {
                if response.headers().contains(name) {
                    continue;
                }
                let values = rejection.refusal().headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
                for (_, value) in values {
                    response.add(name, value.clone().into());
                }
            }
        }
        state.log.write_headers(response);
    }
}

impl HeaderFields for Response<'_> {
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.headers().get(name)
    }

    fn add(&mut self, name: &'static str, value: Cow<'static, str>) {
        self.adjoin_raw_header(name, value);
    }
}
