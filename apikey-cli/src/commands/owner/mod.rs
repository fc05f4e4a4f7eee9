//! Owners that have bounds of their own: what all keys of one share.

pub(super) mod keys;
mod put;
mod show;

use clap::{Args, Subcommand};

use self::put::PutArgs;
use crate::commands::key_args::TenantArg;
use crate::context::Context;
use crate::examples;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum OwnerAction {
    /// Bound all keys of an owner, or replace its bounds
    ///
    /// An owner needs no bounds: it begins with its first key. This is one change and one event, however many keys the owner
    /// has, and holds for the next verification of each.
    #[command(after_help = examples::OWNER_PUT)]
    Put(PutArgs),
    /// List the owners that have bounds
    #[command(after_help = examples::OWNER_LIST)]
    List(TenantArg),
    /// Show the bounds of an owner, what is left of its quota, and how many keys it has
    #[command(after_help = examples::OWNER_SHOW)]
    Show(OwnerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct OwnerArgs {
    /// The name of the owner
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) tenant: TenantArg,
}

pub(crate) fn owner(context: &Context, action: OwnerAction) -> Result<(), Failure> {
    match action {
        OwnerAction::Put(put) => put::put(context, put),
        OwnerAction::List(tenant) => show::list(context, &tenant),
        OwnerAction::Show(OwnerArgs { name, tenant }) => show::show(context, &name, &tenant),
    }
}
