//! The function under the attribute. Its body stays one token tree and is never parsed, so that completion works in a
//! half-typed body, and everything in it keeps its meaning.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Ident, LitStr, Result, Signature, Token, Visibility, token};

/// A function with a body.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    /// `default`, of unstable specialisation.
    pub(crate) defaultness: Option<Ident>,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

impl Function {
    /// Parses a function.
    ///
    /// # Errors
    /// The item is not a function, or has no body. The caller emits it unchanged beside the error.
    pub(crate) fn parse(item: TokenStream) -> Result<Self> {
        Self::parse_item.parse2(open_groups(item))
    }

    fn parse_item(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let defaultness = is_default(input).then(|| input.call(Ident::parse_any)).transpose()?;
        if !is_function(input) {
            return Err(syn::Error::new(next_span(input), "`#[require_api_key]` goes on a function or a method"));
        }
        let sig: Signature = input.parse()?;
        if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            let message = format!("`{}` has no body to protect; put it on the implementation", sig.ident);
            return Err(syn::Error::new(sig.ident.span(), message));
        }
        let body = body(input)?;
        Ok(Self { attrs, vis, defaultness, sig, body })
    }

    /// The function, with `prelude` at the top of its body.
    pub(crate) fn with_prelude(&self, prelude: TokenStream) -> TokenStream {
        let Self { attrs, vis, defaultness, sig, body } = self;
        let mut tokens = TokenStream::new();
        attrs.iter().for_each(|attr| attr.to_tokens(&mut tokens));
        vis.to_tokens(&mut tokens);
        defaultness.to_tokens(&mut tokens);
        sig.to_tokens(&mut tokens);
        let (mut inside, rest) = split_inner_attributes(body.stream());
        inside.extend(prelude);
        inside.extend(rest);
        let mut group = Group::new(Delimiter::Brace, inside);
        // The user's braces: errors about the body as a whole, such as a missing value, point there.
        group.set_span(body.span());
        group.to_tokens(&mut tokens);
        tokens
    }

    /// The function without a prelude.
    pub(crate) fn unchanged(&self) -> TokenStream {
        self.with_prelude(TokenStream::new())
    }
}

/// Removes the invisible groups around an item that a `macro_rules!` passes as `$item`.
fn open_groups(mut item: TokenStream) -> TokenStream {
    loop {
        let mut trees = item.clone().into_iter();
        match (trees.next(), trees.next()) {
            (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => item = group.stream(),
            _ => return item,
        }
    }
}

fn is_default(input: ParseStream<'_>) -> bool {
    input.fork().call(Ident::parse_any).is_ok_and(|word| word == "default")
}

/// Whether a function comes next, after `const`, `async`, `unsafe`, `extern "C"`.
fn is_function(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    while ahead.peek(Token![const])
        || ahead.peek(Token![async])
        || ahead.peek(Token![unsafe])
        || ahead.peek(Token![extern])
    {
        if ahead.call(Ident::parse_any).is_err() {
            return false;
        }
        if ahead.peek(LitStr) && ahead.parse::<LitStr>().is_err() {
            return false;
        }
    }
    ahead.peek(Token![fn])
}

/// The span of the next token, so that the error points to `struct` or `impl`, not to the attribute.
fn next_span(input: ParseStream<'_>) -> Span {
    input.fork().parse::<TokenTree>().map_or_else(|_| Span::call_site(), |tree| tree.span())
}

/// The body; a `macro_rules!` may pass it as `$body:block`.
fn body(input: ParseStream<'_>) -> Result<Group> {
    if !input.peek(token::Brace)
        && !input.fork().parse::<TokenTree>().is_ok_and(|tree| matches!(tree, TokenTree::Group(_)))
    {
        return Err(input.error("the body of the function is expected here"));
    }
    let mut tree: TokenTree = input.parse()?;
    loop {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return Ok(group),
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                let mut trees = group.stream().into_iter();
                match (trees.next(), trees.next()) {
                    (Some(inner), None) => tree = inner,
                    _ => return Err(syn::Error::new(group.span(), "the body of the function is expected here")),
                }
            }
            other => return Err(syn::Error::new(other.span(), "the body of the function is expected here")),
        }
    }
}

/// Splits the `#![..]` at the start of a body from the rest: nothing may precede them.
fn split_inner_attributes(body: TokenStream) -> (TokenStream, TokenStream) {
    let mut head = TokenStream::new();
    let mut rest: Vec<TokenTree> = body.into_iter().collect();
    loop {
        let inner = match rest.as_slice() {
            [TokenTree::Punct(hash), TokenTree::Punct(bang), TokenTree::Group(group), ..] => {
                hash.as_char() == '#' && bang.as_char() == '!' && group.delimiter() == Delimiter::Bracket
            }
            _ => false,
        };
        if !inner {
            return (head, rest.into_iter().collect());
        }
        head.extend(rest.drain(..3));
    }
}
