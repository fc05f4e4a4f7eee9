//! Values that are too long, too many or out of range: the call refuses them and names the field.

use apikey::{KeyFilter, KeyStore, KeyUpdate, NewKey, Overlap, StoreError};
use apikey_testkit::{alice, all, clocked, code, hours, info, ms, start};
use chrono::{DateTime, TimeDelta, Utc};

/// Asserts that the error names the field, and that the store has created nothing.
fn refused(store: &KeyStore, key: NewKey, field: &str) {
    let before = all(store, &KeyFilter::default()).len();
    let error = store.create(key).unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. } | StoreError::Permission(_)), "{error:?}");
    assert!(error.to_string().contains(field), "{field}: {error}");
    assert_eq!(all(store, &KeyFilter::default()).len(), before);
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
    for good in ["a", "Ålice & Söhne <\"'\\/%>", &"x".repeat(128), &"é".repeat(64)] {
        let created = store.create(NewKey::for_owner(good).name(good)).unwrap();
        assert_eq!((created.info.owner(), created.info.name()), (good, Some(good)));
        assert_eq!(all(&store, &KeyFilter::owner(good)), [created.info]);
        assert_eq!(store.verify(created.key.expose_secret()).unwrap().owner(), good);
    }
    for bad in ["", &"x".repeat(129), &"é".repeat(65), "a\nb", "\0", "a\u{7f}", "\u{85}", "\x1b[31m", "a\tb"] {
        refused(&store, NewKey::for_owner(bad), "owner");
        refused(&store, alice().name(bad), "name");
    }
    store.create(alice().name(" ")).unwrap();
    for bad in [" ", " alice", "alice ", "\u{a0}alice", "al\u{200b}ice", "alice\u{202e}", "\u{feff}alice"] {
        refused(&store, NewKey::for_owner(bad), "owner");
    }
}

/// It would be stored, shown and exported.
#[test]
fn a_token_is_refused_in_every_text() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(alice()).unwrap();
    let token = created.key.expose_secret();
    let text = format!("see {token}");
    let keys = [
        NewKey::for_owner(token),
        NewKey::for_owner(format!(" {token}")),
        alice().name(&text),
        alice().metadata("note", &text),
        alice().metadata(token, "note"),
    ];
    let mut errors: Vec<_> = keys.into_iter().map(|key| store.create(key).unwrap_err()).collect();
    errors.push(store.revoke(created.info.id(), text.clone()).unwrap_err());
    errors.push(store.update(created.info.id(), apikey::KeyUpdate::new().name(&text)).unwrap_err());
    for error in errors {
        let said = error.to_string();
        assert!(said.contains("[a token]") && !said.contains(token), "{said}");
        assert!(!format!("{:?}", error.field_error()).contains(token));
    }
    assert!(store.verify(token).is_ok());
}

#[test]
fn at_most_64_grants_of_the_grammar() {
    let store = KeyStore::temporary().unwrap();
    let grants = |count: usize| (0..count).map(|n| format!("{}{n:02}", "x".repeat(62)));
    let created = store.create(alice().permissions(grants(64))).unwrap();
    assert_eq!(created.info.permissions().len(), 64);
    assert!(store.verify(created.key.expose_secret()).unwrap().allows(grants(64).next_back().unwrap()));
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
        refused(&store, alice().permissions(["orders:read", bad]), "permission");
    }
    refused(&store, alice().permissions(["x".repeat(65)]), "permission");
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
        // Refused or not: no call panics, and ids rise.
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
fn an_updates_bounds_are_those_of_a_new_key() {
    let (store, _) = clocked();
    let created = store.create(alice().not_before(start() + hours(1))).unwrap();
    for (update, field) in [
        (KeyUpdate::new().name(""), "name"),
        (KeyUpdate::new().name("x".repeat(129)), "name"),
        (KeyUpdate::new().name("a\nb"), "name"),
        (KeyUpdate::new().permissions(["A"]), "permission"),
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
