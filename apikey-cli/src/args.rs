//! The command line. `--help`, the man pages and the completions come from it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::backup::{BackupArgs, RestoreArgs, SalvageArgs};
use crate::commands::bench::BenchArgs;
use crate::commands::check::CheckArgs;
use crate::commands::cluster::ClusterAction;
use crate::commands::console::ConsoleArgs;
use crate::commands::create::CreateArgs;
use crate::commands::events::show::EventsArgs;
use crate::commands::import::ImportArgs;
use crate::commands::init::InitArgs;
use crate::commands::jsonl::{ExportArgs, ImportLinesArgs};
use crate::commands::key_args::KeyArg;
use crate::commands::key_list::KeyOrListArgs;
use crate::commands::keys::{RevokeArgs, UpdateArgs};
use crate::commands::list::ListArgs;
use crate::commands::maintenance::ClockAction;
use crate::commands::owner::OwnerAction;
use crate::commands::purge::PurgeArgs;
use crate::commands::quota::QuotaArgs;
use crate::commands::refusals::RefusalsArgs;
use crate::commands::role::RoleAction;
use crate::commands::rotate::{RotateArgs, RunDueArgs};
use crate::commands::tenant::TenantAction;
use crate::commands::usage::args::UsageArgs;
use crate::examples;
use crate::store::store_args::StoreArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: a key that is not valid (check), a line that was refused (import,
     import-lines), a secret that was not delivered (run-due), a fault (doctor), keys or
     events that are lost or doubtful in the new store (restore, salvage), a key of a list
     that could not be changed (enable, disable, revoke), something to do (cluster status)
  2  wrong arguments, or a field out of bounds
  3  there is no such key, no such role, no such tenant or no such owner
  4  conflict: the key's state does not allow it, its tenant has ended, keys have the role that is
     to be deleted, or the file already exists
  5  another process has the store open and cannot do this for the command
  6  there is no store, or it (or a backup) cannot be used: it is damaged, newer, or something else
  7  a file, the disk, the service, standard input or output failed
  8  with --url: there is no such operation over HTTP

A reader that closes standard output early, as `head` does, is no error. For `export` it is one
(7), since half an export is none.

A secret is printed once, alone on standard output, or written to the file of --out. Everything
else that the command says about it goes to standard error.";

/// Creates and manages the keys of a store, also while a service has it open
#[derive(Debug, Parser)]
#[command(name = "apikey", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print one JSON document; errors are JSON, too, on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no notes on standard error; errors, findings and questions stay
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a store and its first key, if the store has never had a key
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Create a key
    #[command(after_help = examples::CREATE)]
    Create(CreateArgs),
    /// List keys
    #[command(after_help = examples::LIST)]
    List(ListArgs),
    /// Show a key
    #[command(after_help = examples::SHOW)]
    Show(KeyArg),
    /// Show what a key has left of its quota, or all keys of an owner or a tenant of theirs
    #[command(after_help = examples::QUOTA)]
    Quota(QuotaArgs),
    /// Give a key a new secret
    #[command(after_help = examples::ROTATE)]
    Rotate(RotateArgs),
    /// Revoke a key for good, or every key of an owner, or those of a list
    #[command(after_help = examples::REVOKE)]
    Revoke(RevokeArgs),
    /// Check whether a key is valid, and for what; reads the key from standard input or a prompt
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Rotate the keys whose rotation policy makes them due, and deliver the new secrets
    #[command(after_help = examples::RUN_DUE)]
    RunDue(RunDueArgs),
    /// Change a key's fields
    #[command(after_help = examples::UPDATE)]
    Update(UpdateArgs),
    /// Enable a disabled key, or those of a list
    #[command(after_help = examples::ENABLE)]
    Enable(KeyOrListArgs),
    /// Disable a key until it is enabled again, or those of a list
    #[command(after_help = examples::DISABLE)]
    Disable(KeyOrListArgs),
    /// Put, list, show and delete roles: named sets of permissions that many keys share
    #[command(after_help = examples::ROLE)]
    Role {
        #[command(subcommand)]
        action: RoleAction,
    },
    /// Put, list, show and end tenants: customers whose owners and keys are their own
    #[command(after_help = examples::TENANT)]
    Tenant {
        #[command(subcommand)]
        action: TenantAction,
    },
    /// Put, list and show owners that have bounds: a quota that all of their keys share
    #[command(after_help = examples::OWNER)]
    Owner {
        #[command(subcommand)]
        action: OwnerAction,
    },
    /// Import keys issued elsewhere from standard input, one a line: KEY, KEY<tab>OWNER or KEY<tab>OWNER<tab>NAME
    #[command(after_help = examples::IMPORT)]
    Import(ImportArgs),
    /// Export all keys as JSON lines
    #[command(after_help = examples::EXPORT)]
    Export(ExportArgs),
    /// Import keys that `apikey export` wrote, from standard input
    #[command(after_help = examples::IMPORT_LINES)]
    ImportLines(ImportLinesArgs),
    /// Back the store up into one file, and check it; or check a backup
    #[command(after_help = examples::BACKUP)]
    Backup(BackupArgs),
    /// Create a new store from a backup
    #[command(after_help = examples::RESTORE)]
    Restore(RestoreArgs),
    /// Save the intact parts of a damaged store (--store) into a new one
    #[command(after_help = examples::SALVAGE)]
    Salvage(SalvageArgs),
    /// Check the store and its events, and count its keys
    #[command(after_help = examples::DOCTOR)]
    Doctor,
    /// Show events, the newest first: what happened, when, and by whom
    #[command(after_help = examples::EVENTS)]
    Events(EventsArgs),
    /// Show which requests the running service has refused, how often, and from where
    #[command(after_help = examples::REFUSALS)]
    Refusals(RefusalsArgs),
    /// Show how often keys were used and refused: those of a key, an owner, a tenant or the store
    #[command(after_help = examples::USAGE)]
    Usage(UsageArgs),
    /// Delete the records of keys that were revoked or expired before a time; their events stay
    #[command(after_help = examples::PURGE)]
    Purge(PurgeArgs),
    /// Delete the events before a time
    #[command(after_help = examples::PURGE_EVENTS)]
    PurgeEvents(PurgeArgs),
    /// Repair a store whose time is ahead of the clock
    #[command(after_help = examples::CLOCK)]
    Clock {
        #[command(subcommand)]
        action: ClockAction,
    },
    /// Print a link that signs you in to the console of the running service, or end its sessions
    #[command(after_help = examples::CONSOLE)]
    Console(ConsoleArgs),
    /// Found, watch, restore and leave a cluster: the same keys on many machines
    #[command(after_help = examples::CLUSTER)]
    Cluster {
        #[command(subcommand)]
        action: ClusterAction,
    },
    /// Measure verifications and creations on this machine, in a temporary store beside the given one
    #[command(after_help = examples::BENCH)]
    Bench(BenchArgs),
    /// Print a script that completes this command in a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a directory
    #[command(after_help = examples::MAN)]
    Man {
        /// The directory, which must exist
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}
