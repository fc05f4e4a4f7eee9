//! Two processes and one store: this test binary runs itself once more.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use apikey::{KeyFilter, KeyStore, KeyUpdate, OpenError, Overlap};

use crate::support::{alice, all, code};

const ROLE: &str = "APIKEY_TEST_CHILD";
const STORE: &str = "APIKEY_TEST_STORE";

/// Killed with its test.
struct Process(Child, BufReader<ChildStdout>);

impl Process {
    fn start(test: &str, role: &str, store: &Path) -> Self {
        let mut child = command(test, role, store).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(child, output)
    }

    /// What the child says next; lines of the test harness are passed over.
    fn says(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).unwrap() > 0, "the other process has ended");
            if let Some((_, said)) = line.trim_end().split_once("child: ") {
                return said.to_owned();
            }
        }
    }

    /// As `kill -9` does.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that runs one test of this module, in which [`other_process`] then plays the role.
fn command(test: &str, role: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = format!("storage::processes::{test}");
    command.args([&test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(STORE, store);
    command
}

/// Plays the other process, where this is it.
fn other_process() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    play(&role, Path::new(&std::env::var_os(STORE).unwrap()));
    true
}

fn play(role: &str, path: &Path) {
    let say = |text: &str| println!("child: {text}");
    if role == "temporary" {
        let store = KeyStore::temporary().unwrap();
        store.create(alice()).unwrap();
        say("made");
        return;
    }
    let store = KeyStore::open(path).unwrap();
    match role {
        "holds" => say("open"),
        "changes" => {
            let keys = store.create_many((0..8).map(|_| alice().permissions(["orders:read"]))).unwrap();
            store.revoke(keys[1].info.id(), "leaked").unwrap();
            store.update(keys[2].info.id(), KeyUpdate::new().disabled(true)).unwrap();
            store.update(keys[3].info.id(), KeyUpdate::new().permissions(["users:read"])).unwrap();
            let fourth = store.rotate(keys[4].info.id(), Overlap::None).unwrap();
            let fifth = store.rotate(keys[5].info.id(), Overlap::UntilFirstUse).unwrap();
            store.verify(fifth.key.expose_secret()).unwrap();
            store.revoke(keys[6].info.id(), "").unwrap();
            store.purge(chrono::Utc::now() + chrono::TimeDelta::days(1)).unwrap();
            store.create(alice().name("the last change")).unwrap();
            for created in keys.iter().chain([&fourth, &fifth]) {
                say(created.key.expose_secret());
            }
        }
        "creates for ever" => loop {
            let created = store.create(alice()).unwrap();
            say(created.key.expose_secret());
            store.revoke(created.info.id(), "").unwrap();
            say("revoked");
        },
        other => panic!("{other}"),
    }
    // Until the other side kills this process, or goes away.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_store_that_another_process_has_open_is_in_use() {
    if other_process() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut other = Process::start("a_store_that_another_process_has_open_is_in_use", "holds", directory.path());
    assert_eq!(other.says(), "open");
    let error = KeyStore::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    // Where a lock keeps others from reading, its file tells nobody.
    let by = if cfg!(unix) { format!("in use by process {} (", other.0.id()) } else { "another process".to_owned() };
    assert!(error.to_string().contains(&by) && error.to_string().contains("wait_for_lock"), "{error}");
    other.kill();
    KeyStore::open(directory.path()).unwrap();
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if other_process() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut other = Process::start("what_was_acknowledged_survives_a_kill", "changes", directory.path());
    let tokens: Vec<String> = (0..10).map(|_| other.says()).collect();
    other.kill();
    let store = KeyStore::open(directory.path()).unwrap();
    let codes: Vec<&str> = tokens.iter().map(|token| code(&store, token)).collect();
    let expected = [
        "ok",
        "invalid_api_key", // revoked, and purged
        "disabled_api_key",
        "ok",
        "invalid_api_key", // rotated without an overlap
        "invalid_api_key", // rotated, and the new secret was used before the last change
        "invalid_api_key", // revoked, and purged
        "ok",
        "ok",
        "ok",
    ];
    assert_eq!(codes, expected);
    let narrowed = store.verify(&tokens[3]).unwrap();
    assert!(narrowed.allows("users:read") && !narrowed.allows("orders:read"));
    assert_eq!(all(&store, &KeyFilter::default()).last().unwrap().name(), Some("the last change"));
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    if other_process() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(String, bool)> = Vec::new();
    for round in 0..6 {
        let mut other = Process::start(
            "a_kill_at_any_moment_loses_nothing_that_was_acknowledged",
            "creates for ever",
            directory.path(),
        );
        for _ in 0..5 + 4 * round {
            match other.says().as_str() {
                "revoked" => acknowledged.last_mut().unwrap().1 = true,
                token => acknowledged.push((token.to_owned(), false)),
            }
        }
        other.kill();
        let store = KeyStore::open(directory.path()).unwrap();
        for (token, revoked) in &acknowledged {
            let found = code(&store, token);
            // A revocation under way when its round was killed may have held or not.
            assert!(found == "revoked_api_key" || (found == "ok" && !revoked), "{found} in round {round}");
        }
    }
}

#[test]
fn a_temporary_store_leaves_nothing_behind() {
    if other_process() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = command("a_temporary_store_leaves_nothing_behind", "temporary", directory.path());
    let output = command.env("TMPDIR", directory.path()).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("child: made"), "{output:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
