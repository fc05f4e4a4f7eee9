//! Keys issued elsewhere, a line each. What a line holds is said nowhere: it may be a key, wherever it stands.

use std::io::{self, BufRead, Read};

use apikey_core::admin::{Entry, EntryForm, Expiry, ExternalKeys, Imports, RefusedEntry, Request, SecretText};
use apikey_core::{ImportScheme, check_grant};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use crate::args::{Import, Issuer};
use crate::backend::Backend;
use crate::failure::{Failure, in_options};
use crate::findings::noted;
use crate::out;
use crate::progress::Progress;

/// Longer than a key, an owner and a name can be.
const MAX_LINE: usize = 4096;
/// How djangorestframework-api-key names its hash, and that it has no salt.
const DJANGO: &str = "sha512$$";
/// How many keys are made in one change, and how many bytes their lines have at most: as JSON they may be six times that,
/// and what is the same for all is sent with them.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 128 * 1024;

pub(super) fn import(context: &Context, import: &Import) -> Result<(), Failure> {
    for grant in &import.permissions {
        check_grant(grant).map_err(|fault| Failure::usage(format!("invalid permission {grant:?}: {fault}")))?;
    }
    let mut findings = import.report.begin()?;
    await_input()?;
    context.with_store(false, |store| {
        let mut report = Imports::default();
        let taken = read_all(store, import, &mut report);
        report.refused.sort_by_key(|refused| refused.line);
        report.refused.iter().for_each(|refused| findings.add("line", refused.line, &refused.text));
        findings.save();
        let (count, done) = (report.imported, if import.dry_run { "would be imported" } else { "imported" });
        taken.map_err(|failure| Failure {
            text: format!("{} ({count} keys {done} before that)", failure.text),
            ..failure
        })?;
        if context.json {
            let ids = (!import.dry_run).then_some(&report.ids);
            let refused = &report.refused;
            out::json(&json!({ "imported": count, "dry_run": import.dry_run, "ids": ids, "refused": refused }))?;
            findings.show(|_| Ok(()))?;
        } else {
            findings.show(noted)?;
            out::text(&format!("{done}: {count} keys; refused: {} lines", report.refused.len()))?;
        }
        if report.refused.is_empty() { Ok(()) } else { Err(Failure::no()) }
    })
}

/// Waits for the first of the input, before the store is opened: nobody has to wait until a person has typed.
pub(super) fn await_input() -> Result<(), Failure> {
    io::stdin().lock().fill_buf().map(drop).map_err(|error| Failure::input(&error))
}

fn read_all(store: &mut Backend, import: &Import, report: &mut Imports) -> Result<(), Failure> {
    let progress = Progress::new("lines read");
    let mut input = io::stdin().lock();
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE + 1));
    let (mut waiting, mut bytes) = (Vec::new(), 0);
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
                    waiting.push(entry);
                }
                Err(text) => report.refused.push(RefusedEntry { line: number, text: text.to_owned() }),
            }
        }
        if waiting.len() == BATCH || bytes >= BATCH_BYTES || (at_end && !waiting.is_empty()) {
            bytes = 0;
            let taken = store.imports(Request::Import(keys(import, std::mem::take(&mut waiting))))?;
            report.imported += taken.imported;
            report.ids.extend(taken.ids);
            let told = |refused: RefusedEntry| RefusedEntry { text: in_options(&refused.text), ..refused };
            report.refused.extend(taken.refused.into_iter().map(told));
        }
        if at_end {
            return Ok(());
        }
    }
}

fn keys(import: &Import, entries: Vec<Entry>) -> ExternalKeys {
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
        expiry: import.expires_in.map(Expiry::after),
        allow_weak: import.allow_weak,
        check_only: import.dry_run,
        entries,
    }
}

fn parse(number: u64, line: &[u8], import: &Import) -> Result<Entry, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let mut parts = line.trim_end_matches(['\n', '\r']).split('\t');
    let mut key = parts.next().unwrap_or_default().trim();
    if import.from == Some(Issuer::DjangoRestFramework) {
        key = key.strip_prefix(DJANGO).ok_or(
            "it is not `sha512$$` and 128 hexadecimal digits: older versions stored slow password hashes, which nobody \
             can take over; version 3 replaces such a hash when its key is used",
        )?;
    }
    let given = |part: Option<&str>| part.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let owner = given(parts.next()).or_else(|| import.owner.clone());
    let name = given(parts.next());
    if parts.next().is_some() {
        return Err("it has more than three parts: a key, its owner and a name, with a tab between them, are expected");
    }
    let owner = owner.ok_or("it names no owner: write it after a tab, or give --owner for all")?;
    Ok(Entry { line: number, key: SecretText::new(key), owner, name })
}

impl From<crate::args::Form> for EntryForm {
    fn from(form: crate::args::Form) -> Self {
        match form {
            crate::args::Form::Raw => Self::Raw,
            crate::args::Form::Sha256 => Self::Sha256,
            crate::args::Form::Sha512 => Self::Sha512,
        }
    }
}
