//! Parses a requirement: literals, constants, and trees of `any(..)` and `all(..)`.

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, Result, Token, parenthesized, token};

use super::tree::{MAX_LIST, Need};
use crate::errors::Errors;
use crate::list::{skip_to_comma, unseparated};
use crate::permission;

/// Whether `any(..)` or `all(..)` comes next.
pub(crate) fn is_tree(input: ParseStream<'_>) -> bool {
    let name = input.fork().call(Ident::parse_any);
    input.peek2(token::Paren) && name.is_ok_and(|name| name == "any" || name == "all")
}

/// Parses one requirement. Adds a fault in it to `errors`, and then returns "any valid key", so that the rest is still
/// checked.
///
/// An `Err` is a syntax error, after which the position in `input` is unknown.
pub(crate) fn need(input: ParseStream<'_>, errors: &mut Errors) -> Result<Need> {
    if is_tree(input) { tree(input, errors) } else { Ok(leaf(input.parse()?, errors)) }
}

fn tree(input: ParseStream<'_>, errors: &mut Errors) -> Result<Need> {
    let name = input.call(Ident::parse_any)?;
    let content;
    let paren = parenthesized!(content in input);
    let mut list = Vec::new();
    let mut faulty = false;
    while !content.is_empty() {
        match entry(&content, errors) {
            Ok(need) => list.push(need),
            Err(error) => {
                errors.add(error);
                skip_to_comma(&content);
                faulty = true;
            }
        }
        content.parse::<Option<Token![,]>>()?;
    }
    if list.is_empty() || faulty {
        if !faulty {
            errors.at(
                whole(&name, paren),
                format!("`{name}()` of nothing: list the permissions, as in `{name}(\"a:b\", \"c:d\")`"),
            );
        }
        return Ok(Need::Authenticated);
    }
    if list.len() > MAX_LIST {
        let message = format!("`{name}(..)` takes up to {MAX_LIST}: put some of them into an inner `{name}(..)`");
        errors.at(whole(&name, paren), message);
        return Ok(Need::Authenticated);
    }
    let span = name.span();
    Ok(if name == "any" { Need::Any(span, list) } else { Need::All(span, list) })
}

/// `any(..)`, for an error that underlines all of it.
fn whole(name: &Ident, paren: token::Paren) -> TokenStream {
    let mut list = Group::new(Delimiter::Parenthesis, TokenStream::new());
    list.set_span(paren.span.join());
    quote!(#name #list)
}

fn entry(content: ParseStream<'_>, errors: &mut Errors) -> Result<Need> {
    if content.peek(syn::Ident) && content.peek2(Token![=]) && !content.peek2(Token![==]) {
        return Err(content.error("only permissions stand in the list: write \"orders:read\" or a constant"));
    }
    let need = need(content, errors)?;
    unseparated(content)?;
    Ok(need)
}

fn leaf(expr: Expr, errors: &mut Errors) -> Need {
    let expr = ungroup(expr);
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => match permission::fault(&literal.value()) {
            None => return Need::Literal(literal),
            Some(fault) => errors.at(literal, fault),
        },
        Expr::Lit(other) => errors.at(
            other,
            "a permission is a string literal such as \"orders:read\", or a constant of a `permissions!` catalogue",
        ),
        Expr::Array(_) | Expr::Tuple(_) => {
            errors.at(expr, "a list does not say whether one or all of them are needed: write `any(...)` or `all(...)`")
        }
        Expr::Verbatim(_) | Expr::Assign(_) => {
            errors.at_span(expr.span(), "a permission is expected, such as \"orders:read\"")
        }
        constant => return Need::Constant(constant),
    }
    Need::Authenticated
}

/// Removes the invisible groups in which `macro_rules!` passes a fragment.
pub(crate) fn ungroup(mut expr: Expr) -> Expr {
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    expr
}
