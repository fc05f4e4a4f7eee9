//! Extractor mode: the guard is the first parameter, so the framework extracts it before everything else.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, PatType, Type, parse_quote_spanned};

use super::{Hygiene, Output, mixed};
use crate::function::Function;
use crate::signature::{may_be_macro, plain_name};

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
        let guard = self.name_of_key(function, keys).unwrap_or_else(|| Ident::new("__require_api_key", span));
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

    /// The name of the key, as the guard's name, where another macro below sees the parameters:
    /// `#[instrument(skip(key))]` and `fields(owner = key.owner())` then find the name in the function's signature.
    fn name_of_key(&self, function: &Function, keys: &[PatType]) -> Option<Ident> {
        if !function.attrs.iter().any(may_be_macro) {
            return None;
        }
        match keys.first() {
            Some(key) => plain_name(&FnArg::Typed(key.clone())).cloned(),
            None => {
                self.args.key.clone().filter(|key| !function.sig.inputs.iter().any(|arg| plain_name(arg) == Some(key)))
            }
        }
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
            let mut value = value(mixed(ty.span()));
            if matches!(**ty, Type::Reference(_)) {
                // There is an error already, and the body expects this.
                value = quote!(&#value);
            }
            let span = mixed(pat.span());
            let keyword = quote_spanned!(span=> let);
            let equals = quote_spanned!(span=> =);
            let semicolon = quote_spanned!(span=> ;);
            let allow = self.allow_shadow(guard, span);
            binding.extend(quote!(#allow #(#attrs)* #keyword #pat #colon_token #ty #equals #value #semicolon));
        }
        if let Some(name) = &self.args.key {
            let span = mixed(name.span());
            let value = value(span);
            let allow = self.allow_shadow(guard, span);
            binding.extend(quote_spanned!(span=> #allow let #name = #value;));
        }
        binding
    }

    /// The key takes the name of its guard.
    fn allow_shadow(&self, guard: &Ident, span: Span) -> Option<TokenStream> {
        (guard != "__require_api_key").then(
            || quote_spanned!(span=> #[allow(clippy::shadow_reuse, reason = "the key takes the place of its guard")]),
        )
    }
}
