use std::collections::BTreeMap;

use super::table::Table;
use crate::{Files, Finding};

const MAX_LINES: usize = 600;
const MAX_FILES: usize = 20;

/// Files that are too long, and folders that hold too many.
pub(super) fn check(files: &Files, table: &Table, findings: &mut Vec<Finding>) {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, text) in files.rust_below(&table.folder) {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            findings.push(Finding::new(path, 0, format!("{lines} lines; a file has at most {MAX_LINES}")));
        }
        if let Some((folder, _)) = path.rsplit_once('/') {
            *folders.entry(folder).or_default() += 1;
        }
    }
    for (folder, count) in folders.into_iter().filter(|(_, count)| *count > MAX_FILES) {
        findings.push(Finding::new(
            format!("{folder}/"),
            0,
            format!("{count} files; a folder has at most {MAX_FILES}"),
        ));
    }
}
