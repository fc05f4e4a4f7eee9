//! Lists and shows owners.

use apikey_core::KeyFilter;
use apikey_core::admin::Request;
use serde_json::json;

use super::keys::keys_of;
use crate::commands::key_args::TenantArg;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::owner_view;

pub(super) fn list(context: &Context, tenant: &TenantArg) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let owners = store.owners(|request| tenant.request(request))?;
        if context.json {
            return output::json(&json!({ "owners": owners }));
        }
        if owners.is_empty() {
            output::note("no owner has bounds; `apikey list --columns owner` shows those of keys");
            return Ok(());
        }
        owner_view::print(&owners, store.time())
    })
}

pub(super) fn show(context: &Context, name: &str, tenant: &TenantArg) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let in_tenant = tenant.tenant.as_deref();
        let owner = store
            .owners(|request| tenant.request(request))?
            .into_iter()
            .find(|owner| owner.name() == name && owner.tenant() == in_tenant);
        let keys = if owner.is_none() {
            // The error names owners that resemble it.
            keys_of(store, name, in_tenant)?
        } else {
            let filter = KeyFilter::owner(name);
            let filter = in_tenant.map_or_else(|| filter.clone().no_tenant(), |tenant| filter.clone().tenant(tenant));
            store.pages(filter, usize::MAX, |_| true)?.0
        };
        let status = store.quota(tenant.request(Request::SharedQuota { owner: Some(name.to_owned()) }))?;
        if context.json {
            let info = owner.as_ref();
            return output::json(&json!({
                "tenant": tenant.tenant,
                "name": name,
                "quota": info.and_then(|info| info.quota()),
                "used": status.as_ref().map(|status| status.used()),
                "remaining": status.as_ref().map(|status| status.remaining()),
                "resets_at": status.as_ref().and_then(|status| status.resets_at()),
                "changed_at": info.map(|info| info.changed_at()),
                "keys": keys.len(),
            }));
        }
        let now = store.time();
        output::text(&owner_view::block(name, in_tenant, owner.as_ref(), status.as_ref(), keys.len(), now))
    })
}
