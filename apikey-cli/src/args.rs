//! The command line. `--help`, the man pages and the completions come from it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::backup::{BackupArgs, RestoreArgs, SalvageArgs};
use crate::commands::bench::BenchArgs;
use crate::commands::check::CheckArgs;
use crate::commands::create::CreateArgs;
use crate::commands::import::ImportArgs;
use crate::commands::init::InitArgs;
use crate::commands::jsonl::{ExportArgs, ImportLinesArgs};
use crate::commands::key_args::KeyArg;
use crate::commands::key_list::KeyOrListArgs;
use crate::commands::keys::{ListArgs, RevokeArgs, UpdateArgs};
use crate::commands::maintenance::{BeforeArg, ClockAction, EventsArgs};
use crate::commands::rotate::{RotateArgs, RunDueArgs};
use crate::store::store_args::StoreArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: a key that is not valid (check), a line that was refused (import,
     import-lines), a secret that was not delivered (run-due), a fault (doctor), keys or
     events that are lost or doubtful in the new store (restore, salvage), a key of a list
     that could not be changed (enable, disable, revoke)
  2  wrong arguments, or a field out of bounds
  3  there is no such key
  4  conflict: the key's state does not allow it, or the file already exists
  5  another process has the store open and cannot do this for the command
  6  there is no store, or it cannot be opened: it is damaged, newer, or not a store
  7  a file, the disk, the service, standard input or output failed

A secret is printed once, alone on standard output, or written to the file of --out. Everything else that the command
says about it goes to standard error.";

/// Creates and manages the keys of a store, also while a service has it open
#[derive(Debug, Parser)]
#[command(name = "apikey", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print one JSON document; errors are JSON, too, on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a store and its first key, if the store has never had a key
    Init(InitArgs),
    /// Create a key
    Create(CreateArgs),
    /// List keys
    List(ListArgs),
    /// Show a key
    Show(KeyArg),
    /// Give a key a new secret
    Rotate(RotateArgs),
    /// Revoke a key for good, or every key of an owner, or those of a list
    Revoke(RevokeArgs),
    /// Check whether a key is valid, and for what; reads the key from standard input or a prompt
    Check(CheckArgs),
    /// Rotate the keys whose rotation policy makes them due, and deliver the new secrets
    RunDue(RunDueArgs),
    /// Change a key's fields
    Update(UpdateArgs),
    /// Enable a disabled key, or those of a list
    Enable(KeyOrListArgs),
    /// Disable a key until it is enabled again, or those of a list
    Disable(KeyOrListArgs),
    /// Import keys issued elsewhere from standard input, one a line: KEY, KEY<tab>OWNER or KEY<tab>OWNER<tab>NAME
    Import(ImportArgs),
    /// Export all keys as JSON lines
    Export(ExportArgs),
    /// Import keys that `apikey export` wrote, from standard input
    ImportLines(ImportLinesArgs),
    /// Back the store up into one file, and check it
    Backup(BackupArgs),
    /// Create a new store from a backup
    Restore(RestoreArgs),
    /// Save the intact parts of a damaged store (--store) into a new one
    Salvage(SalvageArgs),
    /// Check the store and its events, and count its keys
    Doctor,
    /// Show events: what happened, when, and by whom
    Events(EventsArgs),
    /// Delete the records of keys that were revoked or expired before a time; their events stay
    Purge(BeforeArg),
    /// Delete the events before a time
    PurgeEvents(BeforeArg),
    /// Repair a store whose time is ahead of the clock
    Clock {
        #[command(subcommand)]
        action: ClockAction,
    },
    /// Measure verifications and creations on this machine, in a temporary store beside the given one
    Bench(BenchArgs),
    /// Print a script that completes this command in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a directory
    Man {
        /// The directory, which must exist
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}
