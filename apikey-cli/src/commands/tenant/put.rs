//! Bounds a tenant.

use apikey_core::Tenant;
use apikey_core::admin::{Request, TenantChanged};
use chrono::TimeDelta;
use clap::{ArgGroup, Args};

use crate::commands::key_args::{limit, part};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::tenant_view;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("ceiling").args(["permissions", "no_permissions"]).required(true))]
pub(crate) struct PutArgs {
    /// The name of the tenant: 1 to 64 of a-z, 0-9, `_` and `-`
    pub(crate) name: String,
    /// The most that a key of the tenant has, whatever its own permissions and roles are, separated by commas; '*' bounds
    /// nothing
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part)]
    pub(crate) permissions: Vec<String>,
    /// The keys of the tenant have no permission at all
    #[arg(long)]
    pub(crate) no_permissions: bool,
    /// The rate limit that all keys of the tenant share, such as 1000/1m; without it they share none
    #[arg(long, value_name = "COUNT/SPAN", value_parser = limit)]
    pub(crate) limit: Option<(u32, TimeDelta)>,
}

pub(super) fn put(context: &Context, put: PutArgs) -> Result<(), Failure> {
    let mut tenant = Tenant::new(put.name).permissions(put.permissions);
    if let Some((count, per)) = put.limit {
        tenant = tenant.limit(count, per);
    }
    context.with_store(false, |store| {
        let TenantChanged { tenant, changed } = store.tenant_changed(Request::PutTenant(tenant))?;
        if context.json {
            return output::json(&tenant_view::ChangedView::new(&tenant, changed));
        }
        let line = tenant_view::line(&tenant);
        output::text(&if changed {
            format!("put {line}")
        } else {
            format!("nothing changed: {line} is already in this state")
        })
    })
}
