//! What the engines of the tests have in common: they are programs that are installed, started on free ports, and stopped.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Sends a signal to one process.
pub(crate) fn signal(process: u32, name: &str) {
    // One that has ended in the meantime is none the worse.
    let _ = Command::new("kill").args(["-s", name, &process.to_string()]).stderr(Stdio::null()).status();
}

/// Installs what `tests/install` knows under this name, as `./test` does it.
pub(crate) fn install(part: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../install");
    let status = Command::new(script).arg(part).status().expect("tests/install");
    assert!(status.success(), "tests/install {part}: {status}");
}

/// Runs a program to its end, which is a good one.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
