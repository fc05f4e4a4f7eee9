use crate::markdown::{Row, code_spans, rows};
use crate::{CONTRIBUTING, Files, Finding, GLOSSARY, LAYOUT, SLED};

/// Where a path in a page may begin: at the root, or in the core, which most of them are about.
const BASES: &[&str] = &["", "apikey-core/src/"];

/// The first columns of the tables of rooms and of words.
const TABLES: &[&str] = &["room", "instead of"];

/// Paths and tests that the pages of this package name, and that are not there. A path is what stands between
/// backquotes with a `/` in it, and ends as a folder or a file does; `file.rs::name` is a function in it.
#[must_use]
pub fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in [LAYOUT, GLOSSARY, SLED, CONTRIBUTING] {
        let Some(text) = files.get(page) else {
            findings.push(Finding::new(page, 0, "is not there"));
            continue;
        };
        // Other checks read these, and some of their paths must not be there.
        let is_table = |row: &Row| row.columns.first().is_some_and(|first| TABLES.contains(first));
        let tables: Vec<_> = rows(text).into_iter().filter(is_table).map(|row| row.line).collect();
        let mut is_code = false;
        for (index, line) in text.lines().enumerate().filter(|(index, _)| !tables.contains(&(index + 1))) {
            is_code ^= line.trim_start().starts_with("```");
            for span in code_spans(line).filter(|_| !is_code) {
                let (path, name) = span.split_once("::").map_or((span, None), |(path, name)| (path, Some(name)));
                if !is_path(path) || Files::skips(path) {
                    continue;
                }
                let found: Vec<_> =
                    BASES.iter().map(|base| format!("{base}{path}")).filter(|path| files.has(path)).collect();
                if found.is_empty() {
                    findings.push(Finding::new(page, index + 1, format!("there is no {path}")));
                }
                if let Some(name) = name
                    && !found.iter().any(|path| files.get(path).is_some_and(|text| defines(text, name)))
                {
                    findings.push(Finding::new(page, index + 1, format!("{path} has no function {name}")));
                }
            }
        }
    }
    findings
}

fn is_path(span: &str) -> bool {
    let is_plain = span.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    is_plain
        && span.contains('/')
        && (span.ends_with('/') || span.rsplit('/').next().is_some_and(|name| name.contains('.')))
}

fn defines(text: &str, function: &str) -> bool {
    text.split(&format!("fn {function}")).skip(1).any(|after| after.starts_with(['(', '<']))
}
