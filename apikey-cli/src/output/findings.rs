//! Findings of a command that need attention: all of them in a report file, the first ones of each fault on the
//! terminal.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::delivery::Delivery;
use super::print::error;
use super::table::one_line;
use crate::failure::Failure;

/// The most findings of one fault that the terminal shows, and the most in all.
const MAX_OF_FAULT: usize = 20;
const MAX_ON_TERMINAL: usize = 100;

/// The kind of a finding about a line of the input, whose number JSON has as a number.
pub(crate) const LINE: &str = "line";

/// The file for all findings.
#[derive(Debug, Args)]
pub(crate) struct ReportArg {
    /// Write all findings to this new file (0600), one a line: kind, key or line, and text, separated by tabs. The
    /// terminal shows the first 20 of each fault
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl ReportArg {
    pub(crate) fn is_given(&self) -> bool {
        self.report.is_some()
    }

    /// Creates the file before the work begins, so that a report without a place fails early.
    pub(crate) fn begin(&self) -> Result<Findings, Failure> {
        Ok(Findings { file: Delivery::prepare(self.report.as_deref())?, write_error: None, all: Vec::new() })
    }
}

/// One finding.
#[derive(Debug)]
struct Finding {
    /// The library's name of the fault.
    kind: &'static str,
    /// A key, a line of the input, or nothing in particular.
    which: Option<String>,
    text: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Some(which) => write!(f, "{} {which}: {}", self.kind, self.text),
            None => write!(f, "{}: {}", self.kind, self.text),
        }
    }
}

/// What findings of the same fault have in common: the text without ids and numbers.
fn fault(text: &str) -> String {
    let word = |word: &str| if word.contains(|letter: char| letter.is_ascii_digit()) { "#" } else { word }.to_owned();
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// One fault on the terminal.
struct Fault<'f> {
    first: &'f Finding,
    printed: usize,
    left_out: usize,
}

/// All findings, and their file.
#[derive(Debug)]
pub(crate) struct Findings {
    file: Delivery,
    /// The error of writing the file.
    write_error: Option<io::Error>,
    all: Vec<Finding>,
}

impl Findings {
    pub(crate) fn add(&mut self, kind: &'static str, which: impl Display, text: impl Into<String>) {
        self.all.push(Finding { kind, which: Some(which.to_string()), text: text.into() });
    }

    /// A finding about the store, not about a key or a line.
    pub(crate) fn add_general(&mut self, kind: &'static str, text: impl Into<String>) {
        self.all.push(Finding { kind, which: None, text: text.into() });
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// All findings, for `--json`.
    pub(crate) fn listed(&self) -> Vec<serde_json::Value> {
        let listed = self.all.iter().map(|Finding { kind, which, text }| {
            let line = which.as_ref().filter(|_| *kind == LINE).and_then(|which| which.parse::<u64>().ok());
            line.map_or_else(|| json!({ *kind: which, "text": text }), |line| json!({ *kind: line, "text": text }))
        });
        listed.collect()
    }

    /// Writes the file. Call it before printing anything: the reader of standard output may have ended.
    pub(crate) fn save(&mut self) {
        if self.file.path().is_some() {
            self.write_error = self.file.deliver_lines(&self.lines()).err();
        }
    }

    /// Passes each line for the terminal to `show`: the first ones of each fault and the number of the others, or all
    /// if the file could not be written, since there may be no other chance to read them.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) fn show(self, mut show: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        let (of_fault, in_all) =
            if self.write_error.is_none() { (MAX_OF_FAULT, MAX_ON_TERMINAL) } else { (usize::MAX, usize::MAX) };
        let mut printed = 0;
        let mut faults: BTreeMap<(&str, String), Fault<'_>> = BTreeMap::new();
        for finding in &self.all {
            let new = || Fault { first: finding, printed: 0, left_out: 0 };
            let of = faults.entry((finding.kind, fault(&finding.text))).or_insert_with(new);
            if of.printed < of_fault && printed < in_all {
                show(&one_line(&finding.to_string()))?;
                (of.printed, printed) = (of.printed + 1, printed + 1);
            } else {
                of.left_out += 1;
            }
        }
        let several = faults.len() > 1;
        for Fault { first, left_out, .. } in faults.values().filter(|of| several && of.left_out > 0) {
            show(&one_line(&format!("{left_out} more like {first}")))?;
        }
        match (faults.values().map(|of| of.left_out).sum::<usize>(), self.file.path()) {
            (0, _) => {}
            (more, Some(path)) => show(&format!("and {more} more: all of them are in {}", path.display()))?,
            (more, None) => show(&format!("and {more} more: --report FILE writes all of them"))?,
        }
        match (&self.write_error, self.file.path()) {
            (Some(error), Some(path)) => Err(Failure::file(path, error)),
            _ => Ok(()),
        }
    }

    /// The lines of the file. No field of a key contains a tab or a line feed; a database's error may.
    fn lines(&self) -> String {
        let mut lines = String::new();
        for Finding { kind, which, text } in &self.all {
            let text = text.replace(char::is_control, " ");
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{kind}\t{}\t{text}", which.as_deref().unwrap_or("-"));
        }
        lines
    }
}

/// Shows a line on standard error.
pub(crate) fn noted(line: &str) -> Result<(), Failure> {
    error(line);
    Ok(())
}
