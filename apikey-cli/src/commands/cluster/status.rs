//! Shows a cluster and its nodes.

use apikey_core::admin::Request;
use apikey_core::{ClusterHealth, NodeHealth};
use chrono::Utc;
use clap::Args;
use serde_json::{Value, json};

#[cfg(any(feature = "etcd", feature = "postgres"))]
use super::engine::EngineArgs;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::table::{self, Cell, counted};
use crate::time::relative;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[cfg(any(feature = "etcd", feature = "postgres"))]
    #[command(flatten)]
    engine: EngineArgs,
}

/// From this share of the engine's space on there is something to do, in percent.
const NEARLY_FULL: u64 = 80;

/// A cluster, as it is printed.
struct View {
    document: Value,
    rows: Vec<Vec<Cell>>,
    /// The log's head.
    head: Option<u64>,
    nodes: Vec<NodeHealth>,
    good: bool,
}

pub(super) fn status(context: &Context, status: &StatusArgs) -> Result<(), Failure> {
    #[cfg(any(feature = "etcd", feature = "postgres"))]
    if status.engine.is_given() {
        status.engine.warn_of_password();
        let found = status.engine.status()?.ok_or_else(|| {
            Failure::new(
                Code::Unusable,
                "there is no cluster in this namespace: check --namespace, or found one with `apikey cluster found`",
            )
        })?;
        return show(context, of_engine(found));
    }
    #[cfg(not(any(feature = "etcd", feature = "postgres")))]
    let StatusArgs {} = status;
    let health = context.with_store(false, |store| store.health(Request::Health))?;
    let Some(cluster) = health.cluster else {
        return Err(Failure::new(Code::Conflict, "this store is no node of a cluster"));
    };
    show(context, of_node(cluster))
}

fn show(context: &Context, view: View) -> Result<(), Failure> {
    let View { mut document, rows, head, nodes, good } = view;
    if context.json {
        if let Some(fields) = document.as_object_mut() {
            fields.insert("good".into(), good.into());
            fields.insert("nodes".into(), nodes.iter().map(|node| document_of(node, head)).collect());
        }
        output::json(&document)?;
    } else {
        output::text(&table::aligned(&rows))?;
        let titles = ["NODE", "APPLIED", "LAG", "LOOKED", "STATE"].map(table::title);
        let lines: Vec<_> = std::iter::once(titles.to_vec()).chain(nodes.iter().map(|node| line(node, head))).collect();
        if !nodes.is_empty() {
            output::text(&format!("\n{}", table::aligned(&lines)))?;
        }
    }
    if good { Ok(()) } else { Err(Failure::no()) }
}

fn row(label: &str, value: impl Into<Cell>) -> Vec<Cell> {
    vec![table::title(label), value.into()]
}

/// A cluster as one of its nodes sees it.
fn of_node(node: ClusterHealth) -> View {
    let ms = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let is_silent = node.nodes.iter().any(|node| node.silent);
    let good = node.ready
        && node.stopped.is_none()
        && node.recovering.is_none()
        && node.engine_error.is_none()
        && node.only_here == 0
        && !is_silent
        && !is_nearly_full(node.space);
    let state = match (&node.stopped, node.ready) {
        (Some(_), _) => table::good(false, &format!("{}, which refuses every key", node.node)),
        (None, false) if node.recovering.is_some() => {
            table::good(false, &format!("{}, which refuses every key until it has recovered", node.node))
        }
        (None, false) => table::good(false, &format!("{}, which refuses every key: its replica is too old", node.node)),
        (None, true) => table::good(true, &format!("{}, which serves", node.node)),
    };
    let number = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    let seconds = |span: std::time::Duration| format!("{:.1} s", span.as_secs_f64());
    // What it has applied may be newer than its last look.
    let head = node.head.map(|head| head.max(node.applied));
    let mut rows = vec![
        row("seen by", state),
        row("engine", node.engine.as_str()),
        row("applied", format!("event {} of {}", node.applied, number(head))),
        row(
            "age",
            format!(
                "{}; at most {}",
                node.age.map_or_else(|| "unknown".to_owned(), seconds),
                seconds(node.max_staleness)
            ),
        ),
        row("log", format!("from event {} on", node.floor.saturating_add(1))),
        row("janitor", if node.janitor { "this node" } else { "another node" }),
    ];
    rows.extend(node.space.map(space));
    rows.extend(node.recovered.as_deref().map(|what| row("recovered", table::one_line(what))));
    let faults = [
        ("stopped", node.stopped.clone()),
        ("recovering", node.recovering.clone()),
        ("engine's error", node.engine_error.clone()),
        (
            "here only",
            (node.only_here > 0)
                .then(|| format!("{} that the engine has not taken", counted(node.only_here, "revocation"))),
        ),
    ];
    rows.extend(
        faults.into_iter().filter_map(|(label, fault)| Some(row(label, table::good(false, &table::one_line(&fault?))))),
    );
    let document = json!({
        "seen_by": node.node,
        "engine": node.engine,
        "ready": node.ready,
        "applied": node.applied,
        "head": head,
        "age_ms": node.age.map(ms),
        "max_staleness_ms": ms(node.max_staleness),
        "only_here": node.only_here,
        "stopped": node.stopped,
        "recovering": node.recovering,
        "recovered": node.recovered,
        "engine_error": node.engine_error,
        "floor": node.floor,
        "space": node.space.map(|(used, quota)| json!({ "used": used, "quota": quota })),
        "janitor": node.janitor,
    });
    View { document, rows, head, nodes: node.nodes, good }
}

