//! sled's database, and workarounds for its faults.

pub(crate) mod abandoned;
pub(crate) mod damaged;
pub(crate) mod disk;
pub(crate) mod durable;
pub(crate) mod event_batch;
pub(crate) mod events;
pub(crate) mod fault;
pub(crate) mod flush;
pub(crate) mod memtable;
pub(crate) mod open;
pub(crate) mod overflow;
pub(crate) mod owner_places;
pub(crate) mod readable;
pub(crate) mod spent;
pub(crate) mod usage;
pub(crate) mod usage_tree;
pub(crate) mod uses;
