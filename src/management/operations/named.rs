//! What roles and tenants have in common: a name in the path, and an entity tag.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{PlainResponse, Problem, from_json};
use crate::management::call::{Answer, Call, field};
use crate::management::reply;
use crate::management::tags::{Tags, fnv};

/// The body of the request with the name of the path in it.
///
/// # Errors
/// It is no object, or has a name.
pub(super) fn body(call: &Call) -> Result<String, Problem> {
    call.check_media_type()?;
    let mut document: Value = from_json(&call.body)?;
    let Value::Object(fields) = &mut document else {
        return Err(Problem::field(apikey_core::FieldError::new([""; 0], "wrong_type", "expected an object")));
    };
    match fields.insert("name".into(), call.name().into()) {
        Some(_) => Err(field(["name"], "unknown_field", "unknown field `name`, the path has it")),
        None => Ok(document.to_string()),
    }
}

/// The answer to a read.
pub(super) fn get(call: &Call, info: &impl Serialize) -> Answer {
    let tag = tag(info);
    if Tags::read(&call.headers, IF_NONE_MATCH)?.is_some_and(|tags| tags.has(&tag)) {
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
    let Some(tags) = Tags::read(&call.headers, IF_MATCH)? else { return Ok(()) };
    if info.map(tag).is_some_and(|tag| tags.has_strong(&tag)) {
        return Ok(());
    }
    Err(Problem::new(412, "precondition_failed", "it was changed meanwhile; read it again"))
}

pub(super) fn missing(what: &str) -> Problem {
    Problem::new(404, "not_found", format!("there is no such {what}"))
}

/// The entity tag: a number of the document, which holds no secret.
fn tag(info: &impl Serialize) -> String {
    format!("\"{:016x}\"", fnv(&serde_json::to_string(info).unwrap_or_default()))
}
