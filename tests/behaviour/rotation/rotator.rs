//! Automatic rotation: when keys rotate, what verifies meanwhile, and who is warned.

use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use apikey::sink::from_fn;
use apikey::{
    Clock, Conflict, CreatedKey, EventFilter, EventKind, ExportOptions, ImportOptions, KeyId, KeyStore, KeyUpdate,
    ManualClock, NewKey, OpenError, Overlap, OverlapEnd, Restore, RotationPolicy, Rotator, RotatorHandle, StoreError,
};
use apikey_testkit::{alice, clocked, code, hours, info, ms, start, wait_until};
use chrono::TimeDelta;

use crate::rotation::fake_sink::{FakeSink, Reaction};
use crate::rotation::rotator_fixture::{Fixture, policy, run, token};

#[test]
fn a_key_gets_a_new_secret_when_it_is_due_and_not_before() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    let due = start() + hours(10);
    assert_eq!(fixture.key.info.rotation().unwrap().due(), due);
    let report = fixture.run();
    assert_eq!((report.rotated.len(), report.next_due), (0, Some(due)));
    fixture.clock.set(due - ms(1));
    assert_eq!(fixture.run().rotated, []);
    assert_eq!(fixture.sink.versions().len(), 0);

    fixture.clock.set(due);
    let report = fixture.run();
    assert_eq!((&report.rotated, &report.delivered), (&vec![fixture.id()], &vec![fixture.id()]));
    assert_eq!(report.next_due, Some(due + hours(2)), "the end of the overlap");
    let new = fixture.sink.token(fixture.id());
    let old = fixture.store.verify(token(&fixture.key)).unwrap();
    assert_eq!(old.superseded_until(), Some(due + hours(2)));
    assert!(!fixture.superseded(&new));
    assert_eq!(fixture.info().overlap(), Some(OverlapEnd::At(due + hours(2))));
    assert_eq!(fixture.info().rotation().unwrap().due(), due + hours(10));
    assert_eq!(fixture.run().rotated, [], "once");

    fixture.clock.set(due + hours(2));
    let report = fixture.run();
    assert_eq!((report.overlaps_ended, report.next_due), (vec![fixture.id()], Some(due + hours(10))));
    assert_eq!(fixture.code(token(&fixture.key)), "rotated_api_key");
    assert_eq!(fixture.code(&new), "ok");
    // And again.
    for round in 2..6 {
        fixture.clock.set(start() + hours(10 * round));
        assert_eq!(fixture.run().delivered, [fixture.id()]);
        assert_eq!(fixture.store.verify(&fixture.sink.token(fixture.id())).unwrap().secret_version(), round as u32 + 1);
    }
    assert_eq!(fixture.info().expires_at(), None, "rotation moves no end");
}

#[test]
fn an_undelivered_secret_verifies_and_supersedes_nothing() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    fixture.sink.react_with(Reaction::Refuses);
    fixture.clock.advance(hours(10));
    let report = fixture.run();
    assert_eq!((&report.rotated, &report.delivered), (&vec![fixture.id()], &vec![]));
    let failed = &report.failed[0];
    assert_eq!((failed.key, failed.reason.as_str()), (fixture.id(), "no [REDACTED]!"));
    assert_eq!((failed.retry_at, report.next_due), (fixture.clock.now() + ms(1000), Some(failed.retry_at)));
    assert!(!fixture.superseded(token(&fixture.key)));
    assert_eq!((fixture.pending(), fixture.info().overlap()), (Some(2), None));
    // Much later the old secret still works; the rotator delivers the same new one, and the overlap begins.
    fixture.clock.advance(hours(100));
    assert!(!fixture.superseded(token(&fixture.key)));
    fixture.sink.react_with(Reaction::Accepts);
    let report = fixture.run();
    assert_eq!((&report.rotated, &report.delivered), (&vec![], &vec![fixture.id()]));
    assert_eq!(fixture.sink.versions(), [2, 2]);
    let old = fixture.store.verify(token(&fixture.key)).unwrap();
    assert_eq!(old.superseded_until(), Some(fixture.clock.now() + hours(2)));
}

