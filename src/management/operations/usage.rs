//! How often keys are used.

use apikey_core::{Covers, Step, Usage};
use serde_json::{Value, json};

use crate::answer::Problem;
use crate::management::call::{Answer, Call, field};
use crate::management::caller::OwnerCaller;
use crate::management::operations::events::{id, time};
use crate::management::reply;

/// The busiest keys in an answer.
const MAX_BUSIEST: usize = 100;

pub(super) fn usage(call: &Call) -> Answer {
    let query = &call.query;
    // A name without a tenant is one of the caller's own.
    let tenant = query.get("tenant").or_else(|| call.caller.tenant());
    let asked = match (query.get("key"), query.get("owner"), query.get("tenant")) {
        (Some(key), None, None) => Usage::of_key(id(key)?),
        (None, Some(owner), _) => match tenant {
            Some(tenant) => Usage::of_owner_in_tenant(tenant, owner),
            None => Usage::of_owner(owner),
        },
        (None, None, Some(tenant)) => Usage::of_tenant(tenant),
        (None, None, None) => match call.caller.owner() {
            // It reads nothing but its own.
            Some(OwnerCaller { tenant: Some(tenant), owner, .. }) => Usage::of_owner_in_tenant(tenant, owner),
            Some(OwnerCaller { tenant: None, owner, .. }) => Usage::of_owner(owner),
            None => Usage::of_store(),
        },
        (Some(_), ..) => return Err(field(["key"], "not_allowed", "a key has one owner: name it alone")),
    };
    let (since, until) = (time(call, "since")?, time(call, "until")?);
    let asked = since.map_or(asked.clone(), |since| asked.since(since));
    let asked = until.map_or(asked.clone(), |until| asked.until(until));
    let asked = match query.get("step") {
        None | Some("hour") => asked,
        Some("minute") => asked.step(Step::Minute),
        Some("day") => asked.step(Step::Day),
        Some(_) => return Err(field(["step"], "wrong_type", "expected one of minute, hour, day")),
    };
    let report = call.caller.usage(&call.store, &asked).map_err(|error| call.problem(error))?;
    match query.get("by") {
        None => Ok(reply::json(200, &report)),
        Some("key") => busiest(call, report.covers()),
        Some(_) => Err(field(["by"], "wrong_type", "expected key")),
    }
}

/// The keys that were used most, of the whole store: the caller may read its usage.
fn busiest(call: &Call, of_store: Covers) -> Answer {
    if call.caller.owner().is_some() {
        return Err(field(["by"], "not_allowed", "the busiest keys are those of the whole store"));
    }
    for other in ["key", "owner", "tenant", "until", "step"] {
        if call.query.get(other).is_some() {
            return Err(field([other], "not_allowed", "the busiest keys are those of the whole store, until now"));
        }
    }
    let since = time(call, "since")?.unwrap_or_else(|| chrono::Utc::now() - chrono::TimeDelta::days(1));
    let keys = call.store.most_used(since, MAX_BUSIEST).map_err(|error| call.problem(error))?;
    let keys: Result<Vec<Value>, _> = keys.iter().map(serde_json::to_value).collect();
    // Nodes of a cluster add up what owners, tenants and the store have used, and not keys.
    let covers = if of_store == Covers::Store { Covers::Store } else { Covers::ThisNode };
    let unreadable = |_| Problem::new(503, "unavailable", "usage cannot be read now");
    Ok(reply::json(200, &json!({ "keys": keys.map_err(unreadable)?, "covers": covers })))
}
