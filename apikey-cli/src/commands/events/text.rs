//! An event in words.

use apikey_core::admin::span_text;
use apikey_core::{Event, EventKind, Quota};
use chrono::{DateTime, TimeDelta};
use serde_json::{Map, Value, json};

use crate::output::table::one_line;
use crate::time::absolute;

/// How an overlap that ends with the first use serialises.
const FIRST_USE: &str = "first_use";

/// The actor of a change, and its address.
pub(super) fn actor(event: &Event) -> String {
    match (event.actor(), event.peer()) {
        (None, _) => "-".to_owned(),
        (Some(actor), None) => actor.to_string(),
        (Some(actor), Some(peer)) => format!("{actor} from {peer}"),
    }
}

/// An event as one line, as it happens.
pub(super) fn line(event: &Event) -> String {
    let key = event.key().map_or_else(|| "-".to_owned(), |key| key.to_string());
    let (number, at, kind) = (event.number(), absolute(event.at()), event.kind().name());
    one_line(&format!("{number} {at} {kind} {key} {} {}", actor(event), details(event.kind())))
}

/// What events of roles, tenants and owners have twice, before and after.
const PAIRS: [(&str, &str, &str); 3] =
    [("permissions", "from", "to"), ("limit", "limit_from", "limit_to"), ("quota", "quota_from", "quota_to")];

/// The fields of an event by their JSON names, so that kinds of later versions show theirs, too; `-` if it has none.
pub(super) fn details(kind: &EventKind) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(kind) else { return "-".to_owned() };
    let mut changed = Vec::new();
    for (name, from, to) in PAIRS {
        // The event of an accepted clock has two times of these names.
        if fields.get(to).is_some_and(|to| !to.is_string()) {
            let [from, to] = [from, to].map(|field| fields.remove(field).unwrap_or_default());
            if from != to {
                changed.push(change(name, &json!({ "from": from, "to": to })));
            }
        }
    }
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    let set = fields.iter().filter(|(name, value)| *name != "kind" && !is_empty(value));
    let parts = set.flat_map(|(name, value)| match value {
        Value::Object(changes) if name == "changes" => {
            changes.iter().map(|(name, value)| change(name, value)).collect()
        }
        value => vec![format!("{name}={}", display(value))],
    });
    let parts = parts.chain(changed).collect::<Vec<_>>();
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
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
        Value::String(text) if text == FIRST_USE => "until the first use".to_owned(),
        Value::String(text) => {
            DateTime::parse_from_rfc3339(text).map_or_else(|_| text.clone(), |at| absolute(at.to_utc()))
        }
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(display).collect::<Vec<_>>().join(","),
        Value::Object(fields) => object(fields).unwrap_or_else(|| value.to_string()),
        other => other.to_string(),
    }
}

/// A rate limit, a quota, a rotation policy, or an end.
fn object(fields: &Map<String, Value>) -> Option<String> {
    if let Some(at) = fields.get("at") {
        return Some(format!("until {}", display(at)));
    }
    if fields.contains_key("per") {
        let quota: Quota = serde_json::from_value(Value::Object(fields.clone())).ok()?;
        return Some(quota.to_string());
    }
    let span = |name: &str| Some(span_text(TimeDelta::try_milliseconds(fields.get(name)?.as_i64()?)?));
    match fields.get("count") {
        Some(count) => Some(format!("{count} in {}", span("per_ms")?)),
        None => {
            let overlap = span("overlap_ms").unwrap_or_else(|| "until the first use".to_owned());
            Some(format!("every {}, overlap {overlap}", span("every_ms")?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_write_them() {
        let shown = |value: Value| display(&value);
        assert_eq!(shown(json!({ "count": 100, "per_ms": 60_000 })), "100 in 1 minute");
        assert_eq!(
            shown(json!({ "every_ms": 2_592_000_000i64, "overlap_ms": 86_400_000 })),
            "every 30 days, overlap 1 day"
        );
        assert_eq!(
            shown(json!({ "every_ms": 1000, "overlap_ms": null })),
            "every 1 second, overlap until the first use"
        );
        assert_eq!(shown(json!(null)), "none");
        assert_eq!(shown(json!("first_use")), "until the first use");
        assert_eq!(shown(json!({ "at": "2027-01-31T12:00:00.104Z" })), "until 2027-01-31T12:00:00Z");
        assert_eq!(shown(json!("2027-01-31T12:00:00.104Z")), "2027-01-31T12:00:00Z");
        assert_eq!(shown(json!(["a", "b"])), "a,b");
        assert_eq!(
            change("limit", &json!({ "from": null, "to": { "count": 5, "per_ms": 1000 } })),
            "limit=none->5 in 1 second"
        );
        let [hundred, fifty] = [100, 50].map(|count| json!({ "count": count, "per": "day" }));
        assert_eq!(change("quota", &json!({ "from": hundred, "to": fifty })), "quota=100 a day->50 a day");
        let month = json!({ "count": 7, "per": "month", "offset_minutes": 60 });
        assert_eq!(shown(month), "7 a month (+01:00)");
    }
}
