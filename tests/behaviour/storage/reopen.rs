//! What survives a close and an open, and which prefix and peppers an open needs.

use std::path::Path;

use apikey::{
    CreatedKey, ImportScheme, Imported, KeyFilter, KeyStore, KeyStoreBuilder, KeyUpdate, ManualClock, NewKey,
    OpenError, Overlap, Pepper,
};
use apikey_testkit::{alice, all, code, hours, start};
use chrono::TimeDelta;

fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

fn config_error(builder: KeyStoreBuilder, path: &Path) -> String {
    match builder.open(path) {
        Err(error @ OpenError::Config(_)) => error.to_string(),
        other => panic!("Config is expected: {other:?}"),
    }
}

/// Whether a text contains a number as a word.
fn names(text: &str, number: u32) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == number.to_string())
}

#[test]
fn everything_survives_a_close_and_a_drop() {
    for close in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.db");
        let clock = ManualClock::new(start());
        let open = || KeyStore::builder().clock(clock.clone()).open(&path).unwrap();
        let store = open();
        let full = alice()
            .name("ci")
            .permissions(["orders:read", "users:*"])
            .metadata("team", "blue")
            .not_before(start())
            .expires_in(TimeDelta::days(90));
        let full = store.create(full).unwrap();
        let many = store.create_many((0..20).map(|n| NewKey::for_owner(format!("owner {}", n % 3)))).unwrap();
        store.verify(token(&full)).unwrap();
        let ended = KeyUpdate::new().expires_at(start() + TimeDelta::milliseconds(1));
        store.update(many[6].info.id(), ended).unwrap();
        clock.advance(TimeDelta::milliseconds(2500));
        store.verify(token(&many[0])).unwrap();
        store.revoke(many[1].info.id(), "leaked").unwrap();
        store.update(many[2].info.id(), KeyUpdate::new().disabled(true)).unwrap();
        store.update(many[3].info.id(), KeyUpdate::new().name("new").permissions(["a"]).metadata("k", "v")).unwrap();
        let rotated = store.rotate(many[4].info.id(), Overlap::None).unwrap();
        store.revoke(many[5].info.id(), "old").unwrap();
        store.purge(start() + TimeDelta::milliseconds(2)).unwrap(); // many[6] alone
        let imported = "legacy-0123456789abcdefghij";
        store.create(alice().imported(Imported::raw(imported), ImportScheme::Whole)).unwrap();
        let codes = |store: &KeyStore| {
            let tokens = many.iter().chain([&full, &rotated]).map(token).chain([imported]);
            tokens.map(|token| code(store, token)).collect::<Vec<_>>()
        };
        let codes_before = codes(&store);
        assert_eq!(
            codes_before[..7],
            [
                "ok",
                "revoked_api_key",
                "disabled_api_key",
                "ok",
                "invalid_api_key",
                "revoked_api_key",
                "invalid_api_key"
            ]
        );
        let before = all(&store, &KeyFilter::default());
        if close {
            store.close().unwrap();
        }
        drop(store);

        let store = open();
        let after = all(&store, &KeyFilter::default());
        assert_eq!(after, before);
        assert_eq!(codes(&store), codes_before, "close: {close}");
        let verified = store.verify(token(&full)).unwrap();
        assert_eq!((verified.id(), verified.owner()), (full.info.id(), "alice"));
        assert!(verified.allows("users:list") && !verified.allows("a"));
        assert!(store.verify(token(&many[3])).unwrap().allows("a"));
        assert_eq!(store.verify(token(&rotated)).unwrap().secret_version(), 2);
        let alices = all(&store, &KeyFilter::owner("alice"));
        assert_eq!(alices.len(), 2, "the list by owner is there too");
    }
}

#[test]
fn the_time_of_use_survives_a_close() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || KeyStore::builder().clock(clock.clone()).open(directory.path()).unwrap();
    let store = open();
    let [used, unused]: [_; 2] = store.create_many([alice(), alice()]).unwrap().try_into().unwrap();
    clock.advance(TimeDelta::milliseconds(61_700));
    store.verify(token(&used)).unwrap();
    store.close().unwrap();
    let store = open();
    let last = |store: &KeyStore, created: &CreatedKey| store.get(created.info.id()).unwrap().unwrap().last_used_at();
    assert_eq!(last(&store, &used), Some(start() + TimeDelta::seconds(61)));
    assert_eq!(last(&store, &unused), None);
    // A later use counts, and rotation keeps it.
    clock.advance(hours(1));
    store.verify(token(&used)).unwrap();
    store.rotate(used.info.id(), Overlap::None).unwrap();
    store.close().unwrap();
    let store = open();
    assert_eq!(last(&store, &used), Some(start() + hours(1) + TimeDelta::seconds(61)));
}

