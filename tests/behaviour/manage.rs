//! Making, finding, changing and ending keys.

use std::collections::BTreeMap;

use apikey::{Conflict, KeyFilter, KeyId, KeyState, KeyStore, KeyUpdate, NewKey, Overlap, StoreError};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::{ALL_STATES, alice, all, clocked, code, hours, info, ms, start};

/// An id that no key has.
fn nobody() -> KeyId {
    "01931a4e-7c3b-7def-8123-456789abcdef".parse().unwrap()
}

/// The error names the field, and nothing was created.
fn refused(store: &KeyStore, key: NewKey, field: &str) {
    let before = all(store, &KeyFilter::default()).len();
    let error = store.create(key).unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. } | StoreError::Permission(_)), "{error:?}");
    assert!(error.to_string().contains(field), "{field}: {error}");
    assert_eq!(all(store, &KeyFilter::default()).len(), before);
}

#[test]
fn what_a_key_is_given_is_kept() {
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
    assert_eq!(key.state(start()), KeyState::Inactive);

    let plain = store.create(NewKey::for_owner(String::from("bob"))).unwrap().info;
    assert_eq!((plain.name(), plain.expires_at(), plain.not_before()), (None, None, None));
    assert!(plain.permissions().is_empty() && plain.metadata().is_empty());
}

#[test]
fn times_are_whole_milliseconds() {
    let (store, _) = clocked();
    let fine = start() + hours(1) + TimeDelta::nanoseconds(1_999_999);
    let created = store.create(alice().expires_at(fine).not_before(start() + TimeDelta::nanoseconds(999_999))).unwrap();
    assert_eq!(created.info.expires_at(), Some(start() + hours(1) + ms(1)));
    assert_eq!(created.info.not_before(), Some(start()));
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
fn ten_thousand_keys_at_most_in_one_call() {
    let store = KeyStore::temporary().unwrap();
    let error = store.create_many((0..10_001).map(|_| alice())).unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains("10,000"), "{error}");
    assert!(store.create_many(std::iter::repeat_with(alice)).is_err(), "an endless list is refused too");
    assert_eq!(all(&store, &KeyFilter::default()).len(), 0);
    assert_eq!(store.create_many((0..10_000).map(|_| alice())).unwrap().len(), 10_000);
    assert_eq!(all(&store, &KeyFilter::default().limit(1000)).len(), 10_000);
}

#[test]
fn one_bad_key_among_many_and_none_is_created() {
    let store = KeyStore::temporary().unwrap();
    let bad: [fn() -> NewKey; 5] = [
        || NewKey::for_owner(""),
        || alice().permissions(["Orders"]),
        || alice().expires_in(TimeDelta::zero()),
        || alice().name("x".repeat(129)),
        || alice().not_before(start()).expires_at(start()),
    ];
    for bad in bad {
        for place in [0, 7, 14] {
            let keys = (0..15).map(|n| if n == place { bad() } else { alice() });
            assert!(store.create_many(keys).is_err());
            assert_eq!(all(&store, &KeyFilter::default()), []);
        }
    }
}

#[test]
fn owner_and_name_have_1_to_128_bytes_without_control_characters() {
    let store = KeyStore::temporary().unwrap();
    for good in ["a", " ", "Ålice & Söhne <\"'\\/%>", &"x".repeat(128), &"é".repeat(64)] {
        let created = store.create(NewKey::for_owner(good).name(good)).unwrap();
        assert_eq!((created.info.owner(), created.info.name()), (good, Some(good)));
        assert_eq!(all(&store, &KeyFilter::owner(good)), [created.info]);
        assert_eq!(store.verify(created.key.expose_secret()).unwrap().owner(), good);
    }
    for bad in ["", &"x".repeat(129), &"é".repeat(65), "a\nb", "\0", "a\u{7f}", "\u{85}", "\x1b[31m", "a\tb"] {
        refused(&store, NewKey::for_owner(bad), "owner");
        refused(&store, alice().name(bad), "name");
    }
}

