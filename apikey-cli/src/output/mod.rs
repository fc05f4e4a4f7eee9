//! The output of the command.

mod control;
pub(crate) mod delivery;
pub(crate) mod findings;
pub(crate) mod key_columns;
pub(crate) mod key_view;
pub(crate) mod owner_view;
mod print;
pub(crate) mod progress;
pub(crate) mod quota_view;
pub(crate) mod role_view;
mod sparkline;
pub(crate) mod table;
pub(crate) mod tenant_view;
pub(crate) mod usage_view;
pub(crate) mod width;

#[cfg(unix)]
pub(crate) use print::set_closed;
pub(crate) use print::{be_quiet, bytes, error, is_closed, is_quiet, json, note, text};
