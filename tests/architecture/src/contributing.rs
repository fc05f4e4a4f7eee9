use crate::layout::room_paths;
use crate::markdown::{code_spans, rows};
use crate::{CONTRIBUTING, Files, Finding};

/// The first column of the table that says where a test goes.
const COLUMN: &str = "you changed";

/// Rooms that the table of CONTRIBUTING.md leaves out, and packages that its commands name and that do not exist.
#[must_use]
pub fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rows = rows(files.get(CONTRIBUTING).unwrap_or_default());
    let rows: Vec<_> = rows.into_iter().filter(|row| row.columns.first() == Some(&COLUMN)).collect();
    let changed: Vec<_> = rows.iter().filter_map(|row| row.cells.first()).flat_map(|cell| code_spans(cell)).collect();
    for room in room_paths(files) {
        if !changed.iter().any(|path| room == *path || (path.ends_with('/') && room.starts_with(path))) {
            findings.push(Finding::new(CONTRIBUTING, 0, format!("no row says where a test of {room} goes")));
        }
    }
    for row in &rows {
        for command in row.cells.iter().skip(1).flat_map(|cell| code_spans(cell)) {
            let mut words = command.split_whitespace();
            while words.any(|word| word == "-p") {
                let Some(package) = words.next() else { break };
                if !files.has_package(package) {
                    findings.push(Finding::new(CONTRIBUTING, row.line, format!("there is no package {package}")));
                }
            }
        }
    }
    findings
}
