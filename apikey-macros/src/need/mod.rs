//! What the attribute asks of a key.

mod parse;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Expr, LitStr};

pub(crate) use parse::{is_tree, need};

/// The requirement as written.
#[derive(Clone)]
pub(crate) enum Need {
    /// Any valid key; also what an invalid requirement becomes, beside its error.
    Authenticated,
    /// `"orders:read"`, well formed.
    Literal(LitStr),
    /// A constant expression with `const fn as_str(self)`.
    Constant(Expr),
    /// `any(..)`
    Any(Span, Vec<Need>),
    /// `all(..)`
    All(Span, Vec<Need>),
}

/// The longest `any(..)` or `all(..)`: the facade has tuples up to this length.
pub(crate) const MAX_LIST: usize = 12;

impl Need {
    /// Where it is written.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Authenticated => Span::call_site(),
            Self::Literal(literal) => literal.span(),
            Self::Constant(expr) => expr.span(),
            Self::Any(span, _) | Self::All(span, _) => *span,
        }
    }

    /// Every literal in it, in the order written.
    pub(crate) fn literals(&self) -> Vec<&LitStr> {
        match self {
            Self::Authenticated | Self::Constant(_) => Vec::new(),
            Self::Literal(literal) => vec![literal],
            Self::Any(_, list) | Self::All(_, list) => list.iter().flat_map(Self::literals).collect(),
        }
    }
}
