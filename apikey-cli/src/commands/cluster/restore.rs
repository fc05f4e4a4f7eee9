//! Replaces the keys of a cluster by those of a backup.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use apikey_core::cluster::ClusterStatus;
use apikey_core::{BackupReport, KeyStore, Restore};
use chrono::Utc;
use clap::Args;
use serde_json::json;

use super::engine::EngineArgs;
use super::staleness::staleness;
use crate::commands::backup::add_findings;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::identity::actor;
use crate::output;
use crate::output::findings::ReportArg;
use crate::output::progress::Progress;
use crate::output::table::{self, Cell, counted};
use crate::time::both;

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup, which `apikey backup` or a service of any node wrote
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not read what the cluster holds now, because it cannot be read. A key that was revoked after the backup becomes
    /// valid again
    #[arg(long)]
    old_is_gone: bool,
    /// How old a replica may be from now on that still serves, 5s to 1h; as before if it is not given
    #[arg(long, value_name = "SPAN", value_parser = staleness)]
    max_staleness: Option<Duration>,
    #[command(flatten)]
    report: ReportArg,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(super) fn restore(context: &Context, restore: &RestoreArgs) -> Result<(), Failure> {
    restore.engine.warn_of_password();
    let mut cluster = restore.engine.cluster()?;
    if let Some(bound) = restore.max_staleness {
        cluster = cluster.max_staleness(bound);
    }
    let engine = cluster.engine();
    let mut findings = restore.report.begin()?;
    let backup = KeyStore::verify_backup(&restore.file)?;
    let now = restore.engine.status()?.ok_or_else(|| {
        Failure::new(
            Code::Unusable,
            format!(
                "{engine} has no cluster whose keys could be replaced: check --namespace; or restore the backup into a store \
                 (`apikey restore`), and make a cluster of that (`apikey cluster found`)"
            ),
        )
    })?;
    output::error(&losses(restore, &backup, &now, &engine));
    confirm(context, restore.yes)?;

    let progress = Progress::new("restoring");
    let directory = tempfile::Builder::new().prefix("apikey-restore-").tempdir();
    let directory =
        directory.map_err(|error| Failure::new(Code::Refused, format!("a temporary directory: {error}")))?;
    let (old, new) = (directory.path().join("old.db"), directory.path().join("new.db"));
    let mut request = Restore::new(&restore.file, &new).actor(actor());
    if let Some(pepper) = context.store.newest_pepper()? {
        request = request.pepper(pepper);
    }
    if !restore.old_is_gone {
        // A replica, which has every restriction that was made since.
        let replica =
            context.store.builder()?.cluster(restore.engine.cluster()?.open_while_replaced()).open(&old).map_err(
                |error| {
                    let Failure { code, text, .. } = error.into();
                    let advice = "if the cluster cannot be read any more, --old-is-gone goes on without it";
                    Failure::new(code, format!("{text}\n{advice}"))
                },
            )?;
        replica.close()?;
        request = request.over(&old);
    }
    let report = KeyStore::restore(&request)?;
    let keys = context.store.builder()?.cluster(cluster).replace_cluster(&new)?;
    drop(progress);
    add_findings(&mut findings, &report);
    let generation = restore.engine.status()?.map(|status| status.generation);
    findings.save();
    if context.json {
        output::json(&json!({ "engine": engine, "keys": keys, "generation": generation, "restored": report }))?;
        return findings.show(|_| Ok(()));
    }
    let row = |label: &str, value: String| -> Vec<Cell> { vec![table::title(label), value.into()] };
    output::text(&table::aligned(&[
        row("restored into", engine),
        row("keys", keys.to_string()),
        row("backup's change", report.number.to_string()),
        row("cluster's change", now.head.to_string()),
        row("reapplied", report.reapplied.len().to_string()),
        row("not in the backup", report.unknown.len().to_string()),
        row("warnings", report.warnings.len().to_string()),
    ]))?;
    findings.show(output::text)?;
    output::note(
        "every node refuses all keys until its service is started again: restart them all, then `apikey cluster status`",
    );
    if report.is_whole() { Ok(()) } else { Err(Failure::no()) }
}

/// What is lost, for who confirms.
fn losses(restore: &RestoreArgs, backup: &BackupReport, now: &ClusterStatus, engine: &str) -> String {
    let since = match now.head.checked_sub(backup.number) {
        Some(events) => format!(
            "{} after it are lost: keys made since are gone, and secrets rotated since are the former ones again",
            counted(events, "event")
        ),
        None => "the log ends before it".to_owned(),
    };
    let revoked = if restore.old_is_gone {
        "KEYS THAT WERE REVOKED SINCE BECOME VALID AGAIN (--old-is-gone)"
    } else {
        "What was revoked, disabled or narrowed since stays so"
    };
    format!(
        "this replaces all keys of the cluster in {engine}.\nThe backup is of {}, at event {}, and the log is at event {}; {since}. \
         {revoked}.\nEach of its nodes, {} now, refuses every key within {} s, until its service is started again. That works once this \
         command has ended, which takes {} s and more: so long a node that is cut off may serve the former keys. If it is \
         interrupted, run it again.",
        both(backup.written_at, Utc::now()),
        backup.number,
        now.head,
        now.nodes.len(),
        now.max_staleness.as_secs().div_ceil(10).min(5),
        now.max_staleness.as_secs(),
    )
}

fn confirm(context: &Context, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if context.json || !io::stdin().is_terminal() {
        return Err(Failure::usage("nothing was changed: give --yes to replace the keys"));
    }
    output::error("Type `restore` to go on:");
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).map_err(|error| Failure::input(&error))?;
    if typed.trim() == "restore" { Ok(()) } else { Err(Failure::usage("nothing was changed")) }
}
