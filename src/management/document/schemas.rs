//! The schemas of the document. Those of keys, roles and their parts are the ones that the core gives utoipa: a file, which a
//! test of `tests/management/` compares with them.

use serde_json::{Map, Value, json};

use crate::management::reply::ACTIVITY;

/// The schemas of the core.
const OF_THE_CORE: &str = include_str!("schemas.json");

/// All schemas, by name.
pub(super) fn schemas() -> Map<String, Value> {
    // A test reads it.
    let mut core: Map<String, Value> = serde_json::from_str(OF_THE_CORE).unwrap_or_default();
    let mut take = |name: &str| core.remove(name).unwrap_or_default();
    let (key, new, update, role) = (take("KeyInfo"), take("NewKey"), take("KeyUpdate"), take("KeyRole"));
    let filter = take("KeyFilter");
    let mut all = core;
    let mut put = |name: &str, schema: Value| {
        all.insert(name.to_owned(), schema);
    };
    let key = with_activity(key);
    put(
        "KeyWithSecret",
        with(
            key.clone(),
            "key",
            json!({ "type": "string", "description": "The secret, which no other response has." }),
            true,
        ),
    );
    put("Me", me(key.clone()));
    put("Key", key);
    put("KeyList", list("keys", "Key"));
    let tenant = json!({ "type": ["string", "null"], "description": "The tenant of the key; that of the caller if it is missing." });
    put("CreateKey", with(new, "tenant", tenant, false));
    put("UpdateKey", update);
    put("PutRole", without(role, &["name"]));
    put("RoleList", list_without_cursor("roles", "Role"));
    put(
        "RevokeKeys",
        closed(
            json!({ "filter": without(filter, &["after", "limit"]), "reason": reason(), "expect": count() }),
            &["filter", "expect"],
        ),
    );
    put("Reason", closed(json!({ "reason": reason() }), &[]));
    put(
        "RevokeOwner",
        closed(
            json!({ "reason": reason(), "tenant": nullable("The tenant of the owner; that of the caller if it is missing.") }),
            &[],
        ),
    );
    put("RotateKey", closed(json!({ "overlap": { "oneOf": [reference("KeyOverlap"), { "type": "null" }] } }), &[]));
    put("Count", object(json!({ "count": count() }), &["count"]));
    put("Tenant", tenant_info());
    put("PutTenant", put_tenant());
    put("TenantList", list_without_cursor("tenants", "Tenant"));
    put("Event", event());
    put("EventList", list("events", "Event"));
    // Each with a name of its own: generators of clients make a type of each.
    put("Refusals", counts());
    put("UsagePoint", usage_point());
    put("UsageReport", usage_report());
    put("KeyUsage", key_usage());
    let busiest = json!({ "keys": { "type": "array", "items": reference("KeyUsage") }, "covers": covers() });
    put("BusiestKeys", object(busiest, &["keys", "covers"]));
    put("Usage", json!({ "oneOf": [reference("UsageReport"), reference("BusiestKeys")] }));
    put("VerifyKey", verify_key());
    put("Verdict", verdict());
    put(
        "Introspect",
        object(json!({ "token": { "type": "string" }, "token_type_hint": { "type": "string" } }), &["token"]),
    );
    put("Introspection", introspection());
    put("PermissionList", permissions());
    put("Health", health());
    put("Overview", overview());
    put("Document", json!({ "type": "object", "description": "An OpenAPI document." }));
    put("Outstanding", outstanding());
    all
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// An object that may have no other members.
fn closed(properties: Value, required: &[&str]) -> Value {
    with_field(object(properties, required), "additionalProperties", false.into())
}

fn with_field(mut schema: Value, name: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.insert(name.to_owned(), value);
    }
    schema
}

/// The schema of an object with one more member.
fn with(mut schema: Value, name: &str, member: Value, required: bool) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(name.to_owned(), member);
    }
    match schema.get_mut("required").and_then(Value::as_array_mut) {
        Some(names) if required => names.push(name.into()),
        _ => {}
    }
    schema
}

/// The same without these members.
fn without(mut schema: Value, names: &[&str]) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !names.contains(&name.as_str()));
    }
    names.iter().fold(schema, |schema, name| without_required(schema, name))
}

