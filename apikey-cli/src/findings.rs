//! What somebody must look at, after a command has done its work: all of it in a file, the first of it on the terminal.

use std::fmt::{self, Display, Write as _};
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::delivery::Delivery;
use crate::failure::Failure;
use crate::out;

/// How many are shown.
const SHOWN: usize = 20;

/// Where all of it goes.
#[derive(Debug, Args)]
pub(crate) struct ReportOption {
    /// Write all that is to be looked at to this file (0600), one a line: what it is, which key or line, and a text, with
    /// tabs between them. The terminal shows the first 20. A file that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl ReportOption {
    pub(crate) fn is_given(&self) -> bool {
        self.report.is_some()
    }

    /// Makes the file, before the work is done: nobody waits for that to learn that there is no room for the report.
    pub(crate) fn begin(&self) -> Result<Findings, Failure> {
        Ok(Findings { file: Delivery::prepare(self.report.as_deref())?, refused: None, all: Vec::new() })
    }
}

/// One thing to look at.
#[derive(Debug)]
struct Finding {
    /// As the library names it.
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

/// All that there is to look at, and its file.
#[derive(Debug)]
pub(crate) struct Findings {
    file: Delivery,
    /// Why it could not be written.
    refused: Option<io::Error>,
    all: Vec<Finding>,
}

impl Findings {
    pub(crate) fn add(&mut self, kind: &'static str, which: impl Display, text: impl Into<String>) {
        self.all.push(Finding { kind, which: Some(which.to_string()), text: text.into() });
    }

    /// About no key and no line in particular.
    pub(crate) fn add_general(&mut self, kind: &'static str, text: impl Into<String>) {
        self.all.push(Finding { kind, which: None, text: text.into() });
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of it, for `--json`.
    pub(crate) fn listed(&self) -> Vec<serde_json::Value> {
        let listed = self.all.iter().map(|Finding { kind, which, text }| json!({ *kind: which, "text": text }));
        listed.collect()
    }

    /// Writes the file. Before anything is shown: who reads standard output may have gone.
    pub(crate) fn save(&mut self) {
        if self.file.path().is_some() {
            self.refused = self.file.deliver_lines(&self.text()).err();
        }
    }

    /// Gives each line for the terminal to `show`: the first, and all of them where the file could not be written, since
    /// nobody may have another chance to read them.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) fn show(self, mut show: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        let shown = if self.refused.is_none() { SHOWN } else { usize::MAX };
        for finding in self.all.iter().take(shown) {
            show(&finding.to_string())?;
        }
        match (self.all.len().saturating_sub(shown), self.file.path()) {
            (0, _) => {}
            (more, Some(path)) => show(&format!("and {more} more: all are in {}", path.display()))?,
            (more, None) => show(&format!("and {more} more: --report FILE writes all of them"))?,
        }
        match (&self.refused, self.file.path()) {
            (Some(error), Some(path)) => Err(Failure::file(path, error)),
            _ => Ok(()),
        }
    }

    /// The lines of the file. No field of a key holds a tab or a line's end; a fault of the database may.
    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { kind, which, text: told } in &self.all {
            let told = told.replace(char::is_control, " ");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{kind}\t{}\t{told}", which.as_deref().unwrap_or("-"));
        }
        text
    }
}

/// To standard error.
pub(crate) fn noted(line: &str) -> Result<(), Failure> {
    out::note(line);
    Ok(())
}
