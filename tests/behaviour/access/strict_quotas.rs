//! Strict quotas: a request has what is reserved on the disk, and no period has more than the quota.

use std::thread;
use std::time::{Duration, Instant};

use apikey::{
    Attempt, AuthError, CreatedKey, ExportOptions, HeaderConfig, ImportOptions, KeyStore, KeyUpdate, ManualClock, Quota,
};
use apikey_testkit::alice;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use tempfile::TempDir;

struct Place {
    directory: TempDir,
    clock: ManualClock,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: ManualClock::new(start()) }
    }

    fn open(&self) -> KeyStore {
        KeyStore::builder().clock(self.clock.clone()).open(self.directory.path().join("store")).unwrap()
    }
}

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2028, 2, 28, 12, 0, 0).unwrap()
}

fn check(store: &KeyStore, key: &CreatedKey, cost: u32) -> Result<(), AuthError> {
    store.check(&Attempt::new(key.key.expose_secret()).cost(cost)).map(drop)
}

/// A request that tries again while the store reserves more.
fn patiently(store: &KeyStore, key: &CreatedKey, cost: u32) -> Result<(), AuthError> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match check(store, key, cost) {
            Err(AuthError::QuotaExceeded { retry_after, .. }) if retry_after == Duration::from_secs(1) => {
                assert!(Instant::now() < end, "no more is reserved");
                thread::sleep(Duration::from_millis(5));
            }
            answer => return answer,
        }
    }
}

fn used(store: &KeyStore, key: &CreatedKey) -> u64 {
    store.quota_status_of(key.info.id()).unwrap().unwrap().used()
}

#[test]
fn the_first_request_finds_a_block() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(1000).strict())).unwrap();
    assert!((0..10).all(|_| check(&store, &key, 1).is_ok()));
    let plain = store.create(alice().quota(Quota::per_day(1000))).unwrap();
    store.update(plain.info.id(), KeyUpdate::new().quota(Quota::per_month(1000).strict())).unwrap();
    assert!((0..10).all(|_| check(&store, &plain, 1).is_ok()));
    store.close().unwrap();
    let store = place.open();
    assert_eq!([used(&store, &key), used(&store, &plain)], [10, 10], "an end without a crash loses nothing");
    assert!((0..10).all(|_| check(&store, &key, 1).is_ok()));
}

