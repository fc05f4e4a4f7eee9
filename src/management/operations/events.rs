//! The history of keys.

use apikey_core::{Actor, EventFilter, KeyId};
use chrono::{DateTime, FixedOffset, Utc};
use serde_json::json;

use crate::answer::Problem;
use crate::management::call::{Answer, Call, field};
use crate::management::cursor::{Cursor, limit};
use crate::management::operations::list::page;

/// The most events that the store reads for a page. It may read as many records.
const MAX_READS: usize = 2_000;

pub(super) fn list(call: &Call) -> Answer {
    let mut filter = EventFilter::default().max_reads(MAX_READS);
    let query = &call.query;
    if let Some(key) = query.get("key") {
        filter = filter.key(id(key)?);
    }
    if let Some(kind) = query.get("kind") {
        filter = filter.kind(kind);
    }
    if let Some(actor) = query.get("actor") {
        filter = filter.actor(Actor::from(actor));
    }
    if let Some(since) = time(call, "since")? {
        filter = filter.since(since);
    }
    if let Some(until) = time(call, "until")? {
        filter = filter.until(until);
    }
    if let Some(limit) = limit(call)? {
        filter = filter.limit(limit);
    }
    let after = query.get("after").map(number).transpose()?;
    let cursor = Cursor::of(call)?.map(|cursor| u64::try_from(cursor.number).unwrap_or(u64::MAX));
    filter = match (after, cursor) {
        (None, None) => filter.newest_first(),
        (None, Some(cursor)) => filter.newest_first().before(cursor),
        (Some(after), cursor) => filter.after(cursor.unwrap_or(after)),
    };
    let found = call.caller.events(&call.store, &filter).map_err(|error| call.problem(error))?;
    let next = found.next.map(|number| Cursor { value: 0, number: number.into() }.write(call));
    Ok(page(call, "events", &json!({ "events": found.events, "next": next }), next.as_deref()))
}

/// The id in a parameter. There is no key with a text that is none.
pub(super) fn id(text: &str) -> Result<KeyId, Problem> {
    Ok(text.parse()?)
}

fn number(text: &str) -> Result<u64, Problem> {
    let number = text.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| field(["after"], "wrong_type", "expected a whole number, 0 or more"))
}

/// The time in a parameter.
pub(super) fn time(call: &Call, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(text) = call.query.get(name) else { return Ok(None) };
    let detail = format!("invalid value: {text:?}, expected a time as in RFC 3339, such as 2030-01-31T12:00:00Z");
    let time = text.parse::<DateTime<FixedOffset>>();
    time.map(|time| Some(time.to_utc())).map_err(|_| field([name], "wrong_type", &detail))
}
