//! Makes the same change to every key of a list. Each key is a change of its own, on disk before the next one. If one
//! fails, the command reports it and goes on with the others.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use apikey_core::admin::Request;
use apikey_core::{KeyId, KeyInfo, KeyUpdate};
use clap::{ArgGroup, Args};
use serde_json::json;

use super::confirm::{self, confirm};
use super::import::note_at_terminal;
use super::key_args::TenantArg;
use crate::commands::owner::keys::keys_of;
use crate::context::{Context, id};
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::findings::{Findings, LINE, ReportArg, noted};
use crate::output::progress::Progress;
use crate::output::table::counted;
use crate::store::backend::Backend;

/// The longest line of a list that is read.
const MAX_LINE: usize = 4096;

/// One key, or those of a list.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["id", "owner", "from"]).required(true))]
pub(crate) struct KeyOrListArgs {
    /// The key's id, or the first characters of it or of the key's token, at least 4
    pub(crate) id: Option<String>,
    /// Every key of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) tenant: TenantArg,
    #[command(flatten)]
    pub(crate) list: KeyListArgs,
}

/// The keys of a list, and the confirmation that the change is intended.
#[derive(Debug, Args)]
pub(crate) struct KeyListArgs {
    /// The keys of this file, or of standard input (`-`): one whole id a line, without empty lines and lines that begin
    /// with `#`. If a key cannot be changed, the command reports it and goes on with the others
    #[arg(long, value_name = "FILE|-")]
    pub(crate) from: Option<PathBuf>,
    /// Disable or revoke the keys of the list, or of the owner, without asking; enabling asks for nothing
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do not ask, but refuse unless these are exactly this many keys
    #[arg(long, value_name = "COUNT", conflicts_with = "yes")]
    pub(crate) count: Option<usize>,
    #[command(flatten)]
    pub(crate) report: ReportArg,
}

impl KeyListArgs {
    /// Refuses the options for several keys where there is one. clap cannot: it waives an option's requirement if the
    /// required option conflicts with one that was given.
    pub(crate) fn check_unused(&self) -> Result<(), Failure> {
        let option = match (self.yes, self.count.is_some(), self.report.is_given()) {
            (true, ..) => "--yes",
            (_, true, _) => "--count",
            (.., true) => "--report",
            _ => return Ok(()),
        };
        Err(Failure::usage(format!("{option} is for several keys, which --from or --owner names")))
    }
}

/// The change to each key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'c> {
    Enable,
    Disable,
    Revoke { reason: &'c str },
}

impl Change<'_> {
    fn verb(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Revoke { .. } => "revoke",
        }
    }

    /// The word for a changed key.
    fn done(self) -> &'static str {
        match self {
            Self::Enable => "enabled",
            Self::Disable => "disabled",
            Self::Revoke { .. } => "revoked",
        }
    }

    /// Whether it restricts keys, and so needs a confirmation.
    fn restricts(self) -> bool {
        !matches!(self, Self::Enable)
    }

    fn request(self, id: KeyId) -> Request {
        let update = |disabled| {
            let change = Box::new(KeyUpdate::new().disabled(disabled));
            Request::Update { id, change }
        };
        match self {
            Self::Enable => update(false),
            Self::Disable => update(true),
            Self::Revoke { reason } => Request::Revoke { id, reason: reason.to_owned() },
        }
    }
}

/// The keys of a list, each once, and the lines that are not an id.
#[derive(Debug, Default)]
struct Keys {
    ids: Vec<KeyId>,
    faults: Vec<(u64, String)>,
}

/// What names the keys.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'s> {
    /// A file, or `-`.
    File(&'s Path),
    /// An owner of this tenant, or of none.
    Owner(&'s str, Option<&'s str>),
}

impl Source<'_> {
    /// The store is not open while this reads, so that no other process waits for a pipe to end or a person to type.
    fn read(self, context: &Context) -> Result<Keys, Failure> {
        match self {
            Self::File(from) if from == Path::new("-") => {
                note_at_terminal("ids of keys");
                read(io::stdin().lock()).map_err(|error| Failure::input(&error))
            }
            Self::File(from) => open(from).and_then(read).map_err(|error| Failure::file(from, &error)),
            Self::Owner(owner, tenant) => context.with_store(false, |store| {
                let keys = keys_of(store, owner, tenant)?;
                let open = keys.iter().filter(|key| key.revoked().is_none());
                Ok(Keys { ids: open.map(KeyInfo::id).collect(), faults: Vec::new() })
            }),
        }
    }
}

