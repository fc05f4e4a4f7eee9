//! Ends a tenant.

use apikey_core::admin::{Request, TenantChanged};
use apikey_core::{KeyFilter, KeyInfo};
use clap::Args;

use crate::commands::confirm::{self, confirm};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::tenant_view;
use crate::store::backend::Backend;
use crate::time::both;

#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// The name of the tenant
    pub(crate) name: String,
    /// The reason; it is stored with the tenant, and is that of each of its keys
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do not ask, but refuse unless the tenant has exactly this many keys that are not revoked
    #[arg(long, value_name = "COUNT", conflicts_with = "yes")]
    pub(crate) count: Option<usize>,
}

pub(super) fn end(context: &Context, end: EndArgs) -> Result<(), Failure> {
    let EndArgs { name, reason, yes, count: expected } = end;
    // With `--yes` nothing is read first: the keys are refused even if the disk fails.
    if !yes {
        let (keys, has_ended) = context.with_store(false, |store| {
            let has_ended = store.tenants()?.iter().any(|tenant| tenant.name() == name && tenant.ended().is_some());
            Ok((keys_of(store, &name)?, has_ended))
        })?;
        let count = keys.iter().filter(|key| key.revoked().is_none()).count();
        confirm(
            context,
            has_ended,
            expected,
            &confirm::Change {
                verb: "end the tenant, which is for good, and revoke",
                done: "revoked",
                what: "keys",
                count,
                even_none: true,
            },
        )?;
    }
    context.with_store(false, |store| {
        let TenantChanged { tenant, changed } = store.tenant_changed(Request::EndTenant { name, reason })?;
        if context.json {
            return output::json(&tenant_view::ChangedView::new(&tenant, changed));
        }
        let name = tenant.name();
        if let Some(ended) = tenant.ended().filter(|_| !changed) {
            let at = both(ended.at(), store.time());
            return output::text(&format!("nothing changed: {name} has ended at {at}, and its first reason stays"));
        }
        // It has ended, whether or not its keys can be counted.
        let none_is_valid = match keys_of(store, name).ok().map(|keys| keys.len()) {
            Some(0) => ", which has no keys".to_owned(),
            Some(1) => ": its key is not valid any more".to_owned(),
            Some(count) => format!(": none of its {count} keys is valid any more"),
            None => ": no key of it is valid any more".to_owned(),
        };
        output::text(&format!("ended {name}{none_is_valid}"))
    })
}

fn keys_of(store: &mut Backend, tenant: &str) -> Result<Vec<KeyInfo>, Failure> {
    store.pages(KeyFilter::default().tenant(tenant), usize::MAX, |_| true).map(|(keys, _)| keys)
}
