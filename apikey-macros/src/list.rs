//! Comma-separated lists: parsing after an entry, and after a mistake.

use proc_macro2::TokenTree;
use syn::parse::ParseStream;
use syn::{Result, Token};

/// Skips to the next comma, or to the end, so that the arguments after a malformed one are still parsed.
pub(crate) fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        // A non-empty stream always yields a token tree.
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

/// An error unless a comma, or the end, is next.
pub(crate) fn unseparated(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) { Ok(()) } else { Err(input.error("a comma is expected here")) }
}
