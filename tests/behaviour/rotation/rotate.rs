//! Rotation: a new secret for the same key.

use apikey::{
    Conflict, CreatedKey, ImportScheme, Imported, KeyStore, KeyUpdate, NewKey, Overlap, OverlapEnd, StoreError,
};
use apikey_testkit::{TokenParts, alice, clocked, code, hours, info, ms, start};
use chrono::TimeDelta;

fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

#[test]
fn a_rotated_key_stays_the_same_key() {
    let (store, clock) = clocked();
    let key = alice().name("ci").permissions(["orders:read"]).metadata("team", "blue").expires_in(hours(99));
    let first = store.create(key).unwrap();
    store.verify(token(&first)).unwrap();
    clock.advance(hours(1));
    for (version, overlap) in [(2, Overlap::None), (3, Overlap::For(ms(1))), (4, Overlap::UntilFirstUse)] {
        let next = store.rotate(first.info.id(), overlap).unwrap();
        clock.advance(hours(1));
        assert_ne!(token(&next), token(&first));
        let (old, new) = (TokenParts::of(token(&first)), TokenParts::of(token(&next)));
        assert_eq!((old.prefix, old.id), (new.prefix, new.id));
        assert_ne!(old.secret, new.secret);
        let verified = store.verify(token(&next)).unwrap();
        assert_eq!((verified.id(), verified.owner(), verified.secret_version()), (first.info.id(), "alice", version));
        assert!(verified.allows("orders:read"));
        for key in [&next.info, &info(&store, &first)] {
            assert_eq!((key.id(), key.version(), key.hint()), (first.info.id(), version, first.info.hint()));
            assert_eq!((key.name(), key.permissions()), (first.info.name(), first.info.permissions()));
            assert_eq!((key.metadata(), key.created_at()), (first.info.metadata(), first.info.created_at()));
            assert_eq!(key.expires_at(), first.info.expires_at());
            assert!(key.last_used_at().is_some(), "the history stays");
        }
    }
}

#[test]
fn without_an_overlap_the_old_secret_ends_at_once() {
    let (store, _) = clocked();
    let first = store.create(alice()).unwrap();
    let second = store.rotate(first.info.id(), Overlap::None).unwrap();
    assert_eq!(code(&store, token(&first)), "invalid_api_key");
    let verified = store.verify(token(&second)).unwrap();
    assert!(!verified.superseded());
    assert_eq!((verified.superseded_until(), verified.superseded_header()), (None, None));
    assert_eq!(info(&store, &first).overlap(), None);
}

#[test]
fn an_overlap_lasts_to_its_millisecond_and_the_old_secret_learns_its_end() {
    let (store, clock) = clocked();
    let first = store.create(alice()).unwrap();
    let second = store.rotate(first.info.id(), Overlap::For(TimeDelta::hours(24))).unwrap();
    let end = start() + hours(24);
    for used in [false, true] {
        if used {
            store.verify(token(&second)).unwrap(); // the use of the new secret does not end the old one
        }
        let old = store.verify(token(&first)).unwrap();
        assert_eq!((old.secret_version(), old.superseded(), old.superseded_until()), (1, true, Some(end)));
        assert_eq!(old.superseded_header().unwrap(), "Mon, 05 May 2031 12:00:00 GMT");
        assert_eq!(info(&store, &first).overlap(), Some(OverlapEnd::At(end)));
    }
    let new = store.verify(token(&second)).unwrap();
    assert_eq!((new.secret_version(), new.superseded(), new.superseded_until()), (2, false, None));
    clock.set(end - ms(1));
    assert_eq!(code(&store, token(&first)), "ok");
    clock.set(end);
    assert_eq!(code(&store, token(&first)), "rotated_api_key");
    assert_eq!(code(&store, token(&second)), "ok");
    assert_eq!(info(&store, &first).overlap(), None);
}

