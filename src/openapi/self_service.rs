//! The operations of `SelfService` in an OpenAPI document.

use apikey_core::HeaderConfig;
use serde_json::{Map, Value, json};

use super::components::{SCHEME, components, refusals};
use super::describe::OpenApiError;

/// Adds the operations of [`SelfService`](crate::self_service) to an OpenAPI document: `rotateOwnKey` and
/// `revokeOwnKey`, below the path where it is mounted. It keeps what the document has for these paths already.
///
/// ```
/// use apikey::{HeaderConfig, openapi};
/// use serde_json::json;
///
/// let mut document = json!({ "openapi": "3.1.0", "info": { "title": "shop", "version": "1" }, "paths": {} });
/// openapi::describe_self_service(&mut document, "/key", &HeaderConfig::default())?;
/// assert_eq!(document["paths"]["/key/rotate"]["post"]["operationId"], "rotateOwnKey");
/// assert!(document["paths"]["/key"]["delete"].is_object());
/// # Ok::<(), apikey::openapi::OpenApiError>(())
/// ```
///
/// # Errors
/// The value is not an OpenAPI document.
pub fn describe_self_service(document: &mut Value, path: &str, config: &HeaderConfig) -> Result<(), OpenApiError> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.") {
        return Err(OpenApiError::NoDocument);
    }
    components(document, config).and_then(|()| add(document, path)).ok_or(OpenApiError::NoDocument)
}

fn add(document: &mut Value, path: &str) -> Option<()> {
    let mount = format!("/{}", path.trim_matches('/'));
    let below = |name: &str| format!("{}/{name}", mount.trim_end_matches('/'));
    let paths = document.as_object_mut()?.entry("paths").or_insert_with(|| json!({})).as_object_mut()?;
    let mut put = |path: String, method: &str, operation: Value| {
        let item = paths.entry(path).or_insert_with(|| json!({})).as_object_mut()?;
        item.entry(method).or_insert(operation);
        Some(())
    };
    put(below("rotate"), "post", rotate())?;
    put(below("revoke"), "post", revoke("revokeOwnKeyByPost"))?;
    put(mount.clone(), "delete", revoke("revokeOwnKey"))
}

fn operation(id: &str, summary: &str, responses: Value) -> Value {
    let mut responses = responses.as_object().cloned().unwrap_or_else(Map::new);
    refusals(&mut responses, false);
    json!({
        "operationId": id,
        "summary": summary,
        "security": [{ SCHEME: [] }],
        "x-apikey-required": "any valid key",
        "responses": responses,
    })
}

fn rotate() -> Value {
    let problem = |description: &str| {
        let schema = json!({ "$ref": "#/components/schemas/ApiKeyProblem" });
        json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
    };
    let rotated = json!({
        "type": "object",
        "required": ["id", "key", "version", "superseded_until"],
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "key": { "type": "string", "description": "The new secret; no other response has it." },
            "version": { "type": "integer" },
            "superseded_until": {
                "description": "When the old secret ends (RFC 3339); null: when the new one is first used.",
            },
        },
    });
    let mut rotate = operation(
        "rotateOwnKey",
        "Gives the key of the request a new secret",
        json!({
            "200": {
                "description": "The new secret. The old one stays valid until the new one is used, or as the service says.",
                "content": { "application/json": { "schema": rotated } },
            },
            "409": problem("The key is being rotated, or the idempotency key was used before."),
            "422": problem("The idempotency key has not 1 to 128 bytes, or the service forbids the overlap."),
        }),
    );
    if let Value::Object(rotate) = &mut rotate {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
        let parameter = json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "Another text for each rotation; a repeat with the same one makes no second rotation.",
            "schema": schema,
        });
        rotate.insert("parameters".into(), json!([parameter]));
    }
    rotate
}

fn revoke(id: &str) -> Value {
    let mut revoke = operation(
        id,
        "Revokes the key of the request",
        json!({ "204": { "description": "The key is revoked, or was before." } }),
    );
    if let Value::Object(revoke) = &mut revoke {
        revoke.insert("x-apikey-required".into(), "any secret of the key that has not ended".into());
    }
    revoke
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::operations;

    #[test]
    fn the_operations_are_below_the_mount() {
        for (mount, wanted) in [
            ("/key", ["DELETE /key", "POST /key/revoke", "POST /key/rotate"]),
            ("v1/key/", ["DELETE /v1/key", "POST /v1/key/revoke", "POST /v1/key/rotate"]),
            ("/", ["DELETE /", "POST /revoke", "POST /rotate"]),
        ] {
            let mut document = json!({ "openapi": "3.1.0" });
            describe_self_service(&mut document, mount, &HeaderConfig::default()).unwrap();
            let mut found: Vec<String> = operations(&document).iter().map(ToString::to_string).collect();
            found.sort(); // a feature of serde_json that another crate enables decides on their order
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn what_is_there_stays_and_other_json_is_rejected() {
        let own = json!({ "summary": "my own words" });
        let mut document = json!({ "openapi": "3.0.3", "paths": { "/key/rotate": { "post": own } } });
        describe_self_service(&mut document, "/key", &HeaderConfig::default()).unwrap();
        assert_eq!(document["paths"]["/key/rotate"]["post"], own);
        for mut wrong in [json!({}), json!({ "openapi": "3.1.0", "paths": 1 }), json!({ "swagger": "2.0" })] {
            let answer = describe_self_service(&mut wrong, "/key", &HeaderConfig::default());
            assert_eq!(answer, Err(OpenApiError::NoDocument));
        }
    }
}
