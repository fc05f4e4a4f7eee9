//! Clocks that go back, or were wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apikey::{
    Actor, Delivery, EventFilter, EventKind, ExportOptions, Health, ImportOptions, KeyState, KeyStore, KeyStoreBuilder,
    ManualClock, Overlap, Restore, RestoreWarning, RotationPolicy, Rotator, SecretSink, SinkError,
};
use apikey_testkit::{alice, clocked, code, hours, info, ms, start};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::proptest_config::cases;

const YEARS: TimeDelta = TimeDelta::days(3650);

fn on(clock: &ManualClock) -> KeyStoreBuilder {
    KeyStore::builder().clock(clock.clone())
}

fn now(clock: &ManualClock) -> DateTime<Utc> {
    apikey::Clock::now(clock)
}

/// The store's time and the clock, where the store is ahead.
fn ahead(health: &Health) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    health.ahead.map(|lead| (lead.store_time, lead.clock))
}

/// A store in a directory whose clock was ten years ahead and is right again. By an event of that time, its key of one
/// day has expired.
fn poisoned(path: &Path) -> (KeyStore, ManualClock, String) {
    let clock = ManualClock::new(start());
    let store = on(&clock).open(path).unwrap();
    let token = store.create(alice().expires_in(hours(24))).unwrap().key.expose_secret().to_owned();
    clock.advance(YEARS);
    store.create(alice()).unwrap();
    clock.advance(-YEARS);
    (store, clock, token)
}

#[test]
fn a_clock_that_is_set_back_makes_no_key_good_again() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let store = on(&clock).open(directory.path()).unwrap();
    let ending = store.create(alice().expires_in(hours(1))).unwrap();
    let starting = store.create(alice().not_before(start() + hours(1))).unwrap();
    let rotated = store.create(alice()).unwrap();
    store.rotate(rotated.info.id(), Overlap::For(hours(1))).unwrap();
    let codes = |store: &KeyStore| [&ending, &starting, &rotated].map(|key| code(store, key.key.expose_secret()));
    assert_eq!(codes(&store), ["ok", "inactive_api_key", "ok"]);
    clock.advance(hours(1));
    let after = ["expired_api_key", "ok", "rotated_api_key"];
    assert_eq!(codes(&store), after);
    store.create(alice()).unwrap();
    clock.set(start());
    assert_eq!(codes(&store), after);
    let verified = store.verify(starting.key.expose_secret()).unwrap();
    assert!(store.recheck(&verified).is_ok());
    store.close().unwrap();
    let store = on(&clock).open(directory.path()).unwrap();
    assert_eq!(codes(&store), after, "also after a restart");
    // The store's time stands still until the clock has caught up.
    let next = store.create(alice().expires_in(ms(1))).unwrap();
    assert_eq!(next.info.created_at(), start() + hours(1));
    assert_eq!(code(&store, next.key.expose_secret()), "ok");
    clock.advance(hours(1) + ms(1));
    assert_eq!(code(&store, next.key.expose_secret()), "expired_api_key");
}

#[test]
fn no_event_has_an_earlier_time_than_the_one_before_it() {
    let (store, clock) = clocked();
    let key = store.create(alice()).unwrap().info.id();
    for step in [5, -7, 3, -1, 9, -20] {
        clock.advance(hours(step));
        store.rotate(key, Overlap::None).unwrap();
    }
    let events = store.events(&EventFilter::default()).unwrap().events;
    let times: Vec<_> = events.iter().map(|event| (event.at() - start()).num_hours()).collect();
    assert_eq!(times, [0, 5, 5, 5, 5, 9, 9]);
}

#[test]
fn an_event_of_a_wrong_clock_is_reported_and_the_clock_can_be_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, clock, token) = poisoned(directory.path());
    assert_eq!(code(&store, &token), "expired_api_key");
    assert_eq!(ahead(&store.health()), Some((start() + YEARS, start())));
    assert!(store.health().is_good(), "changes can be made");
    store.close().unwrap();
    let store = on(&clock).open(directory.path()).unwrap();
    assert_eq!(ahead(&store.health()), Some((start() + YEARS, start())), "and when it is opened");
    let text = store.health().ahead.unwrap().to_string();
    assert!(text.contains("2041-05-01T12:00:00Z") && text.contains("apikey clock accept"), "{text}");
    assert_eq!(code(&store, &token), "expired_api_key");

    let accepted = store.as_actor("operator").accept_clock().unwrap().unwrap();
    assert_eq!((accepted.from, accepted.to), (start() + YEARS, start()));
    assert_eq!(code(&store, &token), "ok");
    assert_eq!(store.health().ahead, None);
    let last = store.events(&EventFilter::default().kind("clock_accepted")).unwrap().events.pop().unwrap();
    assert_eq!(
        (last.number(), last.at(), last.actor(), last.key()),
        (3, start(), Some(&Actor::from("operator")), None)
    );
    assert_eq!(*last.kind(), EventKind::ClockAccepted { from: start() + YEARS, to: start() });
    // A second call has nothing to accept and writes nothing.
    assert_eq!(store.accept_clock().unwrap(), None);
    assert_eq!(store.health().last_durable, 3);
    assert!(store.verify_events().unwrap().is_whole());
    let next = store.create(alice()).unwrap();
    assert_eq!(next.info.created_at(), start());
    store.close().unwrap();
    let store = on(&clock).open(directory.path()).unwrap();
    assert_eq!((code(&store, &token), store.health().ahead), ("ok", None));
    assert!(store.verify_events().unwrap().is_whole());
}

