//! Quotas: what passes in a day, a month, or ever, and what is left after a restart, a change and a clock that is set back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use apikey::{
    Attempt, AuthError, CapViolation, Charge, CreatedKey, EventFilter, EventKind, ExportOptions, HeaderConfig,
    ImportOptions, KeyStore, KeyUpdate, ManualClock, NewKey, Overlap, Quota, QuotaPeriod, Requirement, Restore,
    StoreError,
};
use apikey_testkit::{alice, database, hours};
use chrono::{DateTime, FixedOffset, TimeDelta, TimeZone, Utc};
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

/// How many of so many requests pass.
fn passed(store: &KeyStore, key: &CreatedKey, requests: usize) -> usize {
    (0..requests).filter(|_| store.verify(key.key.expose_secret()).is_ok()).count()
}

fn refusal(store: &KeyStore, key: &CreatedKey) -> AuthError {
    store.verify(key.key.expose_secret()).unwrap_err()
}

#[test]
fn a_day_and_a_month_begin_anew_and_a_total_does_not() {
    let place = Place::new();
    let store = place.open();
    let create = |quota| store.create(alice().quota(quota)).unwrap();
    let keys = [Quota::per_day(3), Quota::per_month(3), Quota::total(3)].map(create);
    assert_eq!(keys.each_ref().map(|key| passed(&store, key, 5)), [3; 3]);
    // The leap day is of February.
    place.clock.set(Utc.with_ymd_and_hms(2028, 2, 29, 0, 0, 0).unwrap());
    assert_eq!(keys.each_ref().map(|key| passed(&store, key, 5)), [3, 0, 0]);
    place.clock.set(Utc.with_ymd_and_hms(2028, 3, 1, 0, 0, 0).unwrap());
    assert_eq!(keys.each_ref().map(|key| passed(&store, key, 5)), [3, 3, 0]);
    // Set back, it opens nothing again.
    place.clock.set(start());
    assert_eq!(keys.each_ref().map(|key| passed(&store, key, 5)), [0; 3]);
    let tokyo = create(Quota::per_day(1).offset(FixedOffset::east_opt(9 * 3600).unwrap()));
    place.clock.set(Utc.with_ymd_and_hms(2028, 3, 1, 14, 59, 59).unwrap());
    assert_eq!(passed(&store, &tokyo, 2), 1);
    place.clock.advance(TimeDelta::seconds(1));
    assert_eq!(passed(&store, &tokyo, 2), 1);
}

