//! Bounds a tenant.

use apikey_core::admin::{Request, TenantChanged};
use apikey_core::{Quota, Tenant};
use chrono::TimeDelta;
use clap::{ArgGroup, Args};

use crate::commands::key_args::{limit, part, quota};
use crate::commands::quota::add_uses;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::quota_view::Sharing;
use crate::output::tenant_view;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("ceiling").args(["permissions", "no_permissions", "add_uses"]).required(true))]
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
    /// The quota that all keys of the tenant share, besides their own: so much in each calendar day or month, or in all, such
    /// as 10000/day, 10000/month+01:00 or 500/total,strict; without it they share none
    #[arg(long, value_name = "COUNT/PERIOD", value_parser = quota)]
    pub(crate) quota: Option<Quota>,
    /// Add so many uses to a quota in all, as when a customer buys more; it is a change of its own, and the other bounds stay
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["limit", "quota"])]
    pub(crate) add_uses: Option<u64>,
}

pub(super) fn put(context: &Context, put: PutArgs) -> Result<(), Failure> {
    if let Some(uses) = put.add_uses {
        return add_uses(context, &Sharing { tenant: Some(put.name), owner: None }, uses);
    }
    let mut tenant = Tenant::new(put.name).permissions(put.permissions);
    if let Some((count, per)) = put.limit {
        tenant = tenant.limit(count, per);
    }
    if let Some(quota) = put.quota {
        tenant = tenant.quota(quota);
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
