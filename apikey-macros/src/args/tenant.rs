//! The argument `tenant`.

use syn::parse::ParseStream;
use syn::{Expr, ExprLit, Ident, Lit, Result, Token};

use crate::need::ungroup;

/// Keys of which tenant pass.
pub(crate) enum Tenant {
    /// `tenant = none`: those of no tenant.
    None,
    /// Those of the tenant with the name that this expression is.
    Named(Expr),
}

/// Parses what follows `tenant =`.
pub(super) fn tenant(input: ParseStream<'_>) -> Result<Tenant> {
    let ahead = input.fork();
    if ahead.parse::<Ident>().is_ok_and(|word| word == "none") && (ahead.is_empty() || ahead.peek(Token![,])) {
        input.parse::<Ident>()?;
        return Ok(Tenant::None);
    }
    let expr = ungroup(input.parse()?);
    match &expr {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) if is_name(&literal.value()) => {}
        Expr::Lit(literal) => {
            let message = "a tenant's name is a text of 1 to 64 bytes, each one of `a-z 0-9 _ -`";
            return Err(syn::Error::new_spanned(literal, message));
        }
        _ => {}
    }
    Ok(Tenant::Named(expr))
}

/// Whether a store takes this text for the name of a tenant.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}