/// The rotator has read the time before, and delivers meanwhile.
#[test]
fn a_delivery_begun_by_a_wrong_clock_ends_by_the_right_one() {
    struct Slow(KeyStore, ManualClock);

    impl SecretSink for Slow {
        fn deliver(&self, _: &Delivery<'_>) -> Result<(), SinkError> {
            self.1.set(start() + hours(1));
            self.0.accept_clock().unwrap().unwrap();
            Ok(())
        }
    }

    let (store, clock) = clocked();
    let ending = store.create(alice().expires_in(hours(24))).unwrap();
    let policy = RotationPolicy::every(hours(10)).overlap(Overlap::For(hours(2)));
    let rotating = store.create(alice().rotation(policy)).unwrap();
    clock.advance(YEARS);
    let report = Rotator::new(store.clone(), Slow(store.clone(), clock.clone())).run_due(now(&clock)).unwrap();
    assert_eq!(report.delivered, [rotating.info.id()]);
    assert_eq!(store.health().ahead, None);
    assert_eq!(code(&store, ending.key.expose_secret()), "ok");
    clock.advance(hours(2));
    assert_eq!(code(&store, rotating.key.expose_secret()), "rotated_api_key", "its overlap is over");
}

#[test]
fn a_rotation_postponed_by_a_wrong_clock_happens_when_it_is_right() {
    struct Shut(Arc<AtomicBool>);

    impl SecretSink for Shut {
        fn deliver(&self, _: &Delivery<'_>) -> Result<(), SinkError> {
            if self.0.load(Ordering::Relaxed) { Err(SinkError::other("shut")) } else { Ok(()) }
        }
    }

    let (store, clock) = clocked();
    let policy = RotationPolicy::every(hours(10)).overlap(Overlap::For(hours(2)));
    let id = store.create(alice().rotation(policy)).unwrap().info.id();
    let shut = Arc::new(AtomicBool::new(true));
    let rotator = Rotator::new(store.clone(), Shut(shut.clone()));
    clock.advance(YEARS);
    assert_eq!(rotator.run_due(now(&clock)).unwrap().failed.len(), 1);
    clock.set(start());
    store.accept_clock().unwrap().unwrap();
    shut.store(false, Ordering::Relaxed);
    assert_eq!(rotator.run_due(now(&clock)).unwrap().delivered, [id]);
}

#[test]
fn a_lead_of_five_minutes_is_no_fault() {
    let (store, clock) = clocked();
    clock.advance(TimeDelta::minutes(5));
    store.create(alice()).unwrap();
    clock.set(start());
    assert_eq!(store.health().ahead, None);
    clock.advance(ms(-1));
    assert!(store.health().ahead.is_some());
    // The clock can be accepted all the same, however small the lead is.
    clock.set(start() + TimeDelta::minutes(5) - ms(1));
    assert!(store.accept_clock().unwrap().is_some());
}

#[test]
fn only_a_written_event_preserves_a_jump_of_the_clock() {
    let (store, clock) = clocked();
    let key = store.create(alice().expires_in(hours(24))).unwrap();
    clock.advance(YEARS);
    assert_eq!(code(&store, key.key.expose_secret()), "expired_api_key");
    store.list(&apikey::KeyFilter::default()).unwrap();
    clock.set(start());
    assert_eq!(code(&store, key.key.expose_secret()), "ok");
    assert_eq!((store.health().ahead, store.accept_clock().unwrap()), (None, None));
}

/// Where the store is years ahead its time stands still, and a limit that used it would never refill.
#[test]
fn limits_use_the_clock_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (store, clock, _) = poisoned(directory.path());
    let key = store.create(alice().limit(1, TimeDelta::seconds(1))).unwrap();
    let code = || code(&store, key.key.expose_secret());
    assert_eq!([code(), code()], ["ok", "rate_limited"]);
    clock.advance(TimeDelta::seconds(1));
    assert_eq!([code(), code()], ["ok", "rate_limited"]);
}

