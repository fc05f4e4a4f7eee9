//! What a node does beside changes and looks: it keeps house, and reserves blocks of quotas.

pub(crate) mod housekeeping;
mod peppers;
mod reservations;
mod state_outcomes;
