//! Answers: a key as JSON, and what goes with it.

use apikey_core::{CreatedKey, KeyInfo};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::answer::PlainResponse;

/// What changes without an event, so that no entity tag could tell it: it is in `activity`.
pub(super) const ACTIVITY: [&str; 3] = ["last_used_at", "uses_total", "idle_at"];

/// An answer with this document.
pub(crate) fn json(status: u16, document: &impl Serialize) -> PlainResponse {
    // Texts, numbers and times always serialise.
    PlainResponse::new(status, "application/json", serde_json::to_string(document).unwrap_or_default())
}

/// A key with what changes at each use apart.
pub(super) fn key_with_activity(key: &KeyInfo) -> Value {
    let (mut key, activity) = split(key);
    key.insert("activity".into(), activity.into());
    key.into()
}

/// The answer with a key as it is after an operation, and its entity tag.
pub(super) fn key(status: u16, key: &KeyInfo) -> PlainResponse {
    json(status, &split(key).0).with("etag", tag(key))
}

/// The answer with a key that has a new secret, and the secret.
pub(super) fn secret(status: u16, created: &CreatedKey) -> PlainResponse {
    let key = serde_json::to_string(&split(&created.info).0).unwrap_or_default();
    // No token of the store's own form has characters to escape. `concat` allocates once: a string that grows leaves copies
    // of the secret in memory.
    let rest = key.strip_prefix('{').unwrap_or_default();
    let body = [r#"{"key":""#, created.key.expose_secret(), r#"","#, rest].concat();
    PlainResponse::new(status, "application/json", body).with("etag", tag(&created.info))
}

/// The entity tag of a key: the number of its last event.
pub(super) fn tag(key: &KeyInfo) -> String {
    format!("\"{}\"", key.last_event())
}

fn split(key: &KeyInfo) -> (Map<String, Value>, Map<String, Value>) {
    let mut fields = match serde_json::to_value(key) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let activity = ACTIVITY.iter().filter_map(|name| Some(((*name).to_owned(), fields.remove(*name)?))).collect();
    (fields, activity)
}

#[cfg(test)]
mod tests {
    use apikey_core::{KeyStore, NewKey};

    use super::*;

    #[test]
    fn a_key_is_flat_and_its_activity_and_its_secret_apart() {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice")).unwrap();
        let read = |answer: &PlainResponse| serde_json::from_str::<Value>(&answer.body).unwrap();
        let plain = read(&key(200, &created.info));
        let mut expected = serde_json::to_value(&created.info).unwrap();
        for name in ACTIVITY {
            assert_eq!(plain.get(name), None);
            expected.as_object_mut().unwrap().remove(name).unwrap();
        }
        assert_eq!(plain, expected);
        let with = key_with_activity(&created.info);
        assert_eq!(with["activity"], serde_json::json!({ "last_used_at": null, "uses_total": 0, "idle_at": null }));
        expected["key"] = created.key.expose_secret().into();
        let answer = secret(201, &created);
        assert_eq!(read(&answer), expected);
        assert!(answer.headers.contains(&("etag".to_owned(), "\"1\"".to_owned())));
    }
}