#[test]
fn the_first_use_of_the_new_secret_ends_the_old_one_at_once() {
    let (store, clock) = clocked();
    let first = store.create(alice()).unwrap();
    let second = store.rotate(first.info.id(), Overlap::UntilFirstUse).unwrap();
    clock.advance(hours(10_000));
    for _ in 0..3 {
        let old = store.verify(token(&first)).unwrap();
        assert_eq!((old.secret_version(), old.superseded(), old.superseded_until()), (1, true, None));
        assert_eq!(old.superseded_header().unwrap(), "?1");
    }
    assert_eq!(info(&store, &first).overlap(), Some(OverlapEnd::FirstUse));
    let new = store.verify(token(&second)).unwrap();
    assert_eq!((new.secret_version(), new.superseded(), new.superseded_header()), (2, false, None));
    assert_eq!(code(&store, token(&first)), "rotated_api_key");
    assert_eq!(code(&store, token(&second)), "ok");
    assert_eq!(info(&store, &first).overlap(), None);
}

#[test]
fn the_first_use_of_one_key_ends_no_secret_of_another() {
    let (store, clock) = clocked();
    let overlaps = [Overlap::For(ms(5)), Overlap::UntilFirstUse, Overlap::For(hours(1)), Overlap::UntilFirstUse];
    let old = store.create_many((0..12).map(|_| alice())).unwrap();
    let new: Vec<CreatedKey> = (0..12).map(|n| store.rotate(old[n].info.id(), overlaps[n % 4]).unwrap()).collect();
    clock.advance(ms(5));
    for (used, new) in new.iter().enumerate() {
        assert_eq!(code(&store, token(new)), "ok", "{used}");
        for (other, old) in old.iter().enumerate() {
            let ended = match overlaps[other % 4] {
                Overlap::UntilFirstUse => other <= used,
                overlap => overlap == Overlap::For(ms(5)),
            };
            let expected = if ended { "rotated_api_key" } else { "ok" };
            assert_eq!(code(&store, token(old)), expected, "the old secret of {other} after the use of {used}");
        }
    }
}

#[test]
fn a_refused_use_of_the_new_secret_ends_nothing() {
    let (store, clock) = clocked();
    let first = store.create(alice().not_before(start() + hours(1)).expires_at(start() + hours(3))).unwrap();
    let id = first.info.id();
    let second = store.rotate(id, Overlap::UntilFirstUse).unwrap();
    assert_eq!(code(&store, token(&second)), "inactive_api_key");
    clock.set(start() + hours(1));
    assert_eq!(code(&store, token(&first)), "ok");
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(code(&store, token(&second)), "disabled_api_key");
    store.update(id, KeyUpdate::new().disabled(false)).unwrap();
    assert_eq!(code(&store, token(&first)), "ok");
    clock.set(start() + hours(3));
    assert_eq!(code(&store, token(&second)), "expired_api_key");
    store.update(id, KeyUpdate::new().expires_at(None)).unwrap();
    assert_eq!(code(&store, token(&first)), "ok");
    assert_eq!(code(&store, token(&second)), "ok");
    assert_eq!(code(&store, token(&first)), "rotated_api_key");
}

#[test]
fn no_rotation_during_an_overlap_whose_new_secret_is_used() {
    let (store, clock) = clocked();
    let first = store.create(alice()).unwrap();
    let id = first.info.id();
    let second = store.rotate(id, Overlap::For(hours(24))).unwrap();
    store.verify(token(&second)).unwrap();
    for overlap in [Overlap::For(hours(1)), Overlap::For(hours(100)), Overlap::UntilFirstUse] {
        let error = store.rotate(id, overlap).unwrap_err();
        assert!(
            matches!(error, StoreError::Conflict(Conflict::Overlapping { until: Some(until) }) if until == start() + hours(24)),
            "{error:?}"
        );
        assert!(error.to_string().contains("2031-05-05T12:00:00"), "{error}");
    }
    assert_eq!((code(&store, token(&first)), code(&store, token(&second))), ("ok", "ok"));
    assert_eq!(info(&store, &first).version(), 2);
    clock.set(start() + hours(24));
    let third = store.rotate(id, Overlap::For(hours(1))).unwrap();
    assert_eq!(code(&store, token(&first)), "rotated_api_key");
    assert_eq!((code(&store, token(&second)), code(&store, token(&third))), ("ok", "ok"));
}

