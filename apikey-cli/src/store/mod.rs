//! Reaches a store: its arguments, who has it open, and who answers.

pub(crate) mod backend;
mod lock_holder;
pub(crate) mod store_args;