#[test]
fn the_answer_says_when_uses_are_there_again() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(1))).unwrap();
    assert_eq!(passed(&store, &key, 1), 1);
    let error = refusal(&store, &key);
    assert_eq!((error.code(), error.status()), ("quota_exceeded", 429));
    let refusal_of = |error: &AuthError| HeaderConfig::default().refuse(error);
    let answer = refusal_of(&error);
    assert_eq!(answer.header("Retry-After"), Some("43200"));
    assert_eq!(answer.header("RateLimit-Policy"), Some("\"quota\";q=1;w=86400"));
    assert_eq!(answer.header("RateLimit"), Some("\"quota\";r=0;t=43200"));
    assert!(answer.body.contains(r#""resets_at":"2028-02-29T00:00:00Z""#), "{}", answer.body);
    assert!(answer.body.contains("quota of 1 a day"), "{}", answer.body);
    assert_eq!(store.refusals_of(key.info.id()), [("quota_exceeded", 1)].into());

    let total = store.create(alice().quota(Quota::total(1))).unwrap();
    assert_eq!(passed(&store, &total, 1), 1);
    let error = refusal(&store, &total);
    assert_eq!((&error, error.code(), error.status()), (&AuthError::NoUsesLeft, "no_uses_left", 403));
    let answer = refusal_of(&error);
    assert_eq!((answer.header("Retry-After"), answer.header("RateLimit")), (None, None));
    let more = store.add_uses(total.info.id(), 2).unwrap();
    assert_eq!(more.quota(), Some(Quota::total(3)));
    assert_eq!(passed(&store, &total, 5), 2);
}

/// What the guards of one request take together is the largest cost among them, and nothing if one refuses it.
#[test]
fn guards_of_one_request_take_the_largest_cost() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(10)).limit(100, TimeDelta::seconds(100))).unwrap();
    let verify = |charge: &Charge| store.check(&Attempt::new(key.key.expose_secret()).charge(charge)).unwrap();
    let charge = Charge::default();
    let verified = verify(&charge);
    let used = || store.quota_status(&verified).unwrap().used();
    for (cost, expected) in [(1, 1), (5, 5), (2, 5), (6, 6), (0, 6)] {
        store.charge_more(&verified, &charge, cost).unwrap();
        assert_eq!((used(), u64::from(charge.uses())), (expected, expected));
    }
    let fields = store.limit_fields(&verified).unwrap();
    let expected = ["\"key\";q=100;w=100, \"quota\";q=10;w=86400", "\"key\";r=99;t=1, \"quota\";r=4;t=43200"];
    assert_eq!(fields.each_ref().map(|(_, value)| value.as_str()), expected);
    let error = store.charge_more(&verified, &charge, 11).unwrap_err();
    assert_eq!((error.code(), used(), charge.uses()), ("quota_exceeded", 0, 0));
    // The next guard pays anew.
    store.charge_more(&verified, &charge, 1).unwrap();
    assert_eq!(used(), 1);
    store.give_back(&verified, &charge);
    store.give_back(&verified, &charge);
    assert_eq!(used(), 0);
    // Without a note, the verification took one.
    store.charge_more(&verified, &Charge::default(), 1).unwrap();
    store.charge_more(&verified, &Charge::default(), 10).unwrap();
    assert_eq!(used(), 9);
    // A day has begun between the guards, in which another request uses some.
    let late = Charge::default();
    let other = verify(&late);
    place.clock.advance(TimeDelta::days(1));
    assert_eq!(passed(&store, &key, 8), 8);
    store.charge_more(&other, &late, 2).unwrap();
    assert_eq!(used(), 9);
    assert!(store.charge_more(&other, &late, 5).is_err());
    assert_eq!((used(), late.uses()), (8, 0), "what was taken yesterday does not come back today");
    // Guards that each verify the token take the largest cost, too: the note is of this key.
    let note = Charge::default();
    let attempt = Attempt::new(key.key.expose_secret()).charge(&note);
    store.check(&attempt.cost(2)).unwrap();
    store.check(&attempt).unwrap();
    assert_eq!((used(), note.uses()), (10, 2));
    let another = store.create(alice().quota(Quota::per_day(10))).unwrap();
    let another = store.check(&Attempt::new(another.key.expose_secret()).charge(&note)).unwrap();
    assert_eq!(store.quota_status(&another).unwrap().used(), 1);
    // Of another store, and without a quota.
    let free = store.create(alice()).unwrap();
    let note = Charge::default();
    let free = store.check(&Attempt::new(free.key.expose_secret()).cost(5).charge(&note)).unwrap();
    store.charge_more(&free, &note, 1_000_000).unwrap();
    assert_eq!((note.uses(), store.limit_fields(&free)), (0, None));
    KeyStore::temporary().unwrap().charge_more(&verified, &note, 1_000_000).unwrap();
}

