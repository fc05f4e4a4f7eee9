//! The command line: what `--help`, the man pages and the completions are made of.

mod chosen;
mod import;

use std::net::IpAddr;
use std::path::PathBuf;

use apikey_core::admin::{LimitForm, OverlapForm, RotationForm};
use apikey_core::{EventKind, KeyState, Overlap};
use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::findings::ReportOption;
use crate::moment;
use crate::opening::Opening;

pub(crate) use chosen::{Chosen, KeyList};
pub(crate) use import::{Form, Import, ImportLines, Issuer};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: a key that is not good (check), a line that was refused (import,
     import-lines), a secret that was not delivered (run-due), a fault (doctor), keys or
     events that are lost or doubtful in the store that was made (restore, salvage), a key of
     a list that could not be changed (enable, disable, revoke)
  2  wrong arguments, or a field out of bounds
  3  there is no such key
  4  conflict: the key's state does not allow it, or a file is there already
  5  the store is in use by another process, which cannot be asked, or not for this
  6  there is no store, or it cannot be opened: damaged, newer, or no store at all
  7  a file, the disk, the service, standard input or output refused

A secret goes to standard output alone, or to the file of --out, once. Everything else about it goes to standard error.";

/// Makes and manages the keys of a store, also while a service has it open
#[derive(Debug, Parser)]
#[command(name = "apikey", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) opening: Opening,
    /// Answer with one JSON document; errors are one, too, on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a store and its first key, if no key was ever made in it
    Init(Init),
    /// Make a key
    Create(Create),
    /// List keys
    List(List),
    /// Show a key
    Show(Id),
    /// Give a key a new secret
    Rotate(Rotate),
    /// End a key for good, or all of an owner, or those of a list
    Revoke(Revoke),
    /// Tell whether a key is good, and for what; it is read from standard input, or asked for
    Check(Check),
    /// Give keys that rotate by themselves their new secrets, if they are due
    RunDue(RunDue),
    /// Change a key's fields
    Update(Update),
    /// Make a disabled key good again, or those of a list
    Enable(Chosen),
    /// Make a key refused until it is enabled again, or those of a list
    Disable(Chosen),
    /// Take over keys issued elsewhere, from standard input: one a line, as KEY, KEY<tab>OWNER or KEY<tab>OWNER<tab>NAME
    Import(Import),
    /// Write all keys as lines of JSON
    Export(Export),
    /// Read keys as `apikey export` writes them, from standard input
    ImportLines(ImportLines),
    /// Back the store up into one file, and check it
    Backup(Backup),
    /// Make a new store of a backup
    Restore(Restore),
    /// Save what is whole of a damaged store (--store) into a new one
    Salvage(Salvage),
    /// Open the store, check its events, count its keys
    Doctor,
    /// Show what happened
    Events(Events),
    /// Delete the records of keys that were revoked, or expired, before a time; their events stay
    Purge(Before),
    /// Delete events before a time, from the beginning of history on
    PurgeEvents(Before),
    /// Deal with a store whose time is ahead of its clock
    Clock {
        #[command(subcommand)]
        action: Clock,
    },
    /// Measure verifications and creations on this machine, in a temporary store beside the given one
    Bench(Bench),
    /// Print a script that completes this command in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a directory
    Man {
        /// The directory, which must be there
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Whose key it is
    #[arg(long, default_value = "admin")]
    pub(crate) owner: String,
    /// What it may do; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION", default_value = "*")]
    pub(crate) permissions: Vec<String>,
    /// Write the key to this file (0600) and not to standard output; a file that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Whose key it is: a user, or an application
    pub(crate) owner: String,
    /// What it is for
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it may do, as orders:read or orders:*; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(crate) permissions: Vec<String>,
    /// It ends after this time, as 90d
    #[arg(long, value_name = "SPAN", value_parser = moment::span, conflicts_with = "expires_at")]
    pub(crate) expires_in: Option<TimeDelta>,
    /// It ends at this time, as 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment::time)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// It is good from this time on
    #[arg(long, value_name = "TIME", value_parser = moment::time)]
    pub(crate) not_before: Option<DateTime<Utc>>,
    #[command(flatten)]
    pub(crate) rotation: RotationOptions,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    /// An entry of your own; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Write the key to this file (0600) and not to standard output; a file that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// By what policy a key rotates by itself.
#[derive(Debug, Args)]
pub(crate) struct RotationOptions {
    /// It is given a new secret so often, as 30d, by `run-due` or by a rotator in the service
    #[arg(long, value_name = "SPAN", value_parser = moment::span)]
    pub(crate) rotate_every: Option<TimeDelta>,
    /// How long its old secret then stays good: a span, or `first-use`; 24h, or half of the time between, if it is not
    /// given
    #[arg(long, value_name = "SPAN|first-use", value_parser = overlap, requires = "rotate_every")]
    pub(crate) rotate_overlap: Option<Overlap>,
}

impl RotationOptions {
    pub(crate) fn form(&self) -> Option<RotationForm> {
        let overlap = self.rotate_overlap.map(OverlapForm::from);
        self.rotate_every.map(|every| RotationForm { every_ms: every.num_milliseconds(), overlap })
    }
}

/// How often, and from where, a key may be used.
#[derive(Debug, Args)]
pub(crate) struct LimitOptions {
    /// It may be used so often in a time, as 100/1m
    #[arg(long, value_name = "COUNT/SPAN", value_parser = limit)]
    pub(crate) limit: Option<LimitForm>,
    /// It may be used from this network only, as 10.0.0.0/8; may be given several times
    #[arg(long = "network", value_name = "CIDR")]
    pub(crate) networks: Vec<String>,
}

impl LimitOptions {
    pub(crate) fn networks(self) -> Option<Vec<String>> {
        (!self.networks.is_empty()).then_some(self.networks)
    }
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Keys of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Keys that stand so now; `no_secret` are those that nobody can use until they are rotated
    #[arg(long, value_parser = PossibleValuesParser::new(KeyState::ALL.map(KeyState::name)).map(state))]
    pub(crate) state: Option<KeyState>,
    /// Keys that may do this
    #[arg(long)]
    pub(crate) permission: Option<String>,
    /// Keys with this text in owner, name, hint or metadata
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Keys that end within this time, as 14d, or have ended
    #[arg(long, value_name = "SPAN", value_parser = moment::span)]
    pub(crate) expiring_within: Option<TimeDelta>,
    /// Keys made after this one
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// At most so many keys; all if it is not given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Id {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: String,
    /// How long the old secret stays good: a span as 24h, `first-use` (until the new one is used), or `none` (leaked)
    #[arg(long, value_name = "SPAN|first-use|none", value_parser = overlap)]
    pub(crate) overlap: Overlap,
    /// Write the key to this file (0600) and not to standard output; a file that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["id", "owner", "from"]).required(true))]
pub(crate) struct Revoke {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: Option<String>,
    /// Every key of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Why; it is kept with the key
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) list: KeyList,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// What it must be allowed to do; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(crate) permissions: Vec<String>,
    /// Where it is used from: whether its networks let it in there; if it is not given, they are not asked about
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) peer: Option<IpAddr>,
    // Taken so that it can be refused without being repeated.
    #[arg(hide = true)]
    pub(crate) token: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: String,
    /// What it is for
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Take its name away
    #[arg(long, conflicts_with = "name")]
    pub(crate) no_name: bool,
    /// What it may do, in place of all that it may now; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(crate) permissions: Vec<String>,
    /// Take all its permissions away
    #[arg(long, conflicts_with = "permissions")]
    pub(crate) no_permissions: bool,
    /// It ends this long from now, as 90d
    #[arg(long, value_name = "SPAN", value_parser = moment::span, conflicts_with_all = ["expires_at", "never_expires"])]
    pub(crate) expires_in: Option<TimeDelta>,
    /// It ends at this time, as 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment::time, conflicts_with = "never_expires")]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// It has no end
    #[arg(long)]
    pub(crate) never_expires: bool,
    #[command(flatten)]
    pub(crate) rotation: RotationOptions,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    /// It may be used as often as one likes
    #[arg(long, conflicts_with = "limit")]
    pub(crate) no_limit: bool,
    /// It may be used from anywhere
    #[arg(long, conflicts_with = "networks")]
    pub(crate) any_network: bool,
    /// It rotates by itself no more
    #[arg(long, conflicts_with = "rotate_every")]
    pub(crate) no_rotation: bool,
    /// Set an entry of your own; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Take an entry away; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) without_metadata: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// With the digests of secrets: the keys go on working where they are imported, and the lines are as sensitive as
    /// the store
    #[arg(long)]
    pub(crate) digests: bool,
    /// Write to this file (0600) and not to standard output; a file that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    pub(crate) file: PathBuf,
    /// The directory of the new store, missing or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// The store that it takes the place of: what keys have lost there since the backup, they lose here, too
    #[arg(long, value_name = "DIR", required_unless_present = "old_is_gone")]
    pub(crate) over: Option<PathBuf>,
    /// There is no old store any more. A key that was revoked after the backup is good again
    #[arg(long, conflicts_with = "over")]
    pub(crate) old_is_gone: bool,
    #[command(flatten)]
    pub(crate) report: ReportOption,
}

