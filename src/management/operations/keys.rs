//! Reading one key.

use apikey_core::{KeyId, KeyInfo, KeyState, StoreError};
use http::header::IF_NONE_MATCH;
use serde_json::Value;

use crate::answer::{PlainResponse, Problem};
use crate::management::call::{Answer, Call};
use crate::management::reply;
use crate::management::tags::Tags;

pub(super) fn me(call: &Call) -> Answer {
    let Some(caller) = call.caller.key() else {
        return Err(Problem::new(404, "not_found", "the session has no key: it says at `session` whose it is"));
    };
    let key = read(call, caller.id())?;
    let mut document = reply::key_with_activity(&key);
    if let Value::Object(document) = &mut document {
        document.insert("effective_permissions".into(), caller.permissions().collect::<Vec<_>>().into());
        document.insert("secret_version".into(), caller.secret_version().into());
        document.insert("superseded".into(), caller.superseded().into());
    }
    Ok(reply::json(200, &document))
}

pub(super) fn get(call: &Call) -> Answer {
    let key = read(call, call.id()?)?;
    let tags = Tags::read(&call.headers, IF_NONE_MATCH)?;
    if call.query.flag("activity")? {
        return Ok(reply::json(200, &reply::key_with_activity(&key)));
    }
    if changes_by_events_alone(&key) && tags.is_some_and(|tags| tags.has(&reply::tag(&key))) {
        return Ok(PlainResponse::empty(304).with("etag", reply::tag(&key)));
    }
    Ok(reply::key(200, &key))
}

/// Whether every change of this key has an event of its own, so that an entity tag tells it. Time alone makes a key valid, or
/// ends it, and the end of its tenant revokes it.
fn changes_by_events_alone(key: &KeyInfo) -> bool {
    match key.state(chrono::Utc::now()) {
        KeyState::Active => key.not_before().is_none(),
        KeyState::Disabled => true,
        KeyState::Revoked => key.tenant().is_none(),
        _ => false,
    }
}

/// A key that the caller may read.
pub(super) fn read(call: &Call, id: KeyId) -> Result<KeyInfo, Problem> {
    let key = call.caller.get(&call.store, id).map_err(|error| call.problem(error))?;
    key.ok_or_else(|| StoreError::NotFound(id).into())
}

/// The answer with a key after a change, which the caller may see whatever else it may read.
pub(super) fn after(call: &Call, id: KeyId) -> Answer {
    let key = call.store.get(id).map_err(|error| call.problem(error))?;
    key.map(|key| reply::key(200, &key)).ok_or_else(|| StoreError::NotFound(id).into())
}
