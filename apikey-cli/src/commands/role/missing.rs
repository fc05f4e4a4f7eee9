//! The failure of a command that names a role that is not there.

use apikey_core::admin::has_token;

use crate::failure::{Code, Failure, shortened};
use crate::output::table::one_line;

pub(super) fn no_role(name: &str) -> Failure {
    let name = if has_token(name) { "[hidden]".to_owned() } else { shortened(&one_line(name)) };
    Failure::new(Code::NotFound, format!("there is no role {name:?}: `apikey role list` shows the roles"))
}