#[test]
fn until_first_use_the_old_secret_dies_at_the_first_request_with_the_new_one() {
    for waits in [false, true] {
        let fixture =
            Fixture::new(FakeSink::default(), RotationPolicy::every(hours(10)).overlap(Overlap::UntilFirstUse));
        fixture.sink.react_with(if waits { Reaction::AcceptsThenPanics } else { Reaction::Accepts });
        fixture.clock.advance(hours(10));
        assert_eq!(fixture.run().delivered.len(), usize::from(!waits));
        fixture.clock.advance(hours(5));
        assert_eq!(fixture.superseded(token(&fixture.key)), !waits);
        let new = fixture.sink.token(fixture.id());
        assert_eq!(fixture.code(&new), "ok");
        assert_eq!(fixture.code(token(&fixture.key)), "rotated_api_key", "{waits}");
        fixture.run();
        assert_eq!((fixture.code(&new), fixture.code(token(&fixture.key))), ("ok", "rotated_api_key"));
        assert_eq!((fixture.pending(), fixture.info().overlap()), (None, None));
    }
}

#[test]
fn until_first_use_a_key_that_nobody_uses_is_not_rotated_again() {
    let fixture = Fixture::new(FakeSink::default(), RotationPolicy::every(hours(10)).overlap(Overlap::UntilFirstUse));
    fixture.clock.advance(hours(10));
    fixture.run();
    fixture.clock.advance(hours(10));
    let report = fixture.run();
    assert_eq!((report.rotated.len(), report.skipped.len()), (0, 1));
    assert!(report.skipped[0].reason.contains("until the new one is used"), "{report:?}");
    assert_eq!(fixture.run().skipped, [], "it is said once");
    fixture.store.verify(&fixture.sink.token(fixture.id())).unwrap();
    assert_eq!(fixture.run().rotated, [fixture.id()], "as soon as it was used");
}

#[test]
fn a_manual_rotation_replaces_the_undelivered_secret() {
    for overlap in [Overlap::For(hours(1)), Overlap::UntilFirstUse, Overlap::None] {
        let fixture = Fixture::new(FakeSink::default(), policy());
        fixture.sink.react_with(Reaction::AcceptsThenPanics);
        fixture.clock.advance(hours(10));
        fixture.run();
        let waited = fixture.sink.token(fixture.id());
        let by_hand = fixture.store.rotate(fixture.id(), overlap).unwrap();
        assert_eq!(fixture.code(&waited), "invalid_api_key", "{overlap:?}");
        let old = if overlap == Overlap::None { "invalid_api_key" } else { "ok" };
        assert_eq!(fixture.code(token(&fixture.key)), old, "{overlap:?}");
        assert_eq!(fixture.code(token(&by_hand)), "ok");
        fixture.sink.react_with(Reaction::Accepts);
        let report = fixture.run();
        assert_eq!((report.rotated.len(), report.delivered.len()), (0, 0), "due again in ten hours");
        assert_eq!(fixture.info().rotation().unwrap().due(), fixture.clock.now() + hours(10));
    }
}

#[test]
fn a_manual_rotation_does_not_replace_a_used_secret() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    fixture.sink.react_with(Reaction::AcceptsThenPanics);
    fixture.clock.advance(hours(10));
    fixture.run();
    fixture.store.verify(&fixture.sink.token(fixture.id())).unwrap();
    let error = fixture.store.rotate(fixture.id(), Overlap::For(hours(1))).unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::Overlapping { .. })), "{error}");
    assert_eq!(fixture.code(&fixture.sink.token(fixture.id())), "ok");
}

#[test]
fn a_manual_overlap_comes_first() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    fixture.clock.advance(hours(9));
    let second = fixture.store.rotate(fixture.id(), Overlap::For(hours(50))).unwrap();
    fixture.store.verify(token(&second)).unwrap();
    fixture.clock.advance(hours(10));
    let report = fixture.run();
    assert_eq!((report.rotated.len(), report.skipped[0].key), (0, fixture.id()));
    assert_eq!(report.next_due, Some(start() + hours(59)));
    fixture.clock.set(start() + hours(59));
    assert_eq!(fixture.run().delivered, [fixture.id()]);
}