#[test]
fn none_ends_every_older_secret_at_once_even_during_an_overlap() {
    for used in [false, true] {
        for overlap in [Overlap::For(hours(24)), Overlap::UntilFirstUse] {
            let (store, _) = clocked();
            let first = store.create(alice()).unwrap();
            let second = store.rotate(first.info.id(), overlap).unwrap();
            if used {
                store.verify(token(&second)).unwrap();
            }
            let third = store.rotate(first.info.id(), Overlap::None).unwrap();
            assert_eq!(code(&store, token(&first)), "invalid_api_key", "{overlap:?} {used}");
            assert_eq!(code(&store, token(&second)), "invalid_api_key", "{overlap:?} {used}");
            assert_eq!(store.verify(token(&third)).unwrap().secret_version(), 3);
        }
    }
}

#[test]
fn a_new_secret_that_was_never_used_is_replaced() {
    for overlap in [Overlap::For(hours(24)), Overlap::UntilFirstUse] {
        let (store, _) = clocked();
        let first = store.create(alice()).unwrap();
        let id = first.info.id();
        let mut lost = Vec::new();
        for _ in 0..4 {
            lost.push(store.rotate(id, overlap).unwrap()); // the response does not arrive
        }
        assert_eq!(code(&store, token(&first)), "ok", "{overlap:?}");
        let arrived = store.rotate(id, overlap).unwrap();
        assert_eq!(arrived.info.version(), 6);
        for lost in &lost {
            assert_eq!(code(&store, token(lost)), "invalid_api_key", "{overlap:?}");
        }
        assert_eq!(code(&store, token(&first)), "ok", "{overlap:?}");
        assert_eq!(store.verify(token(&arrived)).unwrap().secret_version(), 6);
        let expected = if overlap == Overlap::UntilFirstUse { "rotated_api_key" } else { "ok" };
        assert_eq!(code(&store, token(&first)), expected, "{overlap:?}");
    }
}

#[test]
fn a_replacement_brings_its_own_overlap() {
    let (store, clock) = clocked();
    let first = store.create(alice()).unwrap();
    let id = first.info.id();
    store.rotate(id, Overlap::For(hours(1))).unwrap();
    clock.advance(ms(1));
    let second = store.rotate(id, Overlap::UntilFirstUse).unwrap();
    clock.advance(hours(2));
    assert_eq!(store.verify(token(&first)).unwrap().superseded_header().unwrap(), "?1");
    assert_eq!(code(&store, token(&second)), "ok");
    assert_eq!(code(&store, token(&first)), "rotated_api_key");
}

#[test]
fn never_more_than_two_secrets_are_good() {
    let (store, clock) = clocked();
    let first = store.create(alice()).unwrap();
    let id = first.info.id();
    let mut issued = vec![first];
    for step in 0..40 {
        let overlap = [Overlap::For(hours(5)), Overlap::UntilFirstUse, Overlap::For(ms(1)), Overlap::None][step % 4];
        issued.extend(store.rotate(id, overlap));
        if step % 3 == 0 {
            assert_eq!(code(&store, token(issued.last().unwrap())), "ok", "the newest secret is good");
        }
        clock.advance(hours(1));
        // From the oldest on, so that the use of a newer secret ends no older one before its turn.
        let good = issued.iter().filter(|created| code(&store, token(created)) == "ok").count();
        assert!((1..=2).contains(&good), "{good} secrets are good in step {step}");
    }
    assert!(issued.len() > 20);
}