#[test]
fn ids_rise_though_the_clock_was_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let mut last = None;
    for back in 0..6 {
        let store = KeyStore::builder().clock(clock.clone()).open(directory.path()).unwrap();
        for created in store.create_many((0..5).map(|_| alice())).unwrap() {
            assert!(Some(created.info.id()) > last, "{back}");
            last = Some(created.info.id());
        }
        // The highest id counts, although its key is gone.
        store.revoke(last.unwrap(), "").unwrap();
        store.purge(clock_time(&clock) + hours(1)).unwrap();
        store.close().unwrap();
        clock.advance(TimeDelta::days(if back == 2 { 900 } else { -300 }));
    }
}

fn clock_time(clock: &ManualClock) -> chrono::DateTime<chrono::Utc> {
    apikey::Clock::now(clock)
}

#[test]
fn another_prefix_is_refused_unless_the_old_one_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let with = |prefix: &str| KeyStore::builder().prefix(prefix);
    let both = |prefixes: [&str; 2]| KeyStore::builder().prefixes(prefixes);
    let store = with("acme_test").open(path).unwrap();
    let old = store.create(alice()).unwrap();
    store.close().unwrap();

    for other in ["acme_live", "ak"] {
        let text = config_error(with(other), path);
        assert!(text.contains("acme_test") && text.contains(".prefixes(..)"), "{text}");
    }
    assert!(matches!(KeyStore::open(path), Err(OpenError::Config(_))), "the default prefix is another one too");
    let store = both(["acme_live", "acme_test"]).open(path).unwrap();
    let new = store.create(alice()).unwrap();
    assert!(token(&new).starts_with("acme_live_"));
    assert_eq!((code(&store, token(&old)), code(&store, token(&new))), ("ok", "ok"));
    let rotated = store.rotate(old.info.id(), Overlap::For(hours(1))).unwrap();
    assert!(token(&rotated).starts_with("acme_live_"));
    store.close().unwrap();

    let text = config_error(with("acme_live"), path);
    assert!(text.contains("acme_test"), "{text}");
    let text = config_error(with("acme_test"), path);
    assert!(text.contains("acme_live"), "{text}");
    let store = both(["acme_live", "acme_test"]).open(path).unwrap();
    assert_eq!((code(&store, token(&old)), code(&store, token(&new))), ("ok", "ok"));
    store.close().unwrap();
    // And the other way round.
    let store = both(["acme_test", "acme_live"]).open(path).unwrap();
    assert_eq!((code(&store, token(&old)), code(&store, token(&new))), ("ok", "ok"));
    assert!(token(&store.create(alice()).unwrap()).starts_with("acme_test_"));
}

fn pepper(number: u32) -> Pepper {
    Pepper::new(number, format!("the pepper with number {number}"))
}

fn peppered(numbers: &[u32]) -> KeyStoreBuilder {
    numbers.iter().fold(KeyStore::builder(), |builder, number| builder.pepper(pepper(*number)))
}

#[test]
fn a_missing_pepper_is_refused_with_number_and_count() {
    let directory = tempfile::tempdir().unwrap();
    let store = peppered(&[7]).open(directory.path()).unwrap();
    let keys = store.create_many((0..3).map(|_| alice())).unwrap();
    store.close().unwrap();
    for builder in [KeyStore::builder(), peppered(&[8])] {
        let text = config_error(builder, directory.path());
        assert!(text.contains("pepper") && names(&text, 7) && names(&text, 3), "{text}");
    }
    let store = peppered(&[7]).open(directory.path()).unwrap();
    assert!(keys.iter().all(|created| code(&store, token(created)) == "ok"));
}

#[test]
fn another_pepper_under_the_same_number_is_refused_with_number_and_count() {
    let directory = tempfile::tempdir().unwrap();
    let store = peppered(&[7]).open(directory.path()).unwrap();
    store.create_many((0..3).map(|_| alice())).unwrap();
    store.close().unwrap();
    let other = KeyStore::builder().pepper(Pepper::new(7, "these are other bytes altogether"));
    let text = config_error(other, directory.path());
    assert!(text.contains("pepper") && names(&text, 7) && names(&text, 3), "{text}");
    assert!(peppered(&[7]).open(directory.path()).is_ok());
}

#[test]
fn a_key_in_an_overlap_is_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = peppered(&[7]).open(directory.path()).unwrap();
    let keys = store.create_many((0..3).map(|_| alice())).unwrap();
    store.rotate(keys[0].info.id(), Overlap::For(hours(1))).unwrap();
    store.rotate(keys[1].info.id(), Overlap::UntilFirstUse).unwrap();
    store.close().unwrap();
    let text = config_error(KeyStore::builder(), directory.path());
    assert!(names(&text, 7) && names(&text, 3), "{text}");
}

