//! Checks a store, shows its events, deletes old records and events, and repairs its time.

use apikey_core::admin::Request;
use apikey_core::{Event, EventFilter, EventKind, MAX_PAGE};
use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::context::{Context, id};
use crate::failure::Failure;
use crate::output;
use crate::output::table::{self, Cell};
use crate::time::{self, both};

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Events of this key
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Events of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(EventKind::NAMES))]
    pub(crate) kind: Option<String>,
    /// Events since this time, such as 2027-01-31, or since a span ago, such as 7d
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Events before this time, or before a span ago
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Events with a higher number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// At most this many events; by default all
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct BeforeArg {
    /// The time, such as 2027-01-31, or a span ago, such as 365d
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) before: DateTime<Utc>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClockAction {
    /// Set the store's time back to the clock, after events were written while the clock was wrong
    ///
    /// A store's time never falls behind its newest event. Set the clock first, and check it: keys that expire between the
    /// two times become valid again, unless they were revoked or deleted.
    Accept,
}

pub(crate) fn doctor(context: &Context) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let found = store.diagnosis(Request::Diagnose)?;
        let (health, events, good) = (&found.health, &found.events, found.is_good());
        if context.json {
            output::json(&json!({ "good": good, "health": health, "events": events, "keys": found.keys }))?;
        } else {
            let row = |label: &str, value: Cell| vec![table::title(label), value];
            let counts: Vec<String> = found.keys.iter().map(|(state, count)| format!("{count} {state}")).collect();
            let mut rows = vec![
                row("store", table::good(good, if good { "good" } else { "faulty" })),
                row("changes on disk", health.last_durable.to_string().into()),
                row("keys", counts.join(", ").into()),
                row("events", format!("{}, the last is {}", events.events, events.last).into()),
            ];
            if let Some((since, failure)) = health.failed_since.zip(health.failure.as_deref()) {
                rows.push(row("disk", format!("fails since {}: {failure}", both(since, Utc::now())).into()));
            }
            if let Some(lead) = &health.ahead {
                rows.push(row("clock", lead.to_string().into()));
            }
            if let Some(fault) = &events.fault {
                rows.push(row("first fault", format!("{fault}; {} in all", events.faults).into()));
            }
            let from = events.peppered_from.map(|from| format!("from event {from} on"));
            rows.push(row("bound to a pepper", from.unwrap_or_else(|| "no".to_owned()).into()));
            output::text(&table::aligned(&rows))?;
        }
        if good { Ok(()) } else { Err(Failure::no()) }
    })
}

pub(crate) fn events(context: &Context, events: EventsArgs) -> Result<(), Failure> {
    let mut filter = EventFilter::default();
    if let Some(of) = &events.key {
        filter = filter.key(id(of)?);
    }
    if let Some(kind) = events.kind {
        filter = filter.kind(kind);
    }
    if let Some(since) = events.since {
        filter = filter.since(since);
    }
    if let Some(until) = events.until {
        filter = filter.until(until);
    }
    if let Some(after) = events.after {
        filter = filter.after(after);
    }
    context.with_store(false, |store| {
        let limit = events.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let next = loop {
            let page = store.events(Request::Events(filter.clone().limit((limit - found.len()).min(MAX_PAGE))))?;
            found.extend(page.events);
            let Some(next) = page.next.filter(|_| found.len() < limit) else { break page.next };
            filter = filter.after(next);
        };
        if context.json {
            return output::json(&json!({ "events": found, "next": next }));
        }
        if found.is_empty() {
            output::note("no events");
            return Ok(());
        }
        let now = Utc::now();
        let mut rows: Vec<Vec<Cell>> =
            vec![["NUMBER", "TIME", "KIND", "KEY", "ACTOR", "WHAT"].into_iter().map(table::title).collect()];
        for event in &found {
            rows.push(vec![
                event.number().to_string().into(),
                both(event.at(), now).into(),
                event.kind().name().into(),
                event.key().map_or_else(|| "-".to_owned(), |key| key.to_string()).into(),
                actor(event).into(),
                Some(details(event.kind()))
                    .filter(|details| !details.is_empty())
                    .unwrap_or_else(|| "-".to_owned())
                    .into(),
            ]);
        }
        output::text(&table::aligned(&rows))?;
        if let Some(next) = next {
            output::note(&format!("there may be more: --after {next}"));
        }
        Ok(())
    })
}

/// Who made a change, and from which address.
fn actor(event: &Event) -> String {
    match (event.actor(), event.peer()) {
        (None, _) => "-".to_owned(),
        (Some(actor), None) => actor.to_string(),
        (Some(actor), Some(peer)) => format!("{actor} from {peer}"),
    }
}

/// The fields of an event by their JSON names, so that kinds of later versions show theirs, too.
fn details(kind: &EventKind) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(kind) else { return String::new() };
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let set = fields.iter().filter(|(name, value)| *name != "kind" && !is_empty(value));
    let parts = set.flat_map(|(name, value)| match value {
        Value::Object(changes) if name == "changes" => {
            changes.iter().map(|(name, value)| change(name, value)).collect()
        }
        value => vec![format!("{name}={}", display(value))],
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// One of an event's changes: `permissions=orders:*->orders:read`.
fn change(name: &str, value: &Value) -> String {
    match (value, value.get("from").zip(value.get("to"))) {
        (_, Some((from, to))) => format!("{name}={}->{}", display(from), display(to)),
        (Value::Bool(true), None) => name.to_owned(),
        (value, None) => format!("{name}={}", display(value)),
    }
}

fn display(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(display).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

pub(crate) fn purge(context: &Context, before: DateTime<Utc>) -> Result<(), Failure> {
    context.with_store(false, |store| purged(context, "keys", store.count(Request::Purge { before })?))
}

pub(crate) fn purge_events(context: &Context, before: DateTime<Utc>) -> Result<(), Failure> {
    context.with_store(false, |store| purged(context, "events", store.count(Request::PurgeEvents { before })?))
}

pub(crate) fn accept_clock(context: &Context) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let accepted = store.clock(Request::AcceptClock)?;
        if context.json {
            return output::json(&json!({ "accepted": accepted }));
        }
        let Some(accepted) = accepted else {
            return output::text("nothing changed: the store's time is not ahead of its clock");
        };
        let now = Utc::now();
        output::text(&format!("set back from {} to {}", both(accepted.from, now), both(accepted.to, now)))
    })
}

fn purged(context: &Context, what: &str, count: u64) -> Result<(), Failure> {
    if context.json {
        output::json(&json!({ "purged": count }))
    } else {
        output::text(&format!("purged {count} {what}"))
    }
}
