//! Roles.

use apikey_core::{Role, RoleInfo};
use serde_json::json;

use crate::answer::{PlainResponse, Problem, from_json};
use crate::management::call::{Answer, Call, field};
use crate::management::operations::{create, named};
use crate::management::reply;

pub(super) fn list(call: &Call) -> Answer {
    let roles = call.store.roles().map_err(|error| call.problem(error))?;
    Ok(reply::json(200, &json!({ "roles": roles })))
}

pub(super) fn get(call: &Call) -> Answer {
    named::get(call, &read(call)?.ok_or_else(|| named::missing("role"))?)
}

pub(super) fn put(call: &Call) -> Answer {
    let body = named::body(call)?;
    let role: Role = from_json(&body)?;
    let held = read(call)?;
    let role = match named::unchanged(call, held.as_ref())? {
        Some(read) => role.only_if(read),
        None => role,
    };
    let permissions = held.as_ref().map(RoleInfo::permissions).unwrap_or_default();
    let given: serde_json::Value = from_json(&body)?;
    let given: Vec<String> =
        given.get("permissions").cloned().map(serde_json::from_value).and_then(Result::ok).unwrap_or_default();
    create::check(call, None, &given, permissions)
        .map_err(|(at, detail)| field(&["permissions".to_owned(), at.to_string()], "not_offered", &detail))?;
    call.caller.put_role(&call.store, call.name(), role).map_err(|error| call.problem(error))?;
    Ok(named::answer(&read(call)?.ok_or_else(|| named::missing("role"))?))
}

pub(super) fn delete(call: &Call) -> Answer {
    if call.store.role(call.name()).map_err(|error| call.problem(error))?.is_some() {
        call.caller.delete_role(&call.store, call.name()).map_err(|error| call.problem(error))?;
    }
    // A repeat succeeds.
    Ok(PlainResponse::empty(204))
}

fn read(call: &Call) -> Result<Option<RoleInfo>, Problem> {
    call.store.role(call.name()).map_err(|error| call.problem(error))
}
