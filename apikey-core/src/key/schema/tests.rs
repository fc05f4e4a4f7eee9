//! The schemas say what serde writes and reads.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::key::builder_json::UncheckedLimit;
use crate::key::schema::object::{Schemas, add};
use crate::{
    AuthError, CapViolation, FieldError, KeyFilter, KeyInfo, KeyState, KeyStore, KeyUpdate, Limit, NewKey, Overlap,
    OverlapEnd, Page, Quota, RevealedKey, Role, RotationPolicy,
};

/// The schema of a type, and by name all that come with it.
struct Document {
    root: Value,
    schemas: Map<String, Value>,
}

impl Document {
    fn of<T: ToSchema>() -> Self {
        let mut schemas = Schemas::new();
        add::<T>(&mut schemas);
        let schemas = schemas.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap()));
        Self { root: serde_json::to_value(T::schema()).unwrap(), schemas: schemas.collect() }
    }

    fn properties(&self) -> BTreeSet<&str> {
        self.root["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn accepts(&self, value: &Value) -> Result<(), String> {
        self.check(&self.root, value)
    }

    /// Checks the keywords that these schemas have, except formats.
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/components/schemas/").unwrap();
            let schema = self.schemas.get(name).ok_or(format!("the schema {name} is missing"))?;
            return self.check(schema, value);
        }
        if let Some(of) = schema["oneOf"].as_array() {
            let fits = of.iter().filter(|schema| self.check(schema, value).is_ok()).count();
            return if fits == 1 { Ok(()) } else { Err(format!("{value} fits {fits} of {schema}")) };
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !kinds.contains(&kind.into()) {
            return Err(format!("{value} is none of {kinds:?}"));
        }
        if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
            return Err(format!("{value} is none of {}", schema["enum"]));
        }
        let below = schema["minimum"].as_i64().is_some_and(|min| value.as_i64().is_some_and(|number| number < min));
        let above = schema["maximum"].as_i64().is_some_and(|max| value.as_i64().is_some_and(|number| number > max));
        if below || above {
            return Err(format!("{value} is out of the bounds of {schema}"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.check(&schema["items"], item)?;
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null | Value::Bool(_)) => return Err(format!("{name} is no property")),
                (Value::Null, of_all) => self.check(of_all, member)?,
                (property, _) => self.check(property, member)?,
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        let missing =
            required.map(|name| name.as_str().unwrap()).find(|name| value.is_object() && value.get(name).is_none());
        missing.map_or(Ok(()), |name| Err(format!("{name} is missing in {value}")))
    }
}

/// The values fit, and each object among them has every property.
fn is_written<T: ToSchema + serde::Serialize>(values: impl IntoIterator<Item = T>) {
    let document = Document::of::<T>();
    for value in values {
        let value = serde_json::to_value(value).unwrap();
        assert_eq!(document.accepts(&value), Ok(()), "{}", T::name());
        if let (Some(value), Value::Object(_)) = (value.as_object(), &document.root["properties"]) {
            assert_eq!(document.properties(), value.keys().map(String::as_str).collect(), "{}", T::name());
        }
    }
}

/// The value, with any single member removed, nulled, or added, is read if and only if the schema accepts it.
fn is_read<S: ToSchema, T: DeserializeOwned>(example: &Value, alternatives: &[&str]) {
    let document = Document::of::<S>();
    let same = |value: &Value| {
        let (accepted, read) = (document.accepts(value), serde_json::from_value::<T>(value.clone()));
        assert_eq!(accepted.is_ok(), read.is_ok(), "{}: {value}: {accepted:?}, {:?}", S::name(), read.err());
        accepted.is_ok()
    };
    assert!(same(example), "{example}");
    let with = |name: &str, value: Value| {
        let mut changed = example.clone();
        changed[name] = value;
        same(&changed)
    };
    assert!(!with("colour", 1.into()));
    let names: BTreeSet<&str> = example.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names.union(&alternatives.iter().copied().collect()).copied().collect::<BTreeSet<_>>(),
        document.properties()
    );
    for name in names {
        with(name, Value::Null);
        with(name, json!({ "colour": 1 }));
        // Not numbers: serde reads a struct from a list of its fields, too.
        with(name, json!([{}]));
        let mut without = example.clone();
        without.as_object_mut().unwrap().remove(name);
        same(&without);
    }
}

