//! Rotates a key, or the keys whose rotation policy makes them due.

use std::path::{Path, PathBuf};

use apikey_core::Overlap;
use apikey_core::admin::{Request, SinkForm};
use chrono::Utc;
use clap::{ArgGroup, Args};

use super::key_args::overlap;
use super::new_secret::hand_out;
use crate::context::Context;
use crate::failure::{Code, Failure, readable};
use crate::output;
use crate::output::delivery::Delivery;
use crate::output::table;
use crate::store::key_name::KeyName;
use crate::time::both;

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The key's id, or the first characters of it or of the key's token, at least 4
    pub(crate) id: String,
    /// How long the old secret stays valid: a span such as 24h, `first-use` (until the new one is used), or `none` (it
    /// leaked)
    #[arg(long, value_name = "SPAN|first-use|none", value_parser = overlap)]
    pub(crate) overlap: Overlap,
    /// Write the key to this new file (0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("sink").args(["deliver_to", "deliver_by"]).required(true))]
pub(crate) struct RunDueArgs {
    /// Deliver new secrets to this directory, which must exist: one file for each key (0600), named by the key's id
    #[arg(long, value_name = "DIR")]
    pub(crate) deliver_to: Option<PathBuf>,
    /// Deliver each new secret to the standard input of this command, in one call for each. Its environment has
    /// APIKEY_ID, APIKEY_OWNER, APIKEY_TENANT, APIKEY_NAME and APIKEY_VERSION, beside PATH, HOME and the like. It has 30 seconds. Its
    /// arguments may follow, but no more options
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) deliver_by: Vec<String>,
    /// A variable that the command gets, too, from the environment of the process that has the store open (the service,
    /// if one runs); repeat it for more, before --deliver-by
    #[arg(long, value_name = "NAME", conflicts_with = "deliver_to")]
    pub(crate) deliver_env: Vec<String>,
}

pub(crate) fn rotate(context: &Context, rotate: &RotateArgs) -> Result<(), Failure> {
    let name = KeyName::parse(&rotate.id)?;
    context.with_store(false, |store| {
        let id = store.resolve(&name)?;
        let mut delivery = Delivery::prepare_for_secret(rotate.out.as_deref())?;
        let before = store.key(Request::Get { id })?;
        let new = store.new_secret(Request::Rotate { id, overlap: rotate.overlap })?;
        hand_out(context, &mut delivery, &new, "rotated", "rotate it again")?;
        // In an overlap the store accepts no other rotation than one that replaces a secret that nobody has used.
        if before.overlap().is_some() && rotate.overlap != Overlap::None {
            output::note(&format!(
                "secret number {} of the key, which nobody has used, has ended: this one replaces it, and the older one stays",
                before.version()
            ));
        }
        Ok(())
    })
}

/// Refuses a directory that is not there, before any key is rotated: its name may have been mistyped, and what it was meant
/// to be would never get the secrets.
fn check_directory(path: &Path) -> Result<(), Failure> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Failure::new(Code::Refused, format!("{} is not a directory: no key was rotated", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::new(
            Code::Refused,
            format!("there is no directory {0}: no key was rotated. Make it with `mkdir -m 700 {0}`", path.display()),
        )),
        Err(error) => Err(Failure::file(path, &error)),
    }
}

pub(crate) fn run_due(context: &Context, run: RunDueArgs) -> Result<(), Failure> {
    let mut words = run.deliver_by.into_iter();
    let to = match (run.deliver_to, words.next()) {
        (Some(directory), _) => {
            let path = std::path::absolute(&directory).map_err(|error| Failure::file(&directory, &error))?;
            check_directory(&path)?;
            SinkForm::Directory(path)
        }
        (None, Some(program)) => {
            SinkForm::Command { program: program.into(), arguments: words.collect(), environment: run.deliver_env }
        }
        (None, None) => {
            return Err(Failure::usage("give --deliver-to DIR or --deliver-by COMMAND, to say where new secrets go"));
        }
    };
    context.with_store(false, |store| {
        let report = store.run(Request::RunDue { to })?;
        let failed = !report.failed.is_empty();
        if context.json {
            output::json(&report)?;
        } else {
            let now = Utc::now();
            for key in &report.delivered {
                output::text(&format!("delivered the new secret of {key}"))?;
            }
            for skipped in &report.skipped {
                output::text(&format!("not rotated: {}: {}", skipped.key, skipped.reason))?;
            }
            for failed in &report.failed {
                let retry = both(failed.retry_at, now);
                output::text(&format!(
                    "not delivered: {}: {}; the next attempt is due {retry}",
                    failed.key,
                    readable(&failed.reason)
                ))?;
            }
            for warning in &report.warned {
                let name = warning.name.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
                let end = both(warning.expires_at, now);
                let key = table::one_line(&format!("{} ({}{name})", warning.key, warning.owner));
                let how = if warning.idle { "ends without use" } else { "expires" };
                output::text(&format!("{how}: {key}: {end}"))?;
            }
            let next = report
                .next_due
                .map_or_else(|| "nothing more is due".to_owned(), |due| format!("next due {}", both(due, now)));
            output::note(&format!("delivered {}, failed {}; {next}", report.delivered.len(), report.failed.len()));
        }
        if failed { Err(Failure::no()) } else { Ok(()) }
    })
}
