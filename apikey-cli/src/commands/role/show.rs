//! Lists and shows roles.

use serde_json::json;

use super::missing::no_role;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::role_view;

pub(super) fn list(context: &Context) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let roles = store.roles()?;
        if context.json {
            return output::json(&json!({ "roles": roles }));
        }
        if roles.is_empty() {
            output::note("no roles");
            return Ok(());
        }
        role_view::print(&roles, store.time())
    })
}

pub(super) fn show(context: &Context, name: &str) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let role = store.roles()?.into_iter().find(|role| role.name() == name);
        let role = role.ok_or_else(|| no_role(name))?;
        if context.json { output::json(&role) } else { output::text(&role_view::block(&role, store.time())) }
    })
}
