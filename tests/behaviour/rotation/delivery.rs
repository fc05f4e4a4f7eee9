//! Deliveries to a sink that fails, dies, or does not know its current token.

use std::path::Path;
use std::sync::{Arc, Mutex};

use apikey::sink::{DirectorySink, from_fn};
use apikey::{Clock, Delivery, EventFilter, EventKind, ExportOptions, KeyUpdate, Rotator, SecretSink};
use apikey_testkit::{alice, clocked, code, hours, ms, start, wait_until};
use chrono::{DateTime, Utc};

use crate::rotation::fake_sink::{FakeSink, Reaction};
use crate::rotation::rotator_fixture::{Fixture, policy, run, token};

#[test]
fn failed_deliveries_are_tried_again_ever_more_rarely() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    fixture.sink.react_with(Reaction::Refuses);
    fixture.clock.advance(hours(10));
    let mut waits = Vec::new();
    for _ in 0..14 {
        let now = fixture.clock.now();
        let failed = fixture.run().failed;
        assert_eq!(failed.len(), 1);
        assert_eq!(fixture.run().failed, [], "not before its time");
        fixture.clock.set(failed[0].retry_at - ms(1));
        assert_eq!(fixture.run().failed, [], "not before its time");
        fixture.clock.set(failed[0].retry_at);
        waits.push((failed[0].retry_at - now).num_seconds());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
    assert_eq!(fixture.code(token(&fixture.key)), "ok");
    assert_eq!(fixture.sink.versions(), [2; 14], "always the same secret");
}

#[test]
fn the_first_use_makes_a_secret_the_current_one_before_its_delivery_is_confirmed() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    // The secret arrives, but the confirmation does not.
    fixture.sink.react_with(Reaction::AcceptsThenPanics);
    fixture.clock.advance(hours(10));
    let report = fixture.run();
    assert!(report.failed[0].reason.contains("[REDACTED]"), "{report:?}");
    assert!(!report.failed[0].reason.contains(&fixture.sink.token(fixture.id())));
    fixture.clock.advance(hours(1));
    assert!(!fixture.superseded(token(&fixture.key)));
    assert!(
        !fixture.superseded(&fixture.sink.token(fixture.id())),
        "the caller with the new secret sees nothing of it"
    );
    wait_until("the first use is written", || fixture.superseded(token(&fixture.key)));
    assert_eq!(fixture.run().delivered, [], "there is nothing left to deliver");
    assert_eq!(fixture.sink.versions(), [2]);
    assert_eq!(fixture.pending(), None);
    let old = fixture.store.verify(token(&fixture.key)).unwrap();
    assert_eq!(old.superseded_until(), Some(fixture.clock.now() + hours(2)));
    let kinds = fixture.store.events(&EventFilter::default()).unwrap().events;
    let promoted = kinds.iter().rev().find(|event| event.kind().name() == "promoted").unwrap();
    assert!(matches!(promoted.kind(), EventKind::Promoted { version: 2, used: true, .. }));
}

#[test]
fn after_a_crash_a_sink_that_reports_the_new_secret_has_received_it() {
    let mut fixture = Fixture::new(FakeSink::that_reports(), policy());
    fixture.clock.advance(hours(10));
    fixture.crash_in_delivery();
    fixture.sink.react_with(Reaction::Accepts);
    let report = fixture.run();
    assert_eq!((&report.rotated, &report.delivered), (&vec![], &vec![fixture.id()]));
    assert_eq!(fixture.sink.versions(), [2], "it was not delivered again");
    assert!(fixture.superseded(token(&fixture.key)));
    assert!(!fixture.superseded(&fixture.sink.token(fixture.id())));
}

#[test]
fn after_a_crash_a_sink_that_reports_the_old_secret_or_nothing_gets_another() {
    for holds_old in [false, true] {
        let mut fixture = Fixture::new(FakeSink::that_reports(), policy());
        if holds_old {
            fixture.sink.deliver(&Delivery::of(&fixture.key)).unwrap();
        }
        fixture.sink.react_with(Reaction::Panics);
        fixture.clock.advance(hours(10));
        fixture.run();
        fixture.die();
        // At first the sink does not answer.
        fixture.sink.react_with(Reaction::Refuses);
        let report = fixture.run();
        assert_eq!((report.rotated.len(), report.failed[0].reason.as_str()), (0, "no answer"));
        fixture.sink.react_with(Reaction::Accepts);
        fixture.clock.set(report.failed[0].retry_at);
        let report = fixture.run();
        assert_eq!((&report.rotated, &report.delivered), (&vec![fixture.id()], &vec![fixture.id()]));
        assert_eq!(fixture.store.verify(&fixture.sink.token(fixture.id())).unwrap().secret_version(), 3);
        assert_eq!(fixture.code(token(&fixture.key)), "ok");
    }
}