#[test]
fn a_key_that_is_not_active_is_not_rotated_and_is_reported() {
    let (store, clock) = clocked();
    let make = |key: NewKey| store.create(key.rotation(policy())).unwrap().info.id();
    let (revoked, disabled) = (make(alice()), make(alice()));
    let expired = make(alice().expires_in(hours(9)));
    let sink = FakeSink::default();
    let rotator = Rotator::new(store.clone(), sink.clone());
    run(&rotator, &clock);
    store.revoke(revoked, "left").unwrap();
    store.update(disabled, KeyUpdate::new().disabled(true)).unwrap();
    clock.advance(hours(10));
    let report = run(&rotator, &clock);
    assert_eq!((report.rotated.len(), sink.versions().len()), (0, 0));
    let mut skipped: Vec<_> = report.skipped.iter().map(|one| (one.key, one.reason.as_str())).collect();
    skipped.sort();
    let mut expected = [
        (revoked, "the key is revoked"),
        (
            disabled,
            "the key is disabled; enable it first, or rotate it with the overlap none, which ends its secrets and leaves it disabled",
        ),
        (expired, "the key has expired; give it a later end first"),
    ];
    expected.sort();
    assert_eq!(skipped, expected);
    assert_eq!(run(&rotator, &clock).skipped, []);
    store.update(disabled, KeyUpdate::new().disabled(false)).unwrap();
    assert_eq!(run(&rotator, &clock).delivered, [disabled], "it is due since then");
    store.update(expired, KeyUpdate::new().expires_at(None)).unwrap();
    assert_eq!(run(&rotator, &clock).delivered, [expired]);
}

#[test]
fn every_secret_of_a_key_that_leaked_ends_and_its_successor_is_returned() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    fixture.sink.react_with(Reaction::AcceptsThenPanics);
    fixture.clock.advance(hours(10));
    fixture.run();
    let waits = fixture.sink.token(fixture.id());
    let new = fixture.store.replace_leaked(fixture.id(), "in a log").unwrap();
    assert_eq!((fixture.code(token(&fixture.key)), fixture.code(&waits)), ("invalid_api_key", "invalid_api_key"));
    assert_eq!(fixture.store.verify(token(&new)).unwrap().secret_version(), 3);
    let events = fixture.store.events(&EventFilter::default()).unwrap().events;
    assert_eq!(*events.last().unwrap().kind(), EventKind::Replaced { version: 3, reason: "in a log".into() });
    // A leaked secret must not come back with a key that is disabled.
    fixture.store.update(fixture.id(), KeyUpdate::new().disabled(true)).unwrap();
    let newer = fixture.store.replace_leaked(fixture.id(), "again").unwrap();
    assert_eq!(fixture.code(token(&newer)), "disabled_api_key");
    fixture.store.update(fixture.id(), KeyUpdate::new().disabled(false)).unwrap();
    assert_eq!((fixture.code(token(&new)), fixture.code(token(&newer))), ("invalid_api_key", "ok"));
    fixture.store.revoke(fixture.id(), "left").unwrap();
    let error = fixture.store.replace_leaked(fixture.id(), "").unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::Revoked)));
    assert!(matches!(fixture.store.replace_leaked(fixture.id(), "x".repeat(257)), Err(StoreError::Invalid { .. })));
}

#[test]
fn a_policy_out_of_bounds_is_refused_with_its_field() {
    let (store, _) = clocked();
    let refused = |policy: RotationPolicy| store.create(alice().rotation(policy)).unwrap_err().to_string();
    for every in [TimeDelta::zero(), ms(999), -hours(1), TimeDelta::MAX, TimeDelta::MIN] {
        let error = refused(RotationPolicy::every(every));
        assert!(error.starts_with("invalid rotation.every"), "{error}");
    }
    let every = RotationPolicy::every(hours(10));
    for overlap in [Overlap::None, Overlap::For(ms(0)), Overlap::For(hours(10)), Overlap::For(hours(11))] {
        let error = refused(every.overlap(overlap));
        assert!(error.starts_with("invalid rotation.overlap"), "{overlap:?}: {error}");
    }
    for overlap in [Overlap::For(ms(1)), Overlap::For(hours(10) - ms(1)), Overlap::UntilFirstUse] {
        let created = store.create(alice().rotation(every.overlap(overlap))).unwrap();
        assert_eq!(created.info.rotation().unwrap().policy(), every.overlap(overlap));
    }
    // The default.
    assert_eq!(RotationPolicy::every(TimeDelta::days(9)).overlap_span(), Overlap::For(hours(24)));
    assert_eq!(RotationPolicy::every(hours(10)).overlap_span(), Overlap::For(hours(5)));
    assert!(store.create(alice().rotation(RotationPolicy::every(TimeDelta::seconds(1)))).is_ok());
    let bad = KeyStore::builder().default_rotation(RotationPolicy::every(ms(1))).temporary();
    assert!(matches!(&bad, Err(OpenError::Config(text)) if text.contains("rotation.every")), "{bad:?}");
}