#[test]
fn at_most_64_grants_of_the_grammar() {
    let store = KeyStore::temporary().unwrap();
    let grants = |count: usize| (0..count).map(|n| format!("{}{n:02}", "x".repeat(62)));
    let created = store.create(alice().permissions(grants(64))).unwrap();
    assert_eq!(created.info.permissions().len(), 64);
    assert!(store.verify(created.key.expose_secret()).unwrap().allows(&grants(64).next_back().unwrap()));
    refused(&store, alice().permissions(grants(65)), "permissions");
    for bad in [
        "",
        ":",
        "a:",
        ":a",
        "a::b",
        "A",
        "a b",
        "or*",
        "*x",
        "**",
        "a:b*",
        "é",
        "-a",
        ".a",
        "a.",
        "_a",
        "a\n",
        "a:b:c:d:e:f:g:h:i",
    ] {
        refused(&store, alice().permissions(["orders:read", bad]), "grant");
    }
    refused(&store, alice().permissions(["x".repeat(65)]), "grant");
    for good in ["a", "0", "a-b_c.d", "*", "*:*", "a:*:c", "a:b:c:d:e:f:g:h", &"x".repeat(64)] {
        store.create(alice().permissions([good])).unwrap();
    }
}

#[test]
fn metadata_has_at_most_32_entries_of_64_and_512_bytes() {
    let store = KeyStore::temporary().unwrap();
    let with = |count: usize| {
        (0..count).fold(alice(), |key, n| key.metadata(format!("{}{n:02}", "k".repeat(62)), "v".repeat(512)))
    };
    let created = store.create(with(32)).unwrap();
    assert_eq!(info(&store, &created).metadata().len(), 32);
    refused(&store, with(33), "metadata");
    refused(&store, alice().metadata("k".repeat(65), "v"), "metadata");
    refused(&store, alice().metadata("k", "v".repeat(513)), "metadata");
    refused(&store, alice().metadata("k\n", "v"), "metadata");
    refused(&store, alice().metadata("k", "v\0"), "metadata");
    refused(&store, alice().metadata("é".repeat(33), "v"), "metadata");
    let id = created.info.id();
    for update in [
        KeyUpdate::new().metadata("one more", ""),
        KeyUpdate::new().metadata("k".repeat(65), "v"),
        KeyUpdate::new().metadata(format!("{}00", "k".repeat(62)), "v".repeat(513)),
        KeyUpdate::new().metadata("k", "v\r"),
    ] {
        let error = store.update(id, update).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }) && error.to_string().contains("metadata"), "{error:?}");
    }
    assert_eq!(info(&store, &created), created.info);
}

#[test]
fn the_largest_key_works() {
    let (store, _) = clocked();
    let mut key = NewKey::for_owner("o".repeat(128)).name("n".repeat(128));
    key = key.permissions((0..64).map(|n| format!("{}{n:02}", "x".repeat(62))));
    for n in 0..32 {
        key = key.metadata(format!("{}{n:02}", "k".repeat(62)), "v".repeat(512));
    }
    let created = store.create(key).unwrap();
    let second = store.rotate(created.info.id(), Overlap::For(hours(1))).unwrap();
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
    assert_eq!(code(&store, second.key.expose_secret()), "ok");
    store.revoke(created.info.id(), "r".repeat(256)).unwrap();
    assert_eq!(code(&store, second.key.expose_secret()), "revoked_api_key");
}

