use crate::markdown::{blocks, links};
use crate::{BOOK, Files, Finding};

/// The order of the book's pages.
const SUMMARY: &str = "docs/SUMMARY.md";
/// The first page of the repository, whose budget keeps it short.
const README: &str = "README.md";
const README_LINES: usize = 150;
/// Where doc tests include the pages, so that their Rust blocks are compiled and run.
const INCLUDED_BY: &[&str] = &["tests/book/src/lib.rs", "tests/frameworks/src/lib.rs"];
/// What a fenced block may be. Rustdoc takes one without a label for Rust.
const LABELS: &[&str] = &["diff", "html", "json", "nginx", "python", "rust", "sh", "text", "toml", "yaml"];
/// What a Rust block may say beside: each of these is compiled.
const MODES: &[&str] = &["compile_fail", "no_run", "should_panic"];

/// Pages that the book's summary lacks or names in vain, blocks of code that nothing compiles, and a README that has
/// outgrown its budget.
#[must_use]
pub fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let summary = files.get(SUMMARY).unwrap_or_default();
    let listed: Vec<_> = links(summary).into_iter().map(|link| format!("{BOOK}{}", link.target)).collect();
    if listed.is_empty() {
        findings.push(Finding::new(SUMMARY, 0, "names no page"));
    }
    let pages = files.iter().filter(|(path, _)| path.starts_with(BOOK) && path.ends_with(".md") && *path != SUMMARY);
    for (path, _) in pages {
        match listed.iter().filter(|page| *page == path).count() {
            0 => findings.push(Finding::new(path, 0, format!("{SUMMARY} does not list it"))),
            1 => {}
            _ => findings.push(Finding::new(path, 0, format!("{SUMMARY} lists it twice"))),
        }
    }
    let included: String = INCLUDED_BY.iter().filter_map(|path| files.get(path)).collect();
    for path in listed.iter().map(String::as_str).chain([README]) {
        let Some(text) = files.get(path) else { continue };
        if !included.contains(&format!("/{path}\")]")) {
            findings.push(Finding::new(path, 0, format!("no doc test includes it: {}", INCLUDED_BY.join(" or "))));
        }
        for block in blocks(text) {
            if let Some(fault) = fault(block.label) {
                findings.push(Finding::new(path, block.line, fault));
            }
        }
    }
    let lines = files.get(README).map_or(0, |text| text.lines().count());
    if lines > README_LINES {
        findings.push(Finding::new(README, 0, format!("{lines} lines; at most {README_LINES}")));
    }
    findings
}

fn fault(label: &str) -> Option<String> {
    let mut parts = label.split(',');
    let language = parts.next().unwrap_or_default();
    if !LABELS.contains(&language) {
        return Some(format!("a block is one of {}: `{label}`", LABELS.join(", ")));
    }
    let unknown = parts.find(|part| language != "rust" || !MODES.contains(part))?;
    Some(format!("a Rust block is compiled, or is {}: `{unknown}`", MODES.join(" or ")))
}
