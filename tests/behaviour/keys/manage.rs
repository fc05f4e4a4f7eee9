//! Creating, finding, updating, revoking and purging keys.

use std::collections::BTreeMap;

use apikey::{
    Conflict, ImportScheme, Imported, KeyFilter, KeyId, KeyState, KeyStore, KeyUpdate, NewKey, Overlap, StoreError,
};
use apikey_testkit::{alice, all, clocked, code, hours, info, ms, start};
use chrono::TimeDelta;

/// An id that no key has.
fn nobody() -> KeyId {
    "01931a4e-7c3b-7def-8123-456789abcdef".parse().unwrap()
}

#[test]
fn a_new_key_keeps_what_it_was_created_with() {
    let (store, _) = clocked();
    let created = store
        .create(
            NewKey::for_owner("alice")
                .name("ci")
                .permissions(["orders:read", "users:*"])
                .expires_in(TimeDelta::days(90))
                .not_before(start() + hours(1))
                .metadata("team", "blue")
                .metadata("region", "eu")
                .metadata("team", "red"),
        )
        .unwrap();
    let key = info(&store, &created);
    assert_eq!(key, created.info);
    assert_eq!((key.owner(), key.name()), ("alice", Some("ci")));
    assert_eq!(key.permissions(), ["orders:read", "users:*"]);
    let metadata: BTreeMap<String, String> = [("team".into(), "red".into()), ("region".into(), "eu".into())].into();
    assert_eq!(*key.metadata(), metadata);
    assert_eq!(key.created_at(), start());
    assert_eq!(key.expires_at(), Some(start() + TimeDelta::days(90)));
    assert_eq!(key.not_before(), Some(start() + hours(1)));
    assert_eq!((key.disabled(), key.revoked(), key.last_used_at(), key.version()), (false, None, None, 1));
    assert_eq!(key.state(start()), KeyState::NotYetValid);

    let plain = store.create(NewKey::for_owner(String::from("bob"))).unwrap().info;
    assert_eq!((plain.name(), plain.expires_at(), plain.not_before()), (None, None, None));
    assert!(plain.permissions().is_empty() && plain.metadata().is_empty());
}

#[test]
fn get_knows_only_ids_of_the_store() {
    let (store, other) = (KeyStore::temporary().unwrap(), KeyStore::temporary().unwrap());
    let created = store.create(alice()).unwrap();
    assert_eq!(store.get(created.info.id()).unwrap(), Some(created.info.clone()));
    assert_eq!(other.get(created.info.id()).unwrap(), None);
    assert_eq!(store.get(nobody()).unwrap(), None);
}

#[test]
fn changes_to_nobodys_key_are_not_found() {
    let store = KeyStore::temporary().unwrap();
    for error in [
        store.update(nobody(), KeyUpdate::new().name("x")).unwrap_err(),
        store.rotate(nobody(), Overlap::None).unwrap_err(),
        store.revoke(nobody(), "").unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NotFound(id) if id == nobody()), "{error:?}");
        assert!(error.to_string().contains(&nobody().to_string()), "{error}");
    }
}

