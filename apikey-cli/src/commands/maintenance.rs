//! Checks a store, and repairs its time.

use apikey_core::admin::Request;
use chrono::Utc;
use clap::Subcommand;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, in_options};
use crate::output;
use crate::output::table::{self, Cell};
use crate::time::both;

#[derive(Debug, Subcommand)]
pub(crate) enum ClockAction {
    /// Set the store's time back to the clock, after events were written while the clock was wrong
    ///
    /// A store's time never falls behind its newest event. Set the clock first, and check it: keys that expire between
    /// the two times become valid again, unless they were revoked or deleted.
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
                rows.push(row("clock", in_options(&lead.to_string()).into()));
            }
            if health.usage_dropped > 0 {
                let text = format!("{} uses and refusals are in no count: the disk was full", health.usage_dropped);
                rows.push(row("usage", text.into()));
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