fn time() -> DateTime<Utc> {
    "2031-05-01T00:00:00Z".parse().unwrap()
}

#[test]
fn what_a_caller_sends() {
    let limit = json!({ "count": 100, "per_ms": 60000 });
    let quota = json!({ "count": 10_000, "per": "day", "offset_minutes": 60 });
    let policy = json!({ "every_ms": 2_592_000_000_u64, "overlap_ms": 86_400_000 });
    let mut new = json!({
        "owner": "alice", "name": "ci", "permissions": ["orders:read"], "metadata": { "team": "blue" }, "not_before": time(),
        "expires_at": time(), "labels": { "plan": "pro" }, "prefix": "acme_test", "limit": limit, "quota": quota,
        "networks": ["10.0.0.0/8"], "rotation": policy, "idle_after_ms": 7_776_000_000_u64,
        "roles": ["reader"],
    });
    is_read::<NewKey, NewKey>(&new, &["expires_in_ms"]);
    new.as_object_mut().unwrap().remove("expires_at");
    new["expires_in_ms"] = 86_400_000.into();
    is_read::<NewKey, NewKey>(&new, &["expires_at"]);
    let update = json!({
        "name": "ci", "permissions": ["a:b"], "add_permissions": ["a:b"], "remove_permissions": ["a:b"],
        "not_before": time(), "expires_at": time(), "disabled": false, "metadata": { "team": "blue", "old": null },
        "labels": { "plan": "pro", "beta": null }, "limit": limit, "quota": quota, "networks": ["10.0.0.0/8"], "rotation": policy,
        "idle_after_ms": 7_776_000_000_u64,
        "roles": ["reader"], "add_roles": ["reader"], "remove_roles": ["reader"],
    });
    is_read::<KeyUpdate, KeyUpdate>(&update, &[]);
    let filter = json!({
        "owner": "alice", "tenant": "acme", "no_tenant": false, "any_tenant": false, "state": "inactive", "permission": "a:b", "text": "ci", "expiring_before": time(),
        "idle_since": time(), "never_used": true, "metadata": { "team": "blue" }, "rotation_due_before": time(),
        "purgeable_before": time(), "prefix": "acme_test", "role": "reader", "after": "01931a4e-7c3b-7def-8123-456789abcdef", "limit": 20,
    });
    is_read::<KeyFilter, KeyFilter>(&filter, &[]);
    let role = json!({ "name": "reader", "permissions": ["a:b"], "description": "reads" });
    is_read::<Role, Role>(&role, &[]);
    is_read::<Limit, UncheckedLimit>(&limit, &[]);
    is_read::<Quota, Quota>(&quota, &[]);
    is_read::<RotationPolicy, RotationPolicy>(&policy, &[]);
    for overlap in
        [json!("none"), json!("first_use"), json!({ "ms": 3600 }), json!({ "s": 1 }), json!("never"), json!(1)]
    {
        let read = serde_json::from_value::<Overlap>(overlap.clone()).is_ok();
        assert_eq!(Document::of::<Overlap>().accepts(&overlap).is_ok(), read, "{overlap}");
    }
}

#[test]
fn the_query_has_every_member_of_a_filter_that_it_can_express() {
    let parameters = serde_json::to_value(KeyFilter::into_params(|| None)).unwrap();
    let parameters = parameters.as_array().unwrap();
    let names: BTreeSet<&str> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    let filter = Document::of::<KeyFilter>();
    let expected: BTreeSet<&str> = filter.properties().into_iter().filter(|name| *name != "metadata").collect();
    assert_eq!(names, expected);
    for parameter in parameters {
        assert_eq!((&parameter["in"], &parameter["required"]), (&json!("query"), &json!(false)), "{parameter}");
        // utoipa collects no schema that a parameter refers to.
        assert!(!parameter.to_string().contains("$ref"), "{parameter}");
    }
}

