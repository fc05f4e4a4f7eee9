//! In-body mode: keeps the signature, and returns at the top of the function if the request is refused.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;
use syn::spanned::Spanned;

use super::{Output, mixed};
use crate::args::Tenant;
use crate::function::Function;
use crate::signature::{from_async_trait, return_span};

impl Output<'_> {
    /// The check, as statements at the top of the body.
    pub(super) fn in_body(&self, function: &Function, source: &TokenStream) -> TokenStream {
        let check = self.check(source);
        let refuse = self.refuse(function);
        let span = mixed(source.span());
        let Some(key) = &self.args.key else {
            return quote_spanned! {span=>
                if let ::core::result::Result::Err(__apikey_rejection) = #check {
                    #refuse
                }
            };
        };
        let accept = quote_spanned!(span=> ::core::result::Result::Ok(__apikey_key) => __apikey_key,);
        let span = mixed(key.span());
        quote_spanned! {span=>
            let #key = match #check {
                #accept
                ::core::result::Result::Err(__apikey_rejection) => { #refuse }
            };
        }
    }

    /// The call that returns the key or the rejection.
    fn check(&self, source: &TokenStream) -> TokenStream {
        let span = mixed(source.span());
        let private = self.facade.private(span);
        let requirement = self.requirement(self.body_hygiene());
        let optional = self.args.optional.is_some();
        let tenant = match &self.args.tenant {
            // Both is an error.
            Some((_, Tenant::Named(tenant))) if !optional => {
                let span = mixed(tenant.span());
                let tenant = borrowed(&quote::ToTokens::to_token_stream(tenant));
                // A call of its own, so that the error for another type is at the tenant.
                Some(quote_spanned!(span=> , #private::name_of_tenant(#tenant)))
            }
            _ => None,
        };
        let name = match (&self.args.store, optional, &tenant) {
            (None, false, None) => "authorize",
            (None, false, Some(_)) => "authorize_in",
            (None, true, _) => "authorize_optional",
            (Some(_), false, None) => "authorize_with",
            (Some(_), false, Some(_)) => "authorize_in_with",
            (Some(_), true, _) => "authorize_optional_with",
        };
        let name = Ident::new(name, span);
        let source = borrowed(source);
        let store = self.args.store.as_ref().map(|(_, store)| {
            let store = borrowed(&quote::ToTokens::to_token_stream(store));
            quote_spanned!(span=> , #store)
        });
        quote_spanned!(span=> #private::#name::<#requirement, _>(#source #store #tenant))
    }

    /// The statement that returns a rejection. Its type is inferred: the written one may be `Result<impl ..>`.
    fn refuse(&self, function: &Function) -> TokenStream {
        let span = mixed(return_span(&function.sig));
        let private = self.facade.private(span);
        let Some((_, on_reject)) = &self.args.on_reject else {
            return quote_spanned!(span=> return #private::reject(__apikey_rejection););
        };
        let span = mixed(on_reject.span());
        let private = self.facade.private(span);
        let value = quote_spanned!(span=> #private::reject_with(#on_reject, __apikey_rejection));
        if from_async_trait(&function.sig) {
            // The author's return type is the output of the boxed future.
            quote_spanned!(span=> return #private::boxed(#value);)
        } else {
            quote_spanned!(span=> return #value;)
        }
    }
}

/// `&(expr)`, without parentheses where they are not needed.
fn borrowed(expr: &TokenStream) -> TokenStream {
    let span = mixed(expr.span());
    let simple = expr.clone().into_iter().all(|tree| match tree {
        proc_macro2::TokenTree::Ident(word) => word != "as" && word != "move",
        proc_macro2::TokenTree::Punct(mark) => matches!(mark.as_char(), '.' | ':' | '?'),
        _ => true,
    });
    if simple { quote_spanned!(span=> &#expr) } else { quote_spanned!(span=> &(#expr)) }
}
