use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, ImplItem, Item, ItemMod, ItemUse, Lit, Macro, Meta, Path, Stmt, Token, TraitItem, UseTree,
    Visibility,
};

use super::crates::{Import, Module, ModuleId, Reader, Reference};

/// Goes through a file, and notes what each of its modules defines, imports and mentions. Of what is there only in
/// tests it notes the files alone.
pub(super) struct Walker<'r, 'f> {
    reader: &'r mut Reader<'f>,
    module: ModuleId,
    /// Where the files of the module's children are.
    folder: String,
    is_test: bool,
    /// Within a function: what is defined here is seen by nobody else.
    is_local: bool,
}

impl<'r, 'f> Walker<'r, 'f> {
    pub(super) fn new(reader: &'r mut Reader<'f>, module: ModuleId, folder: String) -> Self {
        let is_test = reader.modules.get(module).is_some_and(|module| module.is_test);
        Self { reader, module, folder, is_test, is_local: false }
    }

    fn with_test<T>(&mut self, attributes: &[Attribute], walk: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.is_test;
        self.is_test |= attributes.iter().any(is_for_tests);
        let walked = walk(self);
        self.is_test = before;
        walked
    }

    fn module(&mut self) -> Option<&mut Module> {
        if self.is_test { None } else { self.reader.modules.get_mut(self.module) }
    }

    fn define(&mut self, name: String) {
        if let (false, Some(module)) = (self.is_local, self.module()) {
            module.items.insert(name);
        }
    }

    fn refer(&mut self, path: Vec<String>, line: usize, is_macro: bool) {
        if let Some(module) = self.module() {
            module.references.push(Reference { path, line, is_macro });
        }
    }

