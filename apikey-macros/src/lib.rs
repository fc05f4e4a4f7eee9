//! The attribute of the [`apikey`](https://docs.rs/apikey) crate. Use it from there: what it expands to names that
//! crate, and its documentation is there.
//!
//! The way of an attribute is parse, validate, expand. Errors are collected on the way, and a function is emitted
//! whatever they are, so that one mistake is one error.

mod args;
mod errors;
mod expand;
mod function;
mod need;
mod permission;
mod plan;
mod signature;
mod switches;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

use crate::switches::Switches;

#[allow(missing_docs, reason = "the facade documents it, and these words would stand behind its own")]
#[proc_macro_attribute]
pub fn require_api_key(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(args.into(), item.into(), Switches::of_this_build()).into()
}

#[allow(missing_docs, reason = "the facade documents it, and these words would stand behind its own")]
#[proc_macro]
pub fn perm(requirement: TokenStream) -> TokenStream {
    expand::perm_type(requirement.into()).into()
}