pub(super) fn change(
    context: &Context,
    list: &KeyListArgs,
    source: Source<'_>,
    change: Change<'_>,
) -> Result<(), Failure> {
    let keys = source.read(context)?;
    confirmed(context, list, change, keys.ids.len())?;
    let mut findings = list.report.begin()?;
    keys.faults.iter().for_each(|(line, fault)| findings.add(LINE, line, fault));
    let mut count = Count::default();
    let outcome = context.with_store(false, |store| each(store, &keys.ids, change, &mut count, &mut findings));
    findings.save();
    let (changed, unchanged, done) = (count.changed, count.unchanged, change.done());
    if context.json {
        if outcome.is_ok() {
            output::json(&json!({ done: changed, "unchanged": unchanged, "refused": findings.listed() }))?;
        }
        let refused = findings.len() > 0;
        findings.show(|_| Ok(()))?;
        outcome?;
        return if refused { Err(Failure::no()) } else { Ok(()) };
    }
    let refused = findings.len();
    findings.show(noted)?;
    outcome?;
    output::text(&format!("{done}: {}; {done} before: {unchanged}; refused: {refused}", counted(changed, "key")))?;
    if refused == 0 { Ok(()) } else { Err(Failure::no()) }
}

#[derive(Debug, Default)]
struct Count {
    changed: u64,
    unchanged: u64,
}

fn each(
    store: &mut Backend,
    ids: &[KeyId],
    change: Change<'_>,
    count: &mut Count,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let progress = Progress::new("keys");
    for (at, id) in ids.iter().enumerate() {
        let outcome = store.changed(change.request(*id)).map(|of| match of.changed {
            true => count.changed += 1,
            false => count.unchanged += 1,
        });
        match outcome {
            Ok(()) => {}
            Err(failure) if matches!(failure.code, Code::NotFound | Code::Conflict) => {
                findings.add("key", id, failure.text);
            }
            // The other keys would fail the same way.
            Err(failure) => {
                for id in ids.iter().skip(at) {
                    findings.add("key", id, format!("not {}, since the command stopped before it", change.done()));
                }
                let (done, changed) = (change.done(), count.changed);
                let text = format!("{} ({changed} keys were {done} before that)", failure.text);
                return Err(Failure { text, ..failure });
            }
        }
        progress.at(u64::try_from(at).unwrap_or(u64::MAX) + 1);
    }
    Ok(())
}

/// Asks before it restricts many keys, to prevent a mistake.
fn confirmed(context: &Context, list: &KeyListArgs, change: Change<'_>, count: usize) -> Result<(), Failure> {
    let yes = list.yes || !change.restricts();
    let asked = confirm::Change { verb: change.verb(), done: change.done(), what: "keys", count, even_none: false };
    confirm(context, yes, list.count, &asked)
}

fn open(path: &Path) -> io::Result<BufReader<fs::File>> {
    fs::File::open(path).map(BufReader::new)
}

/// Reads one id a line. Errors do not repeat a line that is not an id: it may be a key.
fn read(mut input: impl BufRead) -> io::Result<Keys> {
    let mut keys = Keys::default();
    let mut seen = std::collections::HashSet::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if Read::by_ref(&mut input).take(MAX_LINE as u64).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() == MAX_LINE && !line.ends_with(b"\n") {
            input.skip_until(b'\n')?;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match id(text) {
            Ok(id) if seen.insert(id) => keys.ids.push(id),
            Ok(_) => {}
            Err(failure) => keys.faults.push((number, failure.text)),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line() {
        let one = "01931a4e-7c3b-7def-8123-456789abcdef";
        let text = format!("{one}\n\n# spare\r\n  {one}  \r\nno id\n{}\n\u{0}", "x".repeat(MAX_LINE * 3));
        let keys = read(text.as_bytes()).unwrap();
        assert_eq!(keys.ids, [id(one).unwrap()]);
        let lines: Vec<u64> = keys.faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [5, 6, 7]);
        assert!(keys.faults.iter().all(|(_, fault)| fault.contains("a UUID such as") && !fault.contains("no id")));
        assert!(read(&b"\xff\xfe\n"[..]).unwrap().ids.is_empty());
    }
}
