use proc_macro2::Ident;
use syn::visit::{self, Visit};

use super::{Word, text};

/// The words of what a file of Rust defines: functions, types, constants, modules, macros, fields and variants. The
/// names of tests are sentences, and local variables are seen by nobody else.
pub(super) fn defined(content: &str) -> Vec<Word> {
    let mut names = Names::default();
    if let Ok(file) = syn::parse_file(content) {
        names.visit_file(&file);
    }
    names.0
}

/// The words of a path, whose folders and file are a name each.
pub(super) fn of_path(path: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for name in path.split('/') {
        add(&mut words, name.split_once('.').map_or(name, |(stem, _)| stem), 0);
    }
    words
}

fn add(words: &mut Vec<Word>, name: &str, line: usize) {
    let first = words.len();
    words.append(&mut text::words(name, line));
    if let Some(first) = words.get_mut(first) {
        first.follows = false;
    }
}

#[derive(Default)]
struct Names(Vec<Word>);

impl Names {
    fn add(&mut self, name: &Ident) {
        add(&mut self.0, &name.to_string(), name.span().start().line);
    }

    fn add_type(&mut self, name: &Ident) {
        let first = self.0.len();
        self.add(name);
        self.0.iter_mut().skip(first).for_each(|word| word.is_type = true);
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let is_test =
            |attribute: &syn::Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "test");
        if !item.attrs.iter().any(is_test) {
            self.add(&item.sig.ident);
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        // The names of a trait's functions are those of the trait.
        if item.trait_.is_none() {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.add(&item.sig.ident);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add_type(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add_type(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add_type(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add_type(&item.ident);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.add(&item.ident);
        visit::visit_item_const(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.add(&item.ident);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.add(&item.ident);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let Some(name) = &item.ident {
            self.add(name);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add(&variant.ident);
        visit::visit_variant(self, variant);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(name) = &field.ident {
            self.add(name);
        }
    }
}
