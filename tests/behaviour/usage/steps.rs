//! The steps: where a minute belongs, how long each step is kept, and what a bound leaves.

use apikey::{CreatedKey, KeyStore, KeyUpdate, ManualClock, Step, StoreError, Usage, UsageReport};
use apikey_testkit::{alice, database, hours};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use tempfile::TempDir;

struct Place {
    directory: TempDir,
    clock: ManualClock,
    bound: u64,
}

impl Place {
    fn at(start: DateTime<Utc>) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: ManualClock::new(start), bound: 1 << 30 }
    }

    fn open(&self) -> KeyStore {
        let builder = KeyStore::builder().clock(self.clock.clone()).count_use(true).usage_disk(self.bound);
        builder.open(self.directory.path()).unwrap()
    }
}

fn used(report: &UsageReport) -> Vec<(String, u64)> {
    let used = report.points().iter().filter(|point| point.uses > 0);
    used.map(|point| (point.at.format("%m-%d %H:%M").to_string(), point.uses)).collect()
}

fn verify(store: &KeyStore, key: &CreatedKey, times: u64) {
    for _ in 0..times {
        store.verify(key.key.expose_secret()).unwrap();
    }
}

#[test]
fn a_use_is_in_the_step_of_its_time_also_on_a_leap_day() {
    let place = Place::at(Utc.with_ymd_and_hms(2028, 2, 28, 23, 59, 30).unwrap());
    let store = place.open();
    let key = store.create(alice()).unwrap();
    verify(&store, &key, 1);
    let id = key.info.id();
    // What threads have counted is of the minute in which it is collected, a second later at most.
    assert_eq!(store.usage(&Usage::of_key(id)).unwrap().uses(), 1);
    place.clock.advance(TimeDelta::seconds(30));
    verify(&store, &key, 2);
    assert_eq!(store.usage(&Usage::of_key(id)).unwrap().uses(), 3);
    place.clock.advance(hours(24));
    verify(&store, &key, 4);
    let check = |store: &KeyStore| {
        let of = |step| used(&store.usage(&Usage::of_key(id).step(step).since(place.clock_at(-25))).unwrap());
        let text = |pairs: &[(&str, u64)]| pairs.iter().map(|(at, uses)| ((*at).to_owned(), *uses)).collect::<Vec<_>>();
        assert_eq!(of(Step::Hour), text(&[("02-28 23:00", 1), ("02-29 00:00", 2), ("03-01 00:00", 4)]));
        assert_eq!(of(Step::Day), text(&[("02-28 00:00", 1), ("02-29 00:00", 2), ("03-01 00:00", 4)]));
        let minutes = Usage::of_key(id).step(Step::Minute);
        assert_eq!(used(&store.usage(&minutes).unwrap()), text(&[("02-29 00:00", 2), ("03-01 00:00", 4)]));
    };
    check(&store);
    store.close().unwrap();
    check(&place.open());
    // Set back, the clock loses nothing.
    let store = place.open();
    place.clock.set(Utc.with_ymd_and_hms(2028, 2, 20, 12, 0, 0).unwrap());
    verify(&store, &key, 8);
    let all = Usage::of_key(id).step(Step::Day).since(Utc.with_ymd_and_hms(2028, 2, 1, 0, 0, 0).unwrap());
    place.clock.set(Utc.with_ymd_and_hms(2028, 3, 1, 1, 0, 0).unwrap());
    assert_eq!(store.usage(&all).unwrap().uses(), 15);
    assert_eq!(store.get(id).unwrap().unwrap().uses_total(), 15);
}

impl Place {
    fn clock_at(&self, hours_from_now: i64) -> DateTime<Utc> {
        use apikey::Clock;
        self.clock.now() + hours(hours_from_now)
    }
}

#[test]
fn old_steps_go_and_coarser_ones_keep_their_sums() {
    let place = Place::at(Utc.with_ymd_and_hms(2027, 1, 1, 0, 30, 0).unwrap());
    let key = place.open().create(alice()).unwrap();
    let id = key.info.id();
    // A use a day, for 401 days.
    for day in 0..401 {
        let store = place.open();
        verify(&store, &key, 1);
        // Old rows go by the time of the newest event, which no clock that is ahead for a moment moves.
        store.update(id, KeyUpdate::new().name(format!("day {day}"))).unwrap();
        store.close().unwrap();
        place.clock.advance(hours(24));
    }
    let store = place.open();
    let count = |step: Step| {
        let since = place.clock_at(0) - step.kept();
        store.usage(&Usage::of_key(id).step(step).since(since)).unwrap().uses()
    };
    // The use of a day ago is a step from the bound.
    assert_eq!((count(Step::Minute), count(Step::Hour), count(Step::Day)), (1, 14, 400));
    assert_eq!(store.get(id).unwrap().unwrap().uses_total(), 401);
    assert_eq!(store.usage(&Usage::of_key(id)).unwrap().uses_total(), 401);
    assert_eq!(store.usage(&Usage::of_owner("alice")).unwrap().uses_total(), 401);
    store.close().unwrap();
    let database = database::open(place.directory.path()).unwrap();
    let rows = database.open_tree("usage").unwrap();
    let of_step = |code: u8| rows.scan_prefix([code]).count();
    // A row has an hour of minutes, a day of hours, or 32 days; owner, key and store have one each.
    assert!(
        of_step(1) <= 3 * 2 && of_step(2) <= 3 * 16 && of_step(3) <= 3 * 14,
        "{} {} {}",
        of_step(1),
        of_step(2),
        of_step(3)
    );
    assert_eq!(of_step(4), 3);
}