#[test]
fn many_keys_come_in_their_order_with_rising_ids() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create_many((0..300).map(|n| NewKey::for_owner(format!("owner {n}")))).unwrap();
    assert_eq!(created.len(), 300);
    let listed = all(&store, &KeyFilter::default());
    assert!(listed.iter().eq(created.iter().map(|created| &created.info)));
    for (n, created) in created.iter().enumerate() {
        assert_eq!(created.info.owner(), format!("owner {n}"));
        assert_eq!(store.verify(created.key.expose_secret()).unwrap().owner(), format!("owner {n}"));
    }
    assert!(created.is_sorted_by(|one, next| one.info.id() < next.info.id()));
    assert!(store.create_many([]).unwrap().is_empty());
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let (store, _) = clocked();
    let key = || alice().name("ci").permissions(["orders:read"]).metadata("team", "blue").expires_in(hours(9));
    let created = store.create(key()).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    let mut expected = serde_json::to_value(&created.info).unwrap();
    let mut update = |update: KeyUpdate, field: &str, value: serde_json::Value| {
        let before = info(&store, &created);
        let after = store.update(id, update).unwrap();
        assert_eq!(store.get(id).unwrap(), Some(after.clone()));
        expected[field] = value;
        let changed = expected != serde_json::to_value(&before).unwrap();
        expected["last_event"] = (before.last_event() + u64::from(changed)).into();
        expected["state"] = if expected["disabled"] == true { "disabled" } else { "active" }.into();
        assert_eq!(serde_json::to_value(&after).unwrap(), expected, "{field}");
    };
    update(KeyUpdate::new().name("other"), "name", "other".into());
    update(KeyUpdate::new().without_name(), "name", serde_json::Value::Null);
    update(KeyUpdate::new().permissions(["users:*", "a"]), "permissions", serde_json::json!(["users:*", "a"]));
    update(KeyUpdate::new().metadata("x", "1"), "metadata", serde_json::json!({"team": "blue", "x": "1"}));
    update(KeyUpdate::new().without_metadata("team"), "metadata", serde_json::json!({"x": "1"}));
    update(KeyUpdate::new().without_metadata("nothing"), "metadata", serde_json::json!({"x": "1"}));
    update(KeyUpdate::new().disabled(true), "disabled", true.into());
    update(KeyUpdate::new().disabled(true), "disabled", true.into());
    update(KeyUpdate::new().disabled(false), "disabled", false.into());
    update(KeyUpdate::new().expires_at(None), "expires_at", serde_json::Value::Null);
    let verified = store.verify(token).unwrap();
    assert!(verified.allows("users:list") && verified.allows("a") && !verified.allows("orders:read"));
    assert_eq!(verified.secret_version(), 1);
    let end = start() + hours(1);
    assert_eq!(store.update(id, KeyUpdate::new().expires_at(end)).unwrap().expires_at(), Some(end));
    // No other key changes.
    let other = store.create(key()).unwrap();
    store.update(id, KeyUpdate::new().disabled(true).name("z").permissions(["z"])).unwrap();
    assert_eq!(info(&store, &other), other.info);
}

#[test]
fn a_key_is_switched_off_and_on_and_its_end_moved() {
    let (store, clock) = clocked();
    let created = store.create(alice()).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    let update = |update| store.update(id, update).unwrap();
    update(KeyUpdate::new().disabled(true));
    assert_eq!(code(&store, token), "disabled_api_key");
    update(KeyUpdate::new().disabled(false));
    assert_eq!(code(&store, token), "ok");
    update(KeyUpdate::new().expires_at(start() + hours(1)));
    assert_eq!(code(&store, token), "ok");
    clock.advance(hours(1));
    assert_eq!(code(&store, token), "expired_api_key");
    update(KeyUpdate::new().expires_at(start() + hours(2)));
    assert_eq!(code(&store, token), "ok");
    clock.advance(hours(1));
    assert_eq!(code(&store, token), "expired_api_key");
    update(KeyUpdate::new().expires_at(None));
    assert_eq!(code(&store, token), "ok");
}

#[test]
fn a_revocation_is_final_and_its_first_reason_stays() {
    let (store, clock) = clocked();
    let created = store.create(alice()).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    store.revoke(id, "leaked").unwrap();
    assert_eq!(code(&store, token), "revoked_api_key");
    clock.advance(hours(1));
    store.revoke(id, "another reason").unwrap();
    assert_eq!(store.revoke_owner("alice", "a third").unwrap(), 0);
    let key = info(&store, &created);
    let revoked = key.revoked().unwrap();
    assert_eq!((revoked.at(), revoked.reason()), (start(), "leaked"));
    for change in [
        store.update(id, KeyUpdate::new().disabled(false)).map(drop),
        store.update(id, KeyUpdate::new().expires_at(None)).map(drop),
        store.rotate(id, Overlap::None).map(drop),
    ] {
        assert!(matches!(change, Err(StoreError::Conflict(Conflict::Revoked))), "{change:?}");
    }
    assert_eq!(code(&store, token), "revoked_api_key");
    assert_eq!(info(&store, &created), key);
}