#[test]
fn after_a_crash_a_sink_that_reports_nothing_leaves_three_secrets_good_and_never_more() {
    let mut fixture = Fixture::new(FakeSink::default(), policy());
    fixture.clock.advance(hours(10));
    let mut unconfirmed = Vec::new();
    for round in 0..4 {
        unconfirmed.push(fixture.crash_in_delivery());
        // Read from `KeyInfo`: a verification would make a secret the current one.
        let mut lines = Vec::new();
        fixture.store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        assert_eq!(line["secrets"].as_array().unwrap().len(), (round + 2).min(3), "{line}");
    }
    fixture.sink.react_with(Reaction::Accepts);
    fixture.run();
    // After the delivery the unconfirmed secrets have ended.
    assert!(unconfirmed.iter().all(|token| fixture.code(token) == "invalid_api_key"));
    assert!(fixture.superseded(token(&fixture.key)));
    assert_eq!(fixture.code(&fixture.sink.token(fixture.id())), "ok");
}

#[test]
fn an_unconfirmed_secret_that_is_used_becomes_the_current_one() {
    let mut fixture = Fixture::new(FakeSink::default(), policy());
    fixture.clock.advance(hours(10));
    let unconfirmed = fixture.crash_in_delivery();
    fixture.sink.react_with(Reaction::Panics);
    fixture.run();
    assert_eq!(fixture.pending(), Some(3));
    fixture.store.verify(&unconfirmed).unwrap();
    wait_until("all three are good", || fixture.superseded(token(&fixture.key)));
    fixture.sink.react_with(Reaction::Accepts);
    fixture.clock.advance(hours(1));
    assert_eq!(fixture.run().delivered, [fixture.id()]);
    assert!(fixture.superseded(&unconfirmed), "which was used, so it has an overlap");
    assert_eq!(fixture.store.verify(&fixture.sink.token(fixture.id())).unwrap().secret_version(), 3);
    fixture.clock.advance(hours(2));
    assert_eq!(fixture.code(&unconfirmed), "rotated_api_key");
    assert_ne!(fixture.code(token(&fixture.key)), "ok");
}

/// A caller that verifies with an unconfirmed secret while the next one is delivered can verify with it again.
#[test]
fn an_unconfirmed_secret_that_is_used_while_the_next_is_delivered_has_its_overlap() {
    let (mut used, mut ended) = (0, 0);
    for round in 0..120 {
        let mut fixture = Fixture::new(FakeSink::default(), policy());
        fixture.clock.advance(hours(10));
        let unconfirmed = fixture.crash_in_delivery();
        fixture.sink.react_with(Reaction::Accepts);
        let (store, begin) = (fixture.store.clone(), std::sync::Barrier::new(2));
        let got_in = std::thread::scope(|scope| {
            let user = scope.spawn(|| {
                begin.wait();
                // At different delays, so that the use meets every step of the delivery.
                (0..round % 60 * 8).for_each(|_| std::hint::spin_loop());
                std::thread::sleep(std::time::Duration::from_micros(round % 30 * 10));
                store.verify(&unconfirmed).is_ok()
            });
            begin.wait();
            fixture.run();
            user.join().unwrap()
        });
        assert_eq!(fixture.code(&unconfirmed) == "ok", got_in, "round {round}");
        assert_eq!((fixture.code(token(&fixture.key)), fixture.code(&fixture.sink.token(fixture.id()))), ("ok", "ok"));
        if got_in {
            used += 1;
        } else {
            ended += 1;
        }
    }
    println!("used in time: {used}, ended before: {ended}");
    assert!(used > 0, "nobody was in time");
}

#[test]
fn a_delivery_that_failed_waits_while_the_key_is_disabled_and_ends_with_the_key() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    fixture.sink.react_with(Reaction::Refuses);
    fixture.clock.advance(hours(10));
    fixture.run();
    fixture.store.update(fixture.id(), KeyUpdate::new().disabled(true)).unwrap();
    fixture.sink.react_with(Reaction::Accepts);
    fixture.clock.advance(hours(1));
    assert_eq!((fixture.run().skipped.len(), fixture.sink.versions()), (1, vec![2]));
    fixture.store.update(fixture.id(), KeyUpdate::new().disabled(false)).unwrap();
    assert_eq!(fixture.run().delivered, [fixture.id()]);
    fixture.sink.react_with(Reaction::Refuses);
    fixture.clock.advance(hours(10));
    fixture.run();
    fixture.store.revoke(fixture.id(), "left").unwrap();
    fixture.sink.react_with(Reaction::Accepts);
    fixture.clock.advance(hours(1));
    assert_eq!(fixture.run().delivered, []);
    assert_eq!(fixture.sink.versions(), [2, 2, 3]);
}

