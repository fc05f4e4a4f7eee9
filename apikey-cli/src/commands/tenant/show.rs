//! Lists and shows tenants.

use apikey_core::KeyFilter;
use serde_json::json;

use super::missing::no_tenant;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::tenant_view;

pub(super) fn list(context: &Context) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let tenants = store.tenants()?;
        if context.json {
            return output::json(&json!({ "tenants": tenants }));
        }
        if tenants.is_empty() {
            output::note("no tenant has bounds or has ended; `apikey list --any-tenant --columns tenant,owner` shows those of keys");
            return Ok(());
        }
        tenant_view::print(&tenants, store.time())
    })
}

pub(super) fn show(context: &Context, name: &str) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let (keys, _) = store.pages(KeyFilter::default().tenant(name), usize::MAX, |_| true)?;
        let tenant = store.tenants()?.into_iter().find(|tenant| tenant.name() == name);
        if tenant.is_none() && keys.is_empty() {
            return Err(no_tenant(name));
        }
        if context.json {
            // A tenant without bounds has its name and its keys.
            let mut fields = json!(tenant);
            if tenant.is_none() {
                fields = json!({ "name": name });
            }
            if let Some(fields) = fields.as_object_mut() {
                fields.insert("keys".to_owned(), keys.len().into());
            }
            return output::json(&fields);
        }
        let now = store.time();
        output::text(&tenant_view::block(name, tenant.as_ref(), keys.len(), now))
    })
}
