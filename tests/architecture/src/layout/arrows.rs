use std::collections::{BTreeMap, BTreeSet};

use super::crates::{Crate, Import, ModuleId};
use super::resolve::Target;
use super::table::Table;
use crate::Finding;

/// A file mentions what another file defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: String,
    pub(super) line: usize,
    pub(super) to: String,
    /// As it is written there.
    pub(super) path: String,
}

impl Arrow {
    /// The arrows between the files of a crate, in order; none of what is there only in tests.
    pub(super) fn all(code: &Crate) -> BTreeSet<Self> {
        let mut arrows = BTreeSet::new();
        for (id, module) in code.modules.iter().enumerate().filter(|(_, module)| !module.is_test) {
            let mut add = |line: usize, path: &[String], to: ModuleId| {
                if let Some(to) = code.modules.get(to).filter(|to| to.file != module.file && !to.is_test) {
                    let path = path.join("::");
                    arrows.insert(Self { from: module.file.clone(), line, to: to.file.clone(), path });
                }
            };
            for import in &module.imports {
                imported(code, id, import).into_iter().for_each(|to| add(import.line, &import.path, to));
            }
            for reference in &module.references {
                let targets = match reference.path.as_slice() {
                    [name] if reference.is_macro => code.resolve_macro(id, name),
                    path => code.resolve(id, path),
                };
                for target in targets {
                    if let Target::Item(to) = target {
                        add(reference.line, &reference.path, to);
                    }
                }
            }
        }
        arrows
    }
}

/// The modules that define what is imported. A module that shows what its own children define does not use it, and
/// nobody uses a module's name alone.
fn imported(code: &Crate, id: ModuleId, import: &Import) -> Vec<ModuleId> {
    let targets = code.resolve(id, &import.path).into_iter().filter_map(|target| match target {
        Target::Item(to) => Some(to),
        Target::Module(to) if import.name.is_none() => Some(to),
        Target::Module(_) => None,
    });
    targets.filter(|to| !(import.is_public && code.is_below(*to, id))).collect()
}

/// Arrows that the table does not have, and globs that show another room.
pub(super) fn check(table: &Table, code: &Crate, arrows: &BTreeSet<Arrow>, findings: &mut Vec<Finding>) {
    // One finding for two files: the first place, and how many there are.
    let mut places: BTreeMap<(&str, &str), (&Arrow, BTreeSet<usize>)> = BTreeMap::new();
    for arrow in arrows {
        let (_, lines) = places.entry((&arrow.from, &arrow.to)).or_insert_with(|| (arrow, BTreeSet::new()));
        lines.insert(arrow.line);
    }
    for (Arrow { from, line, to, path }, lines) in places.into_values() {
        let (Some(own), Some(other)) = (table.room(from), table.room(to)) else { continue };
        if !table.allows(own, other) {
            let more = if lines.len() > 1 { format!(", on {} lines", lines.len()) } else { String::new() };
            let (own_name, other_name) = (own.name(), other.name());
            let text = format!("{own_name} -> {other_name} by `{path}` of {to}{more}; {}", own.allowed());
            findings.push(Finding::new(from, *line, text));
        }
    }
    for (id, module) in code.modules.iter().enumerate().filter(|(_, module)| !module.is_test) {
        for glob in module.imports.iter().filter(|import| import.is_public && import.name.is_none()) {
            for target in code.resolve(id, &glob.path) {
                let Target::Module(to) = target else { continue };
                let Some(to) = code.modules.get(to) else { continue };
                let rooms = (table.room(&module.file), table.room(&to.file));
                if let (Some(own), Some(other)) = rooms
                    && own.name() != other.name()
                {
                    let text = format!("a glob shows all of {}: name what is shown", other.name());
                    findings.push(Finding::new(&module.file, glob.line, text));
                }
            }
        }
    }
}