    fn imports(&mut self, tree: &UseTree, before: &[String], is_public: bool) {
        let with = |name: String| [before, &[name]].concat();
        let (name, path, line) = match tree {
            UseTree::Path(path) => return self.imports(&path.tree, &with(path.ident.unraw().to_string()), is_public),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.imports(tree, before, is_public)),
            UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned(), before.to_vec(), name.ident.span().start().line)
            }
            UseTree::Name(name) => {
                let line = name.ident.span().start().line;
                (Some(name.ident.unraw().to_string()), with(name.ident.unraw().to_string()), line)
            }
            UseTree::Rename(rename) => {
                let name = rename.ident.unraw().to_string();
                let path = if name == "self" { before.to_vec() } else { with(name) };
                (Some(rename.rename.unraw().to_string()), path, rename.ident.span().start().line)
            }
            UseTree::Glob(glob) => (None, before.to_vec(), glob.star_token.span.start().line),
        };
        if let Some(module) = self.module() {
            module.imports.push(Import { name, path, line, is_public });
        }
    }

    /// What a macro is given has no syntax of its own: every path in it counts.
    fn tokens(&mut self, tokens: TokenStream, is_attribute: bool) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is_punct = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
        let is_colons = |at: usize| is_punct(at, ':') && is_punct(at + 1, ':');
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream(), is_attribute),
                TokenTree::Ident(first) => {
                    let is_field = at > 0 && is_punct(at - 1, '.') && !(at > 1 && is_punct(at - 2, '.'));
                    let (line, mut path) = (first.span().start().line, vec![first.unraw().to_string()]);
                    while let (true, Some(TokenTree::Ident(next))) = (is_colons(at + 1), tokens.get(at + 3)) {
                        path.push(next.unraw().to_string());
                        at += 3;
                    }
                    let is_call = match tokens.get(at + 1) {
                        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
                        _ => is_punct(at + 1, '!'),
                    };
                    // Most names alone are those of variables.
                    if !is_field
                        && (path.len() > 1 || is_call || path.iter().all(|name| name.starts_with(char::is_uppercase)))
                    {
                        self.refer(path, line, is_punct(at + 1, '!'));
                    }
                }
                // serde's `with = "crate::time"`.
                TokenTree::Literal(literal) if is_attribute => {
                    if let Lit::Str(text) = Lit::new(literal.clone())
                        && let Ok(path) = text.parse_with(Path::parse_mod_style)
                        && path.segments.len() > 1
                    {
                        self.visit_path(&path);
                    }
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Walker<'_, '_> {
    fn visit_item(&mut self, item: &'ast Item) {
        self.with_test(item_attributes(item), |walker| {
            if let Some(name) = item_name(item) {
                walker.define(name);
            }
            visit::visit_item(walker, item);
        });
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let before = std::mem::replace(&mut self.is_local, true);
        visit::visit_item_fn(self, function);
        self.is_local = before;
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let before = std::mem::replace(&mut self.is_local, true);
        visit::visit_item_impl(self, item);
        self.is_local = before;
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[_] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        self.with_test(attributes, |walker| visit::visit_impl_item(walker, item));
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes: &[_] = match item {
            TraitItem::Fn(item) => &item.attrs,
            _ => &[],
        };
        self.with_test(attributes, |walker| visit::visit_trait_item(walker, item));
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.with_test(&field.attrs, |walker| visit::visit_field(walker, field));
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        self.with_test(&field.attrs, |walker| visit::visit_field_value(walker, field));
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.with_test(&variant.attrs, |walker| visit::visit_variant(walker, variant));
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.with_test(&arm.attrs, |walker| visit::visit_arm(walker, arm));
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let attributes: &[_] = match statement {
            Stmt::Local(local) => &local.attrs,
            Stmt::Macro(call) => &call.attrs,
            Stmt::Expr(expression, _) => leading_attributes(expression),
            _ => &[],
        };
        self.with_test(attributes, |walker| visit::visit_stmt(walker, statement));
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = item.ident.unraw().to_string();
        let child = match &item.content {
            None => {
                let line = item.ident.span().start().line;
                self.reader.declared(self.module, &self.folder, &name, path_attribute(&item.attrs), self.is_test, line)
            }
            Some((_, items)) => {
                let file = self.reader.modules.get(self.module).map(|module| module.file.clone()).unwrap_or_default();
                let module = Module { file, parent: Some(self.module), is_test: self.is_test, ..Module::default() };
                let child = self.reader.add(module);
                let mut walker = Walker::new(&mut *self.reader, child, format!("{}/{name}", self.folder));
                items.iter().for_each(|item| walker.visit_item(item));
                Some(child)
            }
        };
        // Where a module has one file for each platform, the last is as good as the first.
        if let (Some(child), Some(module)) = (child, self.reader.modules.get_mut(self.module)) {
            module.children.insert(name, child);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.imports(&item.tree, &[], is_public(&item.vis));
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let (Some(name), false) = (&item.ident, self.is_test)
            && item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"))
        {
            self.reader.exported_macros.insert(name.to_string(), self.module);
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().segments.len() > 1 {
            self.visit_path(attribute.path());
        }
        match &attribute.meta {
            Meta::List(list) => self.tokens(list.tokens.clone(), true),
            Meta::NameValue(value) if !attribute.path().is_ident("doc") => self.visit_expr(&value.value),
            _ => {}
        }
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(segment) = call.path.segments.first().filter(|_| call.path.leading_colon.is_none()) {
            self.refer(names(&call.path), segment.ident.span().start().line, true);
        }
        self.tokens(call.tokens.clone(), false);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(segment) = path.segments.first().filter(|_| path.leading_colon.is_none()) {
            self.refer(names(path), segment.ident.span().start().line, false);
        }
        visit::visit_path(self, path);
    }
}

fn names(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect()
}

/// `#[test]`, `#[cfg(test)]` and `#[cfg(all(test, ..))]`.
fn is_for_tests(attribute: &Attribute) -> bool {
    fn names_test(meta: &Meta) -> bool {
        match meta {
            Meta::Path(path) => path.is_ident("test") || path.is_ident("doctest"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .is_ok_and(|all| all.iter().any(names_test)),
            _ => false,
        }
    }
    attribute.path().is_ident("test")
        || (attribute.path().is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| names_test(&meta)))
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(value) if value.path.is_ident("path") => match &value.value {
            Expr::Lit(syn::ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

fn is_public(visibility: &Visibility) -> bool {
    match visibility {
        Visibility::Public(_) => true,
        Visibility::Restricted(restricted) => !restricted.path.is_ident("self"),
        Visibility::Inherited => false,
    }
}

/// An attribute before a statement is that of the expression it begins with: the `check` of `check()?.more()`.
fn leading_attributes(mut expression: &Expr) -> &[Attribute] {
    loop {
        let (attributes, first) = match expression {
            Expr::Assign(assign) => (&assign.attrs, &assign.left),
            Expr::Binary(binary) => (&binary.attrs, &binary.left),
            Expr::Call(call) => (&call.attrs, &call.func),
            Expr::Field(field) => (&field.attrs, &field.base),
            Expr::MethodCall(call) => (&call.attrs, &call.receiver),
            Expr::Try(tried) => (&tried.attrs, &tried.expr),
            Expr::Block(block) => return &block.attrs,
            Expr::If(branch) => return &branch.attrs,
            Expr::Macro(call) => return &call.attrs,
            Expr::Path(path) => return &path.attrs,
            _ => return &[],
        };
        if !attributes.is_empty() {
            return attributes;
        }
        expression = first;
    }
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn item_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.unraw().to_string())
}
