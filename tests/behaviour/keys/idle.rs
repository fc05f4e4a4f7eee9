//! Keys that end when nobody uses them.

use apikey::{
    Attempt, AuthError, CapViolation, Clock, Conflict, CreatedKey, EventFilter, EventKind, ExportOptions,
    ImportOptions, KeyFilter, KeyId, KeyState, KeyStore, KeyStoreBuilder, KeyUpdate, ManualClock, NewKey, OpenError,
    Overlap, Restore, RotationPolicy, Rotator, StoreError, sink,
};
use apikey_testkit::{alice, all, clocked, code, hours, info, ms, refusal, start};
use chrono::TimeDelta;

const IDLE: &str = "idle_api_key";

fn days(count: i64) -> TimeDelta {
    TimeDelta::days(count)
}

fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

/// A builder whose store reads this clock.
fn on(clock: &ManualClock) -> KeyStoreBuilder {
    KeyStore::builder().clock(clock.clone())
}

fn ids(store: &KeyStore, filter: &KeyFilter) -> Vec<KeyId> {
    all(store, filter).iter().map(apikey::KeyInfo::id).collect()
}

#[test]
fn a_key_that_nobody_uses_ends_to_the_millisecond() {
    let (store, clock) = clocked();
    clock.advance(ms(123));
    let key = store.create(alice().idle_after(hours(1))).unwrap();
    let end = start() + ms(123) + hours(1);
    assert_eq!((key.info.idle_after(), key.info.idle_at()), (Some(hours(1)), Some(end)));
    clock.set(end - ms(1));
    assert_eq!(info(&store, &key).state(clock.now()), KeyState::Active);
    let verified = store.verify(token(&store.create(alice().idle_after(hours(1))).unwrap())).unwrap();
    clock.set(end);
    assert_eq!(refusal(&store, token(&key)), AuthError::Idle);
    assert_eq!(info(&store, &key).state(end), KeyState::Idle);
    assert_eq!(ids(&store, &KeyFilter::default().state(KeyState::Idle)), [key.info.id()]);
    assert_eq!(store.refusals_of(key.info.id())[IDLE], 1);
    assert!(store.recheck(&verified).is_ok());
    clock.advance(hours(1));
    assert_eq!(store.recheck(&verified), Err(AuthError::Idle));
    assert_eq!(store.identify(token(&key)), Some(key.info.id()), "the key of a leaked token is found all the same");
}

#[test]
fn every_successful_use_moves_the_end_and_nothing_else_does() {
    let (store, clock) = clocked();
    let address = std::net::IpAddr::from([10, 0, 0, 1]);
    let new = alice().idle_after(hours(10)).networks(["10.0.0.0/8"]).limit(1, hours(1));
    let key = store.create(new).unwrap();
    let good = Attempt::new(token(&key)).peer(address);
    let at = |hour| clock.set(start() + hours(hour));
    let end = || info(&store, &key).idle_at().unwrap() - start();
    at(4);
    let verified = store.check(&good).unwrap();
    assert_eq!(end(), hours(14));
    at(5);
    store.check(&good).unwrap();
    clock.advance(ms(1));
    assert_eq!(store.check(&good).unwrap_err().code(), "rate_limited");
    at(7);
    assert_eq!(store.check(&Attempt::new(token(&key))).unwrap_err().code(), "address_not_allowed");
    store.recheck(&verified).unwrap();
    assert!(store.identify(token(&key)).is_some());
    store.update(key.info.id(), KeyUpdate::new().name("ci")).unwrap();
    assert_eq!(end(), hours(15), "neither what is refused, nor a recheck, nor a change is a use");
    at(15);
    assert_eq!(store.check(&good).unwrap_err(), AuthError::Idle);
}

#[test]
fn the_secrets_of_a_key_share_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let mut store = on(&clock).open(directory.path()).unwrap();
    let old = store.create(alice().idle_after(days(10))).unwrap();
    let new = store.rotate(old.info.id(), Overlap::For(days(8))).unwrap();
    clock.advance(days(7));
    assert_eq!(code(&store, token(&old)), "ok");
    clock.advance(days(6));
    assert_eq!(code(&store, token(&new)), "ok", "the old secret was used six days ago");
    clock.advance(days(9));
    // The secret goes, and its time of use stays.
    let newest = store.rotate(old.info.id(), Overlap::None).unwrap();
    store.close().unwrap();
    store = on(&clock).open(directory.path()).unwrap();
    assert_eq!(info(&store, &old).idle_at(), Some(start() + days(23)));
    clock.advance(days(1));
    assert_eq!(code(&store, token(&newest)), IDLE);
}

