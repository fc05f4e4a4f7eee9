//! Signs an operator in to the console of the running service.

use apikey_core::admin::Request;
use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::table::counted;

#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// End all sessions of the console, and all links that nobody has opened yet
    #[arg(long)]
    end_all: bool,
}

pub(crate) fn console(context: &Context, console: &ConsoleArgs) -> Result<(), Failure> {
    context.with_store(false, |store| {
        if console.end_all {
            let count = store.count(Request::EndConsoleSessions)?;
            return match context.json {
                true => output::json(&json!({ "ended": count })),
                false => output::text(&format!("ended {}", counted(count, "session"))),
            };
        }
        let link = store.console_link(Request::ConsoleLink)?;
        if context.json {
            return output::json(&json!({ "url": link.expose_secret() }));
        }
        output::text(link.expose_secret())?;
        output::note("the link signs in once, within 60 seconds: open it in a browser, and give it to nobody");
        Ok(())
    })
}
