//! What the engines of the tests have in common: they are programs that are installed, started on free ports, and stopped.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The ports of servers: below those from which systems make connections.
const PORTS: Range<u16> = 15_000..31_000;
/// How many ports a process tries before it comes to those of the next one.
const PORTS_OF_ONE: u32 = 16;

/// A port that nobody listens on. Each process of tests tries ports of its own, so that two that start at once do not
/// take the same; all lie below those that connections go out from.
pub(crate) fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_OF_ONE);
    PORTS
        .map(|_| {
            let slot = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
            PORTS.start + u16::try_from(slot % u32::from(PORTS.end - PORTS.start)).expect("less than the ports")
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}

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
