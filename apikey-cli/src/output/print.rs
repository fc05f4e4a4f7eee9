//! Prints to standard output (one JSON document for programs, text for people) and notes to standard error.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::control::{escaped, harmless};
use crate::failure::Failure;
use crate::identity::{named, named_in_json};

/// Whether `--quiet` was given.
static QUIET: AtomicBool = AtomicBool::new(false);
/// Whether the reader of standard output has closed it.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Prints no more notes.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether the reader of standard output has closed it, so that printing there has no effect.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Records that the reader of standard output has closed it.
#[cfg(unix)]
pub(crate) fn set_closed() {
    CLOSED.store(true, Ordering::Relaxed);
}

/// Prints one document on one line.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let document = serde_json::to_string(document).map_err(io::Error::from).map_err(Failure::output)?;
    let mut out = io::stdout().lock();
    written(writeln!(out, "{}", escaped(&named_in_json(&document))).and_then(|()| out.flush()))
}

/// Prints text, with colours on a terminal only (and not under `NO_COLOR`).
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    written(writeln!(out, "{}", harmless(&named(text))).and_then(|()| out.flush()))
}

/// Prints bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Ignores a reader that has closed the pipe, as `head` does: the command continues, and ends as usual.
fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        outcome => outcome.map_err(Failure::output),
    }
}

/// Prints a note for people to standard error, unless `--quiet` was given. A failure to write it is ignored.
pub(crate) fn note(text: &str) {
    if !is_quiet() {
        error(text);
    }
}

/// Prints an error, a finding or a question for people to standard error. A failure to write it is ignored.
pub(crate) fn error(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", harmless(&named(text)));
}
