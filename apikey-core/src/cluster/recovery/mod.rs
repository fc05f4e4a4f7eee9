//! What a node does when its replica and the log of the cluster are out of step: the engine went back in time, or an entry
//! cannot be applied. It refuses every key meanwhile, and no other node waits for it.

pub(crate) mod history;
pub(crate) mod lost;
mod publish;
mod recover;
mod reload;
pub(crate) mod step;