/// Whatever the store refuses uses nothing, nor does what is no request.
#[test]
fn a_refused_request_uses_nothing() {
    let place = Place::new();
    let store = place.open();
    let new = alice().permissions(["orders:read"]).quota(Quota::per_day(10)).limit(1, TimeDelta::seconds(10));
    let key = store.create(new).unwrap();
    let used = || {
        let verified = store.verify(key.key.expose_secret()).unwrap();
        let status = store.quota_status(&verified).unwrap();
        assert_eq!(status.remaining(), 10 - status.used());
        assert_eq!(status.resets_at(), Some(Utc.with_ymd_and_hms(2028, 2, 29, 0, 0, 0).unwrap()));
        store.recheck(&verified).unwrap();
        assert!(store.identify(key.key.expose_secret()).is_some());
        place.clock.advance(TimeDelta::seconds(10));
        status.used()
    };
    assert_eq!(used(), 1);
    let lacking = Requirement::permission("orders:write").unwrap();
    assert_eq!(store.authorize(key.key.expose_secret(), &lacking).unwrap_err().code(), "insufficient_permission");
    assert_eq!(refusal(&store, &key).code(), "rate_limited");
    place.clock.advance(TimeDelta::seconds(10));
    assert_eq!(used(), 2);
    let attempt = Attempt::new(key.key.expose_secret());
    // Nine are too many, and eight are not.
    assert_eq!(store.check(&attempt.cost(9)).unwrap_err().code(), "quota_exceeded");
    place.clock.advance(TimeDelta::seconds(10));
    store.check(&attempt.cost(7)).unwrap();
    place.clock.advance(TimeDelta::seconds(10));
    assert_eq!(used(), 10);
    store.update(key.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(refusal(&store, &key).code(), "disabled_api_key");
}

#[test]
fn what_was_used_outlives_the_store() {
    let place = Place::new();
    let store = place.open();
    let keys = [Quota::per_day(1000), Quota::per_month(1000), Quota::total(1000)]
        .map(|quota| store.create(alice().quota(quota)).unwrap());
    keys.iter().for_each(|key| assert_eq!(passed(&store, key, 600), 600));
    store.close().unwrap();
    let store = place.open();
    // A rotation keeps the quota, and both secrets share it.
    let next = store.rotate(keys[0].info.id(), Overlap::For(hours(1))).unwrap();
    assert_eq!(passed(&store, &keys[0], 100), 100);
    assert_eq!(passed(&store, &next, 1000), 300);
    assert_eq!(keys.each_ref().map(|key| passed(&store, key, 1000)), [0, 400, 400]);
    store.close().unwrap();
    place.clock.advance(hours(24));
    let store = place.open();
    assert_eq!(keys.each_ref().map(|key| passed(&store, key, 2000)), [0, 0, 0], "the old secret has ended");
    assert_eq!(passed(&store, &next, 2000), 1000);
}

/// The store writes what was used within a second, so a process that is killed gives back no more.
#[test]
fn what_was_used_is_on_the_disk_soon() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_month(1000))).unwrap();
    assert_eq!(passed(&store, &key, 600), 600);
    // A copy is what a killed process leaves.
    let copy = place.directory.path().join("copy");
    apikey_testkit::wait_until("the uses are on the disk", || {
        let _ = std::fs::remove_dir_all(&copy);
        apikey_testkit::copy_directory(&place.directory.path().join("store"), &copy);
        let copied = KeyStore::builder().clock(place.clock.clone()).open(&copy);
        copied.is_ok_and(|copied| passed(&copied, &key, 1000) == 400)
    });
}

#[test]
fn a_change_keeps_what_was_used() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(10))).unwrap();
    let id = key.info.id();
    let update = |update: KeyUpdate| store.update(id, update).unwrap();
    assert_eq!(passed(&store, &key, 6), 6);
    assert_eq!(update(KeyUpdate::new().quota(Quota::per_day(5))).quota(), Some(Quota::per_day(5)));
    assert_eq!(passed(&store, &key, 6), 0);
    update(KeyUpdate::new().quota(Quota::per_day(8)));
    assert_eq!(passed(&store, &key, 6), 2);
    update(KeyUpdate::new().quota(Quota::per_month(10)));
    assert_eq!(passed(&store, &key, 6), 2);
    update(KeyUpdate::new().quota(Quota::total(15)));
    assert_eq!(passed(&store, &key, 50), 5);
    assert_eq!(update(KeyUpdate::new().no_quota()).quota(), None);
    assert_eq!(passed(&store, &key, 50), 50);
    update(KeyUpdate::new().quota(Quota::per_day(3)));
    let verified = store.verify(key.key.expose_secret()).unwrap();
    assert_eq!(store.quota_status(&verified).unwrap().used(), 1, "a new one begins at nothing");
    let page = store.events(&EventFilter::default().key(id).limit(100)).unwrap();
    let quotas: Vec<_> = page
        .events
        .iter()
        .filter_map(|event| match event.kind() {
            EventKind::Updated { changes } => changes.quota.clone().map(|quota| (quota.from, quota.to)),
            _ => None,
        })
        .collect();
    assert_eq!(quotas.len(), 6);
    assert_eq!(quotas[0], (Some(Quota::per_day(10)), Some(Quota::per_day(5))));
    assert_eq!(quotas[4], (Some(Quota::total(15)), None));
}

