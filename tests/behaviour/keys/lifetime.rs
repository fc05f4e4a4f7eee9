//! The longest life of a secret, which the store enforces.

use apikey::{
    ImportScheme, Imported, KeyFilter, KeyState, KeyStore, KeyUpdate, ManualClock, Overlap, RotationPolicy, StoreError,
};
use apikey_testkit::{alice, all, code, hours, info, ms, start};
use chrono::TimeDelta;

/// The store ends old secrets, although nobody rotates them.
#[test]
fn a_secret_that_is_too_old_is_refused_though_no_rotator_runs() {
    let clock = ManualClock::new(start());
    let most = TimeDelta::days(90);
    let store = KeyStore::builder().clock(clock.clone()).max_lifetime(most).temporary().unwrap();
    let within = RotationPolicy::every(most - hours(1)).overlap(Overlap::For(hours(1)));
    let key = store.create(alice().rotation(within)).unwrap();
    assert_eq!(info(&store, &key).secret_expires_at(), Some(start() + most));
    clock.advance(most - ms(1));
    assert_eq!(code(&store, key.key.expose_secret()), "ok");
    let verified = store.verify(key.key.expose_secret()).unwrap();
    clock.advance(ms(1));
    assert_eq!(code(&store, key.key.expose_secret()), "expired_api_key");
    assert_eq!(store.recheck(&verified).unwrap_err().code(), "expired_api_key");
    assert_eq!(info(&store, &key).state(start() + most), KeyState::Expired);
    let expired = all(&store, &KeyFilter::default().state(KeyState::Expired));
    assert_eq!(expired.iter().map(|key| key.id()).collect::<Vec<_>>(), [key.info.id()]);
    // The key itself has no end, so it can be rotated; the old secret stays expired.
    let new = store.rotate(key.info.id(), Overlap::None).unwrap();
    assert_eq!(code(&store, new.key.expose_secret()), "ok");
    assert_eq!(code(&store, key.key.expose_secret()), "invalid_api_key");
    clock.advance(most);
    assert_eq!(code(&store, new.key.expose_secret()), "expired_api_key");
}

#[test]
fn a_bound_on_lifetimes_holds_for_keys_that_were_there_before() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || KeyStore::builder().clock(clock.clone());
    let store = open().open(directory.path()).unwrap();
    let [old, both, ending] = [alice(), alice(), alice().expires_in(hours(5))].map(|key| store.create(key).unwrap());
    clock.advance(hours(4));
    let successor = store.rotate(both.info.id(), Overlap::For(hours(48))).unwrap();
    let tokens = [&old, &both, &ending, &successor].map(|key| key.key.expose_secret().to_owned());
    let codes = |store: &KeyStore| tokens.each_ref().map(|token| code(store, token));
    assert_eq!(codes(&store), ["ok"; 4]);
    store.close().unwrap();
    let store = open().max_lifetime(hours(10)).open(directory.path()).unwrap();
    assert_eq!(codes(&store), ["ok"; 4]);
    assert_eq!(info(&store, &ending).secret_expires_at(), None, "its own end comes first");
    clock.advance(hours(6));
    let refused = "expired_api_key";
    assert_eq!(codes(&store), [refused, refused, refused, "ok"], "each secret by its own age");
    store.close().unwrap();
    let store = open().max_lifetime(hours(10)).open(directory.path()).unwrap();
    assert_eq!(codes(&store), [refused, refused, refused, "ok"]);
    store.update(old.info.id(), KeyUpdate::new().name("old")).unwrap();
    assert_eq!(codes(&store)[0], refused, "a change of something else gives nothing back");
    store.close().unwrap();
    assert_eq!(codes(&open().open(directory.path()).unwrap()), ["ok", "ok", refused, "ok"], "it is a setting");
}

/// Only the store itself may mark a key as one that the deployment supplies.
#[test]
fn nobody_can_exempt_a_key_from_the_bound() {
    let clock = ManualClock::new(start());
    let store = KeyStore::builder().clock(clock.clone()).max_lifetime(hours(10)).temporary().unwrap();
    let raw = "sk_live_0123456789abcdefghijklmnop";
    let imported = || alice().expires_in(hours(9)).imported(Imported::raw(raw), ImportScheme::Whole);
    let id = store.create(imported()).unwrap().info.id();
    let policy = RotationPolicy::every(hours(5)).overlap(Overlap::For(hours(1)));
    store.update(id, KeyUpdate::new().rotation(policy).expires_at(None)).unwrap();
    let refused = store.update(id, KeyUpdate::new().metadata("fixed", "x"));
    clock.advance(hours(10));
    assert_eq!(code(&store, raw), "expired_api_key");
    let is_refused = |error: &StoreError| matches!(error, StoreError::Invalid { field: "metadata key", .. });
    assert!(is_refused(&refused.unwrap_err()));
    assert!(is_refused(&store.create(imported().metadata("fixed", "x")).unwrap_err()));
    // By the mark the store knows which fixed keys it has made, so no other key has one.
    assert!(is_refused(&store.create(alice().metadata("fixed", "x").expires_in(hours(9))).unwrap_err()));
    let own = store.create(alice().expires_in(hours(9))).unwrap().info.id();
    assert!(is_refused(&store.update(own, KeyUpdate::new().metadata("fixed", "y")).unwrap_err()));
    store.update(own, KeyUpdate::new().name("ci").without_metadata("fixed")).unwrap();
}
