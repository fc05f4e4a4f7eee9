//! Exports all keys as JSON lines, and imports them.

use std::io::{self, BufRead, BufWriter, Read, StdinLock, Write};
use std::path::PathBuf;

use apikey_core::admin::{Imports, RefusedEntry, Request, SecretText};
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::import::{await_input, check_store_at_terminal, note_existing, refused, summary, take_existing};
use crate::context::Context;
use crate::failure::{Code, Failure, in_options};
use crate::output;
use crate::output::delivery::Delivery;
use crate::output::findings::{LINE, ReportArg, noted};
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
    /// Pass over keys that the store has already, whatever their state, so that an import can be run again
    #[arg(long)]
    pub(crate) skip_existing: bool,
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
        let failed = |error: io::Error| match &export.out {
            Some(path) => Failure::file(path, &error),
            // Unlike a list, an export is kept, so half of one is an error.
            None if error.kind() == io::ErrorKind::BrokenPipe => Failure::new(
                Code::Refused,
                "standard output was closed before all keys were written: the export is not whole",
            ),
            None => Failure::output(error),
        };
        let (mut exported, mut after) = (0, None);
        let mut writer = BufWriter::new(&mut delivery);
        loop {
            let part = store.lines(Request::Export { after, digests: export.digests })?;
            writer.write_all(part.lines.expose_secret().as_bytes()).map_err(failed)?;
            exported += part.count;
            if let Some(progress) = &progress {
                progress.at(exported);
            }
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        writer.flush().map_err(failed)?;
        drop((progress, writer));
        delivery.finish().map_err(failed)?;
        if context.json {
            return output::json(&json!({ "exported": exported, "path": export.out }));
        }
        output::note(&format!("exported {exported} keys"));
        Ok(())
    })
}

pub(crate) fn import(context: &Context, import: &ImportLinesArgs) -> Result<(), Failure> {
    let mut findings = import.report.begin()?;
    if !import.make {
        check_store_at_terminal(context)?;
    }
    await_input("lines of `apikey export`")?;
    let mut report = Imports::default();
    let mut lines = Lines::new(import);
    // Read before the store is opened, so that no other process waits for a person to type.
    let first = lines.fill(&mut report);
    context.with_store(import.make, |store| {
        let outcome = first.and_then(|has_ended| lines.send_all(store, has_ended, &mut report));
        drop(lines);
        let existing = if import.skip_existing { take_existing(&mut report) } else { 0 };
        report.refused.sort_by_key(|refused| refused.line);
        report.refused.iter().for_each(|refused| findings.add(LINE, refused.line, &refused.text));
        findings.save();
        outcome?;
        if context.json {
            output::json(&json!({
                "imported": report.imported,
                "dry_run": import.dry_run,
                "awaiting_rotation": report.awaiting_rotation,
                "existing": existing,
                "refused": report.refused,
            }))?;
            findings.show(|_| Ok(()))?;
        } else {
            findings.show(noted)?;
            note_existing(&report);
            let done = if import.dry_run { "would be imported" } else { "imported" };
            let existing = import.skip_existing.then_some(existing);
            output::text(&summary(done, report.imported, existing, report.refused.len()))?;
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
    /// The number of lines before it.
    before: u64,
}

impl Batch {
    fn new() -> Self {
        Self { text: Self::full_size(), lines: 0, before: 0 }
    }

    /// Allocates the text at its full size, line ends of refused lines included: a string that grows leaves copies of
    /// secrets.
    fn full_size() -> Zeroizing<String> {
        Zeroizing::new(String::with_capacity(MAX_BYTES + BATCH))
    }

    fn send(&mut self, store: &mut Backend, import: &ImportLinesArgs, report: &mut Imports) -> Result<(), Failure> {
        let lines = SecretText::from(std::mem::replace(&mut self.text, Self::full_size()));
        let answer = store.imports(Request::ImportLines { lines, check_only: import.dry_run })?;
        let numbered = |refused: RefusedEntry| RefusedEntry {
            line: refused.line.saturating_add(self.before),
            text: in_options(&refused.text),
            ..refused
        };
        report.imported += answer.imported;
        report.awaiting_rotation.extend(answer.awaiting_rotation);
        report.refused.extend(answer.refused.into_iter().map(numbered));
        self.before += self.lines;
        self.lines = 0;
        Ok(())
    }
}

/// The lines of standard input, in batches.
struct Lines<'i> {
    import: &'i ImportLinesArgs,
    input: StdinLock<'static>,
    batch: Batch,
    line: Zeroizing<Vec<u8>>,
    /// Whether the line has been read, and had no room in the batch before.
    is_pending: bool,
    progress: Option<Progress>,
}

impl<'i> Lines<'i> {
    fn new(import: &'i ImportLinesArgs) -> Self {
        Self {
            import,
            input: io::stdin().lock(),
            batch: Batch::new(),
            line: Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1)),
            is_pending: false,
            progress: None,
        }
    }

    /// Fills the batch; returns whether the input has ended.
    fn fill(&mut self, report: &mut Imports) -> Result<bool, Failure> {
        let fault = |error: io::Error| Failure::input(&error);
        let (batch, line) = (&mut self.batch, &mut self.line);
        loop {
            if !std::mem::take(&mut self.is_pending) {
                line.clear();
                Read::by_ref(&mut self.input).take(MAX_BYTES as u64 + 1).read_until(b'\n', line).map_err(fault)?;
                if line.len() > MAX_BYTES && !line.ends_with(b"\n") {
                    self.input.skip_until(b'\n').map_err(fault)?;
                }
            }
            if line.is_empty() {
                return Ok(true);
            }
            if batch.lines > 0 && (batch.lines == BATCH as u64 || batch.text.len() + line.len() > MAX_BYTES) {
                self.is_pending = true;
                return Ok(false);
            }
            batch.lines += 1;
            let fault = match std::str::from_utf8(line) {
                _ if line.len() > MAX_BYTES => Some(format!("it has more than {MAX_BYTES} bytes")),
                Ok(text) => {
                    batch.text.push_str(text);
                    None
                }
                Err(error) => Some(format!(
                    "it is not a key, a role, a tenant or an owner as JSON: look at column {}",
                    error.valid_up_to() + 1
                )),
            };
            if let Some(text) = fault {
                // An empty line in its place keeps the numbers of the other lines.
                batch.text.push('\n');
                report.refused.push(refused(batch.before + batch.lines, text));
            }
            self.progress.iter().for_each(|progress| progress.at(batch.before + batch.lines));
        }
    }

    /// Sends batch after batch, beginning with one that was read before the store was opened.
    fn send_all(&mut self, store: &mut Backend, mut has_ended: bool, report: &mut Imports) -> Result<(), Failure> {
        // Not before: its line would be in the way of notes about the opening.
        self.progress = Some(Progress::of_input("lines read"));
        while self.batch.lines > 0 {
            self.batch.send(store, self.import, report)?;
            if has_ended {
                break;
            }
            has_ended = self.fill(report)?;
        }
        Ok(())
    }
}
