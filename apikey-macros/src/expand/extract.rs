//! Extractor mode: the guard is the first parameter, so the framework asks it before it reads anything else.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, PatType, parse_quote_spanned};

use super::{Hygiene, Output, mixed};
use crate::function::Function;

impl Output<'_> {
    /// Puts the guard into the signature; gives the statement that binds the key.
    pub(super) fn extract(
        &self,
        function: &mut Function,
        keys: &[PatType],
        optional: bool,
        too_many: bool,
    ) -> TokenStream {
        let span = Hygiene::CallSite.span();
        let guard_type = Ident::new(if optional { "OptionalApiKey" } else { "RequireApiKey" }, span);
        let guard = Ident::new("__require_api_key", span);
        let facade = self.facade.at(span);
        let requirement = self.requirement(Hygiene::CallSite);
        let param: FnArg = parse_quote_spanned!(span=> #guard: #facade::#guard_type<#requirement>);
        function.sig.inputs.insert(0, param);
        if too_many {
            function.attrs.push(parse_quote_spanned! {span=>
                #[allow(clippy::too_many_arguments, reason = "the guard is the one parameter too many")]
            });
        }
        self.bind(keys, &guard, &guard_type)
    }

    /// Binds the key to its one name. Other names, which are errors, are bound to nothing, so that they are known.
    fn bind(&self, params: &[PatType], guard: &Ident, guard_type: &Ident) -> TokenStream {
        let mut taken = false;
        let mut value = |span: Span| {
            if std::mem::replace(&mut taken, true) {
                let private = self.facade.private(span);
                return quote_spanned!(span=> #private::absent());
            }
            let facade = self.facade.at(span);
            quote_spanned!(span=> #facade::#guard_type::into_key(#guard))
        };
        let mut binding = TokenStream::new();
        for PatType { attrs, pat, colon_token, ty } in params {
            // The type stays: a foreign `VerifiedKey` is a mismatch, at the user's own words.
            let value = value(mixed(ty.span()));
            let span = mixed(pat.span());
            let keyword = quote_spanned!(span=> let);
            let equals = quote_spanned!(span=> =);
            let semicolon = quote_spanned!(span=> ;);
            binding.extend(quote!(#(#attrs)* #keyword #pat #colon_token #ty #equals #value #semicolon));
        }
        if let Some(name) = &self.args.key {
            let span = mixed(name.span());
            let value = value(span);
            binding.extend(quote_spanned!(span=> let #name = #value;));
        }
        binding
    }
}
