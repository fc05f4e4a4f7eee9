//! The entry of a guarded function in the program's list, `Guarded::all`.

use proc_macro2::{Ident, Literal, TokenStream, TokenTree};
use quote::quote_spanned;
use syn::GenericParam;

use super::{Output, mixed};
use crate::args::Tenant;
use crate::function::Function;
use crate::need::Need;

impl Output<'_> {
    /// An item in the body: a place that modules, `impl` blocks and generic functions all allow.
    pub(super) fn listed(&self, function: &Function) -> TokenStream {
        let span = mixed(function.sig.ident.span());
        let private = self.facade.private(span);
        let mut name = Literal::string(&syn::ext::IdentExt::unraw(&function.sig.ident).to_string());
        name.set_span(span);
        let need = self.value(&self.args.need);
        // An item cannot name the `Self` around it, so the list has the function without its requirement. The same
        // holds for a generic parameter, which is already an error.
        let mut outer = vec!["Self".to_owned()];
        outer.extend(function.sig.generics.params.iter().filter_map(parameter));
        let need = if names(need.clone(), &outer) {
            quote_spanned!(span=> ::core::option::Option::None)
        } else {
            quote_spanned!(span=> ::core::option::Option::Some(#need))
        };
        let optional = self.args.optional.is_some();
        let tenant = match self.args.tenant {
            None => "Any",
            Some((_, Tenant::None)) => "None",
            Some((_, Tenant::Named(_))) => "Named",
        };
        let tenant = Ident::new(tenant, span);
        let mut cost = Literal::u32_unsuffixed(self.args.cost.unwrap_or(1));
        cost.set_span(span);
        let facade = self.facade.at(span);
        quote_spanned! {span=>
            #private::submit! {
                #private::guarded(::core::module_path!(), #name, ::core::line!(), #need, #optional, #facade::GuardedTenant::#tenant, #cost)
            }
        }
    }

    /// The requirement as a value. Unchecked: the guard's type checks it, and a second check would report each error
    /// twice.
    fn value(&self, need: &Need) -> TokenStream {
        let span = mixed(need.span());
        let facade = self.facade.at(span);
        let list = |name: &str, of: &[Need]| {
            let name = Ident::new(name, span);
            let of = of.iter().map(|need| self.value(need));
            quote_spanned!(span=> const { &#facade::Need::#name(&[#(#of),*]) })
        };
        match need {
            Need::Authenticated => quote_spanned!(span=> const { &#facade::Need::Authenticated }),
            Need::Literal(literal) => quote_spanned!(span=> const { &#facade::Need::Permission(#literal) }),
            Need::Constant(expr) => quote_spanned!(span=> const { &#facade::Need::Permission((#expr).as_str()) }),
            Need::Any(_, of) => list("Any", of),
            Need::All(_, of) => list("All", of),
        }
    }
}

/// The name of a generic parameter that an expression can use.
fn parameter(param: &GenericParam) -> Option<String> {
    match param {
        GenericParam::Type(param) => Some(param.ident.to_string()),
        GenericParam::Const(param) => Some(param.ident.to_string()),
        GenericParam::Lifetime(_) => None,
    }
}

fn names(tokens: TokenStream, outer: &[String]) -> bool {
    tokens.into_iter().any(|tree| match tree {
        TokenTree::Ident(word) => outer.iter().any(|name| word == name),
        TokenTree::Group(group) => names(group.stream(), outer),
        _ => false,
    })
}