#[test]
fn a_restart_keeps_the_times_of_use() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || on(&clock).open(directory.path()).unwrap();
    let store = open();
    let [used, unused] = [(); 2].map(|()| store.create(alice().idle_after(days(10))).unwrap());
    clock.advance(days(8));
    assert_eq!(code(&store, token(&used)), "ok");
    store.close().unwrap();
    let store = open();
    clock.advance(days(3));
    assert_eq!([&used, &unused].map(|key| code(&store, token(key))), ["ok", IDLE]);
    store.close().unwrap();
    clock.advance(days(10));
    assert_eq!([&used, &unused].map(|key| code(&open(), token(key))), [IDLE; 2]);
}

#[test]
fn an_operator_revives_an_idle_key() {
    let (store, clock) = clocked();
    let key = store.create(alice().idle_after(days(1))).unwrap();
    let change = |update| store.update(key.info.id(), update).unwrap();
    for revive in [
        vec![KeyUpdate::new().idle_after(days(1))],
        vec![KeyUpdate::new().disabled(true), KeyUpdate::new().disabled(false)],
        vec![KeyUpdate::new().idle_after(days(2))],
        vec![KeyUpdate::new().no_idle_after()],
    ] {
        clock.advance(days(1));
        assert_eq!(code(&store, token(&key)), IDLE);
        change(KeyUpdate::new().name(format!("at {}", clock.now())));
        assert_eq!(code(&store, token(&key)), IDLE, "another change does not");
        revive.into_iter().for_each(|update| drop(change(update)));
        let revived = info(&store, &key);
        assert_eq!(revived.state(clock.now()), KeyState::Active);
        assert_eq!(revived.idle_at(), revived.idle_after().map(|span| clock.now() + span));
        assert_eq!(code(&store, token(&key)), "ok");
        clock.advance(days(1));
    }
    clock.advance(days(3000));
    assert_eq!(code(&store, token(&key)), "ok");
    let kinds = |kind: &str| store.events(&EventFilter::default().kind(kind)).unwrap().events;
    let spans: Vec<_> = kinds("updated")
        .iter()
        .filter_map(|event| match event.kind() {
            EventKind::Updated { changes } => changes.idle_after.clone().map(|spans| (spans.from, spans.to)),
            other => panic!("{other:?}"),
        })
        .collect();
    let day = |count| Some(days(count));
    assert_eq!(spans, [(day(1), day(1)), (day(1), day(2)), (day(2), None)]);
    let json = serde_json::to_value(kinds("enabled")[0].kind()).unwrap();
    assert_eq!(json, serde_json::json!({ "kind": "enabled" }), "that the time began anew goes without saying");
}

#[test]
fn a_shorter_time_counts_from_when_it_was_set() {
    let (store, clock) = clocked();
    let key = store.create(alice().idle_after(days(100))).unwrap();
    let plain = store.create(alice()).unwrap();
    clock.advance(days(50));
    for id in [key.info.id(), plain.info.id()] {
        store.update(id, KeyUpdate::new().idle_after(days(10))).unwrap();
    }
    clock.advance(days(10) - ms(1));
    assert_eq!([&key, &plain].map(|key| info(&store, key).state(clock.now())), [KeyState::Active; 2]);
    clock.advance(ms(1));
    assert_eq!([&key, &plain].map(|key| code(&store, token(key))), [IDLE; 2]);
}

#[test]
fn the_time_does_not_count_before_a_key_is_valid() {
    let (store, clock) = clocked();
    let begin = start() + days(20);
    let [waits, sooner] = [(); 2].map(|()| store.create(alice().idle_after(days(5)).not_before(begin)).unwrap());
    clock.advance(days(19));
    assert_eq!(code(&store, token(&waits)), "inactive_api_key");
    store.update(sooner.info.id(), KeyUpdate::new().not_before(None)).unwrap();
    assert_eq!(info(&store, &sooner).idle_at(), Some(start() + days(24)));
    assert_eq!(info(&store, &waits).idle_at(), Some(start() + days(25)));
    clock.set(start() + days(24));
    assert_eq!([&waits, &sooner].map(|key| code(&store, token(key))), ["ok", IDLE]);
}

