//! Sessions as JSON.

use apikey_core::KeyStore;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::moment::Moment;
use super::owner::Owner;
use super::principal::Principal;
use super::sessions::{FRESH, Session};
use crate::management::OF_OWNERS;

/// A session of a principal, as the page reads it.
pub(super) fn session(store: &KeyStore, principal: &Principal, session: &Session, now: Moment) -> Value {
    let mut document = json!({
        "kind": principal.kind(),
        "name": principal.name(),
        "permissions": ["*"],
        "key": null,
        "owner": null,
        "tenant": null,
        "max_keys": null,
        "max_lifetime_ms": null,
        "node": node(store),
        "idle_ms": milliseconds(session.idle_left(now)),
        "ends_at": time(session.ends_at()),
        "signed_in_at": time(session.signed_in_at()),
        "fresh": session.is_fresh(now),
    });
    if let (Principal::Key { key, .. }, Value::Object(fields)) = (principal, &mut document) {
        fields.insert("permissions".into(), key.permissions().collect::<Vec<_>>().into());
        fields.insert("key".into(), json!(key.id()));
        fields.insert("owner".into(), key.owner().into());
        fields.insert("tenant".into(), key.tenant().into());
    }
    document
}

/// What stands for a session of an owner, whom the application has signed in.
pub(super) fn owner(store: &KeyStore, owner: &Owner, now: Moment) -> Value {
    let bounds = owner.bounds();
    let max_lifetime = bounds.lifetime().and_then(|span| span.to_std().ok()).map(milliseconds);
    json!({
        "kind": "owner",
        "name": owner.name(),
        "permissions": OF_OWNERS,
        "key": null,
        "owner": owner.name(),
        "tenant": owner.tenant_name(),
        "max_keys": bounds.keys(),
        "max_lifetime_ms": max_lifetime,
        "node": node(store),
        "idle_ms": null,
        "ends_at": null,
        "signed_in_at": owner.last_sign_in().map(time),
        "fresh": is_fresh(owner, now),
    })
}

/// Whether the owner has signed in to the application a short while ago, as far as it says when.
pub(super) fn is_fresh(owner: &Owner, now: Moment) -> bool {
    owner.last_sign_in().is_none_or(|time| (now.at - time).to_std().is_ok_and(|age| age < FRESH) || time > now.at)
}

/// A session in a list, and whether it is the one that asks.
pub(super) fn listed(session: &Session, is_current: bool) -> Value {
    let (key, owner, tenant) = match &session.principal {
        Principal::Key { key, .. } => (json!(key.id()), Some(key.owner()), key.tenant()),
        Principal::Operator(_) => (Value::Null, None, None),
    };
    json!({
        "kind": session.principal.kind(),
        "name": session.principal.name(),
        "key": key,
        "owner": owner,
        "tenant": tenant,
        "address": session.peer,
        "signed_in_at": time(session.signed_in_at()),
        "last_used_at": time(session.used_at()),
        "ends_at": time(session.ends_at()),
        "current": is_current,
    })
}

/// The name of the node of a cluster.
pub(super) fn node(store: &KeyStore) -> Option<String> {
    store.health().cluster.map(|cluster| cluster.node)
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn milliseconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
