//! Backs up, restores and salvages a store.

use std::path::PathBuf;

use apikey_core::{Actor, KeyStore, Restore, RestoreWarning};
use clap::Args;

use crate::context::Context;
use crate::failure::Failure;
use crate::identity::caller;
use crate::output;
use crate::output::findings::{Findings, ReportArg};
use crate::output::progress::Progress;
use crate::output::table::{self, Cell};

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// The directory of the new store; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// The store that it replaces: restrictions made there since the backup apply to the new store, too
    #[arg(long, value_name = "DIR", required_unless_present = "old_is_gone")]
    pub(crate) over: Option<PathBuf>,
    /// There is no old store any more. A key that was revoked after the backup becomes valid again
    #[arg(long, conflicts_with = "over")]
    pub(crate) old_is_gone: bool,
    #[command(flatten)]
    pub(crate) report: ReportArg,
}

#[derive(Debug, Args)]
pub(crate) struct SalvageArgs {
    /// The directory of the new store; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    #[command(flatten)]
    pub(crate) report: ReportArg,
}

pub(crate) fn backup(context: &Context, backup: &BackupArgs) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let progress = Progress::new("backing up");
        let report = store.backup(backup.file.clone())?;
        drop(progress);
        if context.json {
            return output::json(&report);
        }
        output::text(&table::aligned(&[
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
    vec![table::title(label), value.into()]
}

pub(crate) fn restore(context: &Context, restore: &RestoreArgs) -> Result<(), Failure> {
    let mut request = Restore::new(&restore.file, &restore.into).actor(Actor::Uid(caller()));
    if let Some(old) = &restore.over {
        request = request.over(old);
    }
    if let Some(pepper) = context.store.newest_pepper()? {
        request = request.pepper(pepper);
    }
    let mut findings = restore.report.begin()?;
    let progress = Progress::new("restoring");
    let hint = "name the old store with --over, or give --old-is-gone if there is none";
    let report = context.store.exclusively(!context.json, hint, || KeyStore::restore(&request))?;
    drop(progress);
    for key in &report.reapplied {
        findings.add("reapplied", key.key, format!("restricted again, as in the old store ({})", key.owner));
    }
    for key in &report.unknown {
        findings.add("unknown", key.key, format!("not in the backup: its owner needs a new key ({})", key.owner));
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
    print(context, &report, &rows, findings)?;
    if report.is_whole() { Ok(()) } else { Err(Failure::no()) }
}

pub(crate) fn salvage(context: &Context, salvage: &SalvageArgs) -> Result<(), Failure> {
    let mut findings = salvage.report.begin()?;
    let progress = Progress::new("searching");
    let damaged = context.store.path()?;
    let hint = "name the damaged store with --store";
    let actor = Actor::Uid(caller());
    let salvage_it = || KeyStore::salvage_as(damaged, &salvage.into, actor.clone());
    let report = context.store.exclusively(!context.json, hint, salvage_it)?;
    drop(progress);
    for key in &report.missing {
        findings.add("missing", key, "its record is lost");
    }
    for key in &report.doubtful {
        findings.add("doubtful", key, "it may be in an earlier state, so it is disabled: check it, then enable it");
    }
    for (first, last) in &report.gaps {
        findings.add("gap", format!("{first}-{last}"), "lost events; any of them may have revoked a key");
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
    print(context, &report, &rows, findings)?;
    if report.is_whole() { Ok(()) } else { Err(Failure::no()) }
}

/// Prints the report before the findings: the new store exists, whatever else failed.
fn print(
    context: &Context,
    report: &impl serde::Serialize,
    rows: &[Vec<Cell>],
    mut findings: Findings,
) -> Result<(), Failure> {
    findings.save();
    if context.json {
        output::json(report)?;
        return findings.show(|_| Ok(()));
    }
    output::text(&table::aligned(rows))?;
    findings.show(output::text)
}
