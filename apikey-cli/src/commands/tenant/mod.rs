//! Tenants: customers whose owners and keys are their own.

mod end;
mod missing;
mod put;
mod show;

use clap::{Args, Subcommand};

use self::end::EndArgs;
use self::put::PutArgs;
use crate::context::Context;
use crate::examples;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum TenantAction {
    /// Bound all keys of a tenant, or replace its bounds
    ///
    /// A tenant needs no bounds: it begins with its first key. This is one change and one event, however many keys the tenant
    /// has, and holds for the next verification of each. The bounds are what is given here and nothing else.
    #[command(after_help = examples::TENANT_PUT)]
    Put(PutArgs),
    /// List the tenants that have bounds or have ended
    #[command(after_help = examples::TENANT_LIST)]
    List,
    /// Show the bounds of a tenant, and how many keys it has
    #[command(after_help = examples::TENANT_SHOW)]
    Show(TenantName),
    /// End a tenant for good: every key of it is refused as revoked
    ///
    /// This is one change and one event, however many keys the tenant has. The keys stay until they are purged, and the name
    /// stays ended.
    #[command(after_help = examples::TENANT_END)]
    End(EndArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TenantName {
    /// The name of the tenant
    pub(crate) name: String,
}

pub(crate) fn tenant(context: &Context, action: TenantAction) -> Result<(), Failure> {
    match action {
        TenantAction::Put(put) => put::put(context, put),
        TenantAction::List => show::list(context),
        TenantAction::Show(tenant) => show::show(context, &tenant.name),
        TenantAction::End(end) => end::end(context, end),
    }
}
