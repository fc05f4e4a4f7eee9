//! Extractor mode: the guard is the first parameter, so the framework extracts it before everything else.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, PatType, parse_quote_spanned};

use super::{Hygiene, Output, mixed};
use crate::function::Function;

impl Output<'_> {
    /// Adds the guard to the signature, and returns the statement that binds the key.
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
                #[allow(clippy::too_many_arguments, reason = "the guard adds a parameter")]
            });
        }
        self.bind(keys, &guard, &guard_type)
    }

    /// Binds the key to its name. Binds further names, which are errors, to a placeholder, so that they resolve.
    fn bind(&self, params: &[PatType], guard: &Ident, guard_type: &Ident) -> TokenStream {
        let mut is_bound = false;
        let mut value = |span: Span| {
            if std::mem::replace(&mut is_bound, true) {
                let private = self.facade.private(span);
                return quote_spanned!(span=> #private::absent());
            }
            let facade = self.facade.at(span);
            quote_spanned!(span=> #facade::#guard_type::into_key(#guard))
        };
        let mut binding = TokenStream::new();
        for PatType { attrs, pat, colon_token, ty } in params {
            // Keeps the written type: another crate's `VerifiedKey` is then a mismatch at the user's own tokens.
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
