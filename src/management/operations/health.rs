//! What the service says of itself.

use serde_json::json;

use crate::management::call::{Answer, Call};
use crate::management::reply;

/// The health of the store. The texts of errors, which may name paths and hosts, are in the logs.
pub(super) fn health(call: &Call) -> Answer {
    let health = call.store.health();
    let cluster = health.cluster.as_ref().map(|cluster| {
        let nodes: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| {
                let (applied, look) = (node.applied, node.last_look);
                json!({ "name": node.name, "applied": applied, "silent": node.silent, "last_look": look })
            })
            .collect();
        json!({
            "node": cluster.node,
            "ready": cluster.ready,
            "applied": cluster.applied,
            "head": cluster.head,
            "age_ms": cluster.age.map(milliseconds),
            "max_staleness_ms": milliseconds(cluster.max_staleness),
            "nodes": nodes,
            "only_here": cluster.only_here,
            "stopped": cluster.stopped.is_some(),
            "recovering": cluster.recovering.is_some(),
            "engine_answers": cluster.engine_error.is_none(),
        })
    });
    Ok(reply::json(
        200,
        &json!({
            "ready": call.store.is_ready(),
            "good": health.is_good(),
            "last_event": health.last_durable,
            "failed_since": health.failed_since,
            "last_backup_at": health.last_backup.map(|backup| backup.at),
            "backup_failed": health.backup_error.is_some(),
            "clock_ahead": health.ahead.is_some(),
            "usage_dropped": health.usage_dropped,
            "cluster": cluster,
        }),
    ))
}

fn milliseconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