#[test]
fn the_stores_policy_is_for_keys_that_name_none() {
    let store = KeyStore::builder().default_rotation(policy()).temporary().unwrap();
    let of = |key: NewKey| store.create(key).unwrap().info.rotation().map(|rotation| rotation.policy());
    assert_eq!(of(alice()), Some(policy()));
    let own = RotationPolicy::every(hours(1));
    assert_eq!(of(alice().rotation(own)), Some(own));
    assert_eq!(of(alice().no_rotation()), None);
}

#[test]
fn a_store_can_forbid_secrets_that_live_too_long() {
    let clock = ManualClock::new(start());
    let most = TimeDelta::days(90);
    let store = KeyStore::builder().clock(clock.clone()).max_lifetime(most).temporary().unwrap();
    let refused = |key: NewKey| store.create(key).unwrap_err();
    for (key, field) in [
        (alice(), "expires_at"),
        (alice().expires_in(most + ms(1)), "expires_at"),
        (alice().rotation(RotationPolicy::every(most).overlap(Overlap::For(ms(1)))), "rotation"),
        (alice().rotation(RotationPolicy::every(hours(1)).overlap(Overlap::UntilFirstUse)), "rotation.overlap"),
    ] {
        let error = refused(key);
        assert!(matches!(error, StoreError::TooLong { field: found, .. } if found == field), "{error}");
        assert!(error.to_string().contains("90 days") && error.to_string().contains(field), "{error}");
        assert_eq!(error.status(), 422);
    }
    let created = store.create(alice().expires_in(most)).unwrap();
    let within = RotationPolicy::every(most - hours(1)).overlap(Overlap::For(hours(1)));
    let rotating = store.create(alice().rotation(within)).unwrap();
    let update = |update: KeyUpdate| store.update(created.info.id(), update);
    assert!(matches!(update(KeyUpdate::new().expires_at(None)), Err(StoreError::TooLong { .. })));
    assert!(update(KeyUpdate::new().expires_at(start() + most)).is_ok());
    assert!(update(KeyUpdate::new().name("ci")).is_ok());
    // A policy bounds the secrets, so the key needs no end of its own; it needs one or the other.
    assert!(update(KeyUpdate::new().rotation(within).expires_at(None)).is_ok());
    assert!(matches!(update(KeyUpdate::new().no_rotation()), Err(StoreError::TooLong { .. })));
    assert!(update(KeyUpdate::new().no_rotation().expires_at(start() + hours(1))).is_ok());
    // A manual rotation moves no end; the new secret may be extended to a full life of its own.
    clock.advance(hours(10));
    let rotate = |overlap| store.rotate(rotating.info.id(), overlap);
    rotate(Overlap::None).unwrap();
    // The secret before it does not live longer either.
    for overlap in [Overlap::UntilFirstUse, Overlap::For(most + ms(1))] {
        let error = rotate(overlap).unwrap_err();
        assert!(matches!(error, StoreError::TooLong { field: "overlap", .. }), "{error}");
    }
    rotate(Overlap::For(most)).unwrap();
    // Imports obey the bound too.
    let mut lines = Vec::new();
    let other = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    other.create(alice()).unwrap();
    other.create(alice().expires_in(most)).unwrap();
    other.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let report = store.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.refused.len()), (1, 1));
    assert!(report.refused[0].fault.to_string().contains("expires_at"), "{:?}", report.refused[0]);
    assert!(matches!(KeyStore::builder().max_lifetime(ms(0)).temporary(), Err(OpenError::Config(_))));
}

