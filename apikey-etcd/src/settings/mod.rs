//! What the operator says: the members, how to reach them, and the user.

mod endpoint;
#[expect(clippy::module_inception, reason = "the file of the type `Settings`")]
mod settings;
mod tls;

pub(crate) use endpoint::Endpoint;
pub(crate) use settings::Settings;
