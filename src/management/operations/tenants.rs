//! Tenants.

use apikey_core::{Tenant, TenantInfo};
use serde_json::json;

use crate::answer::{Problem, from_json};
use crate::management::call::{Answer, Call};
use crate::management::operations::body::Object;
use crate::management::operations::named;
use crate::management::operations::revoke::Reason;
use crate::management::reply;

pub(super) fn list(call: &Call) -> Answer {
    let mut tenants = call.store.tenants().map_err(|error| call.problem(error))?;
    // A key of a tenant sees that one.
    tenants.retain(|tenant| call.caller.tenant().is_none_or(|own| own == tenant.name()));
    Ok(reply::json(200, &json!({ "tenants": tenants })))
}

pub(super) fn get(call: &Call) -> Answer {
    named::get(call, &read(call)?.ok_or_else(|| named::missing("tenant"))?)
}

pub(super) fn put(call: &Call) -> Answer {
    let tenant: Tenant = from_json(named::body(call)?)?;
    let held = read(call)?;
    let tenant = match named::unchanged(call, held.as_ref())? {
        Some(read) => tenant.only_if(read),
        None => tenant,
    };
    call.caller.put_tenant(&call.store, call.name(), tenant).map_err(|error| call.problem(error))?;
    after(call)
}

pub(super) fn end(call: &Call) -> Answer {
    let reason = call.json::<Object<Reason>>()?.0.text();
    call.caller.end_tenant(&call.store, call.name(), reason).map_err(|error| call.problem(error))?;
    after(call)
}

fn after(call: &Call) -> Answer {
    let info = read(call)?.ok_or_else(|| named::missing("tenant"))?;
    Ok(named::answer(&info))
}

/// The bounds of the tenant that the path names, if it has any and the caller may see them.
fn read(call: &Call) -> Result<Option<TenantInfo>, Problem> {
    if call.caller.tenant().is_some_and(|own| own != call.name()) {
        return Ok(None);
    }
    // A text that names none has no bounds; a change says what is wrong with it.
    let Ok(tenant) = call.store.tenant(call.name()) else { return Ok(None) };
    tenant.info().map_err(|error| call.problem(error))
}
