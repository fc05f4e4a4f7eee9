//! Creates a store and its first key.

use std::path::PathBuf;

use apikey_core::NewKey;
use apikey_core::admin::Request;
use clap::Args;

use super::key_args::part;
use super::new_secret::hand_out;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::delivery::Delivery;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The owner of the key
    #[arg(long, default_value = "admin")]
    pub(crate) owner: String,
    /// Permissions of the key, separated by commas
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part, default_value = "*")]
    pub(crate) permissions: Vec<String>,
    /// Write the key to this new file (0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Refuses a store that has ever changed, even if no key is left in it: otherwise anyone who can remove the last key
/// would get a new one with every permission.
pub(crate) fn init(context: &Context, init: InitArgs) -> Result<(), Failure> {
    let mut delivery = Delivery::prepare_for_secret(init.out.as_deref())?;
    context.with_store(true, |store| {
        if store.health(Request::Health)?.last_durable > 0 {
            let path = context.store.path()?.display();
            return Err(Failure::new(
                Code::Conflict,
                format!("the key store {path} has had keys: create another with `apikey create`"),
            ));
        }
        let key = NewKey::for_owner(init.owner).name("first").permissions(init.permissions);
        let new = store.new_secret(Request::Create(Box::new(key)))?;
        hand_out(context, &mut delivery, &new, "created", "revoke it, and create another with `apikey create`")
    })
}
