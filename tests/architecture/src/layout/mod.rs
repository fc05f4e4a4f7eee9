//! The layout: rooms, the arrows between them, circles between files, and sizes.

mod arrows;
mod circles;
mod crates;
mod references;
mod resolve;
mod sizes;
mod table;
mod tokens;

use crate::{Files, Finding};

pub(crate) use table::Table;

/// The path of every room, from the root of the repository.
pub(crate) fn room_paths(files: &Files) -> Vec<String> {
    let tables = Table::read_all(files, &mut Vec::new());
    let paths =
        tables.iter().flat_map(|table| table.rooms.iter().map(|room| format!("{}/{}", table.folder, room.name())));
    paths.collect()
}

/// Everything in the crates that `docs/internals/layout.md` names that does not fit it.
#[must_use]
pub fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in Table::read_all(files, &mut findings) {
        let code = crates::Crate::read(files, &table.folder, &mut findings);
        let arrows = arrows::Arrow::all(&code);
        arrows::check(&table, &code, &arrows, &mut findings);
        circles::check(&arrows, &mut findings);
        sizes::check(files, &table, &mut findings);
        tokens::check(files, &table, &mut findings);
    }
    findings.sort();
    findings.dedup();
    findings
}