#[test]
fn a_restored_store_is_ahead_as_its_backup_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (store, clock, token) = poisoned(&path("store"));
    store.backup(path("poisoned")).unwrap();
    store.accept_clock().unwrap().unwrap();
    store.backup(path("accepted")).unwrap();
    let restore = |backup: &str, into: &str| {
        let report = KeyStore::restore(&Restore::new(path(backup), path(into)).clock(clock.clone())).unwrap();
        (report.warnings, on(&clock).open(path(into)).unwrap())
    };
    let (warnings, restored) = restore("poisoned", "one");
    assert!(
        matches!(warnings[..], [RestoreWarning::Ahead(lead)] if lead.store_time == start() + YEARS),
        "{warnings:?}"
    );
    assert_eq!(code(&restored, &token), "expired_api_key");
    assert_eq!(ahead(&restored.health()), Some((start() + YEARS, start())));
    restored.accept_clock().unwrap().unwrap();
    assert_eq!(code(&restored, &token), "ok");
    assert!(restored.verify_events().unwrap().is_whole());
    let (warnings, restored) = restore("accepted", "two");
    assert_eq!((warnings.len(), restored.health().ahead), (0, None));
    assert_eq!(code(&restored, &token), "ok");
}

/// The backup is older than the event that shows that the key has expired.
#[test]
fn a_restored_store_does_not_go_behind_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let clock = ManualClock::new(start());
    let store = on(&clock).open(path("old")).unwrap();
    let key = store.create(alice().expires_in(hours(1))).unwrap();
    store.backup(path("backup")).unwrap();
    clock.advance(hours(1));
    store.create(alice()).unwrap();
    store.close().unwrap();
    clock.set(start());
    let restore = Restore::new(path("backup"), path("new")).over(path("old")).clock(clock.clone());
    KeyStore::restore(&restore).unwrap();
    let restored = on(&clock).open(path("new")).unwrap();
    assert_eq!(code(&restored, key.key.expose_secret()), "expired_api_key");
}

/// The old store was restored from an earlier backup: its event numbers belong to other events in the later backup.
#[test]
fn a_restored_store_does_not_go_behind_one_of_another_future() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let clock = ManualClock::new(start());
    let store = on(&clock).open(path("first")).unwrap();
    let key = store.create(alice().expires_in(hours(1))).unwrap();
    store.backup(path("earlier")).unwrap();
    store.create_many((0..5).map(|_| alice())).unwrap();
    store.backup(path("later")).unwrap();
    store.close().unwrap();
    clock.advance(hours(1));
    let restore = |backup: &str, into: &str, old: &str| {
        let restore = Restore::new(path(backup), path(into)).over(path(old)).clock(clock.clone());
        KeyStore::restore(&restore).unwrap();
        on(&clock).open(path(into)).unwrap()
    };
    let store = restore("earlier", "second", "first");
    assert_eq!(code(&store, key.key.expose_secret()), "expired_api_key");
    store.close().unwrap();
    clock.set(start());
    let store = restore("later", "third", "second");
    assert_eq!(code(&store, key.key.expose_secret()), "expired_api_key");
}

#[test]
fn a_salvaged_store_does_not_go_behind_the_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // A salvage uses the system's clock.
    let clock = ManualClock::new(Utc::now() + YEARS);
    let store = on(&clock).open(path("old")).unwrap();
    let key = store.create(alice().expires_in(hours(1))).unwrap();
    clock.advance(hours(1));
    store.create(alice()).unwrap();
    store.close().unwrap();
    KeyStore::salvage(path("old"), path("new")).unwrap();
    let salvaged = KeyStore::open(path("new")).unwrap();
    assert_eq!(code(&salvaged, key.key.expose_secret()), "expired_api_key");
    assert!(salvaged.health().ahead.is_some());
    salvaged.accept_clock().unwrap().unwrap();
    assert_eq!(code(&salvaged, key.key.expose_secret()), "ok");
}

#[test]
fn keys_leave_a_store_that_is_ahead_and_one_that_was() {
    let directory = tempfile::tempdir().unwrap();
    let (store, clock, token) = poisoned(directory.path());
    store.accept_clock().unwrap().unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let other = on(&clock).temporary().unwrap();
    let report = other.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    // The key that was created by the wrong clock has an id and a creation time in the future.
    assert_eq!((report.imported, report.refused.len()), (1, 1));
    assert_eq!(code(&other, &token), "ok");
}

