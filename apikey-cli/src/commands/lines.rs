//! All keys as lines of JSON, and back.

use std::io::BufWriter;

use apikey_core::{ExportOptions, ImportOptions};
use serde_json::json;

use super::Context;
use crate::args::{Export, ImportLines};
use crate::delivery::Delivery;
use crate::failure::{Failure, in_options};
use crate::out;
use crate::progress::Progress;

pub(super) fn export(context: &Context, export: &Export) -> Result<(), Failure> {
    if context.json && export.out.is_none() {
        return Err(Failure::usage(
            "--json answers with one document, and the lines are many: give --out FILE for them",
        ));
    }
    context.with_store(false, |store| {
        let mut delivery = Delivery::prepare(export.out.as_deref())?;
        let progress = export.out.as_ref().map(|_| Progress::new("writing"));
        let exported = store.export(BufWriter::new(&mut delivery), &ExportOptions::default().digests(export.digests));
        drop(progress);
        let refused = |error: std::io::Error, path| match path {
            Some(path) => Failure::file(path, &error),
            None => Failure::output(error),
        };
        let exported = match (exported, delivery.refused) {
            (Err(_), Some(kind)) => return Err(refused(kind.into(), delivery.path())),
            (exported, _) => exported?,
        };
        delivery.finish().map_err(|error| refused(error, export.out.as_deref()))?;
        if context.json {
            return out::json(&json!({ "exported": exported, "path": export.out }));
        }
        out::note(&format!("exported {exported} keys"));
        Ok(())
    })
}

pub(super) fn import(context: &Context, import: &ImportLines) -> Result<(), Failure> {
    context.with_store(import.make, |store| {
        let progress = Progress::new("reading");
        let options = ImportOptions::default().check_only(import.dry_run);
        let report = store.import(std::io::stdin().lock(), &options)?;
        drop(progress);
        let text = |refused: &apikey_core::RefusedLine| in_options(&refused.fault.to_string());
        if context.json {
            let refused: Vec<_> =
                report.refused.iter().map(|line| json!({ "line": line.line, "text": text(line) })).collect();
            out::json(&json!({
                "imported": report.imported,
                "dry_run": import.dry_run,
                "awaiting_rotation": report.awaiting_rotation,
                "refused": refused,
            }))?;
        } else {
            for line in &report.refused {
                out::note(&format!("line {}: {}", line.line, text(line)));
            }
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