#[test]
fn what_a_caller_gets() {
    let store = KeyStore::temporary().unwrap();
    let full = NewKey::for_owner("alice")
        .name("ci")
        .permissions(["orders:read"])
        .metadata("team", "blue")
        .label("plan", "pro")
        .prefix("ak")
        .expires_in(TimeDelta::days(90))
        .limit(100, TimeDelta::minutes(1))
        .quota(Quota::per_month(5000).offset(chrono::FixedOffset::east_opt(3600).unwrap()))
        .networks(["10.0.0.0/8"])
        .rotation(RotationPolicy::every(TimeDelta::days(30)));
    let created = store.create(full).unwrap();
    let id = created.info.id();
    let plain = store.create(NewKey::for_owner("bob")).unwrap();
    let mut infos: Vec<KeyInfo> = vec![created.info.clone(), plain.info.clone()];
    infos.push(store.tenant("acme").unwrap().create(NewKey::for_owner("alice")).unwrap().info);
    infos.push(store.rotate(id, Overlap::For(TimeDelta::hours(1))).unwrap().info);
    infos.push(store.rotate(plain.info.id(), Overlap::UntilFirstUse).unwrap().info);
    let ends: Vec<OverlapEnd> = infos.iter().filter_map(KeyInfo::overlap).collect();
    assert_eq!(ends.len(), 2);
    store.revoke(id, "leaked").unwrap();
    infos.push(store.get(id).unwrap().unwrap());
    is_written(ends);
    is_written(infos.iter().filter_map(|info| info.revoked().cloned()));
    is_written(infos.iter().filter_map(KeyInfo::rotation));
    is_written(infos.iter().filter_map(KeyInfo::limit));
    is_written(infos.iter().filter_map(KeyInfo::quota));
    is_written([id]);
    is_written(infos);
    is_written::<RevealedKey>([created.reveal(), plain.reveal()]);
    is_written::<Page>([
        store.list(&KeyFilter::default()).unwrap(),
        store.list(&KeyFilter::default().limit(1)).unwrap(),
    ]);
    is_written(KeyState::ALL);
    store.put_role(Role::new("reader").permissions(["orders:read"]).describe("reads orders")).unwrap();
    store.put_role(Role::new("nobody")).unwrap();
    is_written(store.roles().unwrap());
}

#[test]
fn errors() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(NewKey::for_owner("alice").limit(1, TimeDelta::seconds(1))).unwrap();
    let (id, limit) = (created.info.id(), created.info.limit().unwrap());
    is_written([FieldError::new(["owner"], "not_allowed", "too long")]);
    let owner = || "alice".to_owned();
    is_written([
        CapViolation::Grant("orders:*".into()),
        CapViolation::Actor(AuthError::Missing),
        CapViolation::Target(id),
        CapViolation::Owner { wanted: owner(), actor: owner() },
        CapViolation::Tenant { wanted: None, actor: Some(owner()) },
        CapViolation::Tenant { wanted: Some(owner()), actor: None },
        CapViolation::Label { name: "plan".into(), wanted: Some("pro".into()), held: None },
        CapViolation::Label { name: "plan".into(), wanted: None, held: Some("pro".into()) },
        CapViolation::Prefix { wanted: "acme_live".into(), held: "acme_test".into() },
        CapViolation::End { wanted: None, latest: time() },
        CapViolation::End { wanted: Some(time()), latest: time() },
        CapViolation::Networks("anywhere".into()),
        CapViolation::Limit { wanted: None, max: limit },
        CapViolation::Limit { wanted: Some(limit), max: limit },
        CapViolation::Quota { wanted: None, max: Quota::total(5) },
        CapViolation::Quota { wanted: Some(Quota::per_day(6)), max: Quota::per_day(5) },
    ]);
}
