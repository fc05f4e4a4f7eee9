//! What roles and tenants have in common: a name in the path, and an entity tag.

use std::collections::BTreeMap;

use apikey_core::{Conflict, StoreError};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::answer::{PlainResponse, Problem, from_json};
use crate::management::call::{Answer, Call, field};
use crate::management::operations::body::Object;
use crate::management::reply;
use crate::management::tags::{Tags, fnv};

/// The body of the request with the name of the path in it, and otherwise as it was sent: its reader refuses what is there twice.
///
/// # Errors
/// It is no object, or has a name.
pub(super) fn body(call: &Call) -> Result<Vec<u8>, Problem> {
    call.check_media_type()?;
    let Object(fields): Object<BTreeMap<String, IgnoredAny>> = from_json(&call.body)?;
    if fields.contains_key("name") {
        return Err(field(["name"], "unknown_field", "unknown field `name`, the path has it"));
    }
    let rest = call.body.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    let name = Value::from(call.name()).to_string();
    let comma: &[u8] = if fields.is_empty() { b"" } else { b"," };
    Ok([b"{\"name\":", name.as_bytes(), comma, rest].concat())
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

/// What a request with a precondition wants to be as it is: the store compares again when it makes the change. `None` if it
/// takes whatever there is.
pub(super) fn unchanged<'i, T: Serialize>(call: &Call, info: Option<&'i T>) -> Result<Option<&'i T>, Problem> {
    match (Tags::read(&call.headers, IF_MATCH)?, info) {
        (None, _) | (Some(Tags::Any), Some(_)) => Ok(None),
        (Some(tags), Some(info)) if tags.has_strong(&tag(info)) => Ok(Some(info)),
        _ => Err(StoreError::Conflict(Conflict::Outdated).into()),
    }
}

pub(super) fn missing(what: &str) -> Problem {
    Problem::new(404, "not_found", format!("there is no such {what}"))
}

/// The entity tag: a number of the document, which holds no secret.
fn tag(info: &impl Serialize) -> String {
    format!("\"{:016x}\"", fnv(&serde_json::to_string(info).unwrap_or_default()))
}
