//! All keys as lines of JSON, and back.

use std::io::{self, BufRead, BufWriter, Read, Write};

use apikey_core::admin::{Imports, RefusedEntry, Request, SecretText};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use super::import::await_input;
use crate::args::{Export, ImportLines};
use crate::backend::Backend;
use crate::delivery::Delivery;
use crate::failure::{Failure, in_options};
use crate::findings::noted;
use crate::out;
use crate::progress::Progress;

/// Most bytes of a line, and of lines that are sent together: as JSON in JSON they may be six times that.
const MOST: usize = 128 * 1024;
/// How many lines are imported in one change.
const BATCH: usize = 1000;

pub(super) fn export(context: &Context, export: &Export) -> Result<(), Failure> {
    if context.json && export.out.is_none() {
        return Err(Failure::usage(
            "--json answers with one document, and the lines are many: give --out FILE for them",
        ));
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
            return out::json(&json!({ "exported": exported, "path": export.out }));
        }
        out::note(&format!("exported {exported} keys"));
        Ok(())
    })
}

pub(super) fn import(context: &Context, import: &ImportLines) -> Result<(), Failure> {
    let mut findings = import.report.begin()?;
    await_input()?;
    context.with_store(import.make, |store| {
        let mut report = Imports::default();
        let taken = read_all(store, import, &mut report);
        report.refused.sort_by_key(|refused| refused.line);
        report.refused.iter().for_each(|refused| findings.add("line", refused.line, &refused.text));
        findings.save();
        taken?;
        if context.json {
            out::json(&json!({
                "imported": report.imported,
                "dry_run": import.dry_run,
                "awaiting_rotation": report.awaiting_rotation,
                "refused": report.refused,
            }))?;
            findings.show(|_| Ok(()))?;
        } else {
            findings.show(noted)?;
            let done = if import.dry_run { "would be imported" } else { "imported" };
            out::text(&format!("{done}: {} keys; refused: {} lines", report.imported, report.refused.len()))?;
            if !report.awaiting_rotation.is_empty() {
                let waiting = report.awaiting_rotation.len();
                out::text(&format!("{waiting} of them have no secret: each begins to work when it is rotated"))?;
            }
        }
        if report.refused.is_empty() { Ok(()) } else { Err(Failure::no()) }
    })
}

/// Lines that are imported together.
struct Batch {
    text: Zeroizing<String>,
    lines: u64,
    /// How many lines came before.
    before: u64,
}

impl Batch {
    fn new() -> Self {
        Self { text: Self::room(), lines: 0, before: 0 }
    }

    /// For all that it may hold, with an end for each line that is refused: a text that grows leaves copies.
    fn room() -> Zeroizing<String> {
        Zeroizing::new(String::with_capacity(MOST + BATCH))
    }

    fn send(&mut self, store: &mut Backend, import: &ImportLines, report: &mut Imports) -> Result<(), Failure> {
        let lines = SecretText::from(std::mem::replace(&mut self.text, Self::room()));
        let taken = store.imports(Request::ImportLines { lines, check_only: import.dry_run })?;
        let told = |refused: RefusedEntry| RefusedEntry {
            line: refused.line.saturating_add(self.before),
            text: in_options(&refused.text),
        };
        report.imported += taken.imported;
        report.awaiting_rotation.extend(taken.awaiting_rotation);
        report.refused.extend(taken.refused.into_iter().map(told));
        self.before += self.lines;
        self.lines = 0;
        Ok(())
    }
}

fn read_all(store: &mut Backend, import: &ImportLines, report: &mut Imports) -> Result<(), Failure> {
    let progress = Progress::new("lines read");
    let fault = |error: io::Error| Failure::input(&error);
    let mut input = io::stdin().lock();
    let mut batch = Batch::new();
    let mut line = Zeroizing::new(Vec::with_capacity(MOST + 1));
    loop {
        line.clear();
        Read::by_ref(&mut input).take(MOST as u64 + 1).read_until(b'\n', &mut line).map_err(fault)?;
        let too_long = line.len() > MOST;
        if too_long && !line.ends_with(b"\n") {
            input.skip_until(b'\n').map_err(fault)?;
        }
        if batch.lines > 0 && (line.is_empty() || batch.lines == BATCH as u64 || batch.text.len() + line.len() > MOST) {
            batch.send(store, import, report)?;
        }
        if line.is_empty() {
            return Ok(());
        }
        batch.lines += 1;
        let fault = match std::str::from_utf8(&line) {
            _ if too_long => Some(format!("it has more than {MOST} bytes")),
            Ok(text) => {
                batch.text.push_str(text);
                None
            }
            Err(error) => Some(format!("it is not a key as JSON: look at column {}", error.valid_up_to() + 1)),
        };
        if let Some(text) = fault {
            // An empty line in its place keeps the numbers of the others.
            batch.text.push('\n');
            report.refused.push(RefusedEntry { line: batch.before + batch.lines, text });
        }
        progress.at(batch.before + batch.lines);
    }
}
