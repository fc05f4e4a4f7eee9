//! Writes the requirements of handlers into an OpenAPI document.

use apikey_core::HeaderConfig;
use serde_json::{Map, Value, json};

use super::components::{SCHEME, components, refusals};
use super::operations::operations;
use crate::guard::{Guarded, GuardedTenant, alternatives};

/// The result of [`describe`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Described {
    /// The operations, such as `GET /orders`, to which it added the requirement of their handler.
    pub operations: Vec<String>,
    /// The guarded functions of the program that match no operation of the document.
    pub without_operation: Vec<Guarded>,
}

/// The error of describing a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenApiError {
    /// The value is not an OpenAPI document of version 3.
    NoDocument,
    /// Several guarded functions match an `operationId`, and their requirements differ.
    Ambiguous {
        /// The `operationId`.
        operation_id: String,
        /// The functions.
        functions: Vec<Guarded>,
    },
}

impl std::fmt::Display for OpenApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoDocument => f.write_str("this is not an OpenAPI document of version 3"),
            Self::Ambiguous { operation_id, functions } => {
                let functions: Vec<String> = functions.iter().map(ToString::to_string).collect();
                let functions = functions.join("; ");
                write!(
                    f,
                    "the operationId {operation_id:?} matches several functions, so prefix it with the module: {functions}"
                )
            }
        }
    }
}

impl std::error::Error for OpenApiError {}

/// Writes the requirements of guarded handlers into an OpenAPI document: the security scheme, and for each operation
/// its security requirement, its 401, 403, 429 and 503 responses, its 404 if the function asks for a
/// [tenant](Guarded::tenant), and `x-apikey-required` with the requirement as text, and, if the function has a
/// [cost](Guarded::cost), `x-apikey-cost` with its number.
///
/// An operation belongs to a guarded function if its `operationId` is the function's name, alone or with modules before
/// it, separated by `.` or `::` (`orders.list`). utoipa and salvo-oapi write such ids by default; with poem-openapi,
/// set `operation_id = "list"`. The function keeps what the operation has already, such as a 401 response of your own.
///
/// In a document of version 3.1 the security requirement names the permissions: `any(..)` as alternatives, `all(..)` as
/// a list. Version 3.0 allows no names there for API keys.
///
/// # Errors
/// The value is not an OpenAPI document, or an `operationId` matches several functions with different requirements.
pub fn describe(document: &mut Value, config: &HeaderConfig) -> Result<Described, OpenApiError> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !version.starts_with("3.") {
        return Err(OpenApiError::NoDocument);
    }
    let all = Guarded::all();
    let mut described = Described::default();
    let mut used = Vec::new();
    for operation in operations(document) {
        let Some(id) = &operation.id else { continue };
        let matching: Vec<Guarded> = all.iter().filter(|guarded| is_of(id, guarded)).copied().collect();
        let Some(first) = matching.first() else { continue };
        let asked = |guarded: &Guarded| (guarded.need(), guarded.optional(), guarded.tenant(), guarded.cost());
        if matching.iter().any(|other| asked(other) != asked(first)) {
            return Err(OpenApiError::Ambiguous { operation_id: id.clone(), functions: matching });
        }
        let method = operation.method.to_lowercase();
        let item = document.get_mut("paths").and_then(|paths| paths.get_mut(&operation.template));
        if let Some(Value::Object(entry)) = item.and_then(|item| item.get_mut(&method)) {
            add(entry, first, version.starts_with("3.0"));
            described.operations.push(operation.to_string());
        }
        used.extend(matching);
    }
    described.without_operation = all.into_iter().filter(|guarded| !used.contains(guarded)).collect();
    components(document, config).ok_or(OpenApiError::NoDocument)?;
    Ok(described)
}

/// Whether an `operationId` names this function: the function's path ends with it, at the start of a segment.
fn is_of(id: &str, guarded: &Guarded) -> bool {
    let id = id.replace('.', "::");
    let path = format!("{}::{}", guarded.module(), guarded.function());
    path.strip_suffix(&id).is_some_and(|before| before.is_empty() || before.ends_with("::"))
}

fn add(operation: &mut Map<String, Value>, guarded: &Guarded, names_in_extension_only: bool) {
    let mut security = match guarded.need() {
        Some(need) if !names_in_extension_only => alternatives(need),
        _ => vec![vec![]],
    };
    if guarded.optional() {
        // The empty object: no key is needed.
        operation.insert("security".into(), json!([{}]));
    } else {
        operation.insert("security".into(), json!([]));
    }
    if let Some(Value::Array(listed)) = operation.get_mut("security") {
        listed.extend(security.drain(..).map(|names| json!({ SCHEME: names })));
    }
    operation.insert("x-apikey-required".into(), guarded.requirement().into());
    if guarded.cost() > 1 {
        operation.insert("x-apikey-cost".into(), guarded.cost().into());
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    if let Value::Object(responses) = responses {
        refusals(responses, guarded.tenant() != GuardedTenant::Any);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::guarded;
    use apikey_core::Need;

    const READ: Need = Need::Permission("orders:read");

    #[test]
    fn an_operation_id_names_a_function_by_the_end_of_its_path() {
        let list = guarded("shop::orders", "list", 1, Some(&READ), false, GuardedTenant::Any, 1);
        for id in ["list", "orders.list", "orders::list", "shop.orders.list"] {
            assert!(is_of(id, &list), "{id}");
        }
        for id in ["ist", "rders.list", "stock.list", "list2", "shop.orders", ""] {
            assert!(!is_of(id, &list), "{id}");
        }
    }

    #[test]
    fn an_optional_key_is_one_of_two_alternatives() {
        let mut operation = Map::new();
        add(
            &mut operation,
            &guarded("shop", "greet", 1, Some(&Need::Authenticated), true, GuardedTenant::Any, 1),
            false,
        );
        assert_eq!(operation["security"], json!([{}, { "api_key": [] }]));
        // Any valid key passes, but it may be valid from other addresses only, or have used up its limit.
        let responses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
        assert_eq!(responses, ["401", "403", "429", "503"]);
    }

    #[test]
    fn a_guard_that_asks_for_a_tenant_answers_404() {
        for (tenant, expected) in [
            (GuardedTenant::Any, vec!["401", "403", "429", "503"]),
            (GuardedTenant::None, vec!["401", "403", "404", "429", "503"]),
            (GuardedTenant::Named, vec!["401", "403", "404", "429", "503"]),
        ] {
            let mut operation = Map::new();
            add(&mut operation, &guarded("shop", "list", 1, Some(&READ), false, tenant, 1), false);
            let mut responses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
            responses.sort(); // a feature of serde_json that another crate enables decides on their order
            assert_eq!(responses, expected, "{tenant:?}");
        }
    }

    #[test]
    fn a_cost_is_written_where_a_function_has_one() {
        for (cost, expected) in [(1, None), (5, Some(json!(5)))] {
            let mut operation = Map::new();
            add(&mut operation, &guarded("shop", "list", 1, Some(&READ), false, GuardedTenant::Any, cost), false);
            assert_eq!(operation.get("x-apikey-cost"), expected.as_ref());
        }
    }

    #[test]
    fn other_json_is_rejected() {
        for mut wrong in
            [json!({}), json!({ "swagger": "2.0" }), json!("3.1"), json!({ "openapi": "3.1.0", "components": 1 })]
        {
            assert_eq!(describe(&mut wrong, &HeaderConfig::default()), Err(OpenApiError::NoDocument));
        }
    }
}