/// A quota that was removed and is there again begins at nothing, also after a restart before the next use.
#[test]
fn a_quota_that_is_there_again_begins_at_nothing() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(10))).unwrap();
    assert_eq!(passed(&store, &key, 20), 10);
    store.close().unwrap();
    let store = place.open();
    store.update(key.info.id(), KeyUpdate::new().no_quota()).unwrap();
    store.update(key.info.id(), KeyUpdate::new().quota(Quota::per_day(10))).unwrap();
    store.close().unwrap();
    assert_eq!(passed(&place.open(), &key, 20), 10);
}

/// The rows of what was used go with their keys.
#[test]
fn a_purged_key_leaves_nothing_of_its_quota() {
    let place = Place::new();
    let store = place.open();
    let keys = store.create_many((0..2).map(|_| alice().quota(Quota::per_day(10)))).unwrap();
    keys.iter().for_each(|key| assert_eq!(passed(&store, key, 3), 3));
    store.close().unwrap();
    let rows = || {
        let database = database::open(&place.directory.path().join("store")).unwrap();
        database.open_tree("spent").unwrap().len()
    };
    assert_eq!(rows(), 2);
    let store = place.open();
    store.revoke(keys[0].info.id(), "left").unwrap();
    store.purge(start() + hours(1)).unwrap();
    store.close().unwrap();
    assert_eq!(rows(), 1);
    // What is damaged counts as used up, until the day ends.
    {
        let database = database::open(&place.directory.path().join("store")).unwrap();
        let spent = database.open_tree("spent").unwrap();
        let (key, _) = spent.first().unwrap().unwrap();
        spent.insert(key, b"garbage").unwrap();
        database.flush().unwrap();
    }
    let store = place.open();
    assert_eq!(passed(&store, &keys[1], 20), 0);
    place.clock.advance(hours(24));
    assert_eq!(passed(&store, &keys[1], 20), 10);
}

#[test]
fn threads_share_a_quota_exactly() {
    const QUOTA: u64 = 10_000;
    let store = KeyStore::temporary().unwrap();
    let key = store.create(alice().quota(Quota::per_month(QUOTA))).unwrap();
    let all = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| all.fetch_add(passed(&store, &key, QUOTA as usize / 2) as u64, Ordering::Relaxed));
        }
    });
    assert_eq!(all.into_inner(), QUOTA);
}

#[test]
fn a_capped_caller_gives_no_more_than_its_own() {
    let store = KeyStore::temporary().unwrap();
    let admin = alice().permissions(["keys:create", "orders:*"]).quota(Quota::per_day(100));
    let admin = store.create(admin).unwrap();
    let actor = store.verify(admin.key.expose_secret()).unwrap();
    let new = || alice().permissions(["orders:read"]).within(&actor);
    assert_eq!(store.create(new()).unwrap().info.quota(), Some(Quota::per_day(100)), "its own, if none is named");
    store.create(new().quota(Quota::per_month(100))).unwrap();
    for (quota, wanted) in [(Quota::per_day(101), "101 a day"), (Quota::per_month(3000), "3000 a month")] {
        match store.create(new().quota(quota)).unwrap_err() {
            StoreError::Exceeds(violation @ CapViolation::Quota { .. }) => {
                assert!(violation.to_string().contains(wanted), "{violation}");
                assert_eq!(violation.kind(), "quota");
            }
            other => panic!("{other:?}"),
        }
    }
    let key = store.create(new()).unwrap();
    assert!(store.update(key.info.id(), KeyUpdate::new().no_quota().within(&actor)).is_err());
    assert!(store.update(key.info.id(), KeyUpdate::new().quota(Quota::per_day(7)).within(&actor)).is_ok());
}