#[test]
fn spans_and_times_out_of_range_are_refused_by_name() {
    let (store, _) = clocked();
    for span in
        [TimeDelta::zero(), ms(-1), TimeDelta::days(-90), TimeDelta::MIN, TimeDelta::MAX, TimeDelta::days(365 * 9000)]
    {
        refused(&store, alice().expires_in(span), "expires_in");
    }
    for time in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        refused(&store, alice().expires_at(time), "expires_at");
        refused(&store, alice().not_before(time), "not_before");
    }
    refused(&store, alice().not_before(start() + hours(1)).expires_at(start() + hours(1)), "expires_at");
    refused(&store, alice().not_before(start() + hours(2)).expires_in(hours(1)), "expires");
    store.create(alice().not_before(start() + hours(1)).expires_at(start() + hours(1) + ms(1))).unwrap();
    let created = store.create(alice()).unwrap();
    for span in [TimeDelta::zero(), ms(-1), TimeDelta::MIN, TimeDelta::MAX] {
        let error = store.rotate(created.info.id(), Overlap::For(span)).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }) && error.to_string().contains("overlap"), "{error:?}");
    }
    let error = store.update(created.info.id(), KeyUpdate::new().expires_at(DateTime::<Utc>::MAX_UTC)).unwrap_err();
    assert!(error.to_string().contains("expires_at"), "{error}");
    assert_eq!(info(&store, &created), created.info);
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
}

#[test]
fn a_clock_beyond_all_bounds_panics_nowhere() {
    let (store, clock) = clocked();
    let created = store.create(alice()).unwrap();
    let token = created.key.expose_secret();
    let mut last = created.info.id();
    for time in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH - ms(1), start()] {
        clock.set(time);
        assert_eq!(code(&store, token), "ok", "{time}");
        // Refused or not, it is not a panic, and ids rise.
        let keys =
            [alice(), alice().expires_in(hours(1)), alice().expires_in(TimeDelta::MAX)].map(|key| store.create(key));
        for created in keys.into_iter().flatten() {
            assert!(created.info.id() > last, "{time}");
            last = created.info.id();
            let _ = store.rotate(last, Overlap::For(hours(1)));
            let _ = store.rotate(last, Overlap::For(TimeDelta::MAX));
            let _ = store.revoke(last, "");
        }
        assert!(store.list(&KeyFilter::default()).is_ok());
        assert_eq!(code(&store, token), "ok", "{time}");
    }
    for before in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        store.purge(before).unwrap();
    }
    assert_eq!(code(&store, token), "ok");
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let (store, _) = clocked();
    let key = || alice().name("ci").permissions(["orders:read"]).metadata("team", "blue").expires_in(hours(9));
    let created = store.create(key()).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    let mut expected = serde_json::to_value(&created.info).unwrap();
    let mut update = |update: KeyUpdate, field: &str, value: serde_json::Value| {
        let after = store.update(id, update).unwrap();
        assert_eq!(store.get(id).unwrap(), Some(after.clone()));
        expected[field] = value;
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
    update(KeyUpdate::new(), "disabled", false.into());
    let verified = store.verify(token).unwrap();
    assert!(verified.allows("users:list") && verified.allows("a") && !verified.allows("orders:read"));
    assert_eq!(verified.secret_version(), 1);
    let end = start() + hours(1);
    assert_eq!(store.update(id, KeyUpdate::new().expires_at(end)).unwrap().expires_at(), Some(end));
    // No other key is touched.
    let other = store.create(key()).unwrap();
    store.update(id, KeyUpdate::new().disabled(true).name("z").permissions(["z"])).unwrap();
    assert_eq!(info(&store, &other), other.info);
}

