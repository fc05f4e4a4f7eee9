//! Keys issued elsewhere, a line each. What a line holds is said nowhere: it may be a key, wherever it stands.

use std::io::{self, BufRead, Read};

use apikey_core::{Imported, KeyId, KeyStore, NewKey, StoreError, check_grant};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Context, rehearsal_of};
use crate::args::{Form, Import};
use crate::failure::{Failure, in_options};
use crate::out;
use crate::progress::Progress;

/// Longer than a key, an owner and a name can be.
const MAX_LINE: usize = 4096;
/// How many keys are made in one change.
const BATCH: usize = 1000;

#[derive(Default)]
struct Report {
    ids: Vec<KeyId>,
    refused: Vec<(u64, String)>,
}

pub(super) fn import(context: &Context, import: Import) -> Result<(), Failure> {
    for grant in &import.permissions {
        check_grant(grant).map_err(|fault| Failure::usage(format!("invalid permission {grant:?}: {fault}")))?;
    }
    context.with_store(false, |store| {
        if import.dry_run {
            let rehearsal = rehearsal_of(context, store, None)?;
            return take_all(context, &rehearsal, &import);
        }
        take_all(context, store, &import)
    })
}

fn take_all(context: &Context, store: &KeyStore, import: &Import) -> Result<(), Failure> {
    let mut report = Report::default();
    let taken = read_all(store, import, &mut report);
    report.refused.sort_by_key(|(line, _)| *line);
    let (count, done) = (report.ids.len(), if import.dry_run { "would be imported" } else { "imported" });
    taken.map_err(|failure| Failure {
        text: format!("{} ({count} keys {done} before that)", failure.text),
        ..failure
    })?;
    if context.json {
        let refused: Vec<_> = report.refused.iter().map(|(line, text)| json!({ "line": line, "text": text })).collect();
        let ids = (!import.dry_run).then_some(&report.ids);
        out::json(&json!({ "imported": count, "dry_run": import.dry_run, "ids": ids, "refused": refused }))?;
    } else {
        for (line, text) in &report.refused {
            out::note(&format!("line {line}: {text}"));
        }
        out::text(&format!("{done}: {count} keys; refused: {} lines", report.refused.len()))?;
    }
    if report.refused.is_empty() { Ok(()) } else { Err(Failure::no()) }
}

fn read_all(store: &KeyStore, import: &Import, report: &mut Report) -> Result<(), Failure> {
    let progress = Progress::new("lines read");
    let mut input = io::stdin().lock();
    let mut line = Zeroizing::new(Vec::new());
    let mut waiting = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let fault = |error: io::Error| Failure::input(&error);
        Read::by_ref(&mut input).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line).map_err(fault)?;
        let at_end = line.is_empty();
        number += 1;
        progress.at(number);
        if line.len() > MAX_LINE {
            report.refused.push((number, format!("it has more than {MAX_LINE} bytes")));
            input.skip_until(b'\n').map_err(fault)?;
        } else if !line.trim_ascii().is_empty() {
            match parse(&line, import) {
                Ok(key) => waiting.push((number, key)),
                Err(text) => report.refused.push((number, text.to_owned())),
            }
        }
        if waiting.len() == BATCH || at_end {
            take(store, std::mem::take(&mut waiting), report)?;
        }
        if at_end {
            return Ok(());
        }
    }
}

fn parse(line: &[u8], import: &Import) -> Result<NewKey, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let mut parts = line.trim_end_matches(['\n', '\r']).split('\t');
    let key = parts.next().unwrap_or_default().trim();
    let given = |part: Option<&str>| part.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let owner = given(parts.next()).or_else(|| import.owner.clone());
    let name = given(parts.next());
    if parts.next().is_some() {
        return Err("it has more than three parts: a key, its owner and a name, with a tab between them, are expected");
    }
    let owner = owner.ok_or("it names no owner: write it after a tab, or give --owner for all")?;
    let imported = match import.form {
        Form::Raw => Imported::raw(key),
        Form::Sha256 => Imported::sha256_hex(key),
        Form::Sha512 => Imported::sha512_hex(key),
    };
    let mut new = NewKey::for_owner(owner).permissions(&import.permissions).imported(imported, import.scheme.into());
    if let Some(name) = name {
        new = new.name(name);
    }
    if let Some(span) = import.expires_in {
        new = new.expires_in(span);
    }
    Ok(if import.allow_weak { new.allow_weak() } else { new })
}

/// All in one change; or, if one of them has a fault, one by one.
fn take(store: &KeyStore, keys: Vec<(u64, NewKey)>, report: &mut Report) -> Result<(), Failure> {
    if let Ok(created) = store.create_many(keys.iter().map(|(_, key)| key.clone())) {
        report.ids.extend(created.iter().map(|created| created.info.id()));
        return Ok(());
    }
    for (line, key) in keys {
        match store.create(key) {
            Ok(created) => report.ids.push(created.info.id()),
            Err(error) => report.refused.push((line, of_line(error)?)),
        }
    }
    Ok(())
}

/// What is wrong with the line; or, if the store refuses, why it ends here.
fn of_line(error: StoreError) -> Result<String, Failure> {
    match error {
        StoreError::Invalid { field: "imported", allowed, .. } => Ok(in_options(allowed)),
        // The value is left out: parts may have been exchanged.
        StoreError::Invalid { field, allowed, .. } => Ok(format!("invalid {field}: allowed are {allowed}")),
        StoreError::Conflict(conflict) => Ok(conflict.to_string()),
        error => Err(error.into()),
    }
}