#[derive(Debug, Args)]
pub(crate) struct Salvage {
    /// The directory of the new store, missing or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    #[command(flatten)]
    pub(crate) report: ReportOption,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Events of this key
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Events of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(EventKind::NAMES))]
    pub(crate) kind: Option<String>,
    /// From this time on, as 2027-01-31, or since a span ago, as 7d
    #[arg(long, value_name = "TIME|SPAN", value_parser = moment::past)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Before this time, or before a span ago
    #[arg(long, value_name = "TIME|SPAN", value_parser = moment::past)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Events with a higher number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// At most so many events; all if it is not given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Before {
    /// The time, as 2027-01-31, or a span ago, as 365d
    #[arg(long, value_name = "TIME|SPAN", value_parser = moment::past)]
    pub(crate) before: DateTime<Utc>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Clock {
    /// Put the store's time back to that of the clock, after events were written while the clock was wrong
    ///
    /// A store's time never goes behind its newest event. Set the clock first, and look at it: keys whose end lies between
    /// the two times are good again, unless they were revoked or deleted.
    Accept,
}

#[derive(Debug, Args)]
pub(crate) struct RunDue {
    /// New secrets go into this directory: a file for each key, named by its id, 0600
    #[arg(long, value_name = "DIR", required_unless_present = "deliver_by")]
    pub(crate) deliver_to: Option<PathBuf>,
    /// New secrets go to the standard input of this command, one call for each; APIKEY_ID, APIKEY_OWNER, APIKEY_NAME and
    /// APIKEY_VERSION are in its environment, and of the others PATH, HOME and their like. It has 30 seconds. Arguments
    /// may follow, and no more options
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, conflicts_with = "deliver_to")]
    pub(crate) deliver_by: Vec<String>,
    /// A variable that the command gets as well, from the environment of the process that has the store open: the
    /// service, where one runs; may be given several times, before --deliver-by
    #[arg(long, value_name = "NAME", conflicts_with = "deliver_to")]
    pub(crate) deliver_env: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How many keys the temporary store has
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) keys: u16,
    /// How long each of the three measurements takes
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) time: std::time::Duration,
}

fn overlap(text: &str) -> Result<Overlap, String> {
    match text {
        "none" => Ok(Overlap::None),
        "first-use" => Ok(Overlap::UntilFirstUse),
        other => moment::span(other)
            .map(Overlap::For)
            .map_err(|_| "a span such as 24h, `first-use` or `none` is expected".to_owned()),
    }
}

/// Of the names that clap lets through, each is one.
fn state(name: String) -> KeyState {
    KeyState::ALL.into_iter().find(|state| state.name() == name).unwrap_or(KeyState::Active)
}

fn limit(text: &str) -> Result<LimitForm, String> {
    let parsed = text.split_once('/').and_then(|(count, per)| {
        let per = moment::span(per).ok()?;
        Some(LimitForm { count: count.parse().ok()?, per_ms: per.num_milliseconds() })
    });
    parsed.ok_or_else(|| "a number, `/` and a span are expected, as in 100/1m".to_owned())
}

fn entry(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a name, `=` and a value are expected, as in team=blue")?;
    Ok((name.to_owned(), value.to_owned()))
}
