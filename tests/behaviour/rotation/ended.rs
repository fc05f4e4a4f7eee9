//! The holder of a secret that has ended by a rotation: refused as such, counted, and named by its key.

use std::net::IpAddr;

use apikey::{
    Attempt, AuthError, CreatedKey, ImportScheme, Imported, KeyStore, KeyUpdate, ManualClock, NewKey, OpenError,
    Overlap,
};
use apikey_testkit::{alice, clocked, code, hex, hours, start, wait_until};
use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};

fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

/// A store, its clock, the old and the new secret of a key that was rotated, and whose old secret has ended.
fn rotated() -> (KeyStore, ManualClock, CreatedKey, CreatedKey) {
    let (store, clock) = clocked();
    let old = store.create(alice()).unwrap();
    let new = store.rotate(old.info.id(), Overlap::For(hours(1))).unwrap();
    clock.advance(hours(1));
    (store, clock, old, new)
}

#[test]
fn the_holder_of_an_ended_secret_learns_it_until_the_store_forgets_it() {
    let (store, clock, old, new) = rotated();
    let id = old.info.id();
    assert_eq!((code(&store, token(&old)), code(&store, token(&new))), ("rotated_api_key", "ok"));
    // Whether it is erased or not.
    store.purge(start()).unwrap();
    store.update(id, KeyUpdate::new().name("ci")).unwrap();
    assert_eq!(store.refusals_of(id)["rotated_api_key"], 1);
    clock.advance(TimeDelta::days(30) - hours(1) - TimeDelta::seconds(1));
    assert_eq!(code(&store, token(&old)), "rotated_api_key");
    clock.advance(hours(1) + TimeDelta::seconds(1));
    assert_eq!(code(&store, token(&old)), "invalid_api_key");
    assert!(store.get(id).unwrap().unwrap().ended_secret().is_none());
    assert_eq!(store.identify(token(&old)), None);
}

#[test]
fn a_first_use_ends_the_old_secret_and_its_holder_learns_it() {
    let (store, _) = clocked();
    let old = store.create(alice()).unwrap();
    let id = old.info.id();
    let new = store.rotate(id, Overlap::UntilFirstUse).unwrap();
    assert_eq!((code(&store, token(&old)), code(&store, token(&new))), ("ok", "ok"));
    assert_eq!(code(&store, token(&old)), "rotated_api_key");
    let info = || store.get(id).unwrap().unwrap();
    wait_until("the first use is on disk", || info().ended_secret().is_some());
    let info = info();
    assert_eq!(info.ended_secret().map(apikey::EndedSecret::version), Some(1));
    assert_eq!(info.ended_secret().unwrap().until(), start() + TimeDelta::days(30));
    // Only the newest is known.
    let third = store.rotate(id, Overlap::UntilFirstUse).unwrap();
    assert_eq!(code(&store, token(&third)), "ok");
    wait_until("the first use is on disk", || code(&store, token(&new)) == "rotated_api_key");
    assert_eq!(code(&store, token(&old)), "invalid_api_key");
}

#[test]
fn only_of_a_good_key() {
    let changes: [fn(&KeyStore, apikey::KeyId); 4] = [
        |store, id| assert!(store.revoke(id, "leaked").unwrap()),
        |store, id| drop(store.update(id, KeyUpdate::new().disabled(true)).unwrap()),
        |store, id| drop(store.update(id, KeyUpdate::new().expires_at(start() + hours(3))).unwrap()),
        |store, id| drop(store.update(id, KeyUpdate::new().not_before(start() + hours(9))).unwrap()),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let (store, clock) = clocked();
        let old = store.create(alice()).unwrap();
        let new = store.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
        store.verify(token(&new)).unwrap();
        wait_until("the first use is on disk", || code(&store, token(&old)) == "rotated_api_key");
        change(&store, old.info.id());
        clock.advance(hours(4));
        assert_eq!(code(&store, token(&old)), "invalid_api_key", "{at}");
    }
}

#[test]
fn a_secret_that_may_have_leaked_is_forgotten_at_once() {
    for leaked in [false, true] {
        let (store, clock, old, new) = rotated();
        let id = old.info.id();
        assert_eq!(code(&store, token(&old)), "rotated_api_key");
        let newest =
            if leaked { store.replace_leaked(id, "leaked").unwrap() } else { store.rotate(id, Overlap::None).unwrap() };
        clock.advance(hours(1));
        let codes = [&old, &new, &newest].map(|key| code(&store, token(key)));
        assert_eq!(codes, ["invalid_api_key", "invalid_api_key", "ok"], "{leaked}");
        assert!(store.get(id).unwrap().unwrap().ended_secret().is_none());
    }
}

