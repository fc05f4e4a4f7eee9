//! Generates the code of a plan.

mod extract;
mod in_body;
mod listed;
mod requirement;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::args::Args;
use crate::errors::Errors;
use crate::function::Function;
use crate::plan::{Plan, plan};
use crate::switches::Switches;

/// Expands `#[require_api_key(..)]`.
pub(crate) fn attribute(args: TokenStream, item: TokenStream, switches: Switches) -> TokenStream {
    let mut errors = Errors::default();
    let mut function = match Function::parse(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.add(error);
            return beside(errors, item);
        }
    };
    let args = Args::parse(args, &mut errors);
    let sound = errors.is_empty();
    let plan = plan(&args, &mut function, switches, &mut errors);
    let out = Output { args: &args, facade: facade(&args) };
    let mut prelude = if sound { out.catalogue_check() } else { TokenStream::new() };
    if sound && switches.inventory && matches!(plan, Plan::Extract { .. } | Plan::InBody { .. }) {
        prelude.extend(out.listed(&function));
    }
    match plan {
        Plan::Extract { keys, optional, too_many } => {
            prelude.extend(out.extract(&mut function, &keys, optional, too_many));
        }
        Plan::InBody { source } => prelude.extend(out.in_body(&function, &source)),
        Plan::Names => prelude.extend(out.names()),
        Plan::Unchanged => return beside(errors, function.unchanged()),
    }
    beside(errors, function.with_prelude(prelude))
}

/// Expands `perm!(..)`.
pub(crate) fn perm_type(requirement: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse_perm(requirement, &mut errors);
    let out = Output { args: &args, facade: facade(&args) };
    if errors.is_empty() {
        return out.requirement(Hygiene::CallSite);
    }
    // The error stands inside a type that is a requirement, so that the compiler reports only the error.
    let private = out.facade.private(Span::call_site());
    let error = errors.into_first();
    quote!(#private::PermExpr<{ #error }, 0, 0, 0>)
}

/// The errors, followed by the item, which is emitted in any case.
fn beside(errors: Errors, item: TokenStream) -> TokenStream {
    let mut tokens = errors.into_tokens();
    tokens.extend(item);
    tokens
}

/// The input of an expansion.
struct Output<'a> {
    args: &'a Args,
    facade: Facade,
}

/// The path of the facade: `::apikey`, or that of `crate = ..`.
struct Facade(Option<TokenStream>);

fn facade(args: &Args) -> Facade {
    Facade(args.facade.as_ref().map(ToTokens::to_token_stream))
}

impl Facade {
    fn at(&self, span: Span) -> TokenStream {
        self.0.clone().unwrap_or_else(|| quote_spanned!(span=> ::apikey))
    }

    /// The module of the items that only generated code names.
    fn private(&self, span: Span) -> TokenStream {
        let facade = self.at(span);
        quote_spanned!(span=> #facade::__private)
    }
}

/// How generated names resolve, and which source position they carry.
#[derive(Clone, Copy)]
enum Hygiene {
    /// As if the user had written them at the attribute. The injected parameter and its type need this: route macros
    /// derive names from their spans.
    CallSite,
    /// Hidden from the user's names, and located at one of the user's tokens, to which errors then point.
    At(Span),
}

impl Hygiene {
    fn span(self) -> Span {
        match self {
            Self::CallSite => Span::call_site(),
            Self::At(user) => mixed(user),
        }
    }

    /// For tokens that belong to the user's token at `user`.
    fn near(self, user: Span) -> Span {
        match self {
            Self::CallSite => Span::call_site().located_at(user),
            Self::At(_) => mixed(user),
        }
    }
}

fn mixed(user: Span) -> Span {
    Span::mixed_site().located_at(user)
}

impl Output<'_> {
    /// A constant whose evaluation fails if the catalogue lacks a literal.
    fn catalogue_check(&self) -> TokenStream {
        let Some(catalog) = &self.args.catalog else { return TokenStream::new() };
        let named: String = catalog.to_token_stream().to_string().split_whitespace().collect();
        let message = format!("this permission is not declared in {named}");
        let checks = self.args.need.literals().into_iter().map(|literal| {
            let span = mixed(catalog.span());
            let named = quote_spanned!(span=> <#catalog>::named);
            let span = mixed(literal.span());
            quote_spanned! {span=>
                const _: () = ::core::assert!(#named(#literal).is_some(), #message);
            }
        });
        quote!(#(#checks)*)
    }

    /// Binds the key's name to a placeholder: the function does not compile, and an unknown name would be a second
    /// error.
    fn names(&self) -> TokenStream {
        let Some(key) = &self.args.key else { return TokenStream::new() };
        let span = mixed(key.span());
        let private = self.facade.private(span);
        if self.args.optional.is_some() {
            quote_spanned!(span=> let #key = ::core::option::Option::Some(#private::absent());)
        } else {
            quote_spanned!(span=> let #key = #private::absent();)
        }
    }
}