/// A cluster as its engine has it.
#[cfg(any(feature = "etcd", feature = "postgres"))]
fn of_engine(found: apikey_core::cluster::ClusterStatus) -> View {
    let staleness = u64::try_from(found.max_staleness.as_millis()).unwrap_or(u64::MAX);
    let good = !found.replacing && !found.nodes.iter().any(|node| node.silent) && !is_nearly_full(found.space);
    let mut rows = vec![
        row("engine", found.engine.as_str()),
        row("generation", found.generation.to_string()),
        row("log", format!("events {} to {}", found.floor.saturating_add(1), found.head)),
        row("state", format!("at event {}", found.state)),
        row("replicas serve for", format!("{} s", found.max_staleness.as_secs())),
        row("prefixes", found.prefixes.join(" ")),
        row("pepper", if found.pepper == 0 { "none".to_owned() } else { format!("number {}", found.pepper) }),
        row("nodes", found.nodes.len().to_string()),
    ];
    rows.extend(found.space.map(space));
    if found.replacing {
        let text =
            "in progress, and no node opens meanwhile; if it was interrupted, run `apikey cluster restore` again";
        rows.push(row("restore", table::good(false, text)));
    }
    let document = json!({
        "engine": found.engine,
        "replacing": found.replacing,
        "generation": found.generation,
        "head": found.head,
        "state": found.state,
        "floor": found.floor,
        "max_staleness_ms": staleness,
        "prefixes": found.prefixes,
        "pepper": found.pepper,
        "space": found.space.map(|(used, quota)| json!({ "used": used, "quota": quota })),
    });
    View { document, rows, head: Some(found.head), nodes: found.nodes, good }
}

fn is_nearly_full(space: Option<(u64, u64)>) -> bool {
    space.is_some_and(|(used, quota)| used / 100 * 100 >= quota / 100 * NEARLY_FULL)
}

fn space((used, quota): (u64, u64)) -> Vec<Cell> {
    let mib = |bytes: u64| bytes >> 20;
    let text = format!("{} MiB of {} MiB", mib(used), mib(quota));
    row("space", table::good(!is_nearly_full(Some((used, quota))), &text))
}

/// How many events a node has not acknowledged.
fn lag(node: &NodeHealth, head: Option<u64>) -> Option<u64> {
    Some(head?.saturating_sub(node.applied?))
}

fn line(node: &NodeHealth, head: Option<u64>) -> Vec<Cell> {
    let or = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    vec![
        node.name.as_str().into(),
        or(node.applied).into(),
        or(lag(node, head)).into(),
        node.last_look.map_or_else(|| "-".to_owned(), |at| relative(at, Utc::now())).into(),
        table::good(!node.silent, if node.silent { "silent: it is being removed" } else { "listed" }),
    ]
}

fn document_of(node: &NodeHealth, head: Option<u64>) -> Value {
    json!({
        "name": node.name,
        "applied": node.applied,
        "lag": lag(node, head),
        "last_look": node.last_look,
        "silent": node.silent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_are_nearly_full() {
        for (used, quota, expected) in [(79, 100, false), (80, 100, true), (0, 1000, false), (u64::MAX, u64::MAX, true)]
        {
            let times = if quota == u64::MAX { 1 } else { 1000 };
            assert_eq!(is_nearly_full(Some((used * times, quota * times))), expected, "{used} of {quota}");
        }
        assert!(!is_nearly_full(None));
    }
}
