//! Bounds an owner.

use apikey_core::admin::{OwnerChanged, Request};
use apikey_core::{Owner, Quota};
use clap::{ArgGroup, Args};
use serde_json::json;

use crate::commands::key_args::{TenantArg, quota};
use crate::commands::quota::add_uses as add_uses_to;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::owner_view;
use crate::output::quota_view::Sharing;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("bounds").args(["quota", "no_quota", "add_uses"]).required(true))]
pub(crate) struct PutArgs {
    /// The name of the owner
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) tenant: TenantArg,
    /// The quota that all keys of the owner share, besides their own: so much in each calendar day or month, or in all, such as
    /// 10000/day, 10000/month+01:00 or 500/total,strict
    #[arg(long, value_name = "COUNT/PERIOD", value_parser = quota)]
    pub(crate) quota: Option<Quota>,
    /// The keys of the owner share no quota
    #[arg(long)]
    pub(crate) no_quota: bool,
    /// Add so many uses to a quota in all, as when a customer buys more
    #[arg(long, value_name = "COUNT")]
    pub(crate) add_uses: Option<u64>,
}

pub(super) fn put(context: &Context, put: PutArgs) -> Result<(), Failure> {
    let PutArgs { name, tenant, quota, add_uses, .. } = put;
    if let Some(uses) = add_uses {
        return add_uses_to(context, &Sharing { tenant: tenant.tenant, owner: Some(name) }, uses);
    }
    let owner = Owner::new(name);
    let request = tenant.request(Request::PutOwner(quota.map_or(owner.clone(), |quota| owner.quota(quota))));
    context.with_store(false, |store| {
        let OwnerChanged { owner, info, changed } = store.owner_changed(request)?;
        if context.json {
            let quota = info.as_ref().and_then(|info| info.quota());
            let changed_at = info.as_ref().map(|info| info.changed_at());
            return output::json(&json!({
                "changed": changed, "tenant": owner.tenant, "name": owner.name, "quota": quota, "changed_at": changed_at
            }));
        }
        let line = owner_view::line(&owner, info.as_ref());
        output::text(&if changed {
            format!("put {line}")
        } else {
            format!("nothing changed: {line} is already in this state")
        })
    })
}
