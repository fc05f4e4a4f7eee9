//! Creating keys, and what may be put on them.

use std::borrow::Cow;

use apikey_core::NewKey;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Problem;
use crate::management::call::{Answer, Call, field};
use crate::management::operations::body::Create;
use crate::management::reply;

pub(super) fn create(call: &Call) -> Answer {
    let Create { tenant, key } = call.json::<Create<NewKey>>()?;
    Given::read(call).check(call, tenant.as_deref().or_else(|| call.caller.tenant()), &[], &[])?;
    let key = match call.idempotency_key()? {
        Some(idempotency_key) => key.idempotency_key(idempotency_key),
        None => key,
    };
    let created = call.caller.create(&call.store, tenant, key).map_err(|error| call.problem(error))?;
    let base = call.base_url().map(|base| format!("{base}/")).unwrap_or_default();
    let location = format!("{base}keys/{}", created.info.id());
    Ok(reply::secret(201, &created).with("location", location))
}

/// The grants and roles that a body gives a key. It was read as what it is before, so every other form is none here.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    permissions: Option<Vec<String>>,
    add_permissions: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    add_roles: Option<Vec<String>>,
}

impl Given {
    pub(super) fn read(call: &Call) -> Self {
        serde_json::from_slice::<Value>(&call.body).and_then(serde_json::from_value).unwrap_or_default()
    }

    /// Checks that all of it is offered, but for what the key has.
    pub(super) fn check(
        &self,
        call: &Call,
        tenant: Option<&str>,
        held: &[String],
        held_roles: &[String],
    ) -> Result<(), Problem> {
        if call.caller.owner().is_some() {
            // The store checks what is offered to this owner.
            return Ok(());
        }
        let lists = [("permissions", &self.permissions), ("add_permissions", &self.add_permissions)];
        for (list, grants) in lists {
            check(call, tenant, grants.as_deref().unwrap_or_default(), held).map_err(|(at, detail)| {
                let at: Cow<'_, str> = at.to_string().into();
                field([Cow::Borrowed(list), at].iter(), "not_offered", &detail)
            })?;
        }
        let lists = [("roles", &self.roles), ("add_roles", &self.add_roles)];
        for (list, roles) in lists {
            for (at, name) in roles.iter().flatten().enumerate().filter(|(_, name)| !held_roles.contains(name)) {
                // The store knows roles that are none.
                let role = call.store.role(name).map_err(|error| call.problem(error))?;
                let grants = role.as_ref().map(apikey_core::RoleInfo::permissions).unwrap_or_default();
                check(call, tenant, grants, &[]).map_err(|(_, detail)| {
                    let detail = format!("the role {name:?} grants what is not offered: {detail}");
                    field([Cow::Borrowed(list), at.to_string().into()].iter(), "not_offered", &detail)
                })?;
            }
        }
        Ok(())
    }
}

/// Checks a list of grants. The error is the index of one, and what is wrong with it.
pub(super) fn check(
    call: &Call,
    tenant: Option<&str>,
    grants: &[String],
    held: &[String],
) -> Result<(), (usize, String)> {
    let new = |(_, grant): &(usize, &String)| !held.contains(grant);
    for (at, grant) in grants.iter().enumerate().filter(new) {
        let refused = call.parts.offer.refuses(&call.store, std::iter::once(grant.as_str()));
        // What breaks the grammar is the store's to say.
        if refused.is_some() && apikey_core::check_grant(grant).is_ok() {
            return Err((at, format!("{grant:?} is not offered: `GET /permissions` lists what may be put on keys")));
        }
        if grant == "*"
            && let Some(tenant) = tenant
            // Whether there is another tenant is not the caller's to know: the store refuses it whatever it is.
            && call.caller.sees_tenant(Some(tenant))
            && !call.store.tenant(tenant).and_then(|tenant| tenant.info()).is_ok_and(|info| info.is_some())
        {
            return Err((at, format!("a key of the tenant {tenant:?}, which nobody has put, may not have `*`")));
        }
    }
    Ok(())
}
