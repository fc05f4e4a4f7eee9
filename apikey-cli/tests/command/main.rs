//! The built command, as an operator runs it: standard output, standard error and exit code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on may stop")]

mod changes;
mod clock;
#[cfg(all(target_os = "linux", feature = "postgres"))]
mod cluster;
#[cfg(all(target_os = "linux", feature = "etcd"))]
mod cluster_etcd;
mod completions;
#[cfg(unix)]
mod console;
mod damage;
mod events;
#[cfg(all(target_os = "linux", feature = "http"))]
mod http;
mod imports;
mod keys;
mod moving;
mod names;
mod old_format;
mod quotas;
mod roles;
mod rotation;
mod secrets;
#[cfg(target_os = "linux")]
mod service;
mod store;
mod tenants;
mod terminal;
mod upkeep;
mod usage;
#[cfg(target_os = "linux")]
mod users;
mod walk_through;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A temporary directory, with or without a store.
struct Place(tempfile::TempDir);

/// The outcome of one call of the command.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A place with a store and its first key; returns that key, too.
    fn with_store() -> (Self, String) {
        let place = Self::new();
        let admin = place.run(&["init"]).ok().out.trim().to_owned();
        (place, admin)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.fed("", arguments)
    }

    /// Runs the command with text on standard input.
    fn fed(&self, input: impl AsRef<[u8]>, arguments: &[&str]) -> Done {
        self.done(&mut self.command(arguments), input)
    }

    /// The command, run in this place with its store.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apikey"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("APIKEY_STORE", "keys.db")
            .env_remove("APIKEY_PREFIXES")
            .env_remove("APIKEY_URL")
            .env_remove("APIKEY_KEY_FILE")
            .env_remove("APIKEY_PEPPER")
            .env_remove("APIKEY_ETCD")
            .env_remove("APIKEY_POSTGRES")
            .env_remove("APIKEY_NAMESPACE")
            .env_remove("ETCDCTL_PASSWORD")
            .env_remove("PGPASSWORD");
        command
    }

    fn done(&self, command: &mut Command, input: impl AsRef<[u8]>) -> Done {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses its arguments closes the pipe unread.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        Done::of(child)
    }

    /// The JSON document that the command prints.
    fn json(&self, arguments: &[&str]) -> Value {
        self.json_with(0, arguments)
    }

    /// The same for a command with another exit code.
    fn json_with(&self, code: i32, arguments: &[&str]) -> Value {
        let done = self.run(&[&["--json"], arguments].concat()).with(code);
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out))
    }

    /// Creates a key; returns its id and its secret.
    fn key(&self, arguments: &[&str]) -> (String, String) {
        let made = self.json(&[&["create"], arguments].concat());
        (made["key"]["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    }

    /// Whether the process has the store open and has noted its admin socket.
    #[cfg(target_os = "linux")]
    fn has_socket_of(&self, process: u32) -> bool {
        let holder = apikey_core::admin::Holder::of(self.path("keys.db"));
        holder.is_some_and(|holder| holder.pid == process && holder.socket.is_some())
    }

    fn check(&self, secret: &str) -> Done {
        self.fed(format!("{secret}\n"), &["check"])
    }
}

impl Done {
    fn of(child: Child) -> Self {
        let done = child.wait_with_output().unwrap();
        Self {
            code: done.status.code().unwrap(),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(self) -> Self {
        self.with(0)
    }

    #[track_caller]
    fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Asserts that standard error contains this text.
    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{text:?} is not in {:?}", self.err);
        self
    }

    /// Asserts that standard output contains this text.
    #[track_caller]
    fn shows(self, text: &str) -> Self {
        assert!(self.out.contains(text), "{text:?} is not in {:?}", self.out);
        self
    }

    /// Asserts that neither output contains this text.
    #[track_caller]
    fn hides(self, secret: &str) -> Self {
        assert!(!self.out.contains(secret) && !self.err.contains(secret), "{self:?}");
        self
    }
}
