//! Whether a key is valid, for a gateway that asks.

use std::net::IpAddr;

use apikey_core::{Attempt, AuthError, KeyInfo, Requirement, VerifiedKey, check_permission};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::Problem;
use crate::ask::Rejection;
use crate::management::call::{Answer, Call, field};
use crate::management::operations::body::Object;
use crate::management::reply;

/// The most permissions in a question, as many as a key may have.
const MAX_PERMISSIONS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    key: String,
    #[serde(default)]
    permissions: Vec<String>,
    address: Option<String>,
    #[serde(default, rename = "use")]
    uses: bool,
}

pub(super) fn verify(call: &Call) -> Answer {
    let Object(Question { key: token, permissions, address, uses }) = call.json()?;
    if permissions.len() > MAX_PERMISSIONS {
        return Err(field(["permissions"], "not_allowed", "at most 64 permissions are allowed"));
    }
    for (at, permission) in permissions.iter().enumerate() {
        if let Err(fault) = check_permission(permission) {
            let detail = format!("invalid permission {permission:?}: {fault}");
            return Err(field(&["permissions".to_owned(), at.to_string()], "invalid_permission", &detail));
        }
    }
    let address: Option<IpAddr> = match address.as_deref().map(str::parse) {
        None => None,
        Some(Ok(address)) => Some(address),
        Some(Err(_)) => return Err(field(["address"], "wrong_type", "expected an IP address")),
    };
    let requirement = match permissions.as_slice() {
        [] => Requirement::authenticated(),
        _ => Requirement::all(&permissions).map_err(|error| Problem::from(apikey_core::StoreError::from(error)))?,
    };
    let attempt = Attempt::new(&token).needs(&requirement);
    let attempt = address.map_or(attempt, |address| attempt.peer(address));
    let (answer, key) = inspect(call, &attempt, uses)?;
    let mut verdict = Map::new();
    verdict.insert("valid".into(), answer.is_ok().into());
    verdict.insert("code".into(), answer.as_ref().map_or_else(AuthError::code, |()| "ok").into());
    if let Some((key, info)) = key {
        let missing: Vec<&String> = permissions.iter().filter(|permission| !key.allows(permission)).collect();
        if !missing.is_empty() {
            verdict.insert("missing".into(), json!(missing));
        }
        let labels: Map<String, Value> = key.labels().map(|(name, value)| (name.to_owned(), value.into())).collect();
        verdict.insert("key".into(), json!(key.id()));
        verdict.insert("owner".into(), key.owner().into());
        verdict.insert("tenant".into(), key.tenant().into());
        verdict.insert("labels".into(), labels.into());
        verdict.insert("permissions".into(), key.permissions().collect::<Vec<_>>().into());
        verdict.insert("end".into(), json!(end(&key, &info)));
        verdict.insert("secret_version".into(), key.secret_version().into());
        verdict.insert("superseded".into(), key.superseded().into());
        verdict.insert("superseded_until".into(), json!(key.superseded_until()));
    }
    Ok(reply::json(200, &verdict))
}

pub(super) fn introspect(call: &Call) -> Answer {
    call.check_media_type()?;
    // Further parameters are ignored, as RFC 7662 section 2.1 says.
    let mut tokens = form_urlencoded::parse(&call.body).filter(|(name, _)| name == "token");
    let (token, None) = (tokens.next(), tokens.next()) else {
        return Err(field(["token"], "repeated_field", "duplicate field `token`"));
    };
    let Some((_, token)) = token else { return Err(field(["token"], "missing_field", "missing field `token`")) };
    let (answer, key) = inspect(call, &Attempt::new(&token), false)?;
    let (Ok(()), Some((key, info))) = (answer, key) else { return Ok(reply::json(200, &json!({ "active": false }))) };
    let mut active = Map::new();
    active.insert("active".into(), true.into());
    active.insert("sub".into(), key.owner().into());
    active.insert("client_id".into(), json!(key.id()));
    active.insert("scope".into(), key.permissions().collect::<Vec<_>>().join(" ").into());
    active.insert("iat".into(), info.created_at().timestamp().into());
    if let Some(start) = info.not_before() {
        active.insert("nbf".into(), start.timestamp().into());
    }
    if let Some(end) = end(&key, &info) {
        active.insert("exp".into(), end.timestamp().into());
    }
    Ok(reply::json(200, &active))
}

/// The answer of the store, and the key if the caller may know of it.
type Inspected = (Result<(), AuthError>, Option<(VerifiedKey, KeyInfo)>);

/// Asks the store about a token. What is no key to the caller counts against the caller's budget.
fn inspect(call: &Call, attempt: &Attempt<'_>, uses: bool) -> Result<Inspected, Problem> {
    let caller = call.caller.key().map(VerifiedKey::id);
    caller.map_or(Ok(()), |caller| call.parts.budget.admit(caller)).map_err(|retry_after| {
        Problem::from(Rejection::of(&call.store, AuthError::RateLimited { retry_after, limit: None }))
    })?;
    let found = call.caller.inspect(&call.store, attempt).map_err(|error| call.problem(error))?;
    let mut answer = found.answer;
    if matches!(answer, Err(AuthError::Invalid | AuthError::Rotated)) {
        // Who runs the service could read all keys.
        caller.inspect(|caller| call.parts.budget.charge(*caller));
    }
    if let (Ok(()), true) = (&answer, uses) {
        answer = call.store.check(attempt).map(drop);
    }
    if answer == Err(AuthError::Unavailable) {
        return Err(Rejection::of(&call.store, AuthError::Unavailable).into());
    }
    let Some(key) = found.key else { return Ok((answer, None)) };
    let info = call.store.get(key.id()).map_err(|error| call.problem(error))?;
    Ok((answer, info.map(|info| (key, info))))
}

/// The earliest end of a key and its secret.
fn end(key: &VerifiedKey, info: &KeyInfo) -> Option<chrono::DateTime<chrono::Utc>> {
    [info.expires_at(), info.secret_expires_at(), key.superseded_until()].into_iter().flatten().min()
}
