//! Ends a tenant.

use apikey_core::KeyFilter;
use apikey_core::admin::{Request, TenantChanged};
use clap::Args;

use crate::commands::confirm::{self, confirm};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::table::counted;
use crate::output::tenant_view;
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
    /// Do not ask, but refuse unless exactly this many keys would end
    #[arg(long, value_name = "COUNT", conflicts_with = "yes")]
    pub(crate) count: Option<usize>,
}

pub(super) fn end(context: &Context, end: EndArgs) -> Result<(), Failure> {
    let EndArgs { name, reason, yes, count: expected } = end;
    let (keys, _) =
        context.with_store(false, |store| store.pages(KeyFilter::default().tenant(&name), usize::MAX, |_| true))?;
    let count = keys.iter().filter(|key| key.revoked().is_none()).count();
    confirm(context, yes, expected, &confirm::Change { verb: "revoke", done: "revoked", what: "keys", count })?;
    context.with_store(false, |store| {
        let TenantChanged { tenant, changed } = store.tenant_changed(Request::EndTenant { name, reason })?;
        if context.json {
            return output::json(&tenant_view::ChangedView::new(&tenant, changed));
        }
        let name = tenant.name();
        match tenant.ended().filter(|_| !changed) {
            None => output::text(&format!("ended {name}; no key of it is valid: {}", counted_keys(count))),
            Some(ended) => {
                let at = both(ended.at(), store.time());
                output::text(&format!("nothing changed: {name} has ended at {at}, and its first reason stays"))
            }
        }
    })
}

fn counted_keys(count: usize) -> String {
    counted(u64::try_from(count).unwrap_or(u64::MAX), "key")
}
