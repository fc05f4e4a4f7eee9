//! Lists of keys.

use apikey_core::{KeyFilter, KeyId, KeyInfo};
use serde_json::json;

use crate::answer::{PlainResponse, Problem};
use crate::management::call::{Answer, Call, field};
use crate::management::cursor::{Cursor, limit};
use crate::management::reply;

/// The most records that the store reads for a page.
pub(super) const MAX_READS: usize = 2_000;
/// The most keys that can be sorted by what the store does not keep them sorted by.
const MAX_SORTED: usize = 1_000;
/// The page of a request that names no limit.
const DEFAULT_PAGE: usize = 100;

pub(super) fn list(call: &Call) -> Answer {
    let filter = call.filter::<KeyFilter>(&["sort", "cursor", "limit"])?;
    let filter = call.query.metadata().fold(filter, |filter, (name, value)| filter.metadata(name, value));
    let size = limit(call)?.unwrap_or(DEFAULT_PAGE);
    let cursor = Cursor::of(call)?;
    let (keys, next) = match call.query.get("sort") {
        None | Some("created") => in_order(call, filter, size, cursor)?,
        Some("expires") => {
            sorted(call, &filter, size, cursor, |key| key.expires_at().map_or(i64::MAX, |end| end.timestamp_millis()))?
        }
        // The latest first, and what was never used last.
        Some("last_used") => sorted(call, &filter, size, cursor, |key| {
            key.last_used_at().map_or(i64::MAX, |used| used.timestamp_millis().saturating_neg())
        })?,
        Some(_) => return Err(field(["sort"], "wrong_type", "expected one of created, expires, last_used")),
    };
    let keys: Vec<_> = keys.iter().map(reply::key_with_activity).collect();
    Ok(page(call, "keys", &json!({ "keys": keys, "next": next }), next.as_deref()))
}

/// An answer with a page, and a link to the next one (RFC 8288), relative to this.
pub(super) fn page(call: &Call, name: &str, document: &serde_json::Value, next: Option<&str>) -> PlainResponse {
    let answer = reply::json(200, document);
    let Some(next) = next else { return answer };
    let query = call.query.canonical(&["cursor"]);
    // A caller may have put a token into a filter; `next` is in the document as well.
    if apikey_core::redact(&query) != query {
        return answer;
    }
    let base = call.base_url().map(|base| format!("{base}/{name}")).unwrap_or_default();
    let joint = if query.is_empty() { "" } else { "&" };
    answer.with("link", format!("<{base}?{query}{joint}cursor={next}>; rel=\"next\""))
}

type Keys = (Vec<KeyInfo>, Option<String>);

fn in_order(call: &Call, filter: KeyFilter, size: usize, cursor: Option<Cursor>) -> Result<Keys, Problem> {
    let filter = filter.limit(size).max_reads(MAX_READS);
    let filter = match cursor {
        None => filter,
        Some(cursor) => filter.after(id(cursor.number)?),
    };
    let page = call.caller.list(&call.store, &filter).map_err(|error| call.problem(error))?;
    let next = page.next.map(|id| Cursor { value: 0, number: number(id) }.write(call));
    Ok((page.keys, next))
}

fn sorted(
    call: &Call,
    filter: &KeyFilter,
    size: usize,
    cursor: Option<Cursor>,
    value: impl Fn(&KeyInfo) -> i64,
) -> Result<Keys, Problem> {
    let found = call.caller.find(&call.store, filter, MAX_SORTED).map_err(|error| call.problem(error))?;
    let Some(found) = found else {
        let detail = "at most 1000 keys can be sorted by this: name an owner or a tenant, or sort by `created`";
        return Err(field(["sort"], "not_allowed", detail));
    };
    let place = |key: &KeyInfo| Cursor { value: value(key), number: number(key.id()) };
    let mut keys: Vec<(Cursor, KeyInfo)> = found.into_iter().map(|key| (place(&key), key)).collect();
    keys.retain(|(place, _)| cursor.is_none_or(|cursor| *place > cursor));
    keys.sort_unstable_by_key(|(place, _)| *place);
    let more = keys.len() > size;
    keys.truncate(size);
    let next = keys.last().filter(|_| more).map(|(place, _)| place.write(call));
    Ok((keys.into_iter().map(|(_, key)| key).collect(), next))
}

fn number(id: KeyId) -> u128 {
    id.as_uuid().as_u128()
}

fn id(number: u128) -> Result<KeyId, Problem> {
    let text = format!("{number:032x}");
    text.parse().map_err(|_| Problem::new(400, "invalid_cursor", "the cursor names no key"))
}
