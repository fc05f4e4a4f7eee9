use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;

use super::references::Walker;
use crate::{Files, Finding};

/// The place of a module in [`Crate::modules`].
pub(super) type ModuleId = usize;

/// The module tree of a crate, with what each module defines, imports and mentions.
pub(super) struct Crate {
    /// The first is the crate's root.
    pub(super) modules: Vec<Module>,
    /// Where the macros are defined that `#[macro_export]` puts at the root.
    pub(super) exported_macros: BTreeMap<String, ModuleId>,
}

#[derive(Debug, Default)]
pub(super) struct Module {
    pub(super) file: String,
    pub(super) parent: Option<ModuleId>,
    /// Only there in tests.
    pub(super) is_test: bool,
    pub(super) children: BTreeMap<String, ModuleId>,
    /// Names of functions, types, constants, macros: all that can be mentioned.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    pub(super) references: Vec<Reference>,
}

/// A leaf of a `use`.
#[derive(Debug)]
pub(super) struct Import {
    /// `None` for a glob.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    /// Seen from outside of the module: `pub`, `pub(crate)`, `pub(super)`.
    pub(super) is_public: bool,
}

/// A path in the code.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    pub(super) is_macro: bool,
}

impl Crate {
    pub(super) fn read(files: &Files, folder: &str, findings: &mut Vec<Finding>) -> Self {
        let root =
            ["lib.rs", "main.rs"].map(|name| format!("{folder}/{name}")).into_iter().find(|path| files.has(path));
        let mut reader = Reader { files, findings, modules: Vec::new(), exported_macros: BTreeMap::new() };
        if let Some(root) = root {
            reader.file(Module { file: root, ..Module::default() }, folder.to_owned());
        }
        let Reader { modules, exported_macros, .. } = reader;
        let known: BTreeSet<_> = modules.iter().map(|module| module.file.as_str()).collect();
        for (path, _) in files.rust_below(folder).filter(|(path, _)| !known.contains(path)) {
            findings.push(Finding::new(path, 0, "no module of the crate declares this file"));
        }
        Self { modules, exported_macros }
    }

    pub(super) fn is_below(&self, module: ModuleId, ancestor: ModuleId) -> bool {
        let mut above = Some(module);
        while let Some(id) = above {
            if id == ancestor {
                return true;
            }
            above = self.modules.get(id).and_then(|module| module.parent);
        }
        false
    }
}

/// Reads files into modules.
pub(super) struct Reader<'a> {
    files: &'a Files,
    findings: &'a mut Vec<Finding>,
    pub(super) modules: Vec<Module>,
    pub(super) exported_macros: BTreeMap<String, ModuleId>,
}

impl Reader<'_> {
    /// Reads the module's file; `folder` is where the files of its children are.
    fn file(&mut self, module: Module, folder: String) -> ModuleId {
        let file = module.file.clone();
        let parsed = syn::parse_file(self.files.get(&file).unwrap_or_default());
        let id = self.add(module);
        match parsed {
            Ok(parsed) => Walker::new(self, id, folder).visit_file(&parsed),
            Err(error) => {
                self.findings.push(Finding::new(file, error.span().start().line, format!("does not parse: {error}")))
            }
        }
        id
    }

    pub(super) fn add(&mut self, module: Module) -> ModuleId {
        self.modules.push(module);
        self.modules.len() - 1
    }

    /// Reads the file of `mod name;`.
    pub(super) fn declared(
        &mut self,
        parent: ModuleId,
        folder: &str,
        name: &str,
        path: Option<String>,
        is_test: bool,
        line: usize,
    ) -> Option<ModuleId> {
        let own = format!("{folder}/{name}");
        // Of a file that an attribute names, the children lie beside it, as with `mod.rs`.
        let candidates = match path {
            Some(path) => {
                let from = self.modules.get(parent)?.file.rsplit_once('/')?.0.to_owned();
                let path = normal(&format!("{from}/{path}"));
                let beside = path.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned());
                vec![(path, beside)]
            }
            None => vec![(format!("{own}.rs"), own.clone()), (format!("{own}/mod.rs"), own)],
        };
        let Some((file, below)) = candidates.into_iter().find(|(file, _)| self.files.get(file).is_some()) else {
            let file = self.modules.get(parent)?.file.clone();
            self.findings.push(Finding::new(file, line, format!("the file of `mod {name};` is not there")));
            return None;
        };
        let is_test = is_test || self.modules.get(parent)?.is_test;
        Some(self.file(Module { file, parent: Some(parent), is_test, ..Module::default() }, below))
    }
}

/// Without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