#[test]
fn copies_have_the_quota() {
    let place = Place::new();
    let store = place.open();
    let quota = Quota::per_month(10).offset(FixedOffset::west_opt(5 * 3600).unwrap());
    let key = store.create(alice().quota(quota)).unwrap();
    let path = |name: &str| place.directory.path().join(name);
    store.backup(path("backup")).unwrap();
    KeyStore::restore(&Restore::new(path("backup"), path("restored"))).unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let imported = KeyStore::builder().clock(place.clock.clone()).temporary().unwrap();
    imported.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    let restored = KeyStore::builder().clock(place.clock.clone()).open(path("restored")).unwrap();
    for copy in [restored, imported] {
        assert_eq!(copy.get(key.info.id()).unwrap().unwrap().quota(), Some(quota));
        assert_eq!(passed(&copy, &key, 20), 10);
    }
}

#[test]
fn a_quota_out_of_bounds_names_its_field() {
    let store = KeyStore::temporary().unwrap();
    let invalid = |error: StoreError| match error {
        StoreError::Invalid { field, value, .. } => format!("{field} {value}"),
        other => panic!("{other:?}"),
    };
    let create = |quota| invalid(store.create(alice().quota(quota)).unwrap_err());
    assert_eq!(create(Quota::per_day(0)), "quota.count 0");
    assert_eq!(create(Quota::total(1_000_000_000_001)), "quota.count 1000000000001");
    let odd = FixedOffset::east_opt(59).unwrap();
    assert_eq!(create(Quota::per_month(1).offset(odd)), "quota.offset +00:00:59");
    let plain = store.create(alice()).unwrap();
    assert_eq!(invalid(store.add_uses(plain.info.id(), 1).unwrap_err()), "quota none");
    let daily = store.create(alice().quota(Quota::per_day(1))).unwrap();
    assert_eq!(invalid(store.add_uses(daily.info.id(), 1).unwrap_err()), "quota 1 a day");
    let total = store.create(alice().quota(Quota::total(1))).unwrap();
    assert_eq!(invalid(store.add_uses(total.info.id(), 0).unwrap_err()), "uses 0");
    assert_eq!(invalid(store.add_uses(total.info.id(), u64::MAX).unwrap_err()), format!("quota.count {}", u64::MAX));
    let new: NewKey = serde_json::from_str(r#"{"owner":"alice","quota":{"count":10,"per":"day"}}"#).unwrap();
    assert_eq!(store.create(new).unwrap().info.quota().unwrap().period(), QuotaPeriod::Day);
    assert!(serde_json::from_str::<NewKey>(r#"{"owner":"alice","quota":{"count":10,"per":"week"}}"#).is_err());
    let none: KeyUpdate = serde_json::from_str(r#"{"quota":null}"#).unwrap();
    assert_eq!(store.update(daily.info.id(), none).unwrap().quota(), None);
}

#[test]
fn what_is_left_is_known_by_id() {
    let place = Place::new();
    let store = place.open();
    let key = store.create(alice().quota(Quota::per_day(10))).unwrap();
    let id = key.info.id();
    let left = |store: &KeyStore| store.quota_status_of(id).unwrap().map(|status| status.remaining());
    assert_eq!((left(&store), passed(&store, &key, 3), left(&store), left(&store)), (Some(10), 3, Some(7), Some(7)));
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    store.close().unwrap();
    let store = place.open();
    assert_eq!(left(&store), Some(7));
    place.clock.advance(hours(12));
    assert_eq!(left(&store), Some(10));
    store.update(id, KeyUpdate::new().no_quota()).unwrap();
    assert_eq!(left(&store), None);
    let other = KeyStore::temporary().unwrap().create(alice()).unwrap().info.id();
    assert!(matches!(store.quota_status_of(other), Err(StoreError::NotFound(_))));
    let bob = store.of_owner("bob");
    assert!(matches!(bob.quota_status_of(id), Err(StoreError::NotFound(_))));
    assert!(matches!(bob.add_uses(id, 1), Err(StoreError::NotFound(_))));
}
