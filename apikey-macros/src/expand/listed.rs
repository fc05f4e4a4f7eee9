//! The entry of a guarded function in the list that a program can ask for.

use proc_macro2::{Literal, TokenStream, TokenTree};
use quote::quote_spanned;

use super::{Output, mixed};
use crate::function::Function;

impl Output<'_> {
    /// An item in the body: that is where one may stand in a module, in an `impl` and in a generic function alike.
    pub(super) fn listed(&self, function: &Function) -> TokenStream {
        let span = mixed(function.sig.ident.span());
        let (facade, private) = (self.facade.at(span), self.facade.private(span));
        let mut name = Literal::string(&syn::ext::IdentExt::unraw(&function.sig.ident).to_string());
        name.set_span(span);
        let requirement = self.requirement(self.body_hygiene());
        // An item cannot name the `Self` around it: the function is listed, and what it asks is not.
        let need = if names_self(requirement.clone()) {
            quote_spanned!(span=> ::core::option::Option::None)
        } else {
            quote_spanned!(span=> ::core::option::Option::Some(<#requirement as #facade::Required>::NEED))
        };
        let optional = self.args.optional.is_some();
        quote_spanned! {span=>
            #private::submit! {
                #private::guarded(::core::module_path!(), #name, ::core::line!(), #need, #optional)
            }
        }
    }
}

fn names_self(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|tree| match tree {
        TokenTree::Ident(word) => word == "Self",
        TokenTree::Group(group) => names_self(group.stream()),
        _ => false,
    })
}
