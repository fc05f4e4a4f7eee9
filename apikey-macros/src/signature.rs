//! Properties of a signature that the attribute needs.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Ident, Pat, PatType, Path, PathArguments, ReturnType, Signature,
    Type, TypeParamBound,
};

/// The kind of a parameter for the verified key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// `VerifiedKey`
    Key,
    /// `Option<VerifiedKey>`
    Optional,
}

/// Recognises a key parameter by the last segment of its type's path: a macro sees names, not types.
pub(crate) fn key_kind(arg: &FnArg) -> Option<KeyKind> {
    let FnArg::Typed(PatType { ty, .. }) = arg else { return None };
    let path = path_of(ty)?;
    if is_key(path) {
        return Some(KeyKind::Key);
    }
    let last = path.segments.last()?;
    let PathArguments::AngleBracketed(generics) = &last.arguments else { return None };
    match generics.args.first() {
        Some(GenericArgument::Type(inner)) if last.ident == "Option" && is_key(path_of(inner)?) => {
            Some(KeyKind::Optional)
        }
        _ => None,
    }
}

/// Whether a parameter is `&VerifiedKey`.
pub(crate) fn is_key_reference(arg: &FnArg) -> bool {
    let FnArg::Typed(PatType { ty, .. }) = arg else { return false };
    matches!(ungroup(ty), Type::Reference(reference) if path_of(&reference.elem).is_some_and(is_key))
}

fn is_key(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| last.ident == "VerifiedKey" && last.arguments.is_none())
}

fn path_of(ty: &Type) -> Option<&Path> {
    match ungroup(ty) {
        Type::Path(path) => Some(&path.path),
        _ => None,
    }
}

/// Removes parentheses, and the invisible groups in which `macro_rules!` passes a fragment.
fn ungroup(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        }
    }
}

/// The name of a parameter whose pattern is a plain name.
pub(crate) fn plain_name(arg: &FnArg) -> Option<&Ident> {
    match arg {
        FnArg::Typed(PatType { pat, .. }) => match &**pat {
            Pat::Ident(name) if name.subpat.is_none() => Some(&name.ident),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    }
}

/// How a function hides the type it returns, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// `-> impl Future<..>` of a function that is not `async`.
    Future,
    /// `-> impl Trait`
    Trait,
}

/// Whether the return type as a whole is `impl ..`.
pub(crate) fn hidden_return(sig: &Signature) -> Option<Hidden> {
    let ReturnType::Type(_, ty) = &sig.output else { return None };
    let Type::ImplTrait(hidden) = ungroup(ty) else { return None };
    let future = hidden.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == "Future"),
        _ => false,
    });
    Some(if future && sig.asyncness.is_none() { Hidden::Future } else { Hidden::Trait })
}

/// The span for errors about the returned value: the return type, or the function's name if there is none.
pub(crate) fn return_span(sig: &Signature) -> Span {
    match &sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => sig.ident.span(),
    }
}

/// Whether `#[async_trait]` has rewritten the function, which then returns a boxed future of its author's return type.
pub(crate) fn from_async_trait(sig: &Signature) -> bool {
    sig.asyncness.is_none()
        && sig.generics.params.iter().any(|param| match param {
            GenericParam::Lifetime(lifetime) => lifetime.lifetime.ident == "async_trait",
            _ => false,
        })
}

/// Whether the attribute is `#[require_api_key]`, by the last segment of its path.
pub(crate) fn is_ours(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|last| last.ident == "require_api_key")
}

/// Whether the attribute may be a macro, and not one that is built in.
pub(crate) fn may_be_macro(attr: &Attribute) -> bool {
    const BUILT_IN: [&str; 22] = [
        "allow",
        "expect",
        "warn",
        "deny",
        "forbid",
        "doc",
        "cfg",
        "cfg_attr",
        "must_use",
        "inline",
        "cold",
        "deprecated",
        "track_caller",
        "no_mangle",
        "export_name",
        "link_section",
        "target_feature",
        "test",
        "ignore",
        "should_panic",
        "automatically_derived",
        "unsafe",
    ];
    // Tool attributes, such as `#[rustfmt::skip]`, begin with the tool's name.
    const TOOLS: [&str; 5] = ["rustfmt", "clippy", "diagnostic", "miri", "rust_analyzer"];
    let path = attr.path();
    match path.get_ident() {
        Some(name) => !BUILT_IN.iter().any(|built_in| name == built_in),
        None => !path.segments.first().is_some_and(|first| TOOLS.iter().any(|tool| first.ident == tool)),
    }
}