#[test]
fn an_updates_bounds_are_those_of_a_new_key() {
    let (store, _) = clocked();
    let created = store.create(alice().not_before(start() + hours(1))).unwrap();
    for (update, field) in [
        (KeyUpdate::new().name(""), "name"),
        (KeyUpdate::new().name("x".repeat(129)), "name"),
        (KeyUpdate::new().name("a\nb"), "name"),
        (KeyUpdate::new().permissions(["A"]), "grant"),
        (KeyUpdate::new().permissions((0..65).map(|n| format!("p{n}"))), "permissions"),
        (KeyUpdate::new().expires_at(DateTime::<Utc>::MIN_UTC), "expires_at"),
        (KeyUpdate::new().disabled(true).name("\0"), "name"),
    ] {
        let error = store.update(created.info.id(), update).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. } | StoreError::Permission(_)), "{error:?}");
        assert!(error.to_string().contains(field), "{field}: {error}");
        assert_eq!(info(&store, &created), created.info);
    }
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
    update(KeyUpdate::new().expires_at(start()));
    assert_eq!(code(&store, token), "expired_api_key");
    update(KeyUpdate::new().expires_at(start() + hours(1)));
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
fn a_reason_has_at_most_256_bytes_without_control_characters() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(alice()).unwrap();
    for bad in ["r".repeat(257), "é".repeat(129), "a\nb".into(), "\u{7f}".into()] {
        for error in
            [store.revoke(created.info.id(), &*bad).unwrap_err(), store.revoke_owner("alice", bad).unwrap_err()]
        {
            assert!(matches!(error, StoreError::Invalid { field: "reason", .. }), "{error:?}");
        }
        assert_eq!(code(&store, created.key.expose_secret()), "ok");
    }
    store.revoke(created.info.id(), "é".repeat(128)).unwrap();
    assert_eq!(info(&store, &created).revoked().unwrap().reason(), "é".repeat(128));
    let silent = store.create(alice()).unwrap();
    store.revoke(silent.info.id(), "").unwrap();
    assert_eq!(info(&store, &silent).revoked().unwrap().reason(), "");
}

#[test]
fn revoke_owner_counts_what_it_ends_and_ends_nobody_elses() {
    let store = KeyStore::temporary().unwrap();
    let keys = store.create_many((0..2500).map(|_| alice())).unwrap();
    let others: Vec<_> = ["alic", "alicea", "alice ", "Alice", "bob"]
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
    // The owner is not barred: only these keys are.
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
    // Before then it will expire, but it has not.
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
fn pages_hold_every_key_once_in_order_of_creation() {
    let store = KeyStore::temporary().unwrap();
    let owners = ["alice", "bob", "alice", "carol", "alice"];
    let ids: Vec<KeyId> = (0..230).map(|n| store.create(NewKey::for_owner(owners[n % 5])).unwrap().info.id()).collect();
    assert!(ids.is_sorted());
    let found = |filter: KeyFilter| all(&store, &filter).iter().map(apikey::KeyInfo::id).collect::<Vec<_>>();
    for limit in [1, 7, 23, 46, 115, 229, 230, 231, 1000] {
        assert_eq!(found(KeyFilter::default().limit(limit)), ids, "{limit}");
        let page = store.list(&KeyFilter::default().limit(limit)).unwrap();
        assert_eq!(page.keys.len(), limit.min(230));
        if limit < 230 {
            assert_eq!(page.next, Some(ids[limit - 1]), "{limit}");
        }
        let alices: Vec<KeyId> =
            ids.iter().copied().enumerate().filter(|(n, _)| n % 5 % 2 == 0).map(|(_, id)| id).collect();
        assert_eq!(found(KeyFilter::owner("alice").limit(limit)), alices, "{limit}");
    }
    assert_eq!(store.list(&KeyFilter::default()).unwrap().keys.len(), 100, "a page without a limit");
    assert_eq!(found(KeyFilter::default().after(ids[99])), ids[100..]);
    assert_eq!(found(KeyFilter::default().after(ids[229])), []);
    assert_eq!(found(KeyFilter::owner("nobody")), []);
    for limit in [0, 1001, usize::MAX] {
        let error = store.list(&KeyFilter::default().limit(limit)).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "limit", .. }), "{error:?}");
    }
}