#[test]
fn revoke_owner_counts_what_it_ends_and_ends_nobody_elses() {
    let store = KeyStore::temporary().unwrap();
    let keys = store.create_many((0..2500).map(|_| alice())).unwrap();
    let others: Vec<_> = ["alic", "alicea", "alice x", "Alice", "bob"]
        .map(|owner| store.create(NewKey::for_owner(owner)).unwrap())
        .into();
    store.revoke(keys[0].info.id(), "first").unwrap();
    store.update(keys[1].info.id(), KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(store.revoke_owner("alice", "left").unwrap(), 2499);
    for key in &keys {
        assert_eq!(code(&store, key.key.expose_secret()), "revoked_api_key");
    }
    assert_eq!(info(&store, &keys[0]).revoked().unwrap().reason(), "first");
    assert_eq!(info(&store, &keys[2499]).revoked().unwrap().reason(), "left");
    for other in &others {
        assert_eq!(code(&store, other.key.expose_secret()), "ok", "{:?}", other.info.owner());
    }
    assert_eq!(store.revoke_owner("alice", "again").unwrap(), 0);
    assert_eq!(store.revoke_owner("nobody", "").unwrap(), 0);
    // The owner is not locked out: only these keys are revoked.
    assert_eq!(code(&store, store.create(alice()).unwrap().key.expose_secret()), "ok");
}

#[test]
fn purge_deletes_what_was_revoked_or_expired_before_then() {
    let (store, clock) = clocked();
    let make = |key: NewKey| store.create(key).unwrap();
    let [revoked, expired, both, disabled, good, later] = [
        make(alice()),
        make(alice().expires_at(start() + hours(1))),
        make(alice().expires_at(start() + hours(5))),
        make(alice()),
        make(alice()),
        make(alice().expires_at(start() + hours(50))),
    ];
    store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    clock.set(start() + hours(1));
    store.revoke(revoked.info.id(), "").unwrap();
    store.revoke(both.info.id(), "").unwrap();
    clock.set(start() + hours(10));

    assert_eq!(store.purge(start()).unwrap(), 0);
    assert_eq!(store.purge(start() + hours(1)).unwrap(), 0, "at that time is not before it");
    for (key, expected) in [(&revoked, "revoked_api_key"), (&expired, "expired_api_key"), (&both, "revoked_api_key")] {
        assert_eq!(code(&store, key.key.expose_secret()), expected);
    }
    assert_eq!(store.purge(start() + hours(1) + ms(1)).unwrap(), 3);
    for key in [&revoked, &expired, &both] {
        assert_eq!(store.get(key.info.id()).unwrap(), None);
        assert_eq!(code(&store, key.key.expose_secret()), "invalid_api_key");
        assert!(matches!(store.revoke(key.info.id(), ""), Err(StoreError::NotFound(_))));
    }
    assert_eq!(code(&store, disabled.key.expose_secret()), "disabled_api_key");
    assert_eq!(code(&store, good.key.expose_secret()), "ok");
    assert_eq!(code(&store, later.key.expose_secret()), "ok");
    let left: Vec<KeyId> = [&disabled, &good, &later].map(|created| created.info.id()).into();
    assert_eq!(all(&store, &KeyFilter::owner("alice")).iter().map(apikey::KeyInfo::id).collect::<Vec<_>>(), left);
    assert_eq!(store.purge(start() + hours(10)).unwrap(), 0);
}

#[test]
fn purge_never_deletes_a_key_that_is_still_good() {
    let (store, clock) = clocked();
    let created = store.create(alice().expires_at(start() + hours(50))).unwrap();
    let token = created.key.expose_secret();
    // It will expire before that time, but has not expired yet.
    assert_eq!(store.purge(start() + hours(1000)).unwrap(), 0);
    assert_eq!(code(&store, token), "ok");
    clock.set(start() + hours(50));
    assert_eq!(store.purge(start() + hours(1000)).unwrap(), 1);
    assert_eq!(code(&store, token), "invalid_api_key");
}

#[test]
fn many_are_purged_and_their_ids_do_not_come_back() {
    let (store, clock) = clocked();
    let keys = store.create_many((0..2300).map(|_| alice())).unwrap();
    let last = keys.iter().map(|created| created.info.id()).max().unwrap();
    assert_eq!(store.revoke_owner("alice", "").unwrap(), 2300);
    assert_eq!(store.purge(start() + ms(1)).unwrap(), 2300);
    assert_eq!(all(&store, &KeyFilter::default()), []);
    clock.set(start() - hours(10));
    assert!(store.create(alice()).unwrap().info.id() > last);
}

#[test]
fn an_end_that_has_come_is_refused_but_for_imports() {
    let (store, clock) = clocked();
    let refused = |result: Result<(), StoreError>| {
        let error = result.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { field: "expires_at", .. }), "{error}");
        assert!(
            error.to_string().contains("2031-05-04 12:00:00 UTC") && error.to_string().contains("revoke"),
            "{error}"
        );
    };
    let key = store.create(alice().expires_at(start() + ms(1))).unwrap();
    refused(store.create(alice().expires_at(start())).map(drop));
    refused(store.create_many([alice(), alice().expires_at(start())]).map(drop));
    refused(store.update(key.info.id(), KeyUpdate::new().expires_at(start())).map(drop));
    assert_eq!(store.health().last_durable, 1);
    clock.advance(hours(1));
    refused(store.update(key.info.id(), KeyUpdate::new().expires_at(start())).map(drop));
    // An update may repeat the end that the key already has.
    let update = KeyUpdate::new().expires_at(start() + ms(1)).name("over");
    assert_eq!(store.update(key.info.id(), update).unwrap().name(), Some("over"));
    // An imported key may have ended before it was imported.
    let imported = Imported::raw("legacy-7f3a9c1e5b2d4860");
    store.create(alice().imported(imported, ImportScheme::Whole).expires_at(start())).unwrap();
    assert_eq!(code(&store, "legacy-7f3a9c1e5b2d4860"), "expired_api_key");
}

