//! Expands a requirement to a type, which the handler's signature names and the compiler checks.

use proc_macro2::{Literal, TokenStream};
use quote::quote_spanned;
use syn::Expr;

use super::{Hygiene, Output, mixed};
use crate::args::Tenant;
use crate::need::Need;

impl Output<'_> {
    /// The type that implements `Required` with the requirement of the attribute.
    pub(super) fn requirement(&self, hygiene: Hygiene) -> TokenStream {
        let span = hygiene.span();
        let facade = self.facade.at(span);
        let mut required = self.need(&self.args.need, hygiene);
        if let Some(cost) = self.args.cost {
            let mut cost = Literal::u32_unsuffixed(cost);
            cost.set_span(span);
            required = quote_spanned!(span=> #facade::Cost<#required, #cost>);
        }
        if matches!(self.args.tenant, Some((_, Tenant::None))) {
            required = quote_spanned!(span=> #facade::NoTenant<#required>);
        }
        required
    }

    fn need(&self, need: &Need, hygiene: Hygiene) -> TokenStream {
        let list = |name: &str, list: &[Need]| {
            let span = hygiene.span();
            let private = self.facade.private(span);
            let name = proc_macro2::Ident::new(name, span);
            let types = list.iter().map(|need| self.need(need, hygiene));
            quote_spanned!(span=> #private::#name<(#(#types,)*)>)
        };
        match need {
            Need::Authenticated => {
                let span = hygiene.span();
                let private = self.facade.private(span);
                quote_spanned!(span=> #private::Authenticated)
            }
            Need::Literal(literal) => {
                let span = hygiene.span();
                let private = self.facade.private(span);
                let text = literal.value();
                let letters = text.chars().map(|letter| {
                    let mut letter = Literal::character(letter);
                    letter.set_span(span);
                    letter
                });
                quote_spanned!(span=> #private::Perm<#(#letters),*>)
            }
            Need::Constant(expr) => self.constant(expr, hygiene),
            Need::Any(_, of) => list("Any", of),
            Need::All(_, of) => list("All", of),
        }
    }

    /// A constant's text as four numbers: on stable Rust a const parameter can be a number, but not a string.
    fn constant(&self, expr: &Expr, hygiene: Hygiene) -> TokenStream {
        let span = hygiene.near(syn::spanned::Spanned::span(expr));
        let private = self.facade.private(span);
        let chunks = (0..4_usize).map(|at| {
            let at = Literal::usize_unsuffixed(at);
            quote_spanned!(span=> { #private::chunk((#expr).as_str(), #at) })
        });
        quote_spanned!(span=> #private::PermExpr<#(#chunks),*>)
    }

    /// The position of a requirement that is expanded into a body: where the attribute has it.
    pub(super) fn body_hygiene(&self) -> Hygiene {
        Hygiene::At(mixed(self.args.need.span()))
    }
}