#[test]
fn several_peppers_live_beside_each_other_until_no_key_needs_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = KeyStore::open(path).unwrap();
    let plain = store.create(alice()).unwrap();
    store.close().unwrap();

    // A pepper is added later: the keys before it go on working.
    let store = peppered(&[1]).open(path).unwrap();
    let one = store.create(alice()).unwrap();
    assert_eq!((code(&store, token(&plain)), code(&store, token(&one))), ("ok", "ok"));
    store.close().unwrap();

    let store = peppered(&[2, 1]).open(path).unwrap();
    let two = store.create(alice()).unwrap();
    for created in [&plain, &one, &two] {
        assert_eq!(code(&store, token(created)), "ok");
    }
    store.close().unwrap();
    assert!(names(&config_error(peppered(&[2]), path), 1));
    assert!(names(&config_error(peppered(&[1]), path), 2));

    // A rotation uses the newest pepper.
    let store = peppered(&[1, 2]).open(path).unwrap();
    let one = store.rotate(one.info.id(), Overlap::None).unwrap();
    store.close().unwrap();
    let store = peppered(&[2]).open(path).unwrap();
    for created in [&plain, &one, &two] {
        assert_eq!(code(&store, token(created)), "ok");
    }
    store.close().unwrap();
    assert!(names(&config_error(KeyStore::builder(), path), 2));
}

#[test]
fn the_order_in_which_peppers_are_given_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let store = peppered(&[3, 1, 2]).open(directory.path()).unwrap();
    store.create(alice()).unwrap();
    store.close().unwrap();
    assert!(names(&config_error(peppered(&[1, 2]), directory.path()), 3));
    assert!(peppered(&[3]).open(directory.path()).is_ok());
}

#[test]
fn peppers_that_do_not_fit_each_other_are_refused() {
    for (builder, named) in [
        (KeyStore::builder().pepper(Pepper::new(4, "short")), 4),
        (KeyStore::builder().pepper(pepper(5)).pepper(pepper(5)), 5),
        (KeyStore::builder().pepper(Pepper::new(0, "long enough to be a pepper")), 0),
    ] {
        let error = builder.temporary().unwrap_err();
        assert!(matches!(error, OpenError::Config(_)) && names(&error.to_string(), named), "{error:?}");
    }
}

#[test]
fn a_refused_open_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = peppered(&[1]).prefix("acme").open(path).unwrap();
    let created = store.create(alice()).unwrap();
    store.close().unwrap();
    for _ in 0..2 {
        config_error(peppered(&[1]).prefix("other"), path);
        config_error(peppered(&[2]).prefix("acme"), path);
        config_error(KeyStore::builder().prefix("acme").pepper(Pepper::new(1, "other bytes, and enough")), path);
    }
    // In particular it has stored neither the prefix `other` nor pepper 2.
    let two = KeyStore::builder().prefix("acme").pepper(pepper(1)).pepper(Pepper::new(2, "the bytes of pepper two"));
    let store = two.open(path).unwrap();
    assert_eq!(code(&store, token(&created)), "ok");
}

/// An operator's slip in the options of a command that only reads must not lock the service out.
#[test]
fn a_prefix_and_a_pepper_bind_a_store_only_once_something_is_made_under_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = peppered(&[1]).open(path).unwrap();
    let created = store.create(alice()).unwrap();
    store.close().unwrap();
    let wrong = || Pepper::new(2, "the bytes of some other file");
    let slip = || peppered(&[1]).prefixes(["acme", "ak"]).pepper(wrong());
    slip().open(path).unwrap().close().unwrap();
    peppered(&[1]).open(path).unwrap().close().unwrap();
    let store = peppered(&[1, 2]).open(path).unwrap();
    assert_eq!(code(&store, token(&created)), "ok");
    store.close().unwrap();

    // Even the event of a change can be checked only with its pepper.
    let store = peppered(&[1]).pepper(wrong()).open(path).unwrap();
    store.update(created.info.id(), apikey::KeyUpdate::new().name("renamed")).unwrap();
    store.close().unwrap();
    let text = config_error(peppered(&[1, 2]), path);
    assert!(names(&text, 2) && text.contains("events of its history need those"), "{text}");

    let store = slip().open(path).unwrap();
    store.create(alice()).unwrap();
    store.close().unwrap();
    let text = config_error(peppered(&[1]).pepper(wrong()), path);
    assert!(text.contains("1 of the store's keys was made with \"acme\""), "{text}");
    let text = config_error(peppered(&[1, 2]).prefixes(["ak", "acme"]), path);
    assert!(names(&text, 2) && text.contains("1 key needs those"), "{text}");
}