#[test]
fn a_clock_that_is_set_back_revives_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let store = on(&clock).open(directory.path()).unwrap();
    let key = store.create(alice().idle_after(hours(1))).unwrap();
    clock.advance(hours(1));
    store.create(alice()).unwrap();
    clock.set(start());
    assert_eq!(code(&store, token(&key)), IDLE);
    store.close().unwrap();
    assert_eq!(code(&on(&clock).open(directory.path()).unwrap(), token(&key)), IDLE);
}

#[test]
fn a_time_out_of_bounds_is_refused() {
    let (store, _) = clocked();
    let id = store.create(alice()).unwrap().info.id();
    let least = hours(1);
    let most = days(366);
    assert!(store.create(alice().idle_after(least)).is_ok() && store.create(alice().idle_after(most)).is_ok());
    for span in [least - ms(1), most + ms(1), TimeDelta::zero(), -least, TimeDelta::MAX, TimeDelta::MIN] {
        for error in [
            store.create(alice().idle_after(span)).unwrap_err(),
            store.update(id, KeyUpdate::new().idle_after(span)).unwrap_err(),
        ] {
            let StoreError::Invalid { field, allowed, .. } = &error else { panic!("{error}") };
            assert_eq!((*field, *allowed), ("idle_after", "spans of 1 hour to 366 days"));
            assert_eq!(error.field_error().unwrap().pointer, "#/idle_after_ms");
        }
        let opened = KeyStore::builder().default_idle_after(span).temporary();
        assert!(matches!(opened, Err(OpenError::Config(text)) if text.starts_with("default_idle_after")));
    }
    for json in [r#""1h""#, "1.5", "true", "[]", "9223372036854775808"] {
        let new = format!(r#"{{"owner":"alice","idle_after_ms":{json}}}"#);
        assert!(serde_json::from_str::<NewKey>(&new).is_err(), "{json}");
        assert!(serde_json::from_str::<KeyUpdate>(&format!(r#"{{"idle_after_ms":{json}}}"#)).is_err(), "{json}");
    }
}

#[test]
fn json_sets_keeps_and_removes_the_time() {
    let store = KeyStore::builder().default_idle_after(days(9)).temporary().unwrap();
    let create = |json: &str| store.create(serde_json::from_str(json).unwrap()).unwrap().info;
    assert_eq!(create(r#"{"owner":"alice"}"#).idle_after(), Some(days(9)));
    assert_eq!(create(r#"{"owner":"alice","idle_after_ms":3600000}"#).idle_after(), Some(hours(1)));
    let info = create(r#"{"owner":"alice","idle_after_ms":null}"#);
    assert_eq!((info.idle_after(), info.idle_at()), (None, None));
    let update = |json: &str| store.update(info.id(), serde_json::from_str(json).unwrap()).unwrap().idle_after();
    assert_eq!(update(r#"{"idle_after_ms":7200000}"#), Some(hours(2)));
    assert_eq!(update(r#"{"name":"ci"}"#), Some(hours(2)));
    assert_eq!(update(r#"{"idle_after_ms":null}"#), None);
    let key = serde_json::to_value(alice().idle_after(hours(1))).unwrap();
    assert_eq!(key, serde_json::json!({ "owner": "alice", "idle_after_ms": 3_600_000 }));
    let update = serde_json::to_value(KeyUpdate::new().no_idle_after()).unwrap();
    assert_eq!(update, serde_json::json!({ "idle_after_ms": null }));
}

#[test]
fn the_default_is_for_new_keys_that_name_none() {
    let directory = tempfile::tempdir().unwrap();
    let fixed = directory.path().join("fixed");
    let digest = "f4d5332088e579bfad3a9c1a04f97a2de4c4d3f38f129433e7e00d0b873bec69";
    std::fs::write(&fixed, format!("preview - sha256:{digest}\n")).unwrap();
    let store = KeyStore::builder().default_idle_after(days(9)).fixed_keys_from_file(&fixed).temporary().unwrap();
    let idle_after = |key: NewKey| store.create(key).unwrap().info.idle_after();
    assert_eq!(idle_after(alice()), Some(days(9)));
    assert_eq!(idle_after(alice().idle_after(days(1))), Some(days(1)));
    assert_eq!(idle_after(alice().no_idle_after()), None);
    assert_eq!(all(&store, &KeyFilter::owner("preview"))[0].idle_after(), None);
}

#[test]
fn an_acting_key_hands_on_no_longer_time_than_its_own() {
    let (store, clock) = clocked();
    let admin = alice().permissions(["a:*", "keys:create"]).idle_after(days(5));
    let actor = |key: NewKey| store.verify(token(&store.create(key).unwrap())).unwrap();
    let capped = actor(admin.clone());
    let free = actor(admin.permissions(["a:*", "keys:outlive"]));
    let create = |key: NewKey, actor| store.create(key.within(actor));
    let idle_after = |key, actor| create(key, actor).unwrap().info.idle_after();
    assert_eq!(idle_after(alice(), &capped), Some(days(5)));
    assert_eq!(idle_after(alice().idle_after(days(4)), &capped), Some(days(4)));
    assert_eq!([idle_after(alice(), &free), idle_after(alice().idle_after(days(6)), &free)], [None, Some(days(6))]);
    for (key, wanted, text) in [
        (alice().idle_after(days(6)), Some(days(6)), "the key would end after 6 days without use"),
        (alice().no_idle_after(), None, "the key would never end for want of use"),
    ] {
        let error = create(key, &capped).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        let StoreError::Exceeds(violation) = error else { panic!("{error}") };
        assert_eq!(violation, CapViolation::Idle { wanted, max: days(5) });
    }
    let id = create(alice().idle_after(days(4)), &capped).unwrap().info.id();
    let update = |id, update: KeyUpdate| store.update(id, update.within(&capped));
    assert!(update(id, KeyUpdate::new().idle_after(days(5))).is_ok());
    assert!(matches!(
        update(id, KeyUpdate::new().no_idle_after()),
        Err(StoreError::Exceeds(CapViolation::Idle { .. }))
    ));
    // Beyond it already, a key may get less, and nothing back.
    let beyond = store.create(alice().idle_after(days(8))).unwrap().info.id();
    assert!(update(beyond, KeyUpdate::new().name("ci")).is_ok());
    clock.advance(hours(1));
    let refused = update(beyond, KeyUpdate::new().idle_after(days(7)));
    assert!(matches!(refused, Err(StoreError::Exceeds(CapViolation::Idle { .. }))), "it would begin anew");
    let is_refused = store.rotate_within(beyond, Overlap::None, &capped);
    assert!(matches!(is_refused, Err(StoreError::Exceeds(CapViolation::Idle { .. }))));
    // An actor that is idle itself may do nothing.
    clock.advance(days(5));
    let error = create(alice(), &capped).unwrap_err();
    assert!(matches!(error, StoreError::Exceeds(CapViolation::Actor(AuthError::Idle))), "{error}");
}

#[test]
fn the_shorter_of_the_actors_time_and_the_default_counts() {
    let store = KeyStore::builder().default_idle_after(days(9)).temporary().unwrap();
    for (own, expected) in [(days(5), days(5)), (days(20), days(9))] {
        let actor = store.create(alice().idle_after(own)).unwrap();
        let actor = store.verify(token(&actor)).unwrap();
        assert_eq!(store.create(alice().within(&actor)).unwrap().info.idle_after(), Some(expected));
    }
}

#[test]
fn a_store_that_does_not_track_use_has_no_such_keys() {
    let directory = tempfile::tempdir().unwrap();
    let untracked = || KeyStore::builder().track_use(false);
    let store = untracked().open(directory.path()).unwrap();
    let id = store.create(alice()).unwrap().info.id();
    for error in [
        store.create(alice().idle_after(days(1))).unwrap_err(),
        store.update(id, KeyUpdate::new().idle_after(days(1))).unwrap_err(),
    ] {
        let text = "invalid idle_after \"1 day\": allowed are none in a store that does not track use (track_use)";
        assert_eq!(error.to_string(), text);
    }
    assert!(store.create(alice().no_idle_after()).is_ok());
    let line = r#"{"kind":"key","id":"01931a4e-7c3b-7def-8123-456789abcdef","owner":"alice","idle_after_ms":86400000}"#;
    let report = store.import(line.as_bytes(), &ImportOptions::default()).unwrap();
    assert!(report.refused[0].fault.to_string().contains("track_use"), "{:?}", report.refused);
    store.close().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    let idle = store.create(alice().idle_after(days(1))).unwrap();
    store.close().unwrap();
    let fault = untracked().open(directory.path()).unwrap_err().to_string();
    assert!(fault.contains("track_use: 1 of the store's keys ends when nobody uses"), "{fault}");
    let fault = untracked().default_idle_after(days(1)).temporary().unwrap_err().to_string();
    assert!(fault.contains("default_idle_after"), "{fault}");
    let store = KeyStore::open(directory.path()).unwrap();
    store.update(idle.info.id(), KeyUpdate::new().no_idle_after()).unwrap();
    store.close().unwrap();
    assert!(untracked().open(directory.path()).is_ok());
}

#[test]
fn an_idle_key_gets_no_new_secret_but_when_it_leaked() {
    let (store, clock) = clocked();
    let policy = RotationPolicy::every(days(2)).overlap(Overlap::For(hours(1)));
    let key = store.create(alice().idle_after(days(3)).rotation(policy)).unwrap();
    let id = key.info.id();
    clock.advance(days(3));
    for overlap in [Overlap::None, Overlap::UntilFirstUse, Overlap::For(hours(1))] {
        let error = store.rotate(id, overlap).unwrap_err();
        assert!(matches!(error, StoreError::Conflict(Conflict::Idle)), "{error}");
        assert_eq!((error.code(), error.status()), ("idle_key", 409));
    }
    let rotator = Rotator::new(store.clone(), sink::from_fn(|_| Ok(()))).warn_before([]);
    let report = rotator.run_due(clock.now()).unwrap();
    assert_eq!((report.rotated.len(), report.skipped.len()), (0, 1));
    assert!(report.skipped[0].reason.contains("idle"), "{report:?}");
    let replaced = store.replace_leaked(id, "leaked").unwrap();
    assert_eq!([&key, &replaced].map(|key| code(&store, token(key))), ["invalid_api_key", IDLE]);
    // What blocks it more comes first, and a disabled key may lose its secrets.
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert!(matches!(store.rotate(id, Overlap::UntilFirstUse), Err(StoreError::Conflict(Conflict::Disabled))));
    store.rotate(id, Overlap::None).unwrap();
    store.update(id, KeyUpdate::new().disabled(false)).unwrap();
    assert!(store.rotate(id, Overlap::UntilFirstUse).is_ok(), "it is revived");
}

#[test]
fn the_idle_end_is_listed_and_warned_of_as_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || on(&clock).open(directory.path()).unwrap();
    let mut store = open();
    let key = store.create(alice().idle_after(days(20)).expires_in(days(100))).unwrap();
    let short = store.create(alice().idle_after(days(2))).unwrap();
    let expiring = |day| ids(&store, &KeyFilter::default().expiring_before(start() + days(day)));
    assert_eq!((expiring(2), expiring(3)), (vec![], vec![short.info.id()]));
    assert_eq!(expiring(21), [key.info.id(), short.info.id()]);
    let mut at = |day: i64, is_used: bool| {
        clock.set(start() + days(day));
        store.close().unwrap();
        store = open();
        if is_used {
            assert_eq!(code(&store, token(&key)), "ok");
        }
        let rotator = Rotator::new(store.clone(), sink::from_fn(|_| Ok(())));
        let warned = rotator.run_due(clock.now()).unwrap().warned;
        assert_eq!(rotator.run_due(clock.now()).unwrap().warned, [], "once");
        let warned = warned.iter().map(|warning| {
            assert_eq!(warning.key == short.info.id(), warning.before == days(1) && day == 1, "{warning:?}");
            (warning.before.num_days(), (warning.expires_at - start()).num_days(), warning.idle)
        });
        warned.collect::<Vec<_>>()
    };
    assert_eq!(at(0, false), [], "two weeks before the end of a key of two days is always");
    assert_eq!(at(1, false), [(1, 2, true)]);
    assert_eq!(at(5, false), []);
    assert_eq!(at(6, false), [(14, 20, true)]);
    assert_eq!(at(7, true), [], "a use moves the end");
    assert_eq!(at(12, false), []);
    assert_eq!(at(24, false), [(3, 27, true)], "the nearest alone");
    assert_eq!(at(26, true), []);
    assert_eq!([at(44, true), at(62, true), at(80, true)], [[], [], []]);
    assert_eq!(at(86, false), [(14, 100, false), (14, 100, true)]);
}

#[test]
fn no_copy_revives_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let clock = ManualClock::new(start());
    let store = on(&clock).open(path("old")).unwrap();
    let [used, idle] = [(); 2].map(|()| store.create(alice().idle_after(days(10))).unwrap());
    clock.advance(days(9));
    assert_eq!(code(&store, token(&used)), "ok");
    clock.advance(days(2));
    let codes = |store: &KeyStore| [&used, &idle].map(|key| code(store, token(key)));
    let ends = |store: &KeyStore| [&used, &idle].map(|key| info(store, key).idle_at().unwrap() - start());
    let expected = [days(19), days(10)];
    assert_eq!(ends(&store), expected);
    store.backup(path("backup")).unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let other = on(&clock).open(path("imported")).unwrap();
    assert_eq!(other.import(lines.as_slice(), &ImportOptions::default()).unwrap().imported, 2);
    // What happens after the backup gives a restored key nothing.
    clock.advance(days(1));
    assert_eq!(code(&store, token(&used)), "ok");
    store.update(idle.info.id(), KeyUpdate::new().idle_after(days(30))).unwrap();
    store.close().unwrap();
    let restore = |name: &str, over: bool| {
        let restore = Restore::new(path("backup"), path(name)).clock(clock.clone());
        let restore = if over { restore.over(path("old")) } else { restore };
        KeyStore::restore(&restore).unwrap();
        on(&clock).open(path(name)).unwrap()
    };
    KeyStore::salvage(path("old"), path("salvaged")).unwrap();
    for (name, store) in [("imported", other), ("restored", restore("plain", false)), ("over", restore("over", true))] {
        assert_eq!(ends(&store), expected, "{name}");
        clock.set(start() + days(19) - ms(1));
        assert_eq!(code(&store, token(&idle)), IDLE, "{name}");
        assert_eq!(info(&store, &used).state(clock.now()), KeyState::Active, "{name}");
        clock.advance(ms(1));
        assert_eq!(codes(&store), [IDLE; 2], "{name}");
    }
    let salvaged = on(&clock).open(path("salvaged")).unwrap();
    assert_eq!(ends(&salvaged), [days(22), days(42)]);
}

#[test]
fn a_restore_over_an_old_store_keeps_the_shorter_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let clock = ManualClock::new(start());
    let store = on(&clock).open(path("old")).unwrap();
    let [shorter, new, none] = [Some(days(50)), None, Some(days(50))].map(|span| {
        let key = span.map_or_else(alice, |span| alice().idle_after(span));
        store.create(key).unwrap().info.id()
    });
    store.backup(path("backup")).unwrap();
    clock.advance(days(1));
    store.update(shorter, KeyUpdate::new().idle_after(days(10))).unwrap();
    store.update(new, KeyUpdate::new().idle_after(days(10))).unwrap();
    store.update(none, KeyUpdate::new().no_idle_after()).unwrap();
    store.close().unwrap();
    let restore = Restore::new(path("backup"), path("new")).over(path("old")).clock(clock.clone());
    KeyStore::restore(&restore).unwrap();
    let store = on(&clock).open(path("new")).unwrap();
    let end = |id| store.get(id).unwrap().unwrap().idle_at().map(|end| end - start());
    assert_eq!([end(shorter), end(new), end(none)], [Some(days(11)), Some(days(11)), Some(days(50))]);
}

#[test]
fn a_line_that_names_only_the_time_begins_it() {
    let (store, clock) = clocked();
    let line = |id: u32, rest: &str| {
        format!(r#"{{"kind":"key","id":"01931a4e-7c3b-7def-8123-{id:012}","owner":"alice"{rest}}}"#)
    };
    let lines = [
        line(1, r#","idle_after_ms":86400000"#),
        line(2, r#","idle_after_ms":86400000,"idle_at":"2999-01-01T00:00:00Z","last_used_at":"2999-01-01T00:00:00Z""#),
        line(3, r#","idle_at":"2999-01-01T00:00:00Z""#),
        line(4, r#","idle_after_ms":1"#),
    ];
    let report = store.import(lines.join("\n").as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.refused[0].line), (3, 4));
    let ends: Vec<_> = all(&store, &KeyFilter::default()).iter().map(apikey::KeyInfo::idle_at).collect();
    let end = Some(clock.now() + days(1));
    assert_eq!(ends, [end, end, None], "a time in the future counts as now");
}

#[test]
fn an_idle_key_is_not_purged() {
    let (store, clock) = clocked();
    let key = store.create(alice().idle_after(hours(1))).unwrap();
    clock.advance(days(1));
    assert_eq!(store.purge(clock.now()).unwrap(), 0);
    assert_eq!(info(&store, &key).state(clock.now()), KeyState::Idle);
}
