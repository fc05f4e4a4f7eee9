//! What the clocks of a machine show at one moment.

use crate::base::boot_time::BootTime;

/// A reading of both clocks of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The time since the boot.
    pub(crate) boot: BootTime,
    /// The wall clock, in milliseconds since 1970.
    pub(crate) wall: i64,
}
