//! The records of refused requests: counts, budgets of failed attempts, and the program's hook.

mod charge;
pub(crate) mod failed_attempts;
pub(crate) mod no_address;
pub(crate) mod refusals;
pub(crate) mod refused_attempt;
