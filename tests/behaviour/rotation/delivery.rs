//! New secrets on their way into a sink that fails, dies, or cannot say what it holds.

use std::path::Path;
use std::sync::{Arc, Mutex};

use apikey::sink::{DirectorySink, from_fn};
use apikey::{Clock, Delivery, EventFilter, EventKind, ExportOptions, KeyUpdate, Rotator, SecretSink};
use apikey_testkit::{alice, clocked, code, hours, ms, start, wait_until};
use chrono::{DateTime, Utc};

use crate::rotation::rotator_fixture::{Desk, Scene, Then, policy, run, token};

#[test]
fn failed_deliveries_are_tried_again_ever_more_rarely() {
    let scene = Scene::new(Desk::default(), policy());
    scene.desk.then(Then::Refuses);
    scene.clock.advance(hours(10));
    let mut waits = Vec::new();
    for _ in 0..14 {
        let now = scene.clock.now();
        let failed = scene.run().failed;
        assert_eq!(failed.len(), 1);
        assert_eq!(scene.run().failed, [], "not before its time");
        scene.clock.set(failed[0].retry_at - ms(1));
        assert_eq!(scene.run().failed, [], "not before its time");
        scene.clock.set(failed[0].retry_at);
        waits.push((failed[0].retry_at - now).num_seconds());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
    assert_eq!(scene.code(token(&scene.key)), "ok");
    assert_eq!(scene.desk.versions(), [2; 14], "always the same secret");
}

#[test]
fn the_first_use_makes_a_secret_the_current_one_before_its_delivery_is_confirmed() {
    let scene = Scene::new(Desk::default(), policy());
    // The secret arrives, and the confirmation does not.
    scene.desk.then(Then::TakesAndPanics);
    scene.clock.advance(hours(10));
    let report = scene.run();
    assert!(report.failed[0].reason.contains("[REDACTED]"), "{report:?}");
    assert!(!report.failed[0].reason.contains(&scene.desk.token(scene.id())));
    scene.clock.advance(hours(1));
    assert!(!scene.superseded(token(&scene.key)));
    assert!(!scene.superseded(&scene.desk.token(scene.id())), "its own caller is told nothing");
    wait_until("that it is written down", || scene.superseded(token(&scene.key)));
    assert_eq!(scene.run().delivered, [], "there is nothing left to deliver");
    assert_eq!(scene.desk.versions(), [2]);
    assert_eq!(scene.pending(), None);
    let old = scene.store.verify(token(&scene.key)).unwrap();
    assert_eq!(old.superseded_until(), Some(scene.clock.now() + hours(2)));
    let kinds = scene.store.events(&EventFilter::default()).unwrap().events;
    let promoted = kinds.iter().rev().find(|event| event.kind().name() == "promoted").unwrap();
    assert!(matches!(promoted.kind(), EventKind::Promoted { version: 2, used: true, .. }));
}

#[test]
fn after_a_crash_a_sink_that_holds_the_new_secret_is_believed() {
    let mut scene = Scene::new(Desk::that_says(), policy());
    scene.desk.then(Then::TakesAndPanics);
    scene.clock.advance(hours(10));
    scene.run();
    scene.die();
    scene.desk.then(Then::Takes);
    let report = scene.run();
    assert_eq!((&report.rotated, &report.delivered), (&vec![], &vec![scene.id()]));
    assert_eq!(scene.desk.versions(), [2], "it was not delivered again");
    assert!(scene.superseded(token(&scene.key)));
    assert!(!scene.superseded(&scene.desk.token(scene.id())));
}

#[test]
fn after_a_crash_a_sink_that_holds_the_old_secret_or_nothing_gets_another() {
    for holds_old in [false, true] {
        let mut scene = Scene::new(Desk::that_says(), policy());
        if holds_old {
            scene.desk.deliver(&Delivery::of(&scene.key)).unwrap();
        }
        scene.desk.then(Then::Panics);
        scene.clock.advance(hours(10));
        scene.run();
        scene.die();
        // It does not answer at first.
        scene.desk.then(Then::Refuses);
        let report = scene.run();
        assert_eq!((report.rotated.len(), report.failed[0].reason.as_str()), (0, "no answer"));
        scene.desk.then(Then::Takes);
        scene.clock.set(report.failed[0].retry_at);
        let report = scene.run();
        assert_eq!((&report.rotated, &report.delivered), (&vec![scene.id()], &vec![scene.id()]));
        assert_eq!(scene.store.verify(&scene.desk.token(scene.id())).unwrap().secret_version(), 3);
        assert_eq!(scene.code(token(&scene.key)), "ok");
    }
}

#[test]
fn after_a_crash_a_sink_that_cannot_say_leaves_three_secrets_good_and_never_more() {
    let mut scene = Scene::new(Desk::default(), policy());
    scene.clock.advance(hours(10));
    let mut doubtful = Vec::new();
    for round in 0..4 {
        scene.desk.then(Then::TakesAndPanics);
        scene.run();
        doubtful.push(scene.desk.token(scene.id()));
        // Looked at as KeyInfo has it: a verification would make one the current one.
        let good = scene.store.clone();
        let mut lines = Vec::new();
        good.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        assert_eq!(line["secrets"].as_array().unwrap().len(), (round + 2).min(3), "{line}");
        scene.die();
    }
    scene.desk.then(Then::Takes);
    scene.run();
    // Delivered: the doubtful ones have ended.
    assert!(doubtful.iter().all(|token| scene.code(token) == "invalid_api_key"));
    assert!(scene.superseded(token(&scene.key)));
    assert_eq!(scene.code(&scene.desk.token(scene.id())), "ok");
}

#[test]
fn a_doubtful_secret_that_is_used_is_the_current_one() {
    let mut scene = Scene::new(Desk::default(), policy());
    scene.clock.advance(hours(10));
    scene.desk.then(Then::TakesAndPanics);
    scene.run();
    let doubtful = scene.desk.token(scene.id());
    scene.die();
    scene.desk.then(Then::Panics);
    scene.run();
    assert_eq!(scene.pending(), Some(3));
    scene.store.verify(&doubtful).unwrap();
    wait_until("all three are good", || scene.superseded(token(&scene.key)));
    scene.desk.then(Then::Takes);
    scene.clock.advance(hours(1));
    assert_eq!(scene.run().delivered, [scene.id()]);
    assert!(scene.superseded(&doubtful), "which was used, so it has an overlap");
    assert_eq!(scene.store.verify(&scene.desk.token(scene.id())).unwrap().secret_version(), 3);
    scene.clock.advance(hours(2));
    assert_eq!((scene.code(token(&scene.key)), scene.code(&doubtful)), ("invalid_api_key", "invalid_api_key"));
}

/// Whoever got in with a secret in doubt, in the very moment in which the next one is delivered, gets in again.
#[test]
fn a_doubtful_secret_that_is_used_while_the_next_is_delivered_has_its_overlap() {
    let (mut used, mut ended) = (0, 0);
    for round in 0..120 {
        let mut scene = Scene::new(Desk::default(), policy());
        scene.clock.advance(hours(10));
        scene.desk.then(Then::TakesAndPanics);
        scene.run();
        let doubtful = scene.desk.token(scene.id());
        scene.die();
        scene.desk.then(Then::Takes);
        let (store, begin) = (scene.store.clone(), std::sync::Barrier::new(2));
        let got_in = std::thread::scope(|scope| {
            let user = scope.spawn(|| {
                begin.wait();
                // Some rounds later than others, so that it meets every step of the delivery.
                (0..round % 60 * 8).for_each(|_| std::hint::spin_loop());
                std::thread::sleep(std::time::Duration::from_micros(round % 30 * 10));
                store.verify(&doubtful).is_ok()
            });
            begin.wait();
            scene.run();
            user.join().unwrap()
        });
        assert_eq!(scene.code(&doubtful) == "ok", got_in, "round {round}");
        assert_eq!((scene.code(token(&scene.key)), scene.code(&scene.desk.token(scene.id()))), ("ok", "ok"));
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
    let scene = Scene::new(Desk::default(), policy());
    scene.desk.then(Then::Refuses);
    scene.clock.advance(hours(10));
    scene.run();
    scene.store.update(scene.id(), KeyUpdate::new().disabled(true)).unwrap();
    scene.desk.then(Then::Takes);
    scene.clock.advance(hours(1));
    assert_eq!((scene.run().skipped.len(), scene.desk.versions()), (1, vec![2]));
    scene.store.update(scene.id(), KeyUpdate::new().disabled(false)).unwrap();
    assert_eq!(scene.run().delivered, [scene.id()]);
    scene.desk.then(Then::Refuses);
    scene.clock.advance(hours(10));
    scene.run();
    scene.store.revoke(scene.id(), "left").unwrap();
    scene.desk.then(Then::Takes);
    scene.clock.advance(hours(1));
    assert_eq!(scene.run().delivered, []);
    assert_eq!(scene.desk.versions(), [2, 2, 3]);
}

#[test]
fn a_policy_that_is_taken_away_lets_a_delivery_end_and_begins_no_other() {
    let mut scene = Scene::new(Desk::default(), policy());
    scene.desk.then(Then::Refuses);
    scene.clock.advance(hours(10));
    scene.run();
    let updated = scene.store.update(scene.id(), KeyUpdate::new().no_rotation()).unwrap();
    assert_eq!(updated.rotation(), None);
    scene.die();
    scene.desk.then(Then::Takes);
    assert_eq!(scene.run().delivered, [scene.id()]);
    scene.clock.advance(hours(100));
    let report = scene.run();
    assert_eq!((report.rotated.len(), report.next_due), (0, None));
    // And one that is given to a key that was there.
    scene.store.update(scene.id(), KeyUpdate::new().rotation(policy())).unwrap();
    assert_eq!(scene.run().delivered, [scene.id()]);
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
    // The file is gone, and its directory: the delivery makes them again.
    std::fs::remove_dir_all(directory.path().join("secrets")).unwrap();
    clock.advance(hours(10));
    run(&rotator, &clock);
    assert_eq!(store.verify(&read(&file)).unwrap().secret_version(), 6);
}

#[test]
fn a_report_serialises_and_holds_no_secret() {
    let scene = Scene::new(Desk::default(), policy());
    scene.desk.then(Then::TakesAndPanics);
    scene.clock.advance(hours(10));
    let text = serde_json::to_string(&scene.run()).unwrap();
    let id = scene.id();
    assert!(text.starts_with(&format!(r#"{{"rotated":["{id}"],"delivered":[],"failed":[{{"key":"{id}","#)), "{text}");
    assert!(!text.contains(&scene.desk.token(id)));
    let line: serde_json::Value = serde_json::to_value(scene.info()).unwrap();
    let due: DateTime<Utc> = line["rotation"]["due"].as_str().unwrap().parse().unwrap();
    assert_eq!((due, &line["rotation"]["every_ms"]), (start() + hours(10), &36_000_000.into()));
    assert_eq!((&line["rotation"]["overlap_ms"], &line["rotation"]["pending"]), (&7_200_000.into(), &2.into()));
}

#[test]
fn what_was_replaced_while_it_was_delivered_is_not_told_as_delivered() {
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
            // Used before the sink has answered.
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
    // Nothing is due until then; then the sink gets one that lives.
    assert_eq!(run(&rotator, &clock).rotated, []);
    clock.advance(hours(10));
    let report = run(&rotator, &clock);
    assert_eq!((report.delivered, report.failed), (vec![id], vec![]));
    assert_eq!(code(&store, &held.lock().unwrap()[1]), "ok");
}
