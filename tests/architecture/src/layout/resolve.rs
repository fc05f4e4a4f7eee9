use super::crates::{Crate, ModuleId};

/// What a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Module(ModuleId),
    /// Something that this module defines.
    Item(ModuleId),
}

/// The globs and re-exports that a look-up has gone through, so that none is gone through again.
type Visited = Vec<(ModuleId, String)>;

const ROOT: ModuleId = 0;

impl Crate {
    /// What a path in this module means, through all re-exports; nothing if it leads out of the crate.
    pub(super) fn resolve(&self, module: ModuleId, path: &[String]) -> Vec<Target> {
        self.resolve_with(module, path, &mut Visited::new())
    }

    /// Where the macro is defined that is called by a bare name: it may come from above in the text.
    pub(super) fn resolve_macro(&self, module: ModuleId, name: &str) -> Vec<Target> {
        let mut above = Some(module);
        while let Some(id) = above {
            let Some(module) = self.modules.get(id) else { break };
            if module.items.contains(name) {
                return vec![Target::Item(id)];
            }
            above = module.parent;
        }
        self.resolve(module, &[name.to_owned()])
    }

    fn resolve_with(&self, from: ModuleId, path: &[String], visited: &mut Visited) -> Vec<Target> {
        let (mut at, mut rest) = (from, path);
        while let Some((first, others)) = rest.split_first() {
            at = match first.as_str() {
                "crate" => ROOT,
                "self" => at,
                "super" => self.modules.get(at).and_then(|module| module.parent).unwrap_or(ROOT),
                _ => break,
            };
            rest = others;
        }
        let is_relative = rest.len() == path.len();
        while let Some((name, others)) = rest.split_first() {
            let found = self.look_up(at, name, visited);
            if found.is_empty() {
                // What a macro makes is seen by nobody here. It is in the module that was reached, unless that shows
                // another crate's names.
                let is_foreign = is_relative && rest.len() == path.len() || self.shows_another_crate(at);
                return if is_foreign { Vec::new() } else { vec![Target::Item(at)] };
            }
            if others.is_empty() {
                return found;
            }
            let module = found.iter().find_map(|target| match target {
                Target::Module(id) => Some(*id),
                Target::Item(_) => None,
            });
            // Behind a type are its variants and functions.
            let Some(module) = module else { return found };
            at = module;
            rest = others;
        }
        vec![Target::Module(at)]
    }

    fn look_up(&self, at: ModuleId, name: &str, visited: &mut Visited) -> Vec<Target> {
        let Some(module) = self.modules.get(at) else { return Vec::new() };
        let step = (at, name.to_owned());
        if visited.contains(&step) {
            return Vec::new();
        }
        visited.push(step);
        let mut found = Vec::new();
        let mut add = |targets: Vec<Target>| {
            for target in targets {
                if !found.contains(&target) {
                    found.push(target);
                }
            }
        };
        if module.items.contains(name) {
            add(vec![Target::Item(at)]);
        }
        add(module.children.get(name).map(|child| Target::Module(*child)).into_iter().collect());
        for import in module.imports.iter().filter(|import| import.name.as_deref() == Some(name)) {
            add(self.resolve_with(at, &import.path, visited));
        }
        if let (ROOT, Some(macro_at)) = (at, self.exported_macros.get(name)) {
            add(vec![Target::Item(*macro_at)]);
        }
        if found.is_empty() {
            for glob in module.imports.iter().filter(|import| import.name.is_none()) {
                for target in self.resolve_with(at, &glob.path, visited) {
                    if let Target::Module(other) = target {
                        found.extend(self.look_up(other, name, visited));
                    }
                }
            }
        }
        visited.pop();
        found
    }

    fn shows_another_crate(&self, at: ModuleId) -> bool {
        self.modules.get(at).is_some_and(|module| {
            module.imports.iter().any(|import| import.name.is_none() && self.resolve(at, &import.path).is_empty())
        })
    }
}
