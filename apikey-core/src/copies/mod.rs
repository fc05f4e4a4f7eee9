//! Copies of a store: backup, restore, salvage, export and import.

pub(crate) mod archive;
pub(crate) mod assembler;
pub(crate) mod backup;
pub(crate) mod backup_report;
pub(crate) mod damaged;
pub(crate) mod evidence;
pub(crate) mod key_line;
pub(crate) mod restore;
pub(crate) mod restore_report;
pub(crate) mod salvage;
pub(crate) mod schedule;
pub(crate) mod transfer;
pub(crate) mod transfer_report;
