//! Imports keys that another system issued, one a line. No message repeats the content of a line: any part of it may be
//! a key.

use std::io::{self, BufRead, IsTerminal, Read, StdinLock};

use apikey_core::admin::{Entry, EntryForm, Expires, ExternalKeys, Imports, RefusedEntry, Request, SecretText};
use apikey_core::{ImportScheme, check_grant};
use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use serde_json::json;
use zeroize::Zeroizing;

use super::key_args::part;
use crate::context::Context;
use crate::failure::{Failure, in_options};
use crate::output;
use crate::output::findings::{LINE, ReportArg, noted};
use crate::output::progress::Progress;
use crate::output::table::counted;
use crate::store::backend::Backend;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The lines hold what this issuer stored; sets the form and the scheme at once
    #[arg(long, value_enum, conflicts_with_all = ["form", "scheme"])]
    pub(crate) from: Option<Issuer>,
    /// The content of the lines: keys, or the digests that their issuer stored, in hexadecimal
    #[arg(long, value_enum, default_value_t = Form::Raw)]
    pub(crate) form: Form,
    /// The part of a key that its issuer hashed
    #[arg(long, value_enum, default_value_t = Scheme::Whole)]
    pub(crate) scheme: Scheme,
    /// The owner of the keys whose line names none
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Permissions of the keys, separated by commas
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part)]
    pub(crate) permissions: Vec<String>,
    /// The keys expire after this time, such as 90d
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    pub(crate) expires_in: Option<TimeDelta>,
    /// Import keys whose secret has fewer than 20 bytes, too
    #[arg(long)]
    pub(crate) allow_weak: bool,
    /// Report what would be imported, and import nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Pass over keys that the store has already, whatever their state, so that an import can be run again
    #[arg(long)]
    pub(crate) skip_existing: bool,
    #[command(flatten)]
    pub(crate) report: ReportArg,
}

/// An issuer of keys, which hashes them in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Issuer {
    /// SHA-256 of the part after the last `_`: its longTokenHash
    PrefixedApiKey,
    /// SHA-256 of the part after the first `|`: the column token of Laravel Sanctum's table
    Sanctum,
    /// `sha512$$` and SHA-512 of the whole key: the column hashed_key, since version 3
    #[value(name = "djangorestframework-api-key")]
    DjangoRestFramework,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Form {
    /// The keys themselves
    Raw,
    /// SHA-256, 64 digits
    Sha256,
    /// SHA-512, 128 digits
    Sha512,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Scheme {
    /// The whole key
    Whole,
    /// The part after the first `|` (Laravel Sanctum)
    AfterPipe,
    /// The part after the last `_` (prefixed-api-key)
    AfterLastUnderscore,
}

impl From<Scheme> for ImportScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Whole => Self::Whole,
            Scheme::AfterPipe => Self::AfterPipe,
            Scheme::AfterLastUnderscore => Self::AfterLastUnderscore,
        }
    }
}

/// The most bytes of a line: more than a key, an owner and a name together.
const MAX_LINE: usize = 4096;
/// The prefix by which djangorestframework-api-key names its hash, without a salt.
const DJANGO: &str = "sha512$$";
/// How many keys one change imports, and the most bytes of their lines: as JSON they may grow to six times that, and
/// the fields that all share go with them.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 128 * 1024;

