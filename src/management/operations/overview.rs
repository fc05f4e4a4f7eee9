//! What needs somebody, at a glance.

use apikey_core::{KeyFilter, MAX_PAGE};
use serde_json::{Map, Value, json};

use crate::answer::Problem;
use crate::management::call::{Answer, Call};
use crate::management::census::Counts;
use crate::management::reply;

/// The most records that the store reads for a caller.
const MAX_READS: usize = 10_000;

/// The numbers of the keys that the caller may read; each is `null` if it is not known.
pub(super) fn overview(call: &Call) -> Answer {
    let sees_all = call.caller.sees_all();
    let counts = match counted(call)? {
        None if sees_all => call.parts.census.counts(&call.parts.store),
        counts => counts,
    };
    let mut document = counts.as_ref().map(Counts::document).unwrap_or_else(unknown);
    // The files are those of all.
    let size = if sees_all { call.store.disk_size() } else { None };
    document.insert("disk_bytes".into(), json!(size.map(|size| size.bytes)));
    document.insert("log_bytes".into(), json!(size.map(|size| size.log_bytes)));
    Ok(reply::json(200, &document))
}

/// Counts the keys, if they are few enough to be read for a request.
fn counted(call: &Call) -> Result<Option<Counts>, Problem> {
    let mut counts = Counts::new(call.store.now());
    let mut filter = KeyFilter::default().limit(MAX_PAGE).max_reads(MAX_PAGE);
    for _ in 0..MAX_READS / MAX_PAGE {
        let page = call.caller.list(&call.store, &filter).map_err(|error| call.problem(error))?;
        page.keys.iter().for_each(|key| counts.add(key));
        let Some(next) = page.next else { return Ok(Some(counts)) };
        filter = filter.after(next);
    }
    Ok(None)
}

fn unknown() -> Map<String, Value> {
    let names = ["states", "expiring", "idle", "old_secrets", "counted_at"];
    names.into_iter().map(|name| (name.to_owned(), Value::Null)).collect()
}