fn without_required(mut schema: Value, name: &str) -> Value {
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|held| held != name);
    }
    schema
}

/// A key with what changes at each use apart.
fn with_activity(key: Value) -> Value {
    let members: Map<String, Value> = ACTIVITY
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), key.get("properties")?.get(*name)?.clone())))
        .collect();
    let mut activity = object(members.into(), &ACTIVITY);
    activity =
        with_field(activity, "description", "What changes with each use: in lists, and where it is wanted.".into());
    with(without(key, &ACTIVITY), "activity", activity, false)
}

fn me(key: Value) -> Value {
    let permissions = json!({ "type": "array", "items": { "type": "string" }, "description": "Its grants with those of its roles, under the ceiling of its tenant." });
    let key = with(key, "effective_permissions", permissions, true);
    let key = with(key, "secret_version", json!({ "type": "integer" }), true);
    with(key, "superseded", json!({ "type": "boolean", "description": "Whether there is a newer secret." }), true)
}

fn list(name: &str, item: &str) -> Value {
    let next =
        nullable("The `cursor` of the next page; `null` at the end. A page may be short, or empty, before that.");
    object(json!({ name: { "type": "array", "items": reference(item) }, "next": next }), &[name, "next"])
}

fn list_without_cursor(name: &str, item: &str) -> Value {
    object(json!({ name: { "type": "array", "items": reference(item) } }), &[name])
}

fn nullable(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0, "format": "int64" })
}

fn reason() -> Value {
    json!({ "type": ["string", "null"], "maxLength": 256 })
}

fn or_null(schema: Value) -> Value {
    json!({ "oneOf": [schema, { "type": "null" }] })
}

fn texts(description: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": description })
}

fn tenant_info() -> Value {
    let properties = json!({
        "name": { "type": "string" },
        "permissions": texts("The most that its keys have; `*` is everything."),
        "limit": or_null(reference("KeyLimit")),
        "quota": or_null(reference("KeyQuota")),
        "ended": or_null(reference("KeyRevocation")),
        "changed_at": time(),
    });
    object(properties, &["name", "permissions", "limit", "quota", "ended", "changed_at"])
}

fn put_tenant() -> Value {
    let properties = json!({
        "permissions": texts("The most that its keys have; everything if it is missing."),
        "limit": or_null(reference("KeyLimit")),
        "quota": or_null(reference("KeyQuota")),
    });
    closed(properties, &[])
}

fn event() -> Value {
    let properties = json!({
        "number": count(),
        "at": time(),
        "actor": nullable("`key:` and an id, `uid:` and a number, or the name of an application."),
        "peer": nullable("The address from which the actor made the change."),
        "key": { "type": ["string", "null"], "format": "uuid" },
        "kind": { "type": "string", "description": "Such as `revoked`; the other members depend on it." },
    });
    object(properties, &["number", "at", "actor", "peer", "key", "kind"])
}

fn counts() -> Value {
    json!({ "type": "object", "additionalProperties": count(), "description": "Refusals by their code." })
}

fn usage_point() -> Value {
    object(json!({ "at": time(), "uses": count(), "refusals": reference("Refusals") }), &["at", "uses"])
}

fn covers() -> Value {
    json!({ "type": "string", "enum": ["store", "all_nodes", "this_node"], "description": "The part of a cluster that has made the counts." })
}

fn usage_report() -> Value {
    let properties = json!({
        "step": { "type": "string", "enum": ["minute", "hour", "day"] },
        "covers": covers(),
        "uses": count(),
        "uses_total": count(),
        "refusals": reference("Refusals"),
        "points": { "type": "array", "items": reference("UsagePoint") },
    });
    object(properties, &["step", "covers", "uses", "uses_total", "refusals", "points"])
}

fn key_usage() -> Value {
    let properties = json!({
        "key": { "type": "string", "format": "uuid" },
        "tenant": { "type": "string" },
        "owner": { "type": "string" },
        "name": { "type": "string" },
        "uses": count(),
        "refusals": reference("Refusals"),
    });
    object(properties, &["key", "owner", "uses"])
}

