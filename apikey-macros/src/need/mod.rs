//! The requirement of an attribute.

mod parse;
mod tree;

pub(crate) use parse::{is_tree, need, ungroup};
pub(crate) use tree::Need;
