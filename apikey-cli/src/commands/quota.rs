//! What is left of a quota: that of a key, or that which the keys of an owner or of a tenant share.

use apikey_core::QuotaStatus;
use apikey_core::admin::Request;
use clap::{ArgGroup, Args};

use super::key_args::in_tenant;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::quota_view::{self, QuotaView, SharedView, Sharing};
use crate::store::key_name::KeyName;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["id", "owner", "tenant"]).required(true).multiple(true))]
pub(crate) struct QuotaArgs {
    /// The key's id, or the first characters of it or of the key's token, at least 4
    #[arg(conflicts_with_all = ["owner", "tenant"])]
    pub(crate) id: Option<String>,
    /// The quota that all keys of this owner share
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// The quota that all keys of this tenant share; with --owner, the tenant of the owner
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

pub(crate) fn quota(context: &Context, of: QuotaArgs) -> Result<(), Failure> {
    if let Some(id) = of.id {
        return of_key(context, &id);
    }
    let sharing = Sharing { tenant: of.tenant, owner: of.owner };
    let request = shared(&sharing, Request::SharedQuota { owner: sharing.owner.clone() });
    context.with_store(false, |store| {
        let status = store.quota(request)?;
        if context.json {
            return output::json(&SharedView::new(&sharing, status.as_ref()));
        }
        output::text(&quota_view::shared_block(&sharing, status.as_ref(), store.time()))
    })
}

fn of_key(context: &Context, of: &str) -> Result<(), Failure> {
    let name = KeyName::parse(of)?;
    context.with_store(false, |store| {
        let id = store.resolve(&name)?;
        let key = store.key(Request::Get { id })?;
        let status = store.quota(Request::Quota { id })?;
        if context.json {
            return output::json(&QuotaView::new(&key, status.as_ref()));
        }
        output::text(&quota_view::block(&key, status.as_ref(), store.time()))
    })
}

/// Adds uses to a quota in all that keys share.
pub(super) fn add_uses(context: &Context, sharing: &Sharing, uses: u64) -> Result<(), Failure> {
    let request = shared(sharing, Request::AddSharedUses { owner: sharing.owner.clone(), uses });
    context.with_store(false, |store| {
        let status: Option<QuotaStatus> = store.quota(request)?;
        if context.json {
            return output::json(&SharedView::new(sharing, status.as_ref()));
        }
        output::text(&quota_view::shared_line(sharing, status.as_ref(), store.time()))
    })
}

fn shared(sharing: &Sharing, request: Request) -> Request {
    in_tenant(sharing.tenant.as_deref(), request)
}