fn verify_key() -> Value {
    let properties = json!({
        "key": { "type": "string", "description": "The token." },
        "permissions": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "description": "What it must allow, all of them." },
        "address": { "type": ["string", "null"], "description": "The address that presents it; without one its networks are not checked." },
        "use": { "type": "boolean", "description": "Whether it is used: counted, and taken from its limit and its quota." },
    });
    closed(properties, &["key"])
}

fn verdict() -> Value {
    let properties = json!({
        "valid": { "type": "boolean" },
        "code": { "type": "string", "description": "`ok`, or the code of the refusal, such as `revoked_api_key`." },
        "missing": texts("The permissions that it lacks."),
        "key": { "type": "string", "format": "uuid" },
        "owner": { "type": "string" },
        "tenant": { "type": ["string", "null"] },
        "labels": { "type": "object", "additionalProperties": { "type": "string" } },
        "permissions": texts("Its effective grants."),
        "end": { "type": ["string", "null"], "format": "date-time", "description": "When it ends, or this secret of it." },
        "secret_version": { "type": "integer", "description": "The number of the secret." },
        "superseded": { "type": "boolean", "description": "Whether there is a newer secret." },
        "superseded_until": { "type": ["string", "null"], "format": "date-time", "description": "When a superseded secret ends." },
    });
    object(properties, &["valid", "code"])
}

fn introspection() -> Value {
    let properties = json!({
        "active": { "type": "boolean" },
        "sub": { "type": "string", "description": "The owner." },
        "client_id": { "type": "string", "format": "uuid", "description": "The id of the key." },
        "scope": { "type": "string", "description": "Its grants, separated by blanks." },
        "iat": { "type": "integer" },
        "nbf": { "type": "integer" },
        "exp": { "type": "integer" },
    });
    object(properties, &["active"])
}

fn permissions() -> Value {
    let one = json!({
        "name": { "type": "string" },
        "doc": { "type": "string", "description": "What it is for." },
        "handlers": texts("The guarded handlers that ask for it."),
        "operations": texts("The operations of this API that ask for it."),
    });
    let any = json!({ "type": "boolean", "description": "Whether every other permission may be put on keys, too." });
    let one = object(one, &["name", "doc", "handlers", "operations"]);
    object(json!({ "permissions": { "type": "array", "items": one }, "any": any }), &["permissions", "any"])
}

fn health() -> Value {
    let flag = || json!({ "type": "boolean" });
    let when = || json!({ "type": ["string", "null"], "format": "date-time" });
    let properties = json!({
        "ready": flag(),
        "good": flag(),
        "last_event": count(),
        "failed_since": when(),
        "last_backup_at": when(),
        "backup_failed": flag(),
        "clock_ahead": flag(),
        "usage_dropped": count(),
        "cluster": { "type": ["object", "null"], "description": "The node of a cluster, and the others as it sees them." },
    });
    object(
        properties,
        &[
            "ready",
            "good",
            "last_event",
            "failed_since",
            "last_backup_at",
            "backup_failed",
            "clock_ahead",
            "usage_dropped",
            "cluster",
        ],
    )
}

fn overview() -> Value {
    let known = |text: &str| json!({ "type": ["integer", "null"], "minimum": 0, "description": format!("{text}; null if that is not known.") });
    let states = json!({
        "type": ["object", "null"],
        "additionalProperties": count(),
        "description": "How many keys are in each state; null while a large store counts them, and where the caller sees too many.",
    });
    let properties = json!({
        "states": states,
        "expiring": known("How many active keys end within 30 days"),
        "idle": known("How many active keys nobody has used for 90 days"),
        "old_secrets": known("How many active keys were rotated, and have an old secret that is still valid"),
        "counted_at": { "type": ["string", "null"], "format": "date-time", "description": "When they were counted." },
        "disk_bytes": known("The bytes of all files of the store"),
        "log_bytes": known("The bytes of its write-ahead log"),
    });
    object(properties, &["states", "expiring", "idle", "old_secrets", "counted_at", "disk_bytes", "log_bytes"])
}

fn outstanding() -> Value {
    let by = with_field(time(), "description", "When they have it, or refuse every key.".into());
    object(
        json!({ "outstanding": texts("The nodes that do not have the change."), "everywhere_by": by }),
        &["outstanding", "everywhere_by"],
    )
}
