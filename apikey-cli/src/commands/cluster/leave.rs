//! Takes a running node out of its cluster.

use apikey_core::ClusterHealth;
use apikey_core::admin::Request;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::table::counted;

pub(super) fn leave(context: &Context) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let (unlisted, health) = store.left(Request::LeaveCluster)?;
        let Some(ClusterHealth { node, only_here, engine_error, .. }) = health.cluster else {
            return Err(Failure::new(Code::Conflict, "this store is no node of a cluster"));
        };
        if context.json {
            return output::json(&json!({ "node": node, "unlisted": unlisted, "only_here": only_here }));
        }
        output::text(&format!(
            "{node} has left the cluster: it refuses every key and every change until its service is started again"
        ))?;
        if !unlisted {
            let why = engine_error.map(|error| format!(" ({error})")).unwrap_or_default();
            output::note(&format!(
                "the engine does not know it yet{why}: the next revocation of another node waits for this one, once and at \
                 most as long as a replica may be old"
            ));
        }
        if only_here > 0 {
            output::note(&format!(
                "{} on this node alone, and the cluster does not have them: start the service again, and it makes them again",
                counted(only_here, "revocation")
            ));
        }
        Ok(())
    })
}
