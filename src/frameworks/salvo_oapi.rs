//! salvo-oapi 1: a guard in an endpoint's parameters adds its requirement to the OpenAPI document.

use ::salvo_oapi::security::{ApiKey, ApiKeyValue};
use ::salvo_oapi::{
    Components, Content, EndpointArgRegister, Operation, Response, SecurityRequirement, SecurityScheme,
};

use apikey_core::{HeaderConfig, KeyStore, Need};

use crate::guard::{OptionalApiKey, RequireApiKey, Required, alternatives};

/// Adds the security scheme `api_key`, the requirement of this operation, its 401 and 403, and `x-apikey-required`.
///
/// The header is that of the installed store, or `X-API-Key`: no request, and so no other store, exists yet.
impl<R: Required> EndpointArgRegister for RequireApiKey<R> {
    fn register(components: &mut Components, operation: &mut Operation, _: &str) {
        register(components, operation, R::NEED, false);
    }
}

/// As for [`RequireApiKey`], and a request without a key is allowed, too.
impl<R: Required> EndpointArgRegister for OptionalApiKey<R> {
    fn register(components: &mut Components, operation: &mut Operation, _: &str) {
        register(components, operation, R::NEED, true);
    }
}

const SCHEME: &str = "api_key";

fn register(components: &mut Components, operation: &mut Operation, need: &'static Need, optional: bool) {
    let default = HeaderConfig::default();
    let header = KeyStore::installed().map_or(default.header(), |store| store.header_config().header());
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
    components.security_schemes.entry(SCHEME.into()).or_insert_with(|| scheme.into());
    let required = alternatives(need).into_iter().map(|names| SecurityRequirement::new(SCHEME, names));
    let none = optional.then(SecurityRequirement::default);
    operation.securities.get_or_insert_default().extend(none.into_iter().chain(required));
    operation.extensions.insert("x-apikey-required".into(), need.to_string().into());
    let mut refuse = |status: &str, description: &str| {
        if !operation.responses.contains_key(status) {
            let response = Response::new(description).add_content("application/problem+json", Content::default());
            operation.responses.insert(status, response);
        }
    };
    refuse("401", "The API key is missing or not valid.");
    if *need != Need::Authenticated {
        refuse("403", "The API key lacks the permission.");
    }
}
