//! The OpenAPI document, made from the table of operations.

mod schemas;

use serde_json::{Map, Value, json};

use schemas::reference;

use super::operation::{Needs, Operation, Run, Success};
use super::operations::OPERATIONS;
use super::parameter::{Body, Kind, Parameter};
use super::parts::Parts;
use crate::answer::PlainResponse;
use crate::openapi::{SCHEME, components, refusals};

/// The answer to `GET /openapi.json`: without a key, and for every cache.
pub(super) fn answer(parts: &Parts) -> PlainResponse {
    let body = parts.document.get_or_init(|| document(parts).to_string()).clone();
    PlainResponse::cached(200, "application/json", body)
}

/// The document of a service with these settings.
pub(super) fn document(parts: &Parts) -> Value {
    let mut paths = Map::new();
    for one in OPERATIONS {
        let item = paths.entry(one.path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(one.method.to_lowercase(), operation(one));
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "API keys",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Creates, lists, changes and revokes API keys, and says whether one is valid.",
        },
        "servers": [{ "url": parts.base_url.as_deref().unwrap_or(".") }],
        "paths": paths,
        "components": { "schemas": schemas::schemas() },
    });
    // It is an object with an object of components.
    let _ = components(&mut document, parts.store.header_config());
    document
}

fn operation(one: &Operation) -> Value {
    let mut responses = Map::new();
    for success in one.success {
        responses.insert(success.status.to_string(), response(success));
    }
    if matches!(one.run, Run::Change(_) | Run::Restrict(_)) {
        responses.insert("202".into(), accepted(one.success));
    }
    for (status, codes) in errors(one) {
        let codes = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
        responses.insert(status.to_string(), problem(&codes));
    }
    let mut operation = json!({ "operationId": one.id, "summary": one.summary });
    let Value::Object(fields) = &mut operation else { return operation };
    let mut parameters: Vec<Value> = path_parameters(one.path);
    parameters.extend(one.query.iter().map(|parameter| described(parameter, "query")));
    parameters.extend(one.headers.iter().map(|parameter| described(parameter, "header")));
    if !parameters.is_empty() {
        fields.insert("parameters".into(), parameters.into());
    }
    if let Some((media_type, schema)) = one.body.content() {
        let required = !matches!(one.body, Body::MaybeJson(_));
        fields.insert(
            "requestBody".into(),
            json!({ "required": required, "content": { media_type: { "schema": reference(schema) } } }),
        );
    }
    match one.needs {
        Needs::Nothing => {
            fields.insert("security".into(), json!([]));
        }
        Needs::Key(_) | Needs::KeyOfNoTenant(_) => {
            refusals(&mut responses, false);
            fields
                .insert("security".into(), json!([{ SCHEME: one.needs.permission().into_iter().collect::<Vec<_>>() }]));
            fields.insert("x-apikey-required".into(), one.needs.permission().unwrap_or("any valid key").into());
        }
    }
    fields.insert("responses".into(), responses.into());
    operation
}

