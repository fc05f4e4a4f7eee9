//! Revoking keys.

use std::sync::TryLockError;

use apikey_core::{KeyFilter, KeyId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{PlainResponse, Problem, from_json};
use crate::management::call::{Answer, Call, field};
use crate::management::operations::body::Object;
use crate::management::operations::keys;
use crate::management::operations::list::MAX_READS;
use crate::management::reply;
use crate::worker::busy;

/// The reason of a revocation that names none.
const NO_REASON: &str = "revoked over HTTP";

/// A body with a reason, or none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: Option<String>,
}

impl Reason {
    pub(super) fn text(self) -> String {
        self.reason.unwrap_or_else(|| NO_REASON.to_owned())
    }
}

pub(super) fn revoke(call: &Call) -> Answer {
    let id = call.id()?;
    end(call, id, call.json::<Object<Reason>>()?.0.text())?;
    keys::after(call, id)
}

pub(super) fn delete(call: &Call) -> Answer {
    end(call, call.id()?, NO_REASON.to_owned())?;
    Ok(PlainResponse::empty(204))
}

fn end(call: &Call, id: KeyId, reason: String) -> Result<(), Problem> {
    // Whether it was revoked before: a repeat succeeds.
    call.caller.revoke(&call.store, id, reason).map(drop).map_err(|error| call.problem(error))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeOwner {
    reason: Option<String>,
    tenant: Option<String>,
}

pub(super) fn revoke_owner(call: &Call) -> Answer {
    let Object(RevokeOwner { reason, tenant }) = call.json()?;
    let reason = Reason { reason }.text();
    let count = call.caller.revoke_owner(&call.store, tenant, call.name(), reason);
    Ok(reply::json(200, &json!({ "count": count.map_err(|error| call.problem(error))? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeKeys {
    filter: KeyFilter,
    reason: Option<String>,
    expect: u64,
}

pub(super) fn revoke_keys(call: &Call) -> Answer {
    let Object(RevokeKeys { filter, reason, expect }) = call.json()?;
    let body: Value = from_json(&call.body)?;
    for name in ["after", "limit"] {
        if body.get("filter").and_then(|filter| filter.get(name)).is_some() {
            let detail = format!("unknown field `{name}`, the filter selects all keys");
            return Err(field(["filter", name], "unknown_field", &detail));
        }
    }
    let _revoking = match call.parts.revoking_many.try_lock() {
        Ok(revoking) => revoking,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Ok(busy()),
    };
    // Whoever expects fewer than there are learns how many, up to a bound that they never meant.
    let ids = select(call, filter, usize::try_from(expect).unwrap_or(usize::MAX))?;
    if ids.len() as u64 != expect {
        let title = "The filter selects another number of keys";
        let than = if ids.len() as u64 > expect { " at least" } else { "" };
        let detail =
            format!("the filter selects{than} {} keys that are not revoked, and {expect} were expected", ids.len());
        return Err(Problem::titled(409, "unexpected_count", title, detail));
    }
    let reason = Reason { reason }.text();
    let count = call.caller.revoke_keys(&call.store, &ids, reason).map_err(|error| call.problem(error))?;
    Ok(reply::json(200, &json!({ "count": count })))
}

/// The keys that a filter selects and that are not revoked; if they are more than expected, some of those.
fn select(call: &Call, filter: KeyFilter, expected: usize) -> Result<Vec<KeyId>, Problem> {
    let mut filter = filter.limit(apikey_core::MAX_PAGE).max_reads(MAX_READS);
    let mut ids = Vec::new();
    loop {
        let page = call.caller.list(&call.store, &filter).map_err(|error| call.problem(error))?;
        ids.extend(page.keys.iter().filter(|key| key.revoked().is_none()).map(apikey_core::KeyInfo::id));
        match page.next {
            Some(next) if ids.len() <= expected => filter = filter.after(next),
            _ => return Ok(ids),
        }
    }
}
