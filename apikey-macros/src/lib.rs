//! The attribute of the [`apikey`](https://docs.rs/apikey) crate. Use it through that crate, which documents it and to
//! which the generated code refers.
//!
//! An attribute is parsed, validated, expanded. Each step collects errors and still emits the function, so that one
//! mistake gives one error.

mod args;
mod errors;
mod expand;
mod function;
mod list;
mod need;
mod permission;
mod plan;
mod signature;
mod switches;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

use crate::switches::Switches;

#[allow(missing_docs, reason = "the facade documents it, and rustdoc would append this text to the facade's")]
#[proc_macro_attribute]
pub fn require_api_key(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(args.into(), item.into(), Switches::of_this_build()).into()
}

#[allow(missing_docs, reason = "the facade documents it, and rustdoc would append this text to the facade's")]
#[proc_macro]
pub fn perm(requirement: TokenStream) -> TokenStream {
    expand::perm_type(requirement.into()).into()
}
