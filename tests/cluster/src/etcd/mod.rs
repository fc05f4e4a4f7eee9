//! etcd for tests: members of their own on free ports of the loopback interface, in directories that go with them.

mod member;
mod members;
mod shared;

pub use members::{Members, MembersConfig};
pub use shared::{Shared, serve};
