//! Which keys a command changes.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::failure::Failure;
use crate::findings::ReportOption;

/// One key, or those of a list.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["id", "from"]).required(true))]
pub(crate) struct Chosen {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) list: KeyList,
}

/// Keys that a list names, and whether it is meant.
#[derive(Debug, Args)]
pub(crate) struct KeyList {
    /// Every key of this file, or of standard input (`-`): an id a line; empty lines, and those that begin with `#`, do not
    /// count. What cannot be done to one key is reported, and the others are changed all the same
    #[arg(long, value_name = "FILE|-")]
    pub(crate) from: Option<PathBuf>,
    /// Do not ask whether to disable or revoke the keys of the list
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do not ask, and do it only if the list has so many keys
    #[arg(long, value_name = "COUNT", conflicts_with = "yes")]
    pub(crate) count: Option<usize>,
    #[command(flatten)]
    pub(crate) report: ReportOption,
}

impl KeyList {
    /// Where no list is named, nothing is said about one. clap waives what an option requires if that excludes another one
    /// that is there.
    pub(crate) fn check_unused(&self) -> Result<(), Failure> {
        let option = match (self.yes, self.count.is_some(), self.report.is_given()) {
            (true, ..) => "--yes",
            (_, true, _) => "--count",
            (.., true) => "--report",
            _ => return Ok(()),
        };
        Err(Failure::usage(format!("{option} is for the keys of a list, which --from names")))
    }
}