#[test]
fn warnings_come_once_each_and_the_nearest_alone_also_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let days = TimeDelta::days;
    let open = || KeyStore::builder().clock(clock.clone()).open(directory.path().join("keys.db")).unwrap();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let rotator = |store: &KeyStore| {
        let warnings = warnings.clone();
        let note = move |warning: &apikey::ExpiryWarning| {
            warnings.lock().unwrap().push((warning.key, warning.before.num_days()));
        };
        Rotator::new(store.clone(), from_fn(|_| Ok(()))).on_warning(note)
    };
    let mut store = open();
    let id = store.create(alice().name("ci").expires_in(days(30))).unwrap().info.id();
    store.create(alice()).unwrap();
    let begin = store.events(&EventFilter::default()).unwrap().events.len();
    let mut at = |day: i64, restart: bool| {
        clock.set(start() + days(day));
        if restart {
            store.close().unwrap();
            store = open();
        }
        let one = rotator(&store);
        let report = run(&one, &clock);
        assert_eq!(run(&one, &clock).warned, [], "once");
        let list: Vec<i64> = report.warned.iter().map(|warning| warning.before.num_days()).collect();
        let owners =
            report.warned.iter().all(|warning| warning.owner == "alice" && warning.name.as_deref() == Some("ci"));
        assert!(owners && report.warned.iter().all(|warning| warning.expires_at == start() + days(30)));
        (list, report.next_due.map(|due| (due - start()).num_days()))
    };
    assert_eq!(at(0, false), (vec![], Some(16)));
    assert_eq!(at(15, true), (vec![], Some(16)));
    assert_eq!(at(16, false), (vec![14], Some(27)));
    assert_eq!(at(16, true), (vec![], Some(27)));
    assert_eq!(at(29, true), (vec![1], None), "no warning of three days any more");
    assert_eq!(at(29, true), (vec![], None));
    assert_eq!(at(30, true), (vec![], None));
    assert_eq!(*warnings.lock().unwrap(), [(id, 14), (id, 1)]);
    assert_eq!(store.events(&EventFilter::default()).unwrap().events.len(), begin, "a warning is no change");
    // A new end gets new warnings.
    store.update(id, KeyUpdate::new().expires_at(start() + days(32))).unwrap();
    let own = rotator(&store).warn_before([days(2), days(0), days(-1)]);
    assert_eq!(run(&own, &clock).warned.len(), 1);
    assert_eq!(warnings.lock().unwrap().last(), Some(&(id, 2)));
}

#[test]
fn a_warning_that_panics_stops_nothing() {
    let (store, clock) = clocked();
    let created = store.create(alice().rotation(policy()).expires_in(hours(11))).unwrap();
    clock.advance(hours(10));
    let rotator = Rotator::new(store.clone(), from_fn(|_| Ok(()))).on_warning(|_| panic!("no paper"));
    let report = run(&rotator, &clock);
    assert_eq!((report.warned.len(), report.delivered), (1, vec![created.info.id()]));
}

/// Calls a rotator's thread from the closure or the sink that it calls, and returns the result, which must come.
fn call_back(from_sink: bool) -> Result<KeyId, StoreError> {
    let (store, clock) = clocked();
    if !from_sink {
        store.create(alice().expires_in(hours(1))).unwrap();
    }
    let handle: Arc<OnceLock<RotatorHandle>> = Arc::default();
    let (send, results) = mpsc::channel();
    let call = {
        let handle = handle.clone();
        move || {
            let created = handle.wait().create(NewKey::for_owner("bob"));
            send.send(created.map(|created| created.info.id())).unwrap();
        }
    };
    let sink = {
        let call = call.clone();
        from_fn(move |delivery| {
            if from_sink && delivery.info().owner() == "alice" {
                call();
            }
            Ok(())
        })
    };
    let started = Rotator::new(store.clone(), sink).on_warning(move |_| call()).start().unwrap();
    assert!(handle.set(started).is_ok());
    if from_sink {
        store.create(alice().rotation(policy())).unwrap();
        clock.advance(hours(10));
    }
    results.recv_timeout(Duration::from_secs(60)).expect("the call returns")
}

#[test]
fn the_closure_for_warnings_may_call_the_rotator() {
    assert!(call_back(false).is_ok());
}

