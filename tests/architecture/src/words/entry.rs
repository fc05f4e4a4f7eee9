use super::text;
use crate::markdown::{code_spans, rows};
use crate::{Files, Finding, GLOSSARY};

/// A row of the table of words.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    /// What is not to be written, as the row has it.
    pub(super) spans: Vec<String>,
    /// The same, each as its words.
    pub(super) terms: Vec<Vec<String>>,
    write: String,
    pub(super) scope: Scope,
    /// Phrases that hold a term and are fine.
    pub(super) allowed: Vec<Vec<String>>,
    /// Files and folders that may use the terms.
    paths: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything that is written.
    Text,
    /// A part of what the code defines, and of the names of files.
    Name,
    /// All of such a name.
    WholeName,
    /// All of the name of a type.
    Type,
    /// The path of a file or folder.
    File,
    /// The first words of a documentation comment.
    Opening,
    /// The first sentence of one.
    Comment,
}

impl Scope {
    /// Whether it is looked for in the same places as the other.
    pub(super) fn is(self, other: Self) -> bool {
        match self {
            Self::WholeName | Self::Type => other == Self::Name,
            Self::Comment => other == Self::Opening,
            Self::Text | Self::Name | Self::File | Self::Opening => other == self,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "name" => Some(Self::Name),
            "whole name" => Some(Self::WholeName),
            "type" => Some(Self::Type),
            "file" => Some(Self::File),
            "comment" => Some(Self::Comment),
            "opening" => Some(Self::Opening),
            _ => None,
        }
    }
}

impl Entry {
    pub(super) fn read_all(files: &Files, findings: &mut Vec<Finding>) -> Vec<Self> {
        let mut entries = Vec::new();
        for row in rows(files.get(GLOSSARY).unwrap_or_default()) {
            if row.columns.first() != Some(&"instead of") {
                continue;
            }
            let [terms, write, scope, allowed] = row.cells.as_slice() else {
                findings.push(Finding::new(GLOSSARY, row.line, "a row has four cells"));
                continue;
            };
            let Some(scope) = Scope::named(scope) else {
                findings.push(Finding::new(GLOSSARY, row.line, format!("{scope:?} is no scope")));
                continue;
            };
            let (paths, allowed): (Vec<_>, Vec<_>) = code_spans(allowed).partition(|span| span.contains('/'));
            entries.push(Self {
                line: row.line,
                spans: code_spans(terms).map(str::to_owned).collect(),
                terms: code_spans(terms).map(phrase).collect(),
                write: write.replace('`', ""),
                scope,
                allowed: allowed.into_iter().map(phrase).collect(),
                paths: paths.into_iter().map(str::to_owned).collect(),
            });
        }
        if entries.is_empty() {
            findings.push(Finding::new(GLOSSARY, 0, "no table of words"));
        }
        entries
    }

    pub(super) fn allows(&self, path: &str) -> bool {
        self.paths.iter().any(|allowed| path.starts_with(allowed))
    }

    pub(super) fn finding(&self, path: &str, line: usize, what: &str) -> Finding {
        Finding::new(path, line, format!("{what}: write {} ({GLOSSARY}:{})", self.write, self.line))
    }
}

fn phrase(span: &str) -> Vec<String> {
    text::words(span, 0).into_iter().map(|word| word.text).filter(|word| !word.is_empty()).collect()
}