#[test]
fn an_update_that_changes_nothing_says_so_and_writes_nothing() {
    let (store, _) = clocked();
    let id = store.create(alice().name("ci")).unwrap().info.id();
    let error = store.update(id, KeyUpdate::new()).unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "update", .. }) && error.status() == 422, "{error}");
    assert_eq!(store.update(id, KeyUpdate::new().name("ci")).unwrap().name(), Some("ci"));
    assert!(store.revoke(id, "left").unwrap());
    assert!(!store.revoke(id, "leaked").unwrap());
    assert_eq!(store.get(id).unwrap().unwrap().revoked().unwrap().reason(), "left");
    assert_eq!(store.revoke_owner("alice", "leaked").unwrap(), 0);
    assert_eq!(store.health().last_durable, 2);
}

#[test]
fn the_begin_of_a_key_is_moved_and_removed() {
    let (store, clock) = clocked();
    let created = store.create(alice().expires_at(start() + hours(10))).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    let set = |begin: Option<chrono::DateTime<chrono::Utc>>| store.update(id, KeyUpdate::new().not_before(begin));
    assert_eq!(set(Some(start() + hours(2))).unwrap().not_before(), Some(start() + hours(2)));
    assert_eq!(code(&store, token), "inactive_api_key");
    set(Some(start() + hours(1))).unwrap();
    clock.advance(hours(1));
    assert_eq!(code(&store, token), "ok");
    set(Some(start() + hours(5))).unwrap();
    assert_eq!(code(&store, token), "inactive_api_key");
    set(None).unwrap();
    assert_eq!((code(&store, token), store.get(id).unwrap().unwrap().not_before()), ("ok", None));
    for late in [hours(10), hours(11)] {
        let error = set(Some(start() + late)).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "not_before", .. }), "{error:?}");
    }
    // An update with both checks them against each other.
    let both = KeyUpdate::new().not_before(start() + hours(11)).expires_at(start() + hours(12));
    store.update(id, both).unwrap();
    let crossed = KeyUpdate::new().not_before(start() + hours(13)).expires_at(start() + hours(12));
    assert!(matches!(store.update(id, crossed), Err(StoreError::Invalid { field: "not_before", .. })));
    let events = store.events(&apikey::EventFilter::default().newest_first().limit(1)).unwrap().events;
    let apikey::EventKind::Updated { changes } = events[0].kind() else { panic!("{events:?}") };
    assert_eq!(changes.fields(), ["not_before", "expires_at"]);
}

