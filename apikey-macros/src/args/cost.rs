//! The argument `cost`.

use quote::ToTokens;
use syn::parse::ParseStream;
use syn::{Expr, ExprLit, Lit, Result};

use crate::need::ungroup;

/// The most that a request may cost. The facade has the same bound.
const MAX_COST: u32 = 1_000_000;

/// Parses what follows `cost =`.
pub(super) fn cost(input: ParseStream<'_>) -> Result<u32> {
    let expr = ungroup(input.parse()?);
    let cost = match &expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        _ => None,
    };
    cost.filter(|cost| (1..=MAX_COST).contains(cost)).ok_or_else(|| {
        let given: String = expr.to_token_stream().to_string().split_whitespace().collect();
        let allowed = "a request takes 1 to 1,000,000 uses of its key's quota, written as a number";
        syn::Error::new_spanned(&expr, format!("`cost = {given}` is not allowed: {allowed}"))
    })
}
