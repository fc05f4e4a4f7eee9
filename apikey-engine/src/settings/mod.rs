//! What operators say of any engine.

mod checked_settings;
mod common;
mod namespace;
mod password;

pub use checked_settings::CheckedSettings;
pub use common::CommonSettings;
pub use namespace::Namespace;
pub use password::Password;
