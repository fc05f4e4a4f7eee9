//! Deletes a role.

use apikey_core::admin::Request;
use serde_json::json;

use super::missing::no_role;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;

pub(super) fn delete(context: &Context, name: String) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let deleted = store.count(Request::DeleteRole { name: name.clone() }).map_err(|failure| match failure.code {
            Code::Conflict => Failure {
                text: format!(
                    "{}: `apikey list --role {name}` shows them; take it from them with `apikey update ID --remove-role {name}`, or \
                     let it grant nothing with `apikey role put {name} --no-permissions`",
                    failure.text
                ),
                ..failure
            },
            _ => failure,
        })?;
        if deleted == 0 {
            return Err(no_role(&name));
        }
        if context.json {
            return output::json(&json!({ "deleted": name }));
        }
        output::text(&format!("deleted the role {name}"))
    })
}
