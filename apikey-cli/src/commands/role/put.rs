//! Creates or replaces a role.

use apikey_core::Role;
use apikey_core::admin::{Request, RolePut};
use clap::{ArgGroup, Args};

use crate::commands::key_args::part;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::role_view;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("grants").args(["permissions", "no_permissions"]).required(true))]
pub(crate) struct PutArgs {
    /// The name of the role: a-z, 0-9, `_`, `-` and `.`
    pub(crate) name: String,
    /// All permissions of the role, such as orders:read or orders:*, separated by commas
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part)]
    pub(crate) permissions: Vec<String>,
    /// The role grants nothing
    #[arg(long)]
    pub(crate) no_permissions: bool,
    /// What the role is for; without it the role has no description
    #[arg(long)]
    pub(crate) description: Option<String>,
}

pub(super) fn put(context: &Context, put: PutArgs) -> Result<(), Failure> {
    let mut role = Role::new(put.name).permissions(put.permissions);
    if let Some(description) = put.description {
        role = role.describe(description);
    }
    context.with_store(false, |store| {
        let RolePut { role, changed } = store.role_put(Request::PutRole(role))?;
        if context.json {
            return output::json(&role_view::PutView::new(&role, changed));
        }
        let line = role_view::line(&role);
        output::text(&if changed {
            format!("put {line}")
        } else {
            format!("nothing changed: {line} is already in this state")
        })
    })
}