#[test]
fn permissions_are_added_and_removed_as_the_key_has_them() {
    let (store, _) = clocked();
    let created = store.create(alice().permissions(["orders:*", "stock:read"])).unwrap();
    let id = created.info.id();
    let change = |update: KeyUpdate| store.update(id, update).map(|key| key.permissions().to_vec());
    let add = |grants: &[&str]| KeyUpdate::new().add_permissions(grants);
    let remove = |grants: &[&str]| KeyUpdate::new().remove_permissions(grants);
    assert_eq!(change(add(&["a:b", "stock:read", "a:b"])).unwrap(), ["orders:*", "stock:read", "a:b"]);
    assert!(store.verify(created.key.expose_secret()).unwrap().allows("a:b"));
    assert_eq!(change(remove(&["stock:read", "a:b"])).unwrap(), ["orders:*"]);
    assert!(!store.verify(created.key.expose_secret()).unwrap().allows("a:b"));
    // What another grant gives cannot be taken out of it: a silent success would leave it allowed.
    for absent in ["orders:read", "a:b", "no grant"] {
        let error = change(remove(&[absent])).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "remove_permissions", .. }), "{error:?}");
    }
    assert!(matches!(change(add(&["Orders"])), Err(StoreError::Permission(_))));
    let many: Vec<String> = (0..64).map(|n| format!("p:{n}")).collect();
    assert!(matches!(change(KeyUpdate::new().add_permissions(&many)), Err(StoreError::Invalid { .. })));
    let all = KeyUpdate::new().permissions(["x"]).add_permissions(["y", "z"]).remove_permissions(["x"]);
    assert_eq!(change(all).unwrap(), ["y", "z"]);
}

#[test]
fn changes_at_once_lose_none_of_each_others_permissions() {
    let (store, _) = clocked();
    let id = store.create(alice()).unwrap().info.id();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..10 {
                    store.update(id, KeyUpdate::new().add_permissions([format!("t{thread}:p{n}")])).unwrap();
                }
            });
        }
    });
    assert_eq!(store.get(id).unwrap().unwrap().permissions().len(), 40);
}

/// A caller reads a key, and sends back what it has read in a merge patch.
#[test]
fn a_patch_of_what_was_read_changes_nothing() {
    let (store, _) = clocked();
    let policy = apikey::RotationPolicy::every(TimeDelta::days(30)).overlap(Overlap::UntilFirstUse);
    let open = store.create(alice().rotation(policy).metadata("team", "blue")).unwrap().info;
    let bound = store.create(alice().name("ci").networks(["10.0.0.0/8"]).limit(5, hours(1))).unwrap().info;
    let events = store.health().last_durable;
    for key in [&open, &bound] {
        let serde_json::Value::Object(read) = serde_json::to_value(key).unwrap() else { panic!("{key:?}") };
        let fields = [
            "name",
            "permissions",
            "not_before",
            "expires_at",
            "disabled",
            "metadata",
            "limit",
            "networks",
            "rotation",
        ];
        let sent: serde_json::Map<_, _> =
            read.into_iter().filter(|(name, _)| fields.contains(&name.as_str())).collect();
        assert_eq!(sent.len(), fields.len(), "{sent:?}");
        let patch = |json: String| serde_json::from_str::<KeyUpdate>(&json).unwrap();
        for patch in
            [patch(serde_json::to_string(&sent).unwrap()), patch("{}".into()), patch(r#"{"metadata":{}}"#.into())]
        {
            assert_eq!(store.update(key.id(), patch).unwrap(), *key);
        }
    }
    assert_eq!(store.health().last_durable, events);
    // An empty list lifts no bound, `null` does.
    let patch = |networks: &str| serde_json::from_str::<KeyUpdate>(&format!(r#"{{"networks":{networks}}}"#)).unwrap();
    let error = store.update(bound.id(), patch("[]")).unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "networks", .. }), "{error}");
    assert!(store.update(bound.id(), patch("null")).unwrap().networks().is_empty());
    assert!(store.update(bound.id(), KeyUpdate::new()).is_err());
}
