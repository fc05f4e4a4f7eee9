//! The example, used as a person would: the test starts the program, and runs the lines that it prints, in order, each in a
//! shell of its own.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use apikey_testkit::Process;

/// Far more than it needs, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(120);

struct Demo {
    process: Process,
    welcome: String,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_three_nodes"));
        let process = Process::start(command.args(["--first-port", "0"]).stdin(Stdio::null()));
        let mut welcome = String::new();
        while !welcome.ends_with("Ctrl-C stops.\n") {
            let line = process.line(PATIENCE).unwrap_or_else(|| panic!("no welcome; so far: {welcome}"));
            welcome.push_str(&line);
            welcome.push('\n');
        }
        Self { process, welcome }
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

    /// Does what Ctrl-C at its terminal does.
    fn interrupt(&mut self) {
        shell(&format!("kill -INT {}", self.process.id()));
        let status = self.process.ended(PATIENCE).unwrap_or_else(|| panic!("Ctrl-C does not stop it"));
        assert!(status.success(), "{status}");
    }
}

fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}; tests/install curl installs curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The status of the last answer.
fn status(answer: &str) -> &str {
    let mut lines = answer.lines().filter(|line| line.starts_with("HTTP/"));
    lines.next_back().and_then(|line| line.split(' ').nth(1)).unwrap_or_else(|| panic!("no status: {answer}"))
}

fn runs(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

#[test]
fn each_printed_line_does_what_stands_above_it() {
    let mut demo = Demo::start();
    let steps = demo.steps();
    assert_eq!(steps.iter().filter(|(_, line)| line.starts_with("curl ")).count(), 10, "{}", demo.welcome);
    for (above, line) in &steps {
        let begun = Instant::now();
        let answer = shell(line);
        if line.starts_with("kill ") {
            continue;
        }
        let (expected, _) = above.split_once(':').unwrap_or_else(|| panic!("no status above: {line}"));
        assert!(expected.split(" or ").any(|expected| expected == status(&answer)), "{above}\n{line}\n{answer}");
        if above.contains("revokes it, for all") {
            assert!(begun.elapsed() < Duration::from_secs(4), "it waited, and every node was there");
        }
    }
    let nodes: Vec<String> = demo.nodes().iter().map(ToString::to_string).collect();
    let directory =
        demo.welcome.split_once("The replicas are in ").unwrap().1.split_once(". All").unwrap().0.to_owned();
    assert!(nodes.len() == 3 && nodes.iter().all(|node| runs(node)) && Path::new(&directory).exists());
    demo.interrupt();
    assert_eq!(demo.process.rest(), ["Stopped."]);
    assert!(!nodes.iter().any(|node| runs(node)), "a node runs on");
    assert!(!Path::new(&directory).exists(), "{directory} is still there");
}
