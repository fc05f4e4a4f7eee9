//! What a store keeps of requests that it refuses: counts, budgets of failed attempts, the program's hook.

mod charge;
pub(crate) mod failed_attempts;
pub(crate) mod no_address;
pub(crate) mod refusals;
pub(crate) mod refused_attempt;
