//! What roles and tenants have in common: a name in the path, and an entity tag.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{PlainResponse, Problem, from_json};
use crate::management::call::{Answer, Call, field};
use crate::management::reply;

/// The body of the request with the name of the path in it.
///
/// # Errors
/// It is no object, or names another.
pub(super) fn body(call: &Call) -> Result<String, Problem> {
    call.check_media_type()?;
    let mut document: Value = from_json(&call.body)?;
    let Value::Object(fields) = &mut document else {
        return Err(Problem::field(apikey_core::FieldError::new([""; 0], "wrong_type", "expected an object")));
    };
    match fields.insert("name".into(), call.name().into()) {
        Some(name) if name != *call.name() => {
            let detail = "the name is that of the path, or missing";
            Err(field(["name"], "not_allowed", detail))
        }
        _ => Ok(document.to_string()),
    }
}

/// The answer to a read.
pub(super) fn get(call: &Call, info: &impl Serialize) -> Answer {
    let tag = tag(info);
    if listed(call, IF_NONE_MATCH).is_some_and(|tags| tags.iter().any(|held| held == "*" || *held == tag)) {
        return Ok(PlainResponse::empty(304).with("etag", tag));
    }
    Ok(answer(info))
}

/// The answer with its state.
pub(super) fn answer(info: &impl Serialize) -> PlainResponse {
    reply::json(200, info).with("etag", tag(info))
}

/// Checks the precondition of a request that has one.
pub(super) fn check_unchanged(call: &Call, info: Option<&impl Serialize>) -> Result<(), Problem> {
    let Some(tags) = listed(call, IF_MATCH) else { return Ok(()) };
    let tag = info.map(tag);
    if tag.is_some_and(|tag| tags.iter().any(|held| held == "*" || *held == tag)) {
        return Ok(());
    }
    Err(Problem::new(412, "precondition_failed", "it was changed meanwhile; read it again"))
}

pub(super) fn missing(what: &str) -> Problem {
    Problem::new(404, "not_found", format!("there is no such {what}"))
}

fn listed(call: &Call, name: http::HeaderName) -> Option<Vec<String>> {
    let values = call.headers.get_all(name);
    let tags: Vec<String> = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().to_owned())
        .collect();
    (!tags.is_empty()).then_some(tags)
}

/// The entity tag: 64-bit FNV-1a of the document, which holds no secret.
fn tag(info: &impl Serialize) -> String {
    let text = serde_json::to_string(info).unwrap_or_default();
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("\"{hash:016x}\"")
}
