//! Deletes the records of keys that have ended, and old events.

use apikey_core::KeyFilter;
use apikey_core::admin::Request;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use super::confirm::{Change, confirm};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::key_columns::{self, KeyColumn};
use crate::output::table::counted;
use crate::store::backend::Backend;
use crate::time::{self, absolute, both};

#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    /// The time, such as 2027-01-31, or a span ago, such as 365d
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) before: DateTime<Utc>,
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete without asking
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
    /// Do not ask, but refuse unless these are exactly this many
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["yes", "dry_run"])]
    pub(crate) count: Option<usize>,
}

impl PurgeArgs {
    /// Refuses a time that has not come: what it would delete has not ended yet when somebody counts it.
    fn check(&self) -> Result<(), Failure> {
        match self.before > Utc::now() {
            false => Ok(()),
            true => Err(Failure::usage(format!(
                "invalid --before {}: a time that has passed is expected, or a span ago",
                absolute(self.before)
            ))),
        }
    }

    fn confirm(&self, context: &Context, what: &str, count: usize) -> Result<(), Failure> {
        confirm(context, self.yes, self.count, &Change { verb: "purge", done: "purged", what, count, even_none: false })
    }
}

/// The columns that identify the keys of a purge; the tenant only if a key has one.
const COLUMNS: [KeyColumn; 7] = [
    KeyColumn::Id,
    KeyColumn::Owner,
    KeyColumn::Tenant,
    KeyColumn::Name,
    KeyColumn::State,
    KeyColumn::Expires,
    KeyColumn::LastUsed,
];

pub(crate) fn purge(context: &Context, purge: &PurgeArgs) -> Result<(), Failure> {
    purge.check()?;
    let before = purge.before;
    let due = |store: &mut Backend| store.pages(KeyFilter::default().purgeable_before(before), usize::MAX, |_| true);
    if !purge.dry_run {
        if !purge.yes {
            let (keys, _) = context.with_store(false, due)?;
            purge.confirm(context, "keys", keys.len())?;
        }
        return context.with_store(false, |store| {
            let count = store.count(Request::Purge { before })?;
            purged(context, "key", count)
        });
    }
    context.with_store(false, |store| {
        let (keys, _) = due(store)?;
        let now = store.time();
        if context.json {
            return output::json(&json!({ "dry_run": true, "would_purge": keys.len(), "keys": keys }));
        }
        if !keys.is_empty() {
            let has_tenants = keys.iter().any(|key| key.tenant().is_some());
            let columns = COLUMNS.into_iter().filter(|column| has_tenants || *column != KeyColumn::Tenant);
            key_columns::print(&keys, &columns.collect::<Vec<_>>(), now)?;
        }
        output::text(&format!("would purge {}; their events stay", counted(keys.len() as u64, "key")))
    })
}

pub(crate) fn purge_events(context: &Context, purge: &PurgeArgs) -> Result<(), Failure> {
    purge.check()?;
    let before = purge.before;
    let due = |store: &mut Backend| store.events_to_purge(Request::EventsToPurge { before });
    if !purge.dry_run {
        if !purge.yes {
            let events = context.with_store(false, due)?.events;
            purge.confirm(context, "events", usize::try_from(events).unwrap_or(usize::MAX))?;
        }
        return context.with_store(false, |store| {
            let count = store.count(Request::PurgeEvents { before })?;
            purged(context, "event", count)
        });
    }
    context.with_store(false, |store| {
        let found = due(store)?;
        if context.json {
            let (first, last) = (&found.first, &found.last);
            let document = json!({ "dry_run": true, "would_purge": found.events, "first": first, "last": last });
            return output::json(&document);
        }
        let now = Utc::now();
        let event = |event: &apikey_core::Event| format!("{} of {}", event.number(), both(event.at(), now));
        let range = found.first.as_ref().zip(found.last.as_ref());
        let range = range.map(|(first, last)| format!(": from event {} to event {}", event(first), event(last)));
        output::text(&format!("would purge {}{}", counted(found.events, "event"), range.unwrap_or_default()))
    })
}

fn purged(context: &Context, what: &str, count: u64) -> Result<(), Failure> {
    if context.json {
        output::json(&json!({ "purged": count }))
    } else {
        output::text(&format!("purged {}", counted(count, what)))
    }
}
