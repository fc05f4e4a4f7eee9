//! Imports keys issued elsewhere, one a line. No message repeats the content of a line: any part of it may be a key.

use std::io::{self, BufRead, Read};

use apikey_core::admin::{Entry, EntryForm, Expires, ExternalKeys, Imports, RefusedEntry, Request, SecretText};
use apikey_core::{ImportScheme, check_grant};
use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use serde_json::json;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::failure::{Failure, in_options};
use crate::output;
use crate::output::findings::{ReportArg, noted};
use crate::output::progress::Progress;
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
    /// A permission of the keys; repeat it for more
    #[arg(long = "permission", value_name = "PERMISSION")]
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

/// Longer than a key, an owner and a name together.
const MAX_LINE: usize = 4096;
/// The prefix by which djangorestframework-api-key names its hash, without a salt.
const DJANGO: &str = "sha512$$";
/// How many keys one change imports, and the most bytes of their lines: as JSON they may grow to six times that, and the
/// fields that all share go with them.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 128 * 1024;

pub(crate) fn import(context: &Context, import: &ImportArgs) -> Result<(), Failure> {
    for grant in &import.permissions {
        check_grant(grant).map_err(|fault| Failure::usage(format!("invalid permission {grant:?}: {fault}")))?;
    }
    let mut findings = import.report.begin()?;
    await_input()?;
    context.with_store(false, |store| {
        let mut report = Imports::default();
        let outcome = read_all(store, import, &mut report);
        report.refused.sort_by_key(|refused| refused.line);
        report.refused.iter().for_each(|refused| findings.add("line", refused.line, &refused.text));
        findings.save();
        let (count, done) = (report.imported, if import.dry_run { "would be imported" } else { "imported" });
        outcome.map_err(|failure| Failure {
            text: format!("{} ({count} keys {done} before that)", failure.text),
            ..failure
        })?;
        if context.json {
            let ids = (!import.dry_run).then_some(&report.ids);
            let refused = &report.refused;
            output::json(&json!({ "imported": count, "dry_run": import.dry_run, "ids": ids, "refused": refused }))?;
            findings.show(|_| Ok(()))?;
        } else {
            findings.show(noted)?;
            output::text(&format!("{done}: {count} keys; refused: {} lines", report.refused.len()))?;
        }
        if report.refused.is_empty() { Ok(()) } else { Err(Failure::no()) }
    })
}

/// Waits for the first input before the store is opened, so that no other process waits for a person to type.
pub(super) fn await_input() -> Result<(), Failure> {
    io::stdin().lock().fill_buf().map(drop).map_err(|error| Failure::input(&error))
}

fn read_all(store: &mut Backend, import: &ImportArgs, report: &mut Imports) -> Result<(), Failure> {
    let progress = Progress::new("lines read");
    let mut input = io::stdin().lock();
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE + 1));
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut number = 0;
    loop {
        line.clear();
        let fault = |error: io::Error| Failure::input(&error);
        Read::by_ref(&mut input).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line).map_err(fault)?;
        let at_end = line.is_empty();
        number += 1;
        progress.at(number);
        if line.len() > MAX_LINE {
            report.refused.push(RefusedEntry { line: number, text: format!("it has more than {MAX_LINE} bytes") });
            if !line.ends_with(b"\n") {
                input.skip_until(b'\n').map_err(fault)?;
            }
        } else if !line.trim_ascii().is_empty() {
            match parse(number, &line, import) {
                Ok(entry) => {
                    bytes += line.len();
                    batch.push(entry);
                }
                Err(text) => report.refused.push(RefusedEntry { line: number, text: text.to_owned() }),
            }
        }
        if batch.len() == BATCH || bytes >= BATCH_BYTES || (at_end && !batch.is_empty()) {
            bytes = 0;
            let answer = store.imports(Request::Import(keys(import, std::mem::take(&mut batch))))?;
            report.imported += answer.imported;
            report.ids.extend(answer.ids);
            let in_options = |refused: RefusedEntry| RefusedEntry { text: in_options(&refused.text), ..refused };
            report.refused.extend(answer.refused.into_iter().map(in_options));
        }
        if at_end {
            return Ok(());
        }
    }
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
