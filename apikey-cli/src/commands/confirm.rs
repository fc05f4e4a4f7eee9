//! Asks before a change that many keys or events share, so that a slip of the hand makes none.

use std::io::{self, IsTerminal};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// The change that needs a confirmation.
#[derive(Debug)]
pub(super) struct Change<'c> {
    pub(super) verb: &'c str,
    /// What those that are changed are called.
    pub(super) done: &'c str,
    /// Keys or events.
    pub(super) what: &'c str,
    pub(super) count: usize,
    /// Whether it changes something even where there are none.
    pub(super) even_none: bool,
}

/// Asks for the number at a terminal; elsewhere `--yes` or `--count` confirms. `expected` is the value of `--count`.
pub(super) fn confirm(
    context: &Context,
    yes: bool,
    expected: Option<usize>,
    change: &Change<'_>,
) -> Result<(), Failure> {
    let Change { verb, done, what, count, even_none } = change;
    let (what, none) = if *count == 1 { (what.trim_end_matches('s'), what) } else { (*what, what) };
    let none = format!("no {} was {done}", none.trim_end_matches('s'));
    match expected {
        Some(expected) if expected != *count => {
            return Err(Failure::usage(format!(
                "--count {expected} does not match: {count} {what} would be {done}; {none}"
            )));
        }
        Some(_) => return Ok(()),
        None if yes || (*count == 0 && !even_none) => return Ok(()),
        None => {}
    }
    if context.json || !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{count} {what} would be {done}: give --yes, or --count {count} to confirm the number"
        )));
    }
    output::error(&format!("{verb} {count} {what}? Type {count} to confirm:"));
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).map_err(|error| Failure::input(&error))?;
    match typed.trim() == count.to_string() {
        true => Ok(()),
        false => Err(Failure::usage(none)),
    }
}
