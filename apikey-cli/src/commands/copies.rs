//! Backup, restore, salvage.

use apikey_core::KeyStore;

use super::Context;
use crate::args::{Backup, Restore, Salvage};
use crate::failure::Failure;
use crate::out::{self, Cell};
use crate::progress::Progress;

pub(super) fn backup(context: &Context, backup: &Backup) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let progress = Progress::new("backing up");
        let report = store.backup(backup.file.clone())?;
        drop(progress);
        if context.json {
            return out::json(&report);
        }
        out::text(&out::aligned(&[
            row("backup", report.path.display().to_string()),
            row("keys", report.records.to_string()),
            row("events", report.events.to_string()),
            row("last change", report.number.to_string()),
            row("bytes", report.bytes.to_string()),
            row("SHA-256", report.digest.clone()),
        ]))
    })
}

fn row(label: &str, value: impl Into<Cell>) -> Vec<Cell> {
    vec![out::title(label), value.into()]
}

pub(super) fn restore(context: &Context, restore: &Restore) -> Result<(), Failure> {
    let mut what = apikey_core::Restore::new(&restore.file, &restore.into);
    if let Some(old) = &restore.over {
        what = what.over(old);
    }
    if let Some(pepper) = context.opening.newest_pepper()? {
        what = what.pepper(pepper);
    }
    let progress = Progress::new("restoring");
    let report = KeyStore::restore(&what)?;
    drop(progress);
    if context.json {
        return out::json(&report);
    }
    out::text(&out::aligned(&[
        row("restored into", restore.into.display().to_string()),
        row("keys", report.records.to_string()),
        row("events", report.events.to_string()),
        row("backup's change", report.number.to_string()),
        row("old store's change", report.old_number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())),
    ]))?;
    for key in &report.reapplied {
        out::text(&format!("lost again what it had lost: {} ({})", key.key, key.owner))?;
    }
    for key in &report.unknown {
        out::text(&format!("not in the backup, its owner needs a new key: {} ({})", key.key, key.owner))?;
    }
    for warning in &report.warnings {
        out::note(&format!("warning: {warning}"));
    }
    Ok(())
}

pub(super) fn salvage(context: &Context, salvage: &Salvage) -> Result<(), Failure> {
    let progress = Progress::new("searching");
    let report = KeyStore::salvage(context.opening.path()?, &salvage.into)?;
    drop(progress);
    if context.json {
        return out::json(&report);
    }
    let of = report.known_records.map_or_else(|| "unknown".to_owned(), |known| known.to_string());
    out::text(&out::aligned(&[
        row("salvaged into", salvage.into.display().to_string()),
        row("keys", format!("{} of {of}", report.records)),
        row("events", report.events.to_string()),
        row("last change found", format!("{} of {}", report.last_found, report.last_known)),
    ]))?;
    for key in &report.missing {
        out::text(&format!("lost: {key}"))?;
    }
    for key in &report.doubtful {
        out::text(&format!("doubtful, so disabled: {key}; look at it, and enable it"))?;
    }
    for (first, last) in &report.gaps {
        out::text(&format!("events {first} to {last} are lost"))?;
    }
    for fault in &report.faults {
        out::note(&format!("warning: {fault}"));
    }
    Ok(())
}