/// A leaked, disabled key gets a new secret without a moment in which the leaked one is good.
#[test]
fn a_rotation_without_overlap_leaves_a_disabled_key_disabled() {
    let (store, _) = clocked();
    let leaked = store.create(alice()).unwrap();
    let second = store.rotate(leaked.info.id(), Overlap::For(hours(1))).unwrap();
    store.update(leaked.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    let new = store.rotate(leaked.info.id(), Overlap::None).unwrap();
    assert!(new.info.disabled());
    assert_eq!(code(&store, token(&new)), "disabled_api_key");
    store.update(leaked.info.id(), KeyUpdate::new().disabled(false)).unwrap();
    assert_eq!(code(&store, token(&new)), "ok");
    for old in [&leaked, &second] {
        assert_eq!(code(&store, token(old)), "invalid_api_key");
    }
}

#[test]
fn a_key_that_is_not_active_is_not_rotated() {
    let (store, clock) = clocked();
    let make = |key: NewKey| store.create(key).unwrap();
    let (revoked, disabled) = (make(alice()), make(alice()));
    let (expired, inactive) = (make(alice().expires_in(hours(1))), make(alice().not_before(start() + hours(9))));
    store.revoke(revoked.info.id(), "").unwrap();
    store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    clock.advance(hours(1));
    for overlap in [Overlap::None, Overlap::For(hours(1)), Overlap::UntilFirstUse] {
        let conflict = |created: &CreatedKey| match store.rotate(created.info.id(), overlap) {
            Err(StoreError::Conflict(conflict)) => conflict,
            other => panic!("{other:?}"),
        };
        assert_eq!(conflict(&revoked), Conflict::Revoked);
        if overlap != Overlap::None {
            assert_eq!(conflict(&disabled), Conflict::Disabled);
        }
        assert_eq!(conflict(&expired), Conflict::Expired);
    }
    for created in [&revoked, &disabled, &expired] {
        assert_eq!(info(&store, created).version(), 1);
    }
    let second = store.rotate(inactive.info.id(), Overlap::None).unwrap();
    assert_eq!(code(&store, token(&second)), "inactive_api_key");
}

#[test]
fn both_secrets_share_the_keys_state() {
    let (store, _) = clocked();
    let first = store.create(alice().permissions(["a"])).unwrap();
    let id = first.info.id();
    let second = store.rotate(id, Overlap::For(hours(1))).unwrap();
    let codes = || (code(&store, token(&first)), code(&store, token(&second)));
    assert_eq!(codes(), ("ok", "ok"));
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(codes(), ("disabled_api_key", "disabled_api_key"));
    store.update(id, KeyUpdate::new().disabled(false).permissions(["b"])).unwrap();
    for token in [token(&first), token(&second)] {
        let key = store.verify(token).unwrap();
        assert!(key.allows("b") && !key.allows("a"));
    }
    store.revoke(id, "leaked").unwrap();
    assert_eq!(codes(), ("revoked_api_key", "revoked_api_key"));
}

#[test]
fn an_ended_secret_of_a_revoked_key_is_invalid() {
    let (store, _) = clocked();
    let first = store.create(alice()).unwrap();
    let second = store.rotate(first.info.id(), Overlap::None).unwrap();
    store.revoke(first.info.id(), "").unwrap();
    assert_eq!(code(&store, token(&first)), "invalid_api_key");
    assert_eq!(code(&store, token(&second)), "revoked_api_key");
}

#[test]
fn a_rotated_imported_key_gets_the_stores_own_form() {
    for overlap in [Overlap::None, Overlap::UntilFirstUse, Overlap::For(hours(1))] {
        let (store, clock) = clocked();
        let old = "legacy-0123456789abcdefghij";
        let first = store.create(alice().imported(Imported::raw(old), ImportScheme::Whole)).unwrap();
        let second = store.rotate(first.info.id(), overlap).unwrap();
        assert!(token(&second).starts_with("ak_") && token(&second).len() == 63);
        assert_eq!(code(&store, old), if overlap == Overlap::None { "invalid_api_key" } else { "ok" });
        let verified = store.verify(token(&second)).unwrap();
        assert_eq!((verified.id(), verified.secret_version()), (first.info.id(), 2));
        clock.advance(hours(1));
        match overlap {
            Overlap::None => assert_eq!(code(&store, old), "invalid_api_key"),
            Overlap::For(_) => assert_eq!(code(&store, old), "rotated_api_key"),
            // The store tells it from a stranger's once the first use is on disk.
            Overlap::UntilFirstUse => assert_ne!(code(&store, old), "ok"),
        }
        if let Overlap::For(_) = overlap {
            continue; // erased in its own time
        }
        // The store erases the digest of an ended secret, so the external key may be imported again.
        let again = store.create(NewKey::for_owner("bob").imported(Imported::raw(old), ImportScheme::Whole)).unwrap();
        assert_eq!(store.verify(old).unwrap().id(), again.info.id());
        assert_eq!(code(&store, token(&second)), "ok");
    }
}

/// Reopens a store on disk, after a close or after a drop.
fn reopened(clock: &apikey::ManualClock, path: &std::path::Path, store: Option<KeyStore>) -> KeyStore {
    if let Some(store) = store {
        store.close().unwrap();
    }
    KeyStore::builder().clock(clock.clone()).open(path).unwrap()
}

#[test]
fn what_a_first_use_ended_stays_ended_after_a_reopen() {
    for close in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let clock = apikey::ManualClock::new(start());
        let store = reopened(&clock, directory.path(), None);
        let first = store.create(alice()).unwrap();
        let second = store.rotate(first.info.id(), Overlap::UntilFirstUse).unwrap();
        assert_eq!((code(&store, token(&first)), code(&store, token(&second))), ("ok", "ok"));
        if close {
            store.close().unwrap();
        }
        drop(store);
        let store = reopened(&clock, directory.path(), None);
        assert_eq!(code(&store, token(&first)), "rotated_api_key", "close: {close}");
        assert_eq!(code(&store, token(&second)), "ok");
        assert_eq!(info(&store, &first).overlap(), None);
    }
}

