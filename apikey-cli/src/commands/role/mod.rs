//! Roles: named sets of permissions that many keys share.

mod delete;
mod missing;
mod put;
mod show;

use clap::{Args, Subcommand};

use self::put::PutArgs;
use crate::context::Context;
use crate::examples;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum RoleAction {
    /// Create a role, or replace what it grants and its description
    ///
    /// This is one change and one event, however many keys have the role, and holds for the next verification of each.
    /// The role grants what is given here and nothing else.
    #[command(after_help = examples::ROLE_PUT)]
    Put(PutArgs),
    /// List roles
    #[command(after_help = examples::ROLE_LIST)]
    List,
    /// Show a role
    #[command(after_help = examples::ROLE_SHOW)]
    Show(RoleArg),
    /// Delete a role that no key has
    ///
    /// Revoked and expired keys count, too, until they are purged. A role that keys have grants nothing after
    /// `apikey role put NAME --no-permissions`.
    #[command(after_help = examples::ROLE_DELETE)]
    Delete(RoleArg),
}

#[derive(Debug, Args)]
pub(crate) struct RoleArg {
    /// The name of the role
    pub(crate) name: String,
}

pub(crate) fn role(context: &Context, action: RoleAction) -> Result<(), Failure> {
    match action {
        RoleAction::Put(put) => put::put(context, put),
        RoleAction::List => show::list(context),
        RoleAction::Show(role) => show::show(context, &role.name),
        RoleAction::Delete(role) => delete::delete(context, role.name),
    }
}
