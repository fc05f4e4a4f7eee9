//! The parts of a document that every guarded operation refers to: the security scheme, the refusals, the problem.

use apikey_core::HeaderConfig;
use serde_json::{Map, Value, json};

/// The name of the security scheme in the document.
pub const SCHEME: &str = "api_key";

/// The refusals of a guard: status, name of the component, description.
const REFUSALS: [(&str, &str, &str); 4] = [
    ("401", "ApiKeyUnauthorized", "The API key is missing or not valid."),
    (
        "403",
        "ApiKeyForbidden",
        "The API key lacks the permission, has no uses left, or is not valid from this address.",
    ),
    (
        "429",
        "ApiKeyRateLimited",
        "The API key, or the address, has made too many requests, or the quota of the API key is used up.",
    ),
    ("503", "ApiKeyUnavailable", "API keys cannot be checked at the moment."),
];

/// The refusal of a guard that asks for a tenant.
const OF_ANOTHER_TENANT: (&str, &str, &str) =
    ("404", "ApiKeyNotFound", "There is no such thing, or it is of another tenant than the API key.");

/// Adds the refusals to the responses of an operation, and keeps what is there already.
pub(crate) fn refusals(responses: &mut Map<String, Value>, asks_for_tenant: bool) {
    for (status, name, _) in REFUSALS.iter().chain(asks_for_tenant.then_some(&OF_ANOTHER_TENANT)) {
        let reference = || json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(*status).or_insert_with(reference);
    }
}

/// Adds the scheme, the responses and the problem, and keeps what is there already.
pub(crate) fn components(document: &mut Value, config: &HeaderConfig) -> Option<()> {
    let components = document.as_object_mut()?.entry("components").or_insert_with(|| json!({})).as_object_mut()?;
    let mut put = |kind: &str, name: &str, value: Value| {
        let of_kind = components.entry(kind).or_insert_with(|| json!({})).as_object_mut()?;
        of_kind.entry(name).or_insert(value);
        Some(())
    };
    put("securitySchemes", SCHEME, json!({ "type": "apiKey", "in": "header", "name": config.header() }))?;
    put("schemas", "ApiKeyProblem", problem())?;
    let mut all = REFUSALS.iter().chain([&OF_ANOTHER_TENANT]);
    all.try_for_each(|(status, name, description)| put("responses", name, response(status, description)))
}

fn response(status: &str, description: &str) -> Value {
    let mut response = json!({
        "description": description,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/ApiKeyProblem" } } },
    });
    let header = |description: &str, kind: &str| json!({ "description": description, "schema": { "type": kind } });
    let headers = match status {
        "401" => json!({ "WWW-Authenticate": header("How to authenticate (RFC 9110).", "string") }),
        "429" => json!({
            "Retry-After": header("Seconds until a request may pass.", "integer"),
            "RateLimit-Policy": header("The limit and the quota of the key.", "string"),
            "RateLimit": header("What is left of them, and when they are refilled.", "string"),
        }),
        _ => return response,
    };
    if let Value::Object(response) = &mut response {
        response.insert("headers".into(), headers);
    }
    response
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A refused request (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string", "format": "uri" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string", "description": "For programs, such as `invalid_api_key`." },
            "required": { "type": "string", "description": "With 403: the permission that the key lacks." },
            "resets_at": {
                "type": "string",
                "format": "date-time",
                "description": "With `quota_exceeded`: the time at which the key has all uses of its quota again.",
            },
            "violation": {
                "type": "object",
                "description": "With `exceeds_actor`: the bound that the change would exceed; `kind` names it.",
                "required": ["kind"],
                "properties": { "kind": { "type": "string" } },
            },
            "in_force": {
                "type": "boolean",
                "description": "With 503, true: the change holds from now on, and a restart may undo it.",
            },
            "errors": {
                "type": "array",
                "description": "With 422: the fields that are not allowed.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "code", "detail"],
                    "properties": {
                        "pointer": { "type": "string", "description": "The field, as a JSON pointer (RFC 6901), such as `#/permissions/1`." },
                        "code": { "type": "string", "description": "For programs, such as `invalid_permission`." },
                        "detail": { "type": "string" },
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::PlainResponse;
    use crate::{AuthError, CapViolation, Problem, Rejection, Requirement, StoreError};

    #[test]
    fn the_schema_has_every_member_of_a_problem() {
        let schema = problem();
        let problems: [Problem; 4] = [
            StoreError::NotDurable { source: std::io::Error::other("disk") }.into(),
            StoreError::Exceeds(CapViolation::Grant("orders:*".into())).into(),
            Requirement::permission("Orders").unwrap_err().into(),
            Rejection::from(AuthError::Missing).into(),
        ];
        for of in problems {
            let body: Value = serde_json::from_str(&PlainResponse::from(of).body).unwrap();
            for (member, value) in body.as_object().unwrap() {
                let property = &schema["properties"][member];
                assert!(property.is_object(), "{member} of {body}");
                if let Some(item) = value.as_array().and_then(|items| items.first()) {
                    for inner in item.as_object().unwrap().keys() {
                        assert!(property["items"]["properties"][inner].is_object(), "{inner} of {member}");
                    }
                }
            }
            for required in schema["required"].as_array().unwrap() {
                assert!(body.get(required.as_str().unwrap()).is_some(), "{required} of {body}");
            }
        }
    }
}
