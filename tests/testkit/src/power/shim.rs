//! The library between a process and its files: `shim.c`, built with `cc`.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Builds the library, once for this process.
fn library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/power/shim.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&path, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        assert!(built.expect("a C compiler: `cc`").success(), "shim.c does not compile");
        (directory, path)
    });
    path
}

/// Loads it into a process, for the files below `root`. It appends the calls to `log`.
pub fn put_into(command: &mut Command, root: &Path, log: Option<&Path>) {
    command.env("LD_PRELOAD", library()).env("APIKEY_SHIM_ROOT", root);
    if let Some(log) = log {
        command.env("APIKEY_SHIM_LOG", log);
    }
}

/// Opens the recording, in a process with the library. What is written there is a line of the log, or an order.
pub fn recording() -> File {
    OpenOptions::new().write(true).open("/apikey-shim").expect("the library is loaded")
}
