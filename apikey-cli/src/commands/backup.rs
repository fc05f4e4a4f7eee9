//! Backs up, restores and salvages a store.

use std::path::PathBuf;

use apikey_core::{BackupReport, KeyStore, Restore, RestoreReport, RestoreWarning};
use chrono::Utc;
use clap::{ArgGroup, Args};

use crate::context::Context;
use crate::failure::Failure;
use crate::identity::actor;
use crate::output;
use crate::output::findings::{Findings, ReportArg};
use crate::output::progress::Progress;
use crate::output::quota_view::named;
use crate::output::table::{self, Cell};
use crate::time::both;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file: a new one, or a backup, which the new one replaces. Anything else stays, and no file is written into a
    /// store's directory
    pub(crate) file: PathBuf,
    /// Make no backup: read the one in this file whole, check it, and say what it holds. It needs no store and no
    /// pepper
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("old").args(["over", "old_is_gone"]).required(true))]
pub(crate) struct RestoreArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// The directory of the new store; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// The store that it replaces: restrictions made there since the backup apply to the new store, too. Give this, or
    /// --old-is-gone
    #[arg(long, value_name = "DIR")]
    pub(crate) over: Option<PathBuf>,
    /// There is no old store any more. A key that was revoked after the backup becomes valid again
    #[arg(long)]
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
    if backup.verify {
        let progress = Progress::new("reading");
        let report = KeyStore::verify_backup(&backup.file)?;
        drop(progress);
        if !context.json {
            output::text(&table::aligned(&[vec![table::good(true, "good")]]))?;
        }
        return print_backup(context, &report);
    }
    context.with_store(false, |store| {
        let progress = Progress::new("backing up");
        let report = store.backup(backup.file.clone())?;
        drop(progress);
        print_backup(context, &report)
    })
}

fn print_backup(context: &Context, report: &BackupReport) -> Result<(), Failure> {
    if context.json {
        return output::json(report);
    }
    output::text(&table::aligned(&[
        row("backup", report.path.display().to_string()),
        row("written", both(report.written_at, Utc::now())),
        row("records", report.records.to_string()),
        row("events", report.events.to_string()),
        row("last change", report.number.to_string()),
        row("bytes", report.bytes.to_string()),
        row("SHA-256", report.digest.clone()),
    ]))
}

fn row(label: &str, value: impl Into<Cell>) -> Vec<Cell> {
    vec![table::title(label), value.into()]
}

pub(crate) fn restore(context: &Context, restore: &RestoreArgs) -> Result<(), Failure> {
    let mut request = Restore::new(&restore.file, &restore.into).actor(actor());
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
    add_findings(&mut findings, &report);
    let of_names = report.roles.len() + report.tenants.len() + report.owners.len();
    let rows = [
        row("restored into", restore.into.display().to_string()),
        row("records", report.records.to_string()),
        row("events", report.events.to_string()),
        row("backup's change", report.number.to_string()),
        row("old store's change", report.old_number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())),
        row("reapplied", (report.reapplied.len() + of_names).to_string()),
        row("not in the backup", report.unknown.len().to_string()),
        row("warnings", report.warnings.len().to_string()),
    ];
    print(context, &report, &rows, findings)?;
    if report.is_whole() { Ok(()) } else { Err(Failure::no()) }
}

/// Adds what needs attention after a restore.
pub(super) fn add_findings(findings: &mut Findings, report: &RestoreReport) {
    let of = |owner: &str, tenant: Option<&str>| match tenant {
        None => format!("({owner})"),
        Some(tenant) => format!("({owner} of {tenant})"),
    };
    for key in &report.reapplied {
        let owner = of(&key.owner, key.tenant.as_deref());
        findings.add("reapplied", key.key, format!("restricted again, as in the old store {owner}"));
    }
    for role in &report.roles {
        findings.add("reapplied", format!("role {role}"), "grants less again, as in the old store");
    }
    for tenant in &report.tenants {
        findings.add("reapplied", format!("tenant {tenant}"), "bounded or ended again, as in the old store");
    }
    for owner in &report.owners {
        let owner = named(owner.name(), owner.tenant());
        findings.add("reapplied", format!("owner {owner}"), "has a smaller quota again, as in the old store");
    }
    for key in &report.unknown {
        let owner = of(&key.owner, key.tenant.as_deref());
        findings.add("unknown", key.key, format!("not in the backup: its owner needs a new key {owner}"));
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
}

pub(crate) fn salvage(context: &Context, salvage: &SalvageArgs) -> Result<(), Failure> {
    let mut findings = salvage.report.begin()?;
    let progress = Progress::new("searching");
    let damaged = context.store.path()?;
    let hint = "name the damaged store with --store";
    let salvage_it = || KeyStore::salvage_as(damaged, &salvage.into, actor());
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
        row("records", format!("{} of {of}", report.records)),
        row("events", report.events.to_string()),
        row("last change found", format!("{} of {}", report.last_found, report.last_known)),
        row("missing", missing(report.missing.len() as u64, report.records, known)),
        row("doubtful, so disabled", table::counted(report.doubtful.len() as u64, "key")),
        row("gaps in events", report.gaps.len().to_string()),
    ];
    print(context, &report, &rows, findings)?;
    if report.is_whole() { Ok(()) } else { Err(Failure::no()) }
}

/// The records that are lost: those of keys whose ids the events name, and those that only the count of the old store tells
/// of.
fn missing(named: u64, saved: u64, known: Option<u64>) -> String {
    let lost = known.map_or(named, |known| known.saturating_sub(saved).max(named));
    let of_them =
        if lost > named { format!("; the ids of {} are known", table::counted(named, "key")) } else { String::new() };
    let at_least = if known.is_none() { "at least " } else { "" };
    format!("{at_least}{}{of_them}", table::counted(lost, "record"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_and_missing_records_add_up() {
        assert_eq!(missing(0, 5, Some(5)), "0 records");
        assert_eq!(missing(1, 4, Some(5)), "1 record");
        assert_eq!(missing(1, 2, Some(5)), "3 records; the ids of 1 key are known");
        assert_eq!(missing(2, 2, None), "at least 2 records");
        // An earlier copy of a key that the store had deleted may have been found.
        assert_eq!(missing(1, 6, Some(5)), "1 record");
    }
}