pub(crate) fn import(context: &Context, import: &ImportArgs) -> Result<(), Failure> {
    for grant in &import.permissions {
        check_grant(grant).map_err(|fault| Failure::usage(format!("invalid permission {grant:?}: {fault}")))?;
    }
    let mut findings = import.report.begin()?;
    check_store_at_terminal(context)?;
    await_input("keys")?;
    let mut report = Imports::default();
    let mut lines = Lines::new(import);
    // Read before the store is opened, so that no other process waits for a person to type.
    let first = lines.batch(&mut report);
    context.with_store(false, |store| {
        let outcome = first.and_then(|batch| send_all(store, &mut lines, batch, &mut report));
        let with_comma = lines.with_comma;
        drop(lines);
        let existing = if import.skip_existing { take_existing(&mut report) } else { 0 };
        report.refused.sort_by_key(|refused| refused.line);
        report.refused.iter().for_each(|refused| findings.add(LINE, refused.line, &refused.text));
        findings.save();
        let (count, done) = (report.imported, if import.dry_run { "would be imported" } else { "imported" });
        outcome.map_err(|failure| Failure {
            text: format!("{} ({count} keys {done} before that)", failure.text),
            ..failure
        })?;
        if context.json {
            let ids = (!import.dry_run).then_some(&report.ids);
            let refused = &report.refused;
            output::json(&json!({
                "imported": count,
                "dry_run": import.dry_run,
                "ids": ids,
                "existing": existing,
                "refused": refused,
            }))?;
            findings.show(|_| Ok(()))?;
        } else {
            findings.show(noted)?;
            note_existing(&report);
            if with_comma > 0 {
                output::note(&format!(
                    "{} a comma and no tab: the comma is part of the key, and only a tab separates it from an owner",
                    if with_comma == 1 { "1 line has".to_owned() } else { format!("{with_comma} lines have") }
                ));
            }
            output::text(&summary(done, count, import.skip_existing.then_some(existing), report.refused.len()))?;
        }
        if report.refused.is_empty() { Ok(()) } else { Err(Failure::no()) }
    })
}

/// Removes from a report the lines of keys that the store has already, and returns their number.
pub(super) fn take_existing(report: &mut Imports) -> usize {
    let before = report.refused.len();
    report.refused.retain(|refused| refused.existing.is_none());
    before - report.refused.len()
}

/// Names the option for keys that the store has already.
pub(super) fn note_existing(report: &Imports) {
    if report.refused.iter().any(|refused| refused.existing.is_some()) {
        output::note("--skip-existing passes over keys that the store has already");
    }
}

/// The last line of an import.
pub(super) fn summary(done: &str, count: u64, existing: Option<usize>, refused: usize) -> String {
    let existing = existing.map(|existing| format!("; there already: {existing}")).unwrap_or_default();
    format!("{done}: {}{existing}; refused: {}", counted(count, "key"), counted(refused as u64, "line"))
}

/// Names what a person at a terminal is expected to type.
pub(super) fn note_at_terminal(what: &str) {
    if io::stdin().is_terminal() {
        output::note(&format!("reading {what}, one a line; ctrl-d on a line of its own ends it"));
    }
}

/// Waits for the first input, and refuses an empty one: a pipe whose other end failed.
pub(super) fn await_input(what: &str) -> Result<(), Failure> {
    note_at_terminal(what);
    match io::stdin().lock().fill_buf() {
        Ok([]) => Err(Failure::usage("standard input is empty: no line was read, and nothing was done")),
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::input(&error)),
    }
}

/// Opens the store and closes it again, before a person types what an import would refuse to read.
pub(super) fn check_store_at_terminal(context: &Context) -> Result<(), Failure> {
    if io::stdin().is_terminal() { context.with_store(false, |_| Ok(())) } else { Ok(()) }
}

/// The lines of standard input, in batches.
struct Lines<'i> {
    import: &'i ImportArgs,
    input: StdinLock<'static>,
    line: Zeroizing<Vec<u8>>,
    number: u64,
    /// How many keys have a comma, and neither an owner nor a name.
    with_comma: u64,
    progress: Option<Progress>,
}

impl<'i> Lines<'i> {
    fn new(import: &'i ImportArgs) -> Self {
        Self {
            import,
            input: io::stdin().lock(),
            line: Zeroizing::new(Vec::with_capacity(MAX_LINE + 1)),
            number: 0,
            with_comma: 0,
            progress: None,
        }
    }