#[test]
fn an_imported_secret_is_kept_only_if_nobody_can_guess_it() {
    let strong = "legacy-0123456789abcdefghij";
    for (given, weak, expected) in [
        (Imported::raw(strong), false, "rotated_api_key"),
        (Imported::raw("short-one"), true, "invalid_api_key"),
        (Imported::sha256_hex(hex(Sha256::digest(strong))), false, "invalid_api_key"),
    ] {
        let (store, _) = clocked();
        let new = alice().imported(given, ImportScheme::Whole);
        let raw = if weak { "short-one" } else { strong };
        let old = store.create(if weak { new.allow_weak() } else { new }).unwrap();
        let rotated = store.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
        assert_eq!((code(&store, raw), code(&store, token(&rotated))), ("ok", "ok"));
        assert_ne!(code(&store, raw), "ok");
        wait_until("the first use is on disk", || store.health().last_durable == 3);
        assert_eq!(code(&store, raw), expected);
        // Somebody may import it again: then it is a key's own.
        store.create(NewKey::for_owner("bob").imported(Imported::raw(raw), ImportScheme::Whole).allow_weak()).unwrap();
        assert_eq!(store.verify(raw).unwrap().owner(), "bob");
    }
}

/// After a restart no secret of the store is an imported one, but for the ended one.
#[test]
fn a_restart_keeps_an_imported_one() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || KeyStore::builder().clock(clock.clone()).open(directory.path()).unwrap();
    let store = open();
    let legacy = "legacy-0123456789abcdefghij";
    let old = store.create(alice().imported(Imported::raw(legacy), ImportScheme::Whole)).unwrap();
    store.rotate(old.info.id(), Overlap::For(hours(1))).unwrap();
    clock.advance(hours(1));
    store.purge(start()).unwrap();
    assert_eq!(code(&store, legacy), "rotated_api_key");
    store.close().unwrap();
    let store = open();
    assert_eq!(
        (code(&store, legacy), code(&store, "legacy-0123456789abcdefghik")),
        ("rotated_api_key", "invalid_api_key")
    );
}

#[test]
fn it_counts_as_a_failed_attempt() {
    let clock = ManualClock::new(start());
    let store = KeyStore::builder().clock(clock.clone()).failed_attempts(2, TimeDelta::minutes(1)).temporary().unwrap();
    let old = store.create(alice()).unwrap();
    store.rotate(old.info.id(), Overlap::For(hours(1))).unwrap();
    clock.advance(hours(1));
    let attempt = || store.check(&Attempt::new(token(&old)).peer(IpAddr::from([192, 0, 2, 1]))).unwrap_err();
    assert_eq!([attempt(), attempt()], [AuthError::Rotated, AuthError::Rotated]);
    assert!(matches!(attempt(), AuthError::RateLimited { .. }));
}

#[test]
fn a_restart_and_a_restore_keep_it_and_zero_keeps_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let clock = ManualClock::new(start());
    let open = |name: &str, days| {
        let builder = KeyStore::builder().clock(clock.clone()).keep_ended_secrets(TimeDelta::days(days));
        builder.open(path(name))
    };
    let store = open("store", 30).unwrap();
    let old = store.create(alice()).unwrap();
    let new = store.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
    store.verify(token(&new)).unwrap();
    wait_until("the first use is on disk", || store.get(old.info.id()).unwrap().unwrap().ended_secret().is_some());
    store.backup(path("backup")).unwrap();
    store.close().unwrap();
    let store = open("store", 30).unwrap();
    assert_eq!((code(&store, token(&old)), code(&store, token(&new))), ("rotated_api_key", "ok"));
    drop(store);
    KeyStore::restore(&apikey::Restore::new(path("backup"), path("restored"))).unwrap();
    let store = open("restored", 0).unwrap();
    assert_eq!(code(&store, token(&old)), "rotated_api_key", "what is kept stays for its time");
    let third = store.rotate(old.info.id(), Overlap::For(hours(1))).unwrap();
    clock.advance(hours(1));
    assert_eq!((code(&store, token(&new)), code(&store, token(&third))), ("invalid_api_key", "ok"));
    for days in [-1, 367] {
        let error = open("other", days).unwrap_err();
        assert!(matches!(&error, OpenError::Config(text) if text.contains("keep_ended_secrets")), "{error}");
    }
}
