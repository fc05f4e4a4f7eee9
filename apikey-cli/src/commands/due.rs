//! What keys that rotate by themselves are due for.

use apikey_core::admin::{Request, SinkForm};
use chrono::Utc;

use super::Context;
use crate::args::RunDue;
use crate::failure::Failure;
use crate::moment::both;
use crate::out;

pub(super) fn run(context: &Context, run: RunDue) -> Result<(), Failure> {
    let mut words = run.deliver_by.into_iter();
    let to = match (run.deliver_to, words.next()) {
        (Some(directory), _) => {
            let path = std::path::absolute(&directory).map_err(|error| Failure::file(&directory, &error))?;
            SinkForm::Directory(path)
        }
        (None, Some(program)) => {
            SinkForm::Command { program: program.into(), arguments: words.collect(), environment: run.deliver_env }
        }
        (None, None) => return Err(Failure::usage("where to? Give --deliver-to DIR or --deliver-by COMMAND")),
    };
    context.with_store(false, |store| {
        let report = store.run(Request::RunDue { to })?;
        let failed = !report.failed.is_empty();
        if context.json {
            out::json(&report)?;
        } else {
            let now = Utc::now();
            for key in &report.delivered {
                out::text(&format!("delivered the new secret of {key}"))?;
            }
            for skipped in &report.skipped {
                out::text(&format!("not rotated: {}: {}", skipped.key, skipped.reason))?;
            }
            for failed in &report.failed {
                let retry = both(failed.retry_at, now);
                out::text(&format!("not delivered: {}: {}; to be tried again {retry}", failed.key, failed.reason))?;
            }
            for warning in &report.warned {
                let name = warning.name.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
                let end = both(warning.expires_at, now);
                out::text(&format!("expires: {} ({}{name}): {end}", warning.key, warning.owner))?;
            }
            let next = report
                .next_due
                .map_or_else(|| "nothing more is due".to_owned(), |due| format!("next due {}", both(due, now)));
            out::note(&format!("delivered {}, failed {}; {next}", report.delivered.len(), report.failed.len()));
        }
        if failed { Err(Failure::no()) } else { Ok(()) }
    })
}
