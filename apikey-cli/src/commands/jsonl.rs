//! Exports all keys as JSON lines, and imports them.

use std::io::{self, BufRead, BufWriter, Read, Write};
use std::path::PathBuf;

use apikey_core::admin::{Imports, RefusedEntry, Request, SecretText};
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::import::await_input;
use crate::context::Context;
use crate::failure::{Failure, in_options};
use crate::output;
use crate::output::delivery::Delivery;
use crate::output::findings::{ReportArg, noted};
use crate::output::progress::Progress;
use crate::store::backend::Backend;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Include the digests of secrets: imported keys keep working, and the lines are as sensitive as the store
    #[arg(long)]
    pub(crate) digests: bool,
    /// Write to this new file (0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportLinesArgs {
    /// Create the store if there is none
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) make: bool,
    /// Report what would be imported, and import nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) report: ReportArg,
}

/// The most bytes of a line, and of the lines of a batch: as JSON inside JSON they may grow to six times that.
const MAX_BYTES: usize = 128 * 1024;
/// How many lines one change imports.
const BATCH: usize = 1000;

pub(crate) fn export(context: &Context, export: &ExportArgs) -> Result<(), Failure> {
    if context.json && export.out.is_none() {
        return Err(Failure::usage("--json prints one document, so the lines need a file: give --out FILE"));
    }
    context.with_store(false, |store| {
        let mut delivery = Delivery::prepare(export.out.as_deref())?;
        let progress = export.out.as_ref().map(|_| Progress::new("writing"));
        let refused = |error: io::Error| match &export.out {
            Some(path) => Failure::file(path, &error),
            None => Failure::output(error),
        };
        let (mut exported, mut after) = (0, None);
        let mut writer = BufWriter::new(&mut delivery);
        loop {
            let part = store.lines(Request::Export { after, digests: export.digests })?;
            writer.write_all(part.lines.expose_secret().as_bytes()).map_err(refused)?;
            exported += part.count;
            if let Some(progress) = &progress {
                progress.at(exported);
            }
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        writer.flush().map_err(refused)?;
        drop((progress, writer));
        delivery.finish().map_err(refused)?;
        if context.json {
            return output::json(&json!({ "exported": exported, "path": export.out }));
        }
        output::note(&format!("exported {exported} keys"));
        Ok(())
    })
}

pub(crate) fn import(context: &Context, import: &ImportLinesArgs) -> Result<(), Failure> {
    let mut findings = import.report.begin()?;
    await_input()?;
    context.with_store(import.make, |store| {
        let mut report = Imports::default();
        let outcome = read_all(store, import, &mut report);
        report.refused.sort_by_key(|refused| refused.line);
        report.refused.iter().for_each(|refused| findings.add("line", refused.line, &refused.text));
        findings.save();
        outcome?;
        if context.json {
            output::json(&json!({
                "imported": report.imported,
                "dry_run": import.dry_run,
                "awaiting_rotation": report.awaiting_rotation,
                "refused": report.refused,
            }))?;
            findings.show(|_| Ok(()))?;
        } else {
            findings.show(noted)?;
            let done = if import.dry_run { "would be imported" } else { "imported" };
            output::text(&format!("{done}: {} keys; refused: {} lines", report.imported, report.refused.len()))?;
            if !report.awaiting_rotation.is_empty() {
                let waiting = report.awaiting_rotation.len();
                output::text(&format!("{waiting} of them have no secret: each works once it is rotated"))?;
            }
        }
        if report.refused.is_empty() { Ok(()) } else { Err(Failure::no()) }
    })
}

/// The lines of one change.
struct Batch {
    text: Zeroizing<String>,
    lines: u64,
    /// How many lines came before it.
    before: u64,
}

impl Batch {
    fn new() -> Self {
        Self { text: Self::full_size(), lines: 0, before: 0 }
    }

    /// Allocates the text at its full size, line ends of refused lines included: a string that grows leaves copies of secrets.
    fn full_size() -> Zeroizing<String> {
        Zeroizing::new(String::with_capacity(MAX_BYTES + BATCH))
    }

    fn send(&mut self, store: &mut Backend, import: &ImportLinesArgs, report: &mut Imports) -> Result<(), Failure> {
        let lines = SecretText::from(std::mem::replace(&mut self.text, Self::full_size()));
        let answer = store.imports(Request::ImportLines { lines, check_only: import.dry_run })?;
        let numbered = |refused: RefusedEntry| RefusedEntry {
            line: refused.line.saturating_add(self.before),
            text: in_options(&refused.text),
        };
        report.imported += answer.imported;
        report.awaiting_rotation.extend(answer.awaiting_rotation);
        report.refused.extend(answer.refused.into_iter().map(numbered));
        self.before += self.lines;
        self.lines = 0;
        Ok(())
    }
}

fn read_all(store: &mut Backend, import: &ImportLinesArgs, report: &mut Imports) -> Result<(), Failure> {
    let progress = Progress::new("lines read");
    let fault = |error: io::Error| Failure::input(&error);
    let mut input = io::stdin().lock();
    let mut batch = Batch::new();
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    loop {
        line.clear();
        Read::by_ref(&mut input).take(MAX_BYTES as u64 + 1).read_until(b'\n', &mut line).map_err(fault)?;
        let too_long = line.len() > MAX_BYTES;
        if too_long && !line.ends_with(b"\n") {
            input.skip_until(b'\n').map_err(fault)?;
        }
        if batch.lines > 0
            && (line.is_empty() || batch.lines == BATCH as u64 || batch.text.len() + line.len() > MAX_BYTES)
        {
            batch.send(store, import, report)?;
        }
        if line.is_empty() {
            return Ok(());
        }
        batch.lines += 1;
        let fault = match std::str::from_utf8(&line) {
            _ if too_long => Some(format!("it has more than {MAX_BYTES} bytes")),
            Ok(text) => {
                batch.text.push_str(text);
                None
            }
            Err(error) => Some(format!("it is not a key as JSON: look at column {}", error.valid_up_to() + 1)),
        };
        if let Some(text) = fault {
            // An empty line in its place keeps the numbers of the other lines.
            batch.text.push('\n');
            report.refused.push(RefusedEntry { line: batch.before + batch.lines, text });
        }
        progress.at(batch.before + batch.lines);
    }
}
