//! salvo-oapi 1: a guard in an endpoint's parameters adds its requirement to the OpenAPI document.

use ::salvo_oapi::security::{ApiKey, ApiKeyValue};
use ::salvo_oapi::{
    Components, Content, EndpointArgRegister, EndpointOutRegister, Operation, Response, SecurityRequirement,
    SecurityScheme,
};

use apikey_core::{HeaderConfig, KeyStore};

use crate::answer::{Problem, SecretResponse};
use crate::guard::{OptionalApiKey, RequireApiKey, Required, alternatives};

/// Adds the security scheme `api_key`, the requirement of this operation, its 401, 403, 429 and 503, its 404 if it
/// asks for a key of no tenant, `x-apikey-required`, and
/// `x-apikey-cost` if a request takes more than one use.
///
/// The header is that of the installed store, or `X-API-Key`: no request, and so no other store, exists yet.
impl<R: Required> EndpointArgRegister for RequireApiKey<R> {
    fn register(components: &mut Components, operation: &mut Operation, _: &str) {
        register::<R>(components, operation, false);
    }
}

/// Works as for [`RequireApiKey`], but the operation also allows a request without a key.
impl<R: Required> EndpointArgRegister for OptionalApiKey<R> {
    fn register(components: &mut Components, operation: &mut Operation, _: &str) {
        register::<R>(components, operation, true);
    }
}

/// Adds the answers `4XX` and `5XX`, of `application/problem+json`.
impl EndpointOutRegister for Problem {
    fn register(_: &mut Components, operation: &mut Operation) {
        for (status, description) in [("4XX", "A problem that the caller can fix."), ("5XX", "Keys are unavailable.")] {
            add_response(operation, status, description, "application/problem+json");
        }
    }
}

/// Adds the answer `2XX`, of `application/json`: 201 for a new key, 200 for another secret of one.
impl EndpointOutRegister for SecretResponse {
    fn register(_: &mut Components, operation: &mut Operation) {
        add_response(operation, "2XX", "The key, with its secret as `key`.", "application/json");
    }
}

fn add_response(operation: &mut Operation, status: &str, description: &str, content_type: &str) {
    if !operation.responses.contains_key(status) {
        let response = Response::new(description).add_content(content_type, Content::default());
        operation.responses.insert(status, response);
    }
}

const SCHEME: &str = "api_key";

fn register<R: Required>(components: &mut Components, operation: &mut Operation, optional: bool) {
    let need = R::NEED;
    let default = HeaderConfig::default();
    let header = KeyStore::installed().map_or(default.header(), |store| store.header_config().header());
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
    components.security_schemes.entry(SCHEME.into()).or_insert_with(|| scheme.into());
    let required = alternatives(need).into_iter().map(|names| SecurityRequirement::new(SCHEME, names));
    let none = optional.then(SecurityRequirement::default);
    operation.securities.get_or_insert_default().extend(none.into_iter().chain(required));
    operation.extensions.insert("x-apikey-required".into(), need.to_string().into());
    if R::COST > 1 {
        operation.extensions.insert("x-apikey-cost".into(), R::COST.into());
    }
    let mut refuse = |status: &str, description: &str| {
        add_response(operation, status, description, "application/problem+json");
    };
    refuse("401", "The API key is missing or not valid.");
    refuse("403", "The API key lacks the permission, has no uses left, or is not valid from this address.");
    if R::NO_TENANT {
        refuse("404", "There is no such thing for an API key of a tenant.");
    }
    refuse("429", "The API key, or the address, has made too many requests, or the quota of the API key is used up.");
    refuse("503", "API keys cannot be checked at the moment.");
}
