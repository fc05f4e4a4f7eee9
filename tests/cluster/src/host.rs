//! Where a server or a node runs.

use std::path::Path;
use std::process::Command;

use apikey_testkit::free_port;

/// The port of a server that has a machine to itself.
const OWN_PORT: u16 = 5432;

/// The loopback interface, or a network namespace with an address of its own, as if it were another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    address: String,
    namespace: Option<String>,
}

impl Default for Host {
    /// The loopback interface.
    fn default() -> Self {
        Self { address: "127.0.0.1".to_owned(), namespace: None }
    }
}

impl Host {
    pub(crate) fn of_namespace(namespace: &str, address: &str) -> Self {
        Self { address: address.to_owned(), namespace: Some(namespace.to_owned()) }
    }

    /// How the others reach it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A port for a server. Where it has the machine to itself that is always the same.
    #[must_use]
    pub fn port(&self) -> u16 {
        if self.namespace.is_some() { OWN_PORT } else { free_port() }
    }

    /// The program that enters it; `None` where there is nothing to enter.
    pub(crate) fn enter(&self) -> Option<Command> {
        let namespace = Path::new("/run/netns").join(self.namespace.as_ref()?);
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", namespace.display()));
        Some(command)
    }

    /// The same program with the same arguments, there. Its environment is to be set on what this returns.
    #[must_use]
    pub fn run(&self, command: Command) -> Command {
        let Some(mut enter) = self.enter() else { return command };
        enter.arg("--").arg(command.get_program()).args(command.get_args());
        enter
    }
}