/// Also those of a minute in which no key was used.
#[test]
fn the_last_refusals_are_counted_when_the_store_closes() {
    let place = Place::at(Utc.with_ymd_and_hms(2027, 1, 1, 0, 30, 0).unwrap());
    let store = place.open();
    let key = store.create(alice()).unwrap();
    // Counts that wait are of three minutes.
    for minute in 0..3 {
        if minute == 0 {
            verify(&store, &key, 5);
        }
        for _ in 0..4 {
            store.verify("ak_guess").unwrap_err();
        }
        store.usage(&Usage::of_store()).unwrap();
        place.clock.advance(TimeDelta::minutes(1));
    }
    store.close().unwrap();
    let report = place.open().usage(&Usage::of_store()).unwrap();
    assert_eq!((report.uses(), report.refusals()["invalid_api_key"]), (5, 12));
}

/// A clock that shows a time far ahead for a moment must not delete what was counted.
#[test]
fn a_clock_that_is_ahead_for_a_moment_deletes_nothing() {
    let place = Place::at(Utc.with_ymd_and_hms(2027, 1, 1, 0, 30, 0).unwrap());
    let store = place.open();
    let key = store.create(alice()).unwrap();
    verify(&store, &key, 5);
    store.close().unwrap();
    place.clock.set(Utc.with_ymd_and_hms(2035, 1, 1, 0, 0, 0).unwrap());
    place.open().close().unwrap();
    place.clock.set(Utc.with_ymd_and_hms(2027, 1, 1, 0, 40, 0).unwrap());
    let store = place.open();
    for step in [Step::Minute, Step::Hour, Step::Day] {
        assert_eq!(store.usage(&Usage::of_key(key.info.id()).step(step)).unwrap().uses(), 5);
    }
}

#[test]
fn a_bound_of_disk_takes_the_finest_and_oldest_steps_first() {
    let mut place = Place::at(Utc.with_ymd_and_hms(2027, 1, 1, 0, 30, 0).unwrap());
    let store = place.open();
    let keys = store.create_many((0..50).map(|_| alice())).unwrap();
    store.close().unwrap();
    for _ in 0..10 {
        let store = place.open();
        keys.iter().for_each(|key| verify(&store, key, 1));
        store.close().unwrap();
        place.clock.advance(hours(24));
    }
    // Less than all of it, and more than what still grows.
    place.bound = 120_000;
    let store = place.open();
    keys.iter().for_each(|key| verify(&store, key, 1));
    store.close().unwrap();
    let store = place.open();
    let count = |step: Step| {
        let since = place.clock_at(0) - step.kept();
        store.usage(&Usage::of_owner("alice").step(step).since(since)).unwrap().uses()
    };
    let hours = count(Step::Hour);
    assert!((50..550).contains(&hours), "{hours}");
    assert_eq!(count(Step::Day), 550);
    assert_eq!(store.get(keys[7].info.id()).unwrap().unwrap().uses_total(), 11);
}

#[test]
fn bad_questions_name_what_is_wrong() {
    let place = Place::at(Utc.with_ymd_and_hms(2027, 1, 1, 0, 30, 0).unwrap());
    let store = place.open();
    let refused = |usage: Usage| match store.usage(&usage).unwrap_err() {
        StoreError::Invalid { field, allowed, .. } => format!("{field}: {allowed}"),
        other => panic!("{other:?}"),
    };
    let now = place.clock_at(0);
    assert!(refused(Usage::of_tenant("Acme")).starts_with("tenant"));
    assert!(refused(Usage::of_owner("")).starts_with("owner"));
    assert!(refused(Usage::of_store().since(now + hours(1))).starts_with("since"));
    assert!(refused(Usage::of_store().until(now - hours(2)).since(now - hours(1))).starts_with("since"));
    assert!(refused(Usage::of_store().step(Step::Minute).since(now - hours(26))).contains("last day"));
    assert!(refused(Usage::of_store().since(now - hours(16 * 24))).contains("14 days"));
    assert!(refused(Usage::of_store().step(Step::Day).since(now - hours(402 * 24))).contains("400 days"));
    // The beginning that follows from an end is named, too.
    let error = store.usage(&Usage::of_store().until(now - hours(20 * 24))).unwrap_err().to_string();
    assert!(error.contains("2026-12-11 00:30:00 UTC"), "{error}");
    assert!(store.most_used(now + hours(1), 1).is_err());
    assert_eq!("week".parse::<Step>().unwrap_err().to_string(), "invalid step \"week\": allowed are minute, hour, day");
    let usage = Usage::of_owner_in_tenant("acme", "alice").step(Step::Minute);
    let json = serde_json::to_string(&usage).unwrap();
    assert_eq!(serde_json::from_str::<Usage>(&json).unwrap(), usage, "{json}");
}
