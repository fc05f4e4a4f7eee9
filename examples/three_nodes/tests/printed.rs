//! The example, used as a person would: the test starts the program, and runs the lines that it prints, in order, each in a
//! shell of its own.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use apikey_testkit::Process;
use tempfile::TempDir;

/// Far more than it needs, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(120);

struct Demo {
    process: Process,
    /// Where it has all that it writes.
    directory: TempDir,
    welcome: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // PostgreSQL runs as another user where the test is root.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_three_nodes"));
        command.env("TMPDIR", directory.path()).args(["--first-port", "0"]).args(arguments).stdin(Stdio::null());
        let process = Process::start(&mut command);
        let mut welcome = String::new();
        while !welcome.ends_with("Ctrl-C stops.\n") {
            let line = process.line(PATIENCE).unwrap_or_else(|| panic!("no welcome; so far: {welcome}"));
            welcome.push_str(&line);
            welcome.push('\n');
        }
        Self { process, directory, welcome }
    }

    /// Each line for a shell, with what stands above it.
    fn steps(&self) -> Vec<(&str, &str)> {
        let lines: Vec<&str> = self.welcome.lines().map(str::trim).collect();
        let is_step = |line: &str| line.starts_with("curl ") || line.starts_with("kill ");
        let pairs = lines.windows(2).filter_map(|pair| match pair {
            [above, line] if is_step(line) => Some((*above, *line)),
            _ => None,
        });
        pairs.collect()
    }

    /// The processes of the nodes.
    fn nodes(&self) -> Vec<&str> {
        self.welcome.lines().filter_map(|line| Some(line.split_once("process ")?.1)).collect()
    }

    /// The command lines of servers that it has started.
    fn servers(&self) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
        lines.filter(|line| line.contains(&self.directory.path().display().to_string())).collect()
    }

    fn signal(&self, signal: &str) {
        shell(&format!("kill -{signal} {}", self.process.id()));
    }

    /// Ends it by a signal, such as that of Ctrl-C at its terminal, and checks that it leaves nothing behind.
    fn end(mut self, signal: &str) {
        let nodes: Vec<String> = self.nodes().iter().map(ToString::to_string).collect();
        let files = || std::fs::read_dir(self.directory.path()).unwrap().flatten().collect::<Vec<_>>();
        assert!(nodes.len() == 3 && nodes.iter().all(|node| runs(node)), "{nodes:?}");
        assert!(!files().is_empty() && !self.servers().is_empty());
        self.signal(signal);
        let status = self.process.ended(PATIENCE).unwrap_or_else(|| panic!("{signal} does not stop it"));
        assert!(status.success(), "{status}");
        assert_eq!(self.process.rest(), ["Stopped."]);
        assert!(!nodes.iter().any(|node| runs(node)), "a node runs on");
        assert_eq!(self.servers(), [""; 0]);
        assert!(files().is_empty(), "it leaves {:?}", files());
    }
}

fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}; tests/install curl installs curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The status of the last answer. With `--retry` there may be several, each right behind the body of the one before.
fn status(answer: &str) -> &str {
    let last = answer.rsplit_once("HTTP/1.1 ").and_then(|(_, last)| last.split(' ').next());
    last.unwrap_or_else(|| panic!("no status: {answer}"))
}

#[test]
fn the_status_is_that_of_the_last_answer() {
    assert_eq!(status("HTTP/1.1 401 Unauthorized\r\n\r\n{}"), "401");
    assert_eq!(status("HTTP/1.1 503 Service Unavailable\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n{}"), "200");
}

fn runs(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

impl Drop for Demo {
    /// Where a check has failed, its servers are to end, too: a kill would leave them.
    fn drop(&mut self) {
        if std::thread::panicking() && self.process.ended(Duration::ZERO).is_none() {
            self.signal("INT");
            self.process.ended(PATIENCE);
        }
    }
}

fn three_nodes(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_three_nodes")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn each_printed_line_does_what_stands_above_it_with_postgresql_if_nothing_is_said() {
    let demo = Demo::start(&[]);
    assert!(demo.welcome.contains("PostgreSQL, at 127.0.0.1:"), "{}", demo.welcome);
    check_each_line(&demo);
    demo.end("INT");
}

#[test]
fn each_printed_line_does_what_stands_above_it_with_etcd() {
    let demo = Demo::start(&["--engine", "etcd"]);
    assert!(demo.welcome.contains("etcd, three members at 127.0.0.1:"), "{}", demo.welcome);
    check_each_line(&demo);
    demo.end("INT");
}

/// As a terminal does that is closed.
#[test]
fn it_leaves_nothing_behind_when_its_terminal_is_closed() {
    Demo::start(&["--engine", "etcd"]).end("HUP");
}

#[test]
fn it_leaves_nothing_behind_when_it_cannot_start() {
    for engine in ["postgres", "etcd"] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_three_nodes"));
        command.env("TMPDIR", directory.path()).args(["--engine", engine, "--first-port", &port]).stdin(Stdio::null());
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("choose other ports with --first-port"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_engine_that_it_does_not_know_is_an_error_that_names_both() {
    let output = three_nodes(&["--engine", "mysql"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    for part in ["mysql", "--engine", "postgres", "etcd"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn its_help_names_both_engines() {
    let output = three_nodes(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    for part in ["--engine <ENGINE>", "postgres", "etcd", "[default: postgres]"] {
        assert!(help.contains(part), "{part} in {help}");
    }
}

fn check_each_line(demo: &Demo) {
    let steps = demo.steps();
    assert_eq!(steps.iter().filter(|(_, line)| line.starts_with("curl ")).count(), 10, "{}", demo.welcome);
    for (above, line) in &steps {
        let answer = shell(line);
        if line.starts_with("kill ") {
            continue;
        }
        let (expected, _) = above.split_once(':').unwrap_or_else(|| panic!("no status above: {line}"));
        assert!(expected.split(" or ").any(|expected| expected == status(&answer)), "{above}\n{line}\n{answer}");
    }
}