#[test]
fn a_request_without_a_block_may_come_again_in_a_second() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(100).strict())).unwrap();
    let errors: Vec<_> = (0..50).filter_map(|_| check(&store, &key, 1).err()).collect();
    let error = errors.first().expect("a hundredth of 100 is one use");
    assert_eq!((error.code(), error.status()), ("quota_exceeded", 429));
    let answer = HeaderConfig::default().refuse(error);
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert_eq!(answer.header("RateLimit-Policy"), Some("\"quota\";q=100;w=86400"));
    assert_eq!(answer.header("RateLimit"), Some("\"quota\";r=0;t=1"));
    assert!(!answer.body.contains("resets_at"), "{}", answer.body);
    assert!(answer.body.contains("quota of 100 a day (strict) are being reserved"), "{}", answer.body);
    // It comes again, and gets all of the quota, and no more.
    let before = used(&store, &key);
    let rest = u32::try_from(100 - before).unwrap();
    // Nothing that costs more than is left, and a cost above a block has one that is large enough.
    assert_eq!(patiently(&store, &key, rest + 1).unwrap_err().code(), "quota_exceeded");
    patiently(&store, &key, rest).unwrap();
    let error = patiently(&store, &key, 1).unwrap_err();
    let answer = HeaderConfig::default().refuse(&error);
    assert_eq!(answer.header("Retry-After"), Some("43200"));
    assert!(answer.body.contains(r#""resets_at":"2028-02-29T00:00:00Z""#), "{}", answer.body);
}

#[test]
fn midnight_has_a_block() {
    let place = Place::new();
    let store = place.open();
    let create = |quota: Quota| store.create(alice().quota(quota.strict())).unwrap();
    let keys = [create(Quota::per_day(1000)), create(Quota::per_month(1000)), create(Quota::total(1000))];
    let used = || keys.each_ref().map(|key| used(&store, key));
    keys.iter().for_each(|key| check(&store, key, 3).unwrap());
    place.clock.set(Utc.with_ymd_and_hms(2028, 2, 29, 23, 59, 0).unwrap());
    patiently(&store, &keys[0], 3).unwrap();
    // The store sees within a second that another day is near.
    thread::sleep(Duration::from_millis(2_500));
    place.clock.advance(TimeDelta::minutes(1));
    keys.iter().for_each(|key| check(&store, key, 3).unwrap());
    assert_eq!(used(), [3, 3, 6]);
    store.close().unwrap();
    let store = place.open();
    assert_eq!(keys.each_ref().map(|key| self::used(&store, key)), [3, 3, 6]);
}

#[test]
fn a_total_has_exactly_its_uses_over_threads_and_restarts() {
    let place = Place::new();
    let quota = Quota::total(5_000).strict();
    let mut store = place.open();
    let key = store.create(alice().quota(quota)).unwrap();
    let mut passed = 0;
    for _ in 0..3 {
        passed += thread::scope(|scope| {
            let work = || (0..2_000).filter(|_| check(&store, &key, 1).is_ok()).count();
            let threads = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(used(&store, &key), passed as u64);
        store.close().unwrap();
        store = place.open();
        assert_eq!(used(&store, &key), passed as u64);
    }
    let rest = u32::try_from(5_000 - passed).unwrap();
    if rest > 0 {
        patiently(&store, &key, rest).unwrap();
    }
    assert_eq!(patiently(&store, &key, 1).unwrap_err().code(), "no_uses_left");
    store.add_uses(key.info.id(), 7).unwrap();
    assert_eq!(store.get(key.info.id()).unwrap().unwrap().quota(), Some(Quota::total(5_007).strict()));
    patiently(&store, &key, 7).unwrap();
    assert_eq!(patiently(&store, &key, 1).unwrap_err().code(), "no_uses_left");
}

#[test]
fn a_change_keeps_what_was_used() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(1000))).unwrap();
    check(&store, &key, 700).unwrap();
    let set = |quota: Quota| store.update(key.info.id(), KeyUpdate::new().quota(quota)).unwrap();
    set(Quota::per_day(1000).strict());
    assert_eq!(used(&store, &key), 700);
    check(&store, &key, 10).unwrap();
    // A lower one, and one in other periods.
    set(Quota::per_day(500).strict());
    assert_eq!(check(&store, &key, 1).unwrap_err().code(), "quota_exceeded");
    set(Quota::per_month(1000).strict());
    patiently(&store, &key, 290).unwrap();
    assert_eq!(patiently(&store, &key, 1).unwrap_err().code(), "quota_exceeded");
    set(Quota::per_month(1001));
    check(&store, &key, 1).unwrap();
    store.update(key.info.id(), KeyUpdate::new().no_quota()).unwrap();
    set(Quota::per_month(1000).strict());
    assert_eq!(used(&store, &key), 0, "a quota that is given again begins at nothing");
    check(&store, &key, 10).unwrap();
}

#[test]
fn it_is_in_json_and_exports() {
    let store = KeyStore::temporary().unwrap();
    let quota = Quota::per_day(1000).strict();
    let key = store.create(alice().quota(quota)).unwrap();
    let json = serde_json::to_value(&key.info).unwrap();
    assert_eq!(json["quota"], serde_json::json!({ "count": 1000, "per": "day", "strict": true }));
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let other = KeyStore::temporary().unwrap();
    other.import(&lines[..], &ImportOptions::default()).unwrap();
    assert_eq!(other.get(key.info.id()).unwrap().unwrap().quota(), Some(quota));
    assert!((0..10).all(|_| check(&other, &key, 1).is_ok()), "an import reserves a block, too");
}
