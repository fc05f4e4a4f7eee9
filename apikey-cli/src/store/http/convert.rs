//! The admin socket's types as the parameters and documents of the API.

use apikey_core::{EventFilter, KeyFilter, KeyInfo, Usage};
use serde_json::{Map, Value};

use crate::failure::{Code, Failure};

/// Parameters, each a name and a value.
pub(super) type Parameters = Vec<(String, String)>;

/// Encodes a name for a path or a query string.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A key as the command knows it: with what the API has in `activity` among its fields.
pub(super) fn key_of(mut document: Value) -> Result<KeyInfo, Failure> {
    if let Some(fields) = document.as_object_mut()
        && let Some(Value::Object(activity)) = fields.remove("activity")
    {
        fields.extend(activity);
    }
    serde_json::from_value(document).map_err(unreadable)
}

fn fields(of: &impl serde::Serialize) -> Result<Map<String, Value>, Failure> {
    let mut fields: Map<String, Value> =
        serde_json::to_value(of).and_then(serde_json::from_value).map_err(unreadable)?;
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    fields.retain(|_, value| is_set(value));
    Ok(fields)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The parameters of listKeys, and the key after which the page begins.
pub(super) fn key_parameters(filter: &KeyFilter) -> Result<(Parameters, Option<String>), Failure> {
    const NAMES: [&str; 10] =
        ["owner", "tenant", "state", "permission", "text", "expiring_before", "idle_since", "prefix", "role", "limit"];
    let (mut parameters, mut after) = (Vec::new(), None);
    let fields = fields(filter)?;
    let of_an_owner = fields.contains_key("owner");
    for (name, value) in fields {
        match name.as_str() {
            // An owner alone is the one of no tenant, and no owner the keys of all.
            "any_tenant" if !of_an_owner => {}
            "no_tenant" if of_an_owner => {}
            "after" => after = Some(text(&value)),
            "metadata" => {
                let entries = value.as_object().into_iter().flatten();
                parameters.extend(entries.map(|(name, value)| (format!("metadata.{name}"), text(value))));
            }
            known if NAMES.contains(&known) => parameters.push((name, text(&value))),
            other => return Err(no_filter(other)),
        }
    }
    Ok((parameters, after))
}

/// The parameters of listEvents, and the event before or after which the page begins.
pub(super) fn event_parameters(filter: &EventFilter) -> Result<(Parameters, Option<String>), Failure> {
    let fields = fields(filter)?;
    let is_newest_first = fields.contains_key("newest_first");
    let (mut parameters, mut from) = (Vec::new(), None);
    if !is_newest_first {
        parameters.push(("after".to_owned(), fields.get("after").map_or_else(|| "0".to_owned(), text)));
    }
    for (name, value) in &fields {
        match (name.as_str(), value) {
            ("newest_first", _) => {}
            ("after", _) if !is_newest_first => {}
            ("before", number) if is_newest_first => from = Some(text(number)),
            ("kinds", Value::Array(kinds)) if kinds.len() == 1 => {
                parameters.extend(kinds.iter().map(|kind| ("kind".to_owned(), text(kind))));
            }
            ("key" | "actor" | "since" | "until" | "limit", value) => parameters.push((name.clone(), text(value))),
            (other, _) => return Err(no_filter(other)),
        }
    }
    Ok((parameters, from))
}

/// The parameters of getUsage.
pub(super) fn usage_parameters(usage: &Usage) -> Result<Parameters, Failure> {
    let mut parameters = Vec::new();
    for (name, value) in fields(usage)? {
        match (name.as_str(), value) {
            ("of", Value::Object(of)) => {
                for (what, name) in of {
                    match name {
                        Value::Object(owner) => {
                            parameters.extend(owner.get("name").map(|name| ("owner".to_owned(), text(name))));
                            let tenant = owner.get("tenant").filter(|tenant| !tenant.is_null());
                            parameters.extend(tenant.map(|tenant| ("tenant".to_owned(), text(tenant))));
                        }
                        name => parameters.push((what, text(&name))),
                    }
                }
            }
            ("of", _) => {}
            (_, value) => parameters.push((name, text(&value))),
        }
    }
    Ok(parameters)
}

pub(super) fn unreadable(error: serde_json::Error) -> Failure {
    Failure::new(Code::Refused, format!("the answer of the service cannot be read: {error}"))
}

fn no_filter(name: &str) -> Failure {
    Failure::new(Code::NotOverHttp, format!("over HTTP there is no selection by {}", name.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(parameters: &Parameters) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn filters_become_parameters() {
        let (parameters, after) = key_parameters(&KeyFilter::owner("a b").metadata("team", "blue").limit(3)).unwrap();
        assert_eq!(pairs(&parameters), [("limit", "3"), ("metadata.team", "blue"), ("owner", "a b")]);
        assert_eq!(after, None);
        assert_eq!(key_parameters(&KeyFilter::default().never_used()).unwrap_err().code, Code::NotOverHttp);
        let newest = EventFilter::default().newest_first().kind("revoked").before(7);
        let (parameters, from) = event_parameters(&newest).unwrap();
        assert_eq!((pairs(&parameters), from.as_deref()), (vec![("kind", "revoked")], Some("7")));
        let (parameters, from) = event_parameters(&EventFilter::default().after(7).limit(2)).unwrap();
        assert_eq!((pairs(&parameters), from), (vec![("after", "7"), ("limit", "2")], None));
        let (parameters, _) = event_parameters(&EventFilter::default()).unwrap();
        assert_eq!(pairs(&parameters), [("after", "0")]);
        let usage = usage_parameters(&Usage::of_owner_in_tenant("acme", "alice")).unwrap();
        assert_eq!(pairs(&usage), [("owner", "alice"), ("step", "hour"), ("tenant", "acme")]);
        assert_eq!(pairs(&usage_parameters(&Usage::of_store()).unwrap()), [("step", "hour")]);
        assert_eq!(encoded("a/b c~ü"), "a%2Fb%20c~%C3%BC");
    }
}