/// Otherwise an event of a wrong clock would prevent the purge of all later events for ten years.
#[test]
fn history_is_purged_past_the_events_of_a_wrong_clock() {
    let directory = tempfile::tempdir().unwrap();
    let (store, clock, _) = poisoned(directory.path());
    store.accept_clock().unwrap().unwrap();
    clock.advance(hours(1));
    let key = store.create(alice()).unwrap();
    clock.advance(hours(1));
    store.revoke(key.info.id(), "left").unwrap();
    assert_eq!(store.purge_events(start()).unwrap(), 0, "none is older");
    assert_eq!(store.purge_events(start() + hours(2)).unwrap(), 4);
    let left: Vec<_> =
        store.events(&EventFilter::default()).unwrap().events.iter().map(|event| event.number()).collect();
    assert_eq!(left, [5, 6]);
    assert!(store.verify_events().unwrap().is_whole());
    store.close().unwrap();
    assert!(on(&clock).open(directory.path()).unwrap().verify_events().unwrap().is_whole());
}

/// A token, its end, and whether an event has shown that it is over.
type Ending = (String, DateTime<Utc>, bool);

/// One step in the life of a store with a wrong clock.
#[derive(Debug, Clone)]
enum Step {
    Turn(i64),
    Create(i64),
    Revoke,
    Accept,
    Reopen,
    Backup,
    /// A restore over the store, from one of the backups.
    Restore(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (-10_000i64..10_000).prop_map(Step::Turn),
        2 => (1i64..10_000).prop_map(Step::Create),
        1 => Just(Step::Revoke),
        1 => Just(Step::Accept),
        1 => Just(Step::Reopen),
        1 => Just(Step::Backup),
        1 => any::<prop::sample::Index>().prop_map(Step::Restore),
    ]
}

proptest! {
    #![proptest_config(cases(8))]

    /// A key is good if and only if its end is later than the clock and than the newest event. Once an event shows that a
    /// key has expired, only `accept_clock` revives it.
    #[test]
    fn a_key_that_is_over_stays_so_whatever_the_clock_does(steps in prop::collection::vec(step(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(start());
        let path = |name: &str, number: usize| directory.path().join(format!("{name}-{number}"));
        let mut place = path("store", 0);
        let mut store = on(&clock).open(&place).unwrap();
        // The newest event of each, and its keys.
        let mut backups: Vec<(DateTime<Utc>, Vec<Ending>)> = Vec::new();
        let mut stores = 1;
        let scratch = store.create(alice()).unwrap().info.id();
        let mut newest = start();
        let mut keys: Vec<Ending> = Vec::new();
        for step in steps {
            let at = now(&clock).max(newest);
            match step {
                Step::Turn(by) => clock.advance(ms(by)),
                Step::Create(span) => {
                    let key = store.create(alice().expires_in(ms(span))).unwrap();
                    prop_assert_eq!(key.info.created_at(), at);
                    keys.push((key.key.expose_secret().to_owned(), at + ms(span), false));
                    newest = at;
                }
                Step::Revoke => {
                    store.rotate(scratch, Overlap::None).unwrap();
                    newest = at;
                }
                Step::Accept => {
                    let expected = (newest > now(&clock)).then(|| (newest, now(&clock)));
                    prop_assert_eq!(store.accept_clock().unwrap().map(|accepted| (accepted.from, accepted.to)), expected);
                    if expected.is_some() {
                        newest = now(&clock);
                        keys.iter_mut().for_each(|key| key.2 = false);
                    }
                }
                Step::Reopen => {
                    store.close().unwrap();
                    store = on(&clock).open(&place).unwrap();
                }
                Step::Backup => {
                    store.backup(path("backup", backups.len())).unwrap();
                    backups.push((newest, keys.clone()));
                }
                Step::Restore(_) if backups.is_empty() => {}
                Step::Restore(which) => {
                    let which = which.index(backups.len());
                    let (at, held) = backups[which].clone();
                    store.close().unwrap();
                    let into = path("store", stores);
                    let restore = Restore::new(path("backup", which), &into).over(&place).clock(clock.clone());
                    KeyStore::restore(&restore).unwrap();
                    (place, stores) = (into, stores + 1);
                    store = on(&clock).open(&place).unwrap();
                    (newest, keys) = (now(&clock).max(newest).max(at), held);
                    // The store may be older than the backup, and not have them.
                    keys.retain(|(token, ..)| code(&store, token) != "revoked_api_key");
                }
            }
            for (token, end, over) in &mut keys {
                let expected = if *end <= now(&clock).max(newest) { "expired_api_key" } else { "ok" };
                prop_assert_eq!(code(&store, token), expected);
                *over |= *end <= newest;
                prop_assert!(!*over || expected != "ok");
            }
        }
        prop_assert!(store.verify_events().unwrap().is_whole());
    }
}

#[test]
fn the_state_that_is_listed_is_the_one_that_is_verified() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _clock, _) = poisoned(directory.path());
    let expired = store.list(&apikey::KeyFilter::default().state(KeyState::Expired)).unwrap();
    assert_eq!(expired.keys.len(), 1);
    let key = store.create(alice().expires_in(hours(1))).unwrap();
    assert_eq!(info(&store, &key).expires_at(), Some(start() + YEARS + hours(1)));
}