#[test]
fn a_page_goes_on_though_its_last_key_was_purged() {
    let (store, _) = clocked();
    let keys = store.create_many((0..6).map(|_| alice())).unwrap();
    let page = store.list(&KeyFilter::default().limit(3)).unwrap();
    store.revoke(keys[2].info.id(), "").unwrap();
    assert_eq!(store.purge(start() + ms(1)).unwrap(), 1);
    let rest = store.list(&KeyFilter::default().limit(3).after(page.next.unwrap())).unwrap();
    assert_eq!(
        rest.keys.iter().map(apikey::KeyInfo::id).collect::<Vec<_>>(),
        [3, 4, 5].map(|n: usize| keys[n].info.id())
    );
}

#[test]
fn each_filter_finds_what_it_says() {
    let (store, clock) = clocked();
    let make = |key: NewKey| store.create(key).unwrap().info.id();
    let ci = make(alice().name("CI runner").permissions(["orders:read"]));
    let web = make(alice().permissions(["orders:*"]).metadata("Team", "blue sky"));
    let all_of = make(NewKey::for_owner("Bob & Söhne").permissions(["*"]).expires_at(start() + hours(10)));
    let short = make(NewKey::for_owner("carol").expires_at(start() + hours(1)));
    let later = make(NewKey::for_owner("carol").not_before(start() + hours(20)));
    let off = make(NewKey::for_owner("dave").permissions(["orders:write"]));
    let gone = make(NewKey::for_owner("dave"));
    store.update(off, KeyUpdate::new().disabled(true)).unwrap();
    store.revoke(gone, "a reason to find").unwrap();
    clock.advance(hours(2));
    let found = |filter: KeyFilter| all(&store, &filter).iter().map(apikey::KeyInfo::id).collect::<Vec<_>>();
    let any = KeyFilter::default;

    assert_eq!(found(any()), [ci, web, all_of, short, later, off, gone]);
    assert_eq!(found(KeyFilter::owner("dave")), [off, gone]);
    assert_eq!(found(KeyFilter::owner("dav")), []);
    assert_eq!(found(any().state(KeyState::Active)), [ci, web, all_of]);
    assert_eq!(found(any().state(KeyState::Expired)), [short]);
    assert_eq!(found(any().state(KeyState::Inactive)), [later]);
    assert_eq!(found(any().state(KeyState::Disabled)), [off]);
    assert_eq!(found(any().state(KeyState::Revoked)), [gone]);
    let by_state: usize = ALL_STATES.iter().map(|state| found(any().state(*state)).len()).sum();
    assert_eq!(by_state, 7);
    assert_eq!(found(any().permission("orders:read")), [ci, web, all_of]);
    assert_eq!(found(any().permission("orders:write")), [web, all_of, off]);
    assert_eq!(found(any().permission("orders")), [all_of]);
    assert_eq!(found(any().text("RUNNER")), [ci]);
    assert_eq!(found(any().text("söhne")), [all_of]);
    assert_eq!(found(any().text("Blue")), [web]);
    assert_eq!(found(any().text("team")), [web]);
    let hint = store.get(later).unwrap().unwrap().hint().to_owned();
    assert!(found(any().text(&hint[hint.len() - 4..])).contains(&later));
    assert_eq!(found(any().text("no such text")), []);
    assert_eq!(found(any().expiring_before(start() + hours(10))), [short]);
    assert_eq!(found(any().expiring_before(start() + hours(10) + ms(1))), [all_of, short]);
    // Together they narrow.
    assert_eq!(found(any().permission("orders:read").text("blue").state(KeyState::Active)), [web]);
    assert_eq!(found(KeyFilter::owner("carol").state(KeyState::Inactive).limit(1)), [later]);
    assert_eq!(found(any().permission("orders:read").after(ci).limit(1)), [web, all_of]);
    for bad in ["orders:*", "", "Orders"] {
        let error = store.list(&any().permission(bad)).unwrap_err();
        assert!(error.to_string().contains("permission"), "{error}");
    }
}
