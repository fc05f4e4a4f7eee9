//! Backup, restore, salvage.

use apikey_core::{KeyStore, RestoreWarning};

use super::Context;
use crate::args::{Backup, Restore, Salvage};
use crate::failure::Failure;
use crate::findings::Findings;
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
    let mut findings = restore.report.begin()?;
    let progress = Progress::new("restoring");
    let named = "--over names the old store, or --old-is-gone says that there is none any more";
    let report = context.opening.alone(!context.json, named, || KeyStore::restore(&what))?;
    drop(progress);
    for key in &report.reapplied {
        findings.add("reapplied", key.key, format!("lost again what it had lost ({})", key.owner));
    }
    for key in &report.unknown {
        findings.add("unknown", key.key, format!("not in the backup, its owner needs a new key ({})", key.owner));
    }
    for warning in &report.warnings {
        match warning {
            RestoreWarning::Unread { key } => findings.add("unread", key, warning.to_string()),
            RestoreWarning::NewerSecret { key, .. } => findings.add("newer_secret", key, warning.to_string()),
            RestoreWarning::Ahead(_) => findings.add_general("ahead", warning.to_string()),
            RestoreWarning::NotWhole { .. } => findings.add_general("not_whole", warning.to_string()),
            _ => findings.add_general("warning", warning.to_string()),
        }
    }
    let rows = [
        row("restored into", restore.into.display().to_string()),
        row("keys", report.records.to_string()),
        row("events", report.events.to_string()),
        row("backup's change", report.number.to_string()),
        row("old store's change", report.old_number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())),
        row("reapplied", report.reapplied.len().to_string()),
        row("not in the backup", report.unknown.len().to_string()),
        row("warnings", report.warnings.len().to_string()),
    ];
    tell(context, &report, &rows, findings)?;
    if report.is_whole() { Ok(()) } else { Err(Failure::no()) }
}

pub(super) fn salvage(context: &Context, salvage: &Salvage) -> Result<(), Failure> {
    let mut findings = salvage.report.begin()?;
    let progress = Progress::new("searching");
    let damaged = context.opening.path()?;
    let named = "--store names the damaged store";
    let report = context.opening.alone(!context.json, named, || KeyStore::salvage(damaged, &salvage.into))?;
    drop(progress);
    for key in &report.missing {
        findings.add("missing", key, "it was there, and its record is lost");
    }
    for key in &report.doubtful {
        findings.add("doubtful", key, "it may be in an earlier state, so it is disabled; look at it, and enable it");
    }
    for (first, last) in &report.gaps {
        findings.add(
            "gap",
            format!("{first}-{last}"),
            "events that are lost; any key may have been revoked by one of them",
        );
    }
    for fault in &report.faults {
        findings.add_general("fault", fault);
    }
    let known = report.known_records;
    let of = known.map_or_else(|| "unknown".to_owned(), |known| known.to_string());
    let rows = [
        row("salvaged into", salvage.into.display().to_string()),
        row("keys", format!("{} of {of}", report.records)),
        row("events", report.events.to_string()),
        row("last change found", format!("{} of {}", report.last_found, report.last_known)),
        row("missing", format!("{} keys", report.missing.len())),
        row("doubtful, so disabled", format!("{} keys", report.doubtful.len())),
        row("gaps in events", report.gaps.len().to_string()),
    ];
    tell(context, &report, &rows, findings)?;
    if report.is_whole() { Ok(()) } else { Err(Failure::no()) }
}

/// The new store is there: that is said before what failed besides.
fn tell(
    context: &Context,
    report: &impl serde::Serialize,
    rows: &[Vec<Cell>],
    mut findings: Findings,
) -> Result<(), Failure> {
    findings.save();
    if context.json {
        out::json(report)?;
        return findings.show(|_| Ok(()));
    }
    out::text(&out::aligned(rows))?;
    findings.show(out::text)
}
