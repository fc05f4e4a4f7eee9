//! The tree of a requirement.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Expr, LitStr};

/// A requirement as the user wrote it.
#[derive(Clone)]
pub(crate) enum Need {
    /// Any valid key. A malformed requirement becomes this, beside its error.
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

/// The longest `any(..)` or `all(..)`. The facade has tuples up to this length.
pub(super) const MAX_LIST: usize = 12;

impl Need {
    /// Its position in the source.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Authenticated => Span::call_site(),
            Self::Literal(literal) => literal.span(),
            Self::Constant(expr) => expr.span(),
            Self::Any(span, _) | Self::All(span, _) => *span,
        }
    }

    /// Its literals, in source order.
    pub(crate) fn literals(&self) -> Vec<&LitStr> {
        match self {
            Self::Authenticated | Self::Constant(_) => Vec::new(),
            Self::Literal(literal) => vec![literal],
            Self::Any(_, list) | Self::All(_, list) => list.iter().flat_map(Self::literals).collect(),
        }
    }
}