#[test]
fn an_overlap_goes_on_after_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let clock = apikey::ManualClock::new(start());
    let store = reopened(&clock, directory.path(), None);
    let [by_use, by_time, lost]: [_; 3] = store.create_many([alice(), alice(), alice()]).unwrap().try_into().unwrap();
    let used = store.rotate(by_use.info.id(), Overlap::UntilFirstUse).unwrap();
    let timed = store.rotate(by_time.info.id(), Overlap::For(hours(2))).unwrap();
    let unused = store.rotate(lost.info.id(), Overlap::For(hours(2))).unwrap();
    store.verify(token(&timed)).unwrap();
    let store = reopened(&clock, directory.path(), Some(store));
    assert_eq!(store.verify(token(&by_use)).unwrap().superseded_header().unwrap(), "?1");
    assert_eq!(store.verify(token(&by_time)).unwrap().superseded_until(), Some(start() + hours(2)));
    // The new secret was used before the close, so no rotation replaces it.
    let error = store.rotate(by_time.info.id(), Overlap::For(hours(9))).unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::Overlapping { until: Some(_) })), "{error:?}");
    let delivered = store.rotate(lost.info.id(), Overlap::For(hours(2))).unwrap();
    assert_eq!(code(&store, token(&unused)), "invalid_api_key");
    assert_eq!((code(&store, token(&lost)), code(&store, token(&delivered))), ("ok", "ok"));
    let store = reopened(&clock, directory.path(), Some(store));
    assert_eq!(code(&store, token(&by_use)), "ok");
    assert_eq!(code(&store, token(&used)), "ok");
    assert_eq!(code(&store, token(&by_use)), "rotated_api_key");
    clock.advance(hours(2));
    let store = reopened(&clock, directory.path(), Some(store));
    for (old, new) in [(&by_use, &used), (&by_time, &timed), (&lost, &delivered)] {
        assert_eq!((code(&store, token(old)), code(&store, token(new))), ("rotated_api_key", "ok"));
    }
}
