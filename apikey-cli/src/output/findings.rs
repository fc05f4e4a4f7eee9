//! Findings that someone must look at after a command: all of them in a report file, the first ones on the terminal.

use std::fmt::{self, Display, Write as _};
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::delivery::Delivery;
use super::print::note;
use crate::failure::Failure;

/// How many findings the terminal shows.
const MAX_ON_TERMINAL: usize = 20;

/// The file for all findings.
#[derive(Debug, Args)]
pub(crate) struct ReportArg {
    /// Write all findings to this new file (0600), one a line: kind, key or line, and text, separated by tabs. The
    /// terminal shows the first 20
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
    /// The library's name for it.
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

/// All findings, and their file.
#[derive(Debug)]
pub(crate) struct Findings {
    file: Delivery,
    /// Why the file could not be written.
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
        let listed = self.all.iter().map(|Finding { kind, which, text }| json!({ *kind: which, "text": text }));
        listed.collect()
    }

    /// Writes the file. Call it before anything is printed: the reader of standard output may be gone.
    pub(crate) fn save(&mut self) {
        if self.file.path().is_some() {
            self.write_error = self.file.deliver_lines(&self.lines()).err();
        }
    }

    /// Passes each line for the terminal to `show`: the first ones, or all if the file could not be written, since there may
    /// be no other chance to read them.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) fn show(self, mut show: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        let limit = if self.write_error.is_none() { MAX_ON_TERMINAL } else { usize::MAX };
        for finding in self.all.iter().take(limit) {
            show(&finding.to_string())?;
        }
        match (self.all.len().saturating_sub(limit), self.file.path()) {
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
    note(line);
    Ok(())
}
