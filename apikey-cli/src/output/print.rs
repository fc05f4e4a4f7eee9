//! Prints to standard output (one JSON document for programs, text for people) and notes to standard error.

use std::io::{self, Write};

use serde::Serialize;

use super::control::{escaped, harmless};
use crate::failure::Failure;
use crate::identity::{named, named_in_json};

/// Prints one document on one line.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let document = serde_json::to_string(document).map_err(io::Error::from).map_err(Failure::output)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", escaped(&named_in_json(&document))).and_then(|()| out.flush()).map_err(Failure::output)
}

/// Prints text, with colours on a terminal only (and not under `NO_COLOR`).
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", harmless(&named(text))).and_then(|()| out.flush()).map_err(Failure::output)
}

/// Prints a note for people to standard error. A failure to write it is ignored.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", harmless(&named(text)));
}
