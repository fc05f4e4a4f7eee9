use std::path::Path;

use super::members::{Members, MembersConfig};
use crate::shared_servers::{Kept, keep};

/// Three members that all processes of a test run share, each test with a namespace of its own.
#[derive(Debug)]
pub struct Shared(Kept);

impl Shared {
    /// The members of this run; they are started if they are not there. `program` keeps them: it calls [`serve`] with its
    /// second argument. `directory` is one of this build.
    #[must_use]
    pub fn start(program: &str, directory: &str) -> Self {
        Self(Kept::start(program, "etcd", directory))
    }

    /// How clients reach them, with commas between them.
    #[must_use]
    pub fn endpoints(&self) -> &str {
        &self.0.place
    }
}

/// Keeps three members until nobody uses them.
pub fn serve(directory: &Path) {
    keep(directory, || {
        let members = Members::start(MembersConfig::default());
        let endpoints = members.endpoints().join(",");
        (members, endpoints)
    });
}