    /// Reads the lines of one change; none at the end of the input.
    fn batch(&mut self, report: &mut Imports) -> Result<Vec<Entry>, Failure> {
        let fault = |error: io::Error| Failure::input(&error);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let line = &mut self.line;
            line.clear();
            Read::by_ref(&mut self.input).take(MAX_LINE as u64 + 1).read_until(b'\n', line).map_err(fault)?;
            if line.is_empty() {
                break;
            }
            self.number += 1;
            self.progress.iter().for_each(|progress| progress.at(self.number));
            if line.len() > MAX_LINE {
                report.refused.push(refused(self.number, format!("it has more than {MAX_LINE} bytes")));
                if !line.ends_with(b"\n") {
                    self.input.skip_until(b'\n').map_err(fault)?;
                }
            } else if !line.trim_ascii().is_empty() {
                match parse(self.number, line, self.import) {
                    Ok(entry) => {
                        self.with_comma += u64::from(line.contains(&b',') && !line.contains(&b'\t'));
                        bytes += line.len();
                        batch.push(entry);
                    }
                    Err(text) => report.refused.push(refused(self.number, text.to_owned())),
                }
            }
        }
        Ok(batch)
    }
}

/// Sends batch after batch, beginning with one that was read before the store was opened.
fn send_all(
    store: &mut Backend,
    lines: &mut Lines<'_>,
    mut batch: Vec<Entry>,
    report: &mut Imports,
) -> Result<(), Failure> {
    // Not before: its line would be in the way of notes about the opening.
    lines.progress = Some(Progress::of_input("lines read"));
    while !batch.is_empty() {
        let answer = store.imports(Request::Import(keys(lines.import, batch)))?;
        report.imported += answer.imported;
        report.ids.extend(answer.ids);
        let in_options = |refused: RefusedEntry| RefusedEntry { text: in_options(&refused.text), ..refused };
        report.refused.extend(answer.refused.into_iter().map(in_options));
        batch = lines.batch(report)?;
    }
    Ok(())
}

/// A line that this command refuses itself.
pub(super) fn refused(line: u64, text: String) -> RefusedEntry {
    RefusedEntry { line, text, existing: None }
}

fn keys(import: &ImportArgs, entries: Vec<Entry>) -> ExternalKeys {
    let (form, scheme) = match import.from {
        None => (import.form.into(), import.scheme.into()),
        Some(Issuer::PrefixedApiKey) => (EntryForm::Sha256, ImportScheme::AfterLastUnderscore),
        Some(Issuer::Sanctum) => (EntryForm::Sha256, ImportScheme::AfterPipe),
        Some(Issuer::DjangoRestFramework) => (EntryForm::Sha512, ImportScheme::Whole),
    };
    ExternalKeys {
        form,
        scheme,
        permissions: import.permissions.clone(),
        expires: import.expires_in.map_or(Expires::Never, Expires::In),
        allow_weak: import.allow_weak,
        check_only: import.dry_run,
        entries,
    }
}

fn parse(number: u64, line: &[u8], import: &ImportArgs) -> Result<Entry, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let mut parts = line.trim_end_matches(['\n', '\r']).split('\t');
    let mut key = parts.next().unwrap_or_default().trim();
    if import.from == Some(Issuer::DjangoRestFramework) {
        key = key.strip_prefix(DJANGO).ok_or(
            "it is not `sha512$$` and 128 hexadecimal digits: older versions stored slow password hashes, which cannot be \
             imported; version 3 replaces such a hash when its key is used",
        )?;
    }
    if key.starts_with("{\"") {
        return Err("it is JSON, and not a key: `apikey import-lines` reads what `apikey export` wrote");
    }
    let given = |part: Option<&str>| part.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let owner = given(parts.next()).or_else(|| import.owner.clone());
    let name = given(parts.next());
    if parts.next().is_some() {
        return Err("it has more than three parts: a key, its owner and a name are expected, separated by tabs");
    }
    let owner = owner.ok_or("it names no owner: add it after a tab, or give --owner for all")?;
    Ok(Entry { line: number, key: SecretText::new(key), owner, name })
}

impl From<Form> for EntryForm {
    fn from(form: Form) -> Self {
        match form {
            Form::Raw => Self::Raw,
            Form::Sha256 => Self::Sha256,
            Form::Sha512 => Self::Sha512,
        }
    }
}
