//! The rules by which a node may serve, and by which a change holds everywhere, as steps without threads, clocks or I/O.

pub(crate) mod barrier;
pub(crate) mod chain;
pub(crate) mod confirmation;
pub(crate) mod intervals;
pub(crate) mod log_tally;
pub(crate) mod membership;
pub(crate) mod reading;
pub(crate) mod removal;
pub(crate) mod safeguards;