#[test]
fn a_sink_that_calls_the_rotator_gets_an_error_and_does_not_hang() {
    let error = call_back(true).unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::RotatorWaits)), "{error}");
}

#[test]
fn a_run_within_a_warning_repeats_no_warning() {
    let (store, clock) = clocked();
    let id = store.create(alice().expires_in(hours(1))).unwrap().info.id();
    let inner: Arc<OnceLock<Rotator>> = Arc::default();
    let count = Arc::new(Mutex::new(0));
    let emit = {
        let (inner, count, store, clock) = (inner.clone(), count.clone(), store.clone(), clock.clone());
        move |_: &apikey::ExpiryWarning| {
            *count.lock().unwrap() += 1;
            assert!(*count.lock().unwrap() < 5, "warnings repeat");
            store.update(id, KeyUpdate::new().name("ci")).unwrap();
            let report = run(inner.get().unwrap(), &clock);
            assert_eq!(report.warned, []);
        }
    };
    inner.set(Rotator::new(store.clone(), from_fn(|_| Ok(()))).on_warning(emit)).unwrap();
    assert_eq!(run(inner.get().unwrap(), &clock).warned.len(), 1);
    assert_eq!(run(inner.get().unwrap(), &clock).warned, []);
    assert_eq!(*count.lock().unwrap(), 1);
}

#[test]
fn a_warning_may_end_the_rotator_that_gives_it() {
    let (store, _clock) = clocked();
    store.create(alice().expires_in(hours(1))).unwrap();
    let handle: Arc<Mutex<Option<RotatorHandle>>> = Arc::default();
    let (send, ended) = mpsc::channel();
    let emit = {
        let handle = handle.clone();
        move |_: &apikey::ExpiryWarning| {
            let started = wait_until_some(&handle);
            started.stop();
            send.send(()).unwrap();
        }
    };
    let started = Rotator::new(store.clone(), from_fn(|_| Ok(()))).on_warning(emit).start().unwrap();
    *handle.lock().unwrap() = Some(started);
    ended.recv_timeout(Duration::from_secs(60)).expect("the closure returns");
}

fn wait_until_some<T>(slot: &Mutex<Option<T>>) -> T {
    loop {
        if let Some(value) = slot.lock().unwrap().take() {
            return value;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_store_has_one_rotator_at_a_time() {
    let (store, clock) = clocked();
    let one = Rotator::new(store.clone(), from_fn(|_| Ok(())));
    let other = Rotator::new(store.clone(), from_fn(|_| Ok(())));
    run(&one, &clock);
    let error = other.run_due(clock.now()).unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::Rotator)), "{error}");
    drop(one);
    assert!(other.run_due(clock.now()).is_ok());
    store.close().unwrap();
    assert!(matches!(other.run_due(clock.now()), Err(StoreError::Closed)));
}

#[test]
fn an_undelivered_secret_survives_a_restart_and_a_move_to_another_store() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = |name: &str| KeyStore::builder().clock(clock.clone()).open(directory.path().join(name)).unwrap();
    let store = open("keys.db");
    let key = store.create(alice().rotation(policy())).unwrap();
    let sink = FakeSink::default();
    sink.react_with(Reaction::AcceptsThenPanics);
    clock.advance(hours(10));
    run(&Rotator::new(store.clone(), sink.clone()), &clock);
    let new = sink.token(key.info.id());
    store.backup(directory.path().join("backup")).unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    store.close().unwrap();
    let imported = open("imported.db");
    assert_eq!(imported.import(lines.as_slice(), &ImportOptions::default()).unwrap().imported, 1);
    KeyStore::restore(&Restore::new(directory.path().join("backup"), directory.path().join("restored.db"))).unwrap();
    KeyStore::salvage(directory.path().join("keys.db"), directory.path().join("salvaged.db")).unwrap();
    for store in [open("keys.db"), imported, open("restored.db"), open("salvaged.db")] {
        let rotation = info(&store, &key).rotation().unwrap();
        assert_eq!((rotation.policy(), rotation.pending()), (policy(), Some(2)));
        assert!(!store.verify(token(&key)).unwrap().superseded());
        assert_eq!(store.verify(&new).unwrap().secret_version(), 2);
        wait_until("the first use is written", || store.verify(token(&key)).unwrap().superseded());
        store.close().unwrap();
    }
    // The close wrote the use: the overlap goes on.
    let store = open("keys.db");
    let end = store.verify(token(&key)).unwrap().superseded_until();
    assert_eq!(end, Some(clock.now() + hours(2)));
    assert_eq!(info(&store, &key).rotation().unwrap().pending(), None);
    store.verify_events().unwrap();
}

