//! Makes a cluster of the keys of a store.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::engine::EngineArgs;
use super::staleness::staleness;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::progress::Progress;
use crate::output::table::counted;

#[derive(Debug, Args)]
pub(crate) struct FoundArgs {
    /// The directory of the store, which no process may have open
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// How old a replica may be that still serves, 5s to 1h: a node that is cut off refuses every key after it
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = staleness)]
    max_staleness: Duration,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(super) fn found(context: &Context, found: &FoundArgs) -> Result<(), Failure> {
    let cluster = found.engine.cluster()?.max_staleness(found.max_staleness);
    found.engine.warn_of_password();
    let engine = cluster.engine();
    if let Some(there) = found.engine.status()? {
        return Err(Failure::new(
            Code::Conflict,
            format!(
                "{engine} has a cluster already, with {}: give another --namespace, or replace its keys with `apikey cluster \
                 restore`",
                counted(there.nodes.len() as u64, "node")
            ),
        ));
    }
    let progress = Progress::new("founding");
    let keys = context.store.builder()?.cluster(cluster).found_cluster(&found.from)?;
    drop(progress);
    if context.json {
        return output::json(&json!({
            "engine": engine,
            "keys": keys,
            "directory": found.from,
            "max_staleness_ms": u64::try_from(found.max_staleness.as_millis()).unwrap_or(u64::MAX),
        }));
    }
    output::text(&format!("a cluster of {} is in {engine}", counted(keys, "key")))?;
    output::note(&format!(
        "{} is a replica of it now, and opens as one only. Next: give every service this engine and namespace, with \
         KeyStore::builder().cluster(..), and a directory of its own, this one on this machine; start them; then `apikey \
         cluster status`",
        found.from.display()
    ));
    Ok(())
}
