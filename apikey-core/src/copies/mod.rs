//! Copies of a store: backup, restore, salvage, export and import.

pub(crate) mod archive;
mod assembler;
mod backup;
pub(crate) mod backup_report;
mod damaged;
mod destination;
mod key_line;
mod named_line;
pub(crate) mod named_lines;
mod named_transfer;
pub(crate) mod restore;
pub(crate) mod restore_report;
mod salvage;
pub(crate) mod schedule;
pub(crate) mod transfer;
pub(crate) mod transfer_report;