#[test]
fn a_restored_store_revives_no_secret_that_a_rotation_ended() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::builder().clock(clock.clone()).open(path("keys.db")).unwrap();
    let keys: Vec<CreatedKey> = (0..2).map(|_| store.create(alice().rotation(policy())).unwrap()).collect();
    let sink = FakeSink::default();
    let rotator = Rotator::new(store.clone(), sink.clone());
    clock.advance(hours(10));
    sink.react_with(Reaction::AcceptsThenPanics);
    run(&rotator, &clock);
    store.backup(path("backup")).unwrap();
    let waited: Vec<String> = keys.iter().map(|key| sink.token(key.info.id())).collect();
    // One secret is delivered, the other leaks; both old secrets get an end.
    store.replace_leaked(keys[1].info.id(), "leaked").unwrap();
    sink.react_with(Reaction::Accepts);
    clock.advance(hours(1));
    assert_eq!(run(&rotator, &clock).delivered, [keys[0].info.id()]);
    store.close().unwrap();
    KeyStore::restore(&Restore::new(path("backup"), path("new.db")).over(path("keys.db"))).unwrap();
    let store = KeyStore::builder().clock(clock.clone()).open(path("new.db")).unwrap();
    assert_eq!((code(&store, &waited[1]), code(&store, token(&keys[1]))), ("invalid_api_key", "invalid_api_key"));
    assert_eq!(code(&store, &waited[0]), "ok");
    let old = store.verify(token(&keys[0])).unwrap();
    assert_eq!(old.superseded_until(), Some(clock.now() + hours(2)));
    clock.advance(hours(2));
    assert_eq!(code(&store, token(&keys[0])), "rotated_api_key");
}

#[test]
fn a_thread_rotates_and_survives_a_sink_that_panics() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    let Fixture { store, clock, key, sink, rotator } = fixture;
    let id = key.info.id();
    let handle = rotator.start().unwrap();
    sink.react_with(Reaction::Panics);
    clock.advance(hours(10));
    wait_until("an attempt", || !sink.versions().is_empty());
    sink.react_with(Reaction::Accepts);
    clock.advance(hours(1));
    wait_until("a delivery", || info(&store, &key).overlap().is_some());
    assert!(handle.is_running());
    // The thread notices keys that are created while it runs.
    let later = store.create(alice().rotation(RotationPolicy::every(TimeDelta::seconds(1)))).unwrap();
    clock.advance(TimeDelta::seconds(1));
    wait_until("a second delivery", || info(&store, &later).version() == 2);
    handle.stop();
    let version = info(&store, &key).version();
    clock.advance(hours(100));
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(info(&store, &key).version(), version);
    assert!(store.verify(&sink.token(id)).is_ok());
}

#[test]
fn the_thread_holds_up_neither_close_nor_the_drop_of_the_last_handle() {
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::open(directory.path().join("keys.db"));
    let store = open().unwrap();
    let handle = Rotator::new(store.clone(), from_fn(|_| Ok(()))).start().unwrap();
    store.close().unwrap();
    let again = open().unwrap();
    handle.stop();
    let handle = Rotator::new(again.clone(), from_fn(|_| Ok(()))).start().unwrap();
    drop(again);
    open().unwrap();
    drop(handle);
}

#[test]
fn a_rotator_whose_actor_is_out_of_bounds_does_not_start() {
    let store = KeyStore::temporary().unwrap().as_actor("");
    let rotator = || Rotator::new(store.clone(), from_fn(|_| Ok(())));
    assert!(matches!(rotator().start(), Err(StoreError::Invalid { field: "actor", .. })));
    assert!(matches!(rotator().run_due(start()), Err(StoreError::Invalid { field: "actor", .. })));
}