#[test]
fn without_its_policy_a_key_finishes_its_delivery_and_begins_no_other() {
    let mut fixture = Fixture::new(FakeSink::default(), policy());
    fixture.sink.react_with(Reaction::Refuses);
    fixture.clock.advance(hours(10));
    fixture.run();
    let updated = fixture.store.update(fixture.id(), KeyUpdate::new().no_rotation()).unwrap();
    assert_eq!(updated.rotation(), None);
    fixture.die();
    fixture.sink.react_with(Reaction::Accepts);
    assert_eq!(fixture.run().delivered, [fixture.id()]);
    fixture.clock.advance(hours(100));
    let report = fixture.run();
    assert_eq!((report.rotated.len(), report.next_due), (0, None));
    // And an existing key that gets a policy.
    fixture.store.update(fixture.id(), KeyUpdate::new().rotation(policy())).unwrap();
    assert_eq!(fixture.run().delivered, [fixture.id()]);
}

#[test]
fn the_file_of_a_directory_sink_always_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let (store, clock) = clocked();
    let key = store.create(alice().rotation(policy())).unwrap();
    let sink = DirectorySink::new(directory.path().join("secrets"));
    sink.deliver(&Delivery::of(&key)).unwrap();
    let file = sink.path_of(&key.info).unwrap();
    let rotator = Rotator::new(store.clone(), sink.clone());
    let read = |file: &Path| std::fs::read_to_string(file).unwrap().trim_end().to_owned();
    for version in 1..5 {
        assert_eq!(store.verify(&read(&file)).unwrap().secret_version(), version);
        clock.advance(hours(10));
        run(&rotator, &clock);
    }
    // The file and its directory are gone: the delivery creates them again.
    std::fs::remove_dir_all(directory.path().join("secrets")).unwrap();
    clock.advance(hours(10));
    run(&rotator, &clock);
    assert_eq!(store.verify(&read(&file)).unwrap().secret_version(), 6);
}

#[test]
fn a_report_serialises_and_holds_no_secret() {
    let fixture = Fixture::new(FakeSink::default(), policy());
    fixture.sink.react_with(Reaction::AcceptsThenPanics);
    fixture.clock.advance(hours(10));
    let text = serde_json::to_string(&fixture.run()).unwrap();
    let id = fixture.id();
    assert!(text.starts_with(&format!(r#"{{"rotated":["{id}"],"delivered":[],"failed":[{{"key":"{id}","#)), "{text}");
    assert!(!text.contains(&fixture.sink.token(id)));
    let line: serde_json::Value = serde_json::to_value(fixture.info()).unwrap();
    let due: DateTime<Utc> = line["rotation"]["due"].as_str().unwrap().parse().unwrap();
    assert_eq!((due, &line["rotation"]["every_ms"]), (start() + hours(10), &36_000_000.into()));
    assert_eq!((&line["rotation"]["overlap_ms"], &line["rotation"]["pending"]), (&7_200_000.into(), &2.into()));
}

#[test]
fn a_secret_that_was_replaced_during_its_delivery_is_not_reported_as_delivered() {
    let (store, clock) = clocked();
    let key = store.create(alice().rotation(policy())).unwrap();
    let id = key.info.id();
    let (other, held) = (store.clone(), Arc::new(Mutex::new(Vec::new())));
    let into = held.clone();
    let sink = from_fn(move |delivery: &Delivery<'_>| {
        let mut held = into.lock().unwrap();
        held.push(delivery.key().expose_secret().to_owned());
        match held.len() {
            1 => drop(other.replace_leaked(id, "leaked").unwrap()),
            // The secret is used before the sink has answered.
            2 => drop(other.verify(delivery.key().expose_secret()).unwrap()),
            _ => {}
        }
        Ok(())
    });
    let rotator = Rotator::new(store.clone(), sink);
    clock.advance(hours(10));
    let report = run(&rotator, &clock);
    assert_eq!((report.rotated, report.delivered), (vec![id], vec![]));
    let [failed] = &*report.failed else { panic!("{:?}", report.failed) };
    assert!(failed.key == id && failed.reason.contains("replaced"), "{failed:?}");
    assert_eq!(failed.retry_at, clock.now() + hours(10));
    assert_eq!(code(&store, &held.lock().unwrap()[0]), "invalid_api_key");
    // Nothing is due until then; then the sink gets a secret that works.
    assert_eq!(run(&rotator, &clock).rotated, []);
    clock.advance(hours(10));
    let report = run(&rotator, &clock);
    assert_eq!((report.delivered, report.failed), (vec![id], vec![]));
    assert_eq!(code(&store, &held.lock().unwrap()[1]), "ok");
}
