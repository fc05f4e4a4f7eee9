//! The failure of a command that names a tenant that is not there.

use apikey_core::admin::has_token;

use crate::failure::{Code, Failure, shortened};
use crate::output::table::one_line;

pub(super) fn no_tenant(name: &str) -> Failure {
    let name = if has_token(name) { "[hidden]".to_owned() } else { shortened(&one_line(name)) };
    let text = format!("there is no tenant {name:?}: it has neither keys nor bounds, and has not ended");
    Failure::new(Code::NotFound, text)
}
