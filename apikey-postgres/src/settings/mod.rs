//! What the operator says: the connection string, and the settings beside it.

mod conninfo;
#[expect(clippy::module_inception, reason = "the file of the type `Settings`")]
mod settings;

pub(crate) use conninfo::{SslMode, TlsSettings};
pub(crate) use settings::Settings;