/// The errors of an operation, with those that every operation of its kind has; those of guards come besides.
fn errors(one: &Operation) -> Vec<(u16, Vec<&'static str>)> {
    let mut all: Vec<(u16, Vec<&'static str>)> = Vec::new();
    let mut add = |status: u16, codes: &[&'static str]| match all.iter_mut().find(|(held, _)| *held == status) {
        Some((_, held)) => held.extend(codes),
        None => all.push((status, codes.to_vec())),
    };
    // The refusals of guards have the same status.
    one.errors.iter().filter(|(status, _)| *status != 403).for_each(|(status, codes)| add(*status, codes));
    match one.body {
        Body::None => {}
        Body::Json(_) | Body::MaybeJson(_) | Body::MergePatch(_) => add(400, &["invalid_json", "unreadable_body"]),
        Body::Form(_) => add(400, &["unreadable_body"]),
    }
    if one.body != Body::None {
        add(413, &["body_too_large"]);
        add(415, &["unsupported_media_type"]);
    }
    add(422, &["invalid_field"]);
    all
}

fn problem(codes: &str) -> Value {
    json!({
        "description": format!("The `code` is {codes}."),
        "content": { "application/problem+json": { "schema": reference("ApiKeyProblem") } },
    })
}

fn response(success: &Success) -> Value {
    let description = match success.status {
        201 => "Created.",
        204 => "Done.",
        304 => "Unchanged.",
        _ => "Success.",
    };
    let mut response = json!({ "description": description });
    let Value::Object(fields) = &mut response else { return response };
    if let Some(schema) = success.schema {
        fields.insert("content".into(), json!({ "application/json": { "schema": reference(schema) } }));
    }
    if !success.headers.is_empty() {
        let header = |name: &&str| ((*name).to_owned(), json!({ "schema": { "type": "string" } }));
        fields.insert("headers".into(), success.headers.iter().map(header).collect::<Map<_, _>>().into());
    }
    response
}

/// The answer to a change that not every node of a cluster has after 5 seconds.
fn accepted(successes: &[Success]) -> Value {
    let schema = successes.iter().find_map(|success| success.schema);
    let schema = match schema {
        Some(schema) => json!({ "allOf": [reference(schema), reference("Outstanding")] }),
        None => reference("Outstanding"),
    };
    json!({
        "description": "The change is made, and some nodes of the cluster do not have it yet.",
        "content": { "application/json": { "schema": schema } },
    })
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let schema = |name: &str| match name {
        "id" => json!({ "type": "string", "format": "uuid" }),
        _ => json!({ "type": "string", "minLength": 1 }),
    };
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": schema(name) })).collect()
}

fn described(parameter: &Parameter, place: &str) -> Value {
    let schema = match parameter.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::ShortText => json!({ "type": "string", "pattern": "^[ -~]{1,128}$" }),
        Kind::Tags => json!({ "type": "string", "pattern": "^(\\*|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$" }),
        Kind::KeyId => json!({ "type": "string", "format": "uuid" }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::Limit => json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        Kind::Number => json!({ "type": "integer", "minimum": 0, "format": "int64" }),
        Kind::Cursor => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }),
        Kind::OneOf(values) => json!({ "type": "string", "enum": values }),
        Kind::Flag => json!({ "type": "string", "enum": ["", "true", "false"] }),
        Kind::Metadata => json!({
            "type": "object",
            "propertyNames": { "pattern": "^metadata\\.." },
            "additionalProperties": { "type": "string" },
        }),
    };
    let mut described = json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
    });
    if let (Kind::Metadata, Value::Object(fields)) = (parameter.kind, &mut described) {
        fields.insert("style".into(), "form".into());
        fields.insert("explode".into(), true.into());
    }
    if let (Kind::Flag, Value::Object(fields)) = (parameter.kind, &mut described) {
        fields.insert("allowEmptyValue".into(), true.into());
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::management::Management;
    use crate::openapi::operations;
    use apikey_core::KeyStore;

    fn sample() -> Value {
        Management::new(KeyStore::temporary().unwrap()).base_url("https://api.test/admin/").document()
    }

    #[test]
    fn the_document_and_the_table_have_the_same_operations() {
        let document = sample();
        let mut listed: Vec<(String, String)> =
            operations(&document).into_iter().map(|one| (one.to_string(), one.id.unwrap())).collect();
        let mut routed: Vec<(String, String)> =
            OPERATIONS.iter().map(|one| (format!("{} {}", one.method, one.path), one.id.to_owned())).collect();
        listed.sort();
        routed.sort();
        assert_eq!(listed, routed);
        routed.dedup_by_key(|(_, id)| id.clone());
        assert_eq!(routed.len(), OPERATIONS.len(), "an id is given once");
        assert_eq!(document["servers"], json!([{ "url": "https://api.test/admin" }]));
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = sample();
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in &found {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            let path = format!("#/components/schemas/{name}");
            assert!(found.contains(&path), "{name} is not used");
        }
    }
}
