//! Quotas that the keys of a tenant share, and those of an owner: who uses what, and what is left after a change and a restart.

use std::thread;

use apikey::{
    Attempt, AuthError, Charge, CreatedKey, EventFilter, EventKind, HeaderConfig, KeyStore, ManualClock, NewKey, Owner,
    Quota, QuotaPeriod, StoreError, Tenant, VerifiedKey,
};
use apikey_testkit::{alice, database, hours};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use tempfile::TempDir;

/// A directory for a store, and its clock.
pub(super) struct Place {
    pub(super) directory: TempDir,
    pub(super) clock: ManualClock,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: ManualClock::new(start()) }
    }

    pub(super) fn open(&self) -> KeyStore {
        KeyStore::builder().clock(self.clock.clone()).open(self.directory.path().join("store")).unwrap()
    }
}

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2028, 2, 28, 12, 0, 0).unwrap()
}

pub(super) fn bob() -> NewKey {
    NewKey::for_owner("bob")
}

/// How many of so many requests pass.
pub(super) fn passed(store: &KeyStore, key: &CreatedKey, requests: usize) -> usize {
    (0..requests).filter(|_| store.verify(key.key.expose_secret()).is_ok()).count()
}

fn refusal(store: &KeyStore, key: &CreatedKey) -> AuthError {
    store.verify(key.key.expose_secret()).unwrap_err()
}

/// What a key, its owner and its tenant have used.
fn used(store: &KeyStore, key: &CreatedKey) -> [Option<u64>; 3] {
    let (info, used) = (&key.info, |status: Option<apikey::QuotaStatus>| status.map(|status| status.used()));
    let own = used(store.quota_status_of(info.id()).unwrap());
    match info.tenant() {
        None => [own, used(store.of_owner(info.owner()).quota_status().unwrap()), None],
        Some(name) => {
            let tenant = store.tenant(name).unwrap();
            [own, used(tenant.of_owner(info.owner()).quota_status().unwrap()), used(tenant.quota_status().unwrap())]
        }
    }
}

#[test]
fn the_keys_of_an_owner_share_its_quota_and_others_have_none_of_it() {
    let place = Place::new();
    let store = place.open();
    let acme = store.tenant("acme").unwrap();
    let before = store.create(alice()).unwrap();
    assert_eq!(passed(&store, &before, 1), 1);
    assert!(store.put_owner(Owner::new("alice").quota(Quota::per_day(10))).unwrap());
    assert!(!store.put_owner(Owner::new("alice").quota(Quota::per_day(10))).unwrap(), "it has it already");
    let after = store.create(alice().name("another").label("plan", "pro")).unwrap();
    let others = [store.create(bob()).unwrap(), acme.create(alice()).unwrap()];
    assert_eq!((passed(&store, &before, 4), passed(&store, &after, 20), passed(&store, &before, 4)), (4, 6, 0));
    assert_eq!(others.each_ref().map(|key| passed(&store, key, 20)), [20; 2]);
    assert_eq!(refusal(&store, &before).code(), "quota_exceeded");
    place.clock.advance(hours(12));
    assert_eq!((passed(&store, &after, 20), passed(&store, &before, 20)), (10, 0));
    // A key that comes, goes or changes leaves what was used.
    let third = store.create(alice()).unwrap();
    store.revoke(after.info.id(), "left").unwrap();
    store.update(before.info.id(), apikey::KeyUpdate::new().name("renamed").label("plan", "free")).unwrap();
    assert_eq!((passed(&store, &third, 1), passed(&store, &before, 1)), (0, 0));
    let info = store.of_owner("alice").info().unwrap().unwrap();
    assert_eq!((info.name(), info.tenant(), info.quota()), ("alice", None, Some(Quota::per_day(10))));
    assert_eq!(store.owners().unwrap(), [info]);
    assert_eq!(acme.owners().unwrap(), []);
}

#[test]
fn the_keys_of_a_tenant_share_its_quota_and_owners_of_one_name_are_not_the_same() {
    let place = Place::new();
    let store = place.open();
    let (acme, apex) = (store.tenant("acme").unwrap(), store.tenant("apex").unwrap());
    let keys = [acme.create(alice()).unwrap(), acme.create(bob()).unwrap()];
    store.put_tenant(Tenant::new("acme").quota(Quota::per_month(10))).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::per_day(4))).unwrap();
    apex.put_owner(Owner::new("alice").quota(Quota::per_day(7))).unwrap();
    let others = [apex.create(alice()).unwrap(), store.create(alice()).unwrap()];
    assert_eq!((passed(&store, &keys[0], 20), passed(&store, &keys[1], 20)), (4, 6));
    assert_eq!(others.each_ref().map(|key| passed(&store, key, 20)), [7, 20]);
    assert_eq!(used(&store, &keys[0]), [None, Some(4), Some(10)]);
    assert_eq!(used(&store, &others[0]), [None, Some(7), None]);
    assert_eq!(acme.info().unwrap().unwrap().quota(), Some(Quota::per_month(10)));
    let owners = store.owners().unwrap();
    let names: Vec<_> =
        owners.iter().map(|owner| (owner.tenant(), owner.name(), owner.quota().unwrap().count())).collect();
    assert_eq!(names, [(Some("acme"), "alice", 4), (Some("apex"), "alice", 7)]);
    assert_eq!(acme.owners().unwrap(), owners[..1]);
    // A tenant that ends refuses all of its keys, whatever is left.
    store.end_tenant("acme", "left").unwrap();
    assert_eq!(refusal(&store, &keys[1]), AuthError::Revoked);
}

/// The first that refuses answers, in the order key, owner, tenant; and nobody has used anything.
#[test]
fn a_refused_request_takes_nothing_from_any_quota() {
    let place = Place::new();
    let store = place.open();
    let acme = store.tenant("acme").unwrap();
    let key = acme.create(alice().quota(Quota::per_day(100))).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::total(50))).unwrap();
    store.put_tenant(Tenant::new("acme").quota(Quota::per_month(20))).unwrap();
    let check = |cost| store.check(&Attempt::new(key.key.expose_secret()).cost(cost)).map_err(|error| error.code());
    let quota_of_refusal = |cost| match store.check(&Attempt::new(key.key.expose_secret()).cost(cost)).unwrap_err() {
        AuthError::QuotaExceeded { status, .. } => {
            (status.quota().period(), status.used(), status.resets_at().unwrap())
        }
        other => panic!("{other}"),
    };
    let tomorrow = Utc.with_ymd_and_hms(2028, 2, 29, 0, 0, 0).unwrap();
    let next_month = Utc.with_ymd_and_hms(2028, 3, 1, 0, 0, 0).unwrap();
    assert_eq!(quota_of_refusal(101), (QuotaPeriod::Day, 0, tomorrow));
    assert_eq!(check(51).unwrap_err(), "no_uses_left");
    assert_eq!(quota_of_refusal(21), (QuotaPeriod::Month, 0, next_month));
    assert_eq!(used(&store, &key), [Some(0); 3]);
    check(15).unwrap();
    assert_eq!(quota_of_refusal(6), (QuotaPeriod::Month, 15, next_month));
    assert_eq!(used(&store, &key), [Some(15); 3]);
    check(5).unwrap();
    assert_eq!(used(&store, &key), [Some(20); 3]);
    let error = refusal(&store, &key);
    let answer = HeaderConfig::default().refuse(&error);
    assert_eq!(answer.header("RateLimit-Policy"), Some("\"quota\";q=20;w=2678400"));
    assert!(answer.body.contains(r#""resets_at":"2028-03-01T00:00:00Z""#), "{}", answer.body);
    assert_eq!(store.refusals_of(key.info.id()), [("quota_exceeded", 4), ("no_uses_left", 1)].into());
    place.clock.set(next_month);
    check(20).unwrap();
    assert_eq!(used(&store, &key), [Some(20), Some(40), Some(20)]);
}

#[test]
fn a_verified_key_shows_the_quota_of_which_the_fewest_uses_are_left() {
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    let key = acme.create(alice().quota(Quota::per_day(30)).limit(100, TimeDelta::minutes(1))).unwrap();
    let verify = || store.verify(key.key.expose_secret()).unwrap();
    let left = |key: &VerifiedKey| store.quota_status(key).map(|status| (status.quota().count(), status.remaining()));
    let verified = verify();
    assert_eq!(left(&verified), Some((30, 29)));
    acme.put_owner(Owner::new("alice").quota(Quota::per_month(20))).unwrap();
    assert_eq!(left(&verified), Some((20, 20)), "it begins at nothing");
    store.put_tenant(Tenant::new("acme").quota(Quota::total(10))).unwrap();
    assert_eq!(left(&verified), Some((10, 10)));
    let [(_, policy), _] = store.limit_fields(&verify()).unwrap();
    assert_eq!(policy, "\"key\";q=100;w=60, \"quota\";q=10");
    // Keys without a quota of their own have those that they share.
    let other = store.verify(acme.create(bob()).unwrap().key.expose_secret()).unwrap();
    assert_eq!(left(&other), Some((10, 8)));
    let outside = store.verify(store.create(alice()).unwrap().key.expose_secret()).unwrap();
    assert_eq!((left(&outside), store.limit_fields(&outside)), (None, None));
    assert_eq!(KeyStore::temporary().unwrap().quota_status(&other), None);
    store.put_tenant(Tenant::new("acme")).unwrap();
    assert_eq!((left(&other), left(&verified)), (None, Some((20, 19))));
    acme.put_owner(Owner::new("alice")).unwrap();
    assert_eq!(left(&verified), Some((30, 28)));
}

/// The guards of one request take the largest of their costs from each quota, and give all of it back.
#[test]
fn what_a_request_takes_and_gives_back_is_of_each_quota() {
    let place = Place::new();
    let store = place.open();
    let acme = store.tenant("acme").unwrap();
    let key = acme.create(alice().quota(Quota::per_day(100))).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::per_month(50))).unwrap();
    store.put_tenant(Tenant::new("acme").quota(Quota::total(20))).unwrap();
    let charge = Charge::default();
    let verified = store.check(&Attempt::new(key.key.expose_secret()).cost(2).charge(&charge)).unwrap();
    for (cost, expected) in [(1, 2), (5, 5), (2, 5), (9, 9)] {
        store.charge_more(&verified, &charge, cost).unwrap();
        assert_eq!((used(&store, &key), charge.uses()), ([Some(expected); 3], expected as u32));
    }
    assert_eq!(store.charge_more(&verified, &charge, 21).unwrap_err(), AuthError::NoUsesLeft);
    assert_eq!((used(&store, &key), charge.uses()), ([Some(0); 3], 0));
    store.charge_more(&verified, &charge, 3).unwrap();
    store.give_back(&verified, &charge);
    store.give_back(&verified, &charge);
    assert_eq!((used(&store, &key), charge.uses()), ([Some(0); 3], 0));
    // A day begins within the request: what it took of the day that is over does not come back.
    store.charge_more(&verified, &charge, 4).unwrap();
    place.clock.advance(hours(24));
    assert_eq!(used(&store, &key), [Some(0), Some(4), Some(4)]);
    assert_eq!(passed(&store, &key, 6), 6);
    store.charge_more(&verified, &charge, 7).unwrap();
    assert_eq!(used(&store, &key), [Some(9), Some(13), Some(13)]);
    store.give_back(&verified, &charge);
    assert_eq!(used(&store, &key), [Some(6); 3]);
    // An owner gets a quota within the request, which costs all of it there.
    acme.put_owner(Owner::new("alice")).unwrap();
    let late = Charge::default();
    let verified = store.check(&Attempt::new(key.key.expose_secret()).cost(2).charge(&late)).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::per_day(10))).unwrap();
    store.charge_more(&verified, &late, 2).unwrap();
    assert_eq!(used(&store, &key), [Some(8), Some(2), Some(8)]);
    // Without a note, the verification took one of each.
    store.charge_more(&verified, &Charge::default(), 1).unwrap();
    store.charge_more(&verified, &Charge::default(), 3).unwrap();
    assert_eq!(used(&store, &key), [Some(10), Some(4), Some(10)]);
}

#[test]
fn a_change_keeps_what_was_used_and_a_quota_that_is_there_again_begins_at_nothing() {
    let place = Place::new();
    let store = place.open();
    let acme = store.tenant("acme").unwrap();
    let key = acme.create(alice()).unwrap();
    let of_owner = |quota: Option<Quota>| {
        let owner = Owner::new("alice");
        acme.put_owner(quota.map_or(owner.clone(), |quota| owner.quota(quota))).unwrap()
    };
    let of_tenant = |quota: Option<Quota>| {
        let tenant = Tenant::new("acme");
        store.put_tenant(quota.map_or(tenant.clone(), |quota| tenant.quota(quota))).unwrap()
    };
    let both: [&dyn Fn(Option<Quota>) -> bool; 2] = [&of_owner, &of_tenant];
    for put in both {
        assert!(put(Some(Quota::per_day(10))));
        assert_eq!(passed(&store, &key, 6), 6);
        assert!(put(Some(Quota::per_day(5))));
        assert_eq!(passed(&store, &key, 6), 0);
        assert!(put(Some(Quota::per_day(8))));
        assert_eq!(passed(&store, &key, 6), 2);
        assert!(put(Some(Quota::per_month(10))));
        assert_eq!(passed(&store, &key, 6), 2);
        assert!(put(Some(Quota::total(15))));
        assert_eq!(passed(&store, &key, 50), 5);
        assert!(put(None));
        assert!(!put(None));
        assert_eq!(passed(&store, &key, 50), 50);
        assert!(put(Some(Quota::total(15))));
        assert_eq!(passed(&store, &key, 50), 15);
        assert!(put(None));
    }
    assert_eq!(store.owners().unwrap(), []);
    assert_eq!(acme.of_owner("alice").info().unwrap(), None);
}

#[test]
fn what_was_used_outlives_the_store_unless_the_quota_was_removed() {
    let place = Place::new();
    let rows = || {
        let database = database::open(&place.directory.path().join("store")).unwrap();
        database.open_tree("spent").unwrap().len()
    };
    let store = place.open();
    let acme = store.tenant("acme").unwrap();
    let key = acme.create(alice()).unwrap();
    let put_owner = |store: &KeyStore, owner| store.tenant("acme").unwrap().put_owner(owner).unwrap();
    put_owner(&store, Owner::new("alice").quota(Quota::per_day(1000)));
    store.put_tenant(Tenant::new("acme").quota(Quota::total(2000))).unwrap();
    assert_eq!(passed(&store, &key, 600), 600);
    store.close().unwrap();
    assert_eq!(rows(), 2);
    let store = place.open();
    assert_eq!(used(&store, &key), [None, Some(600), Some(600)]);
    assert_eq!(passed(&store, &key, 1000), 400);
    // Removed and put again, also before a restart and a use.
    put_owner(&store, Owner::new("alice"));
    put_owner(&store, Owner::new("alice").quota(Quota::per_day(300)));
    store.close().unwrap();
    let store = place.open();
    assert_eq!(used(&store, &key), [None, Some(0), Some(1000)]);
    assert_eq!(passed(&store, &key, 1000), 300);
    put_owner(&store, Owner::new("alice"));
    store.close().unwrap();
    assert_eq!(rows(), 1);
    let store = place.open();
    assert_eq!(passed(&store, &key, 1000), 700);
    store.close().unwrap();
    // What is damaged counts as used up.
    {
        let database = database::open(&place.directory.path().join("store")).unwrap();
        let spent = database.open_tree("spent").unwrap();
        let (tenant, _) = spent.first().unwrap().unwrap();
        spent.insert(tenant, b"garbage").unwrap();
        database.flush().unwrap();
    }
    let store = place.open();
    assert_eq!(refusal(&store, &key), AuthError::NoUsesLeft);
    assert_eq!(store.tenant("acme").unwrap().add_shared_uses(5).unwrap().remaining(), 5);
    assert_eq!(passed(&store, &key, 1000), 5);
}

/// A strict quota that keys share is reserved on the disk before they use it.
#[test]
fn a_strict_quota_that_keys_share_is_reserved_first() {
    let place = Place::new();
    let store = place.open();
    let acme = store.tenant("acme").unwrap();
    let keys = [acme.create(alice()).unwrap(), acme.create(bob()).unwrap()];
    store.put_tenant(Tenant::new("acme").quota(Quota::per_month(100_000).strict())).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::per_month(100_000).strict())).unwrap();
    assert_eq!(keys.each_ref().map(|key| passed(&store, key, 200)), [200; 2]);
    // What a killed process leaves: the blocks are used.
    let copy = place.directory.path().join("copy");
    apikey_testkit::copy_directory(&place.directory.path().join("store"), &copy);
    let copied = KeyStore::builder().clock(place.clock.clone()).open(&copy).unwrap();
    let [_, owner, tenant] = used(&copied, &keys[0]);
    assert!((200..=2000).contains(&owner.unwrap()) && (400..=2000).contains(&tenant.unwrap()), "{owner:?} {tenant:?}");
    store.close().unwrap();
    assert_eq!(used(&place.open(), &keys[0]), [None, Some(200), Some(400)]);
}

#[test]
fn uses_are_added_to_what_keys_share() {
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    let key = acme.create(alice()).unwrap();
    store.put_tenant(Tenant::new("acme").permissions(["orders:*"]).quota(Quota::total(1))).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::total(2))).unwrap();
    assert_eq!(passed(&store, &key, 5), 1);
    let left = acme.add_shared_uses(3).unwrap();
    assert_eq!((left.quota(), left.used()), (Quota::total(4), 1));
    assert_eq!(acme.of_owner("alice").add_shared_uses(10).unwrap().quota(), Quota::total(12));
    assert_eq!(passed(&store, &key, 5), 3);
    assert_eq!(used(&store, &key), [None, Some(4), Some(4)]);
    assert_eq!(acme.info().unwrap().unwrap().permissions(), ["orders:*"]);
    let invalid = |error: StoreError| match error {
        StoreError::Invalid { field, value, .. } => format!("{field} {value}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(invalid(acme.add_shared_uses(0).unwrap_err()), "uses 0");
    assert_eq!(invalid(acme.add_shared_uses(u64::MAX).unwrap_err()), format!("quota.count {}", u64::MAX));
    assert_eq!(invalid(store.tenant("apex").unwrap().add_shared_uses(1).unwrap_err()), "quota none");
    assert_eq!(invalid(store.of_owner("alice").add_shared_uses(1).unwrap_err()), "quota none");
    store.put_owner(Owner::new("bob").quota(Quota::total(2).strict())).unwrap();
    assert_eq!(store.of_owner("bob").add_shared_uses(3).unwrap().quota(), Quota::total(5).strict());
    store.put_owner(Owner::new("alice").quota(Quota::per_day(5))).unwrap();
    assert_eq!(invalid(store.of_owner("alice").add_shared_uses(1).unwrap_err()), "quota 5 a day");
    store.end_tenant("acme", "left").unwrap();
    assert_eq!(acme.add_shared_uses(1).unwrap_err().code(), "tenant_ended");
}

#[test]
fn what_is_out_of_bounds_names_its_field() {
    let store = KeyStore::temporary().unwrap();
    let field = |error: StoreError| match error {
        StoreError::Invalid { field, .. } => field.to_string(),
        other => panic!("{other:?}"),
    };
    for (owner, expected) in [
        (Owner::new(""), "owner"),
        (Owner::new("a\nb"), "owner"),
        (Owner::new("x".repeat(129)), "owner"),
        (Owner::new("alice").quota(Quota::per_day(0)), "quota.count"),
    ] {
        assert_eq!(field(store.put_owner(owner).unwrap_err()), expected);
    }
    let tenant = Tenant::new("acme").quota(Quota::total(1_000_000_000_001));
    assert_eq!(field(store.put_tenant(tenant).unwrap_err()), "quota.count");
    let key = store.create(alice()).unwrap();
    let error = store.put_owner(Owner::new(key.key.expose_secret())).unwrap_err();
    assert!(!error.to_string().contains(key.key.expose_secret()), "{error}");
    assert!(serde_json::from_str::<Owner>(r#"{"name":"alice","limit":1}"#).is_err());
}

#[test]
fn threads_on_the_keys_of_a_tenant_share_its_quota_exactly() {
    const QUOTA: u64 = 20_000;
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    store.put_tenant(Tenant::new("acme").quota(Quota::per_month(QUOTA))).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::per_month(QUOTA / 2))).unwrap();
    let keys: Vec<CreatedKey> = (0..8)
        .map(|at| acme.create(if at % 2 == 0 { alice() } else { bob() }.quota(Quota::total(QUOTA / 3))).unwrap())
        .collect();
    let passed: Vec<u64> = thread::scope(|scope| {
        let all: Vec<_> =
            keys.iter().map(|key| scope.spawn(|| passed(&store, key, QUOTA as usize / 2) as u64)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let all: u64 = passed.iter().sum();
    let of_alice: u64 = passed.iter().step_by(2).sum();
    assert_eq!(all, QUOTA, "{passed:?}");
    assert!(of_alice <= QUOTA / 2, "{passed:?}");
    for (key, passed) in keys.iter().zip(&passed) {
        let owner = (key.info.owner() == "alice").then_some(of_alice);
        assert_eq!(used(&store, key), [Some(*passed), owner, Some(all)]);
    }
}

/// A request that the tenant refuses takes nothing from the owner, not even for a moment.
#[test]
fn requests_that_are_too_expensive_keep_nobody_else_from_what_is_left() {
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::total(10))).unwrap();
    store.put_tenant(Tenant::new("acme").quota(Quota::total(5))).unwrap();
    let keys = [acme.create(alice()).unwrap(), acme.create(alice()).unwrap()];
    thread::scope(|scope| {
        scope.spawn(|| {
            let attempt = Attempt::new(keys[0].key.expose_secret()).cost(10);
            assert!((0..100_000).all(|_| store.check(&attempt).is_err()));
        });
        for _ in 0..100_000 {
            let charge = Charge::default();
            let key = store.check(&Attempt::new(keys[1].key.expose_secret()).charge(&charge)).unwrap();
            store.give_back(&key, &charge);
        }
    });
    assert_eq!(used(&store, &keys[0]), [None, Some(0), Some(0)]);
}

/// While a quota comes and goes, what passes is between all and none; what is there at the end holds.
#[test]
fn a_quota_that_comes_while_requests_run_holds_for_the_next() {
    let store = KeyStore::temporary().unwrap();
    let keys: Vec<CreatedKey> = (0..4).map(|at| store.create(alice().name(format!("{at}"))).unwrap()).collect();
    for round in 1..=50 {
        thread::scope(|scope| {
            let all: Vec<_> = keys.iter().map(|key| scope.spawn(|| passed(&store, key, 200))).collect();
            store.put_owner(Owner::new(format!("other {round}")).quota(Quota::per_day(1))).unwrap();
            store.put_owner(Owner::new("alice").quota(Quota::total(round))).unwrap();
            assert!(passed(&store, &keys[0], 200) as u64 <= round);
            all.into_iter().for_each(|one| assert!(one.join().unwrap() <= 200));
        });
        assert!(keys.iter().all(|key| passed(&store, key, 200) == 0));
        assert_eq!(used(&store, &keys[0])[1], Some(round));
        store.put_owner(Owner::new("alice")).unwrap();
        assert!(keys.iter().all(|key| passed(&store, key, 2) == 2));
    }
}

#[test]
fn events_say_what_changed() {
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    store.put_tenant(Tenant::new("acme").quota(Quota::per_day(5))).unwrap();
    store.put_tenant(Tenant::new("acme").quota(Quota::per_day(6))).unwrap();
    store.put_owner(Owner::new("alice").quota(Quota::per_day(5))).unwrap();
    acme.as_actor("sales").put_owner(Owner::new("alice").quota(Quota::total(7))).unwrap();
    acme.put_owner(Owner::new("alice")).unwrap();
    let events = store.events(&EventFilter::default().kind("owner_put")).unwrap().events;
    let changes: Vec<_> = events
        .iter()
        .map(|event| match event.kind() {
            EventKind::OwnerPut { owner, tenant, quota_from, quota_to } => {
                (owner.as_str(), tenant.as_deref(), *quota_from, *quota_to)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let total = Some(Quota::total(7));
    assert_eq!(
        changes,
        [
            ("alice", None, None, Some(Quota::per_day(5))),
            ("alice", Some("acme"), None, total),
            ("alice", Some("acme"), total, None),
        ]
    );
    assert_eq!(events[1].actor().map(ToString::to_string).as_deref(), Some("sales"));
    let json = serde_json::to_value(events[1].kind()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"kind": "owner_put", "owner": "alice", "tenant": "acme", "quota_from": null,
            "quota_to": {"count": 7, "per": "total"}})
    );
    let of_tenant = store.events(&EventFilter::default().kind("tenant_put")).unwrap().events;
    let EventKind::TenantPut { quota_from, quota_to, .. } = of_tenant[1].kind() else { panic!() };
    assert_eq!((*quota_from, *quota_to), (Some(Quota::per_day(5)), Some(Quota::per_day(6))));
    // Each handle sees what is its own.
    let kinds = |events: Vec<apikey::Event>| events.iter().map(|event| event.kind().name()).collect::<Vec<_>>();
    let all = EventFilter::default();
    assert_eq!(kinds(acme.events(&all).unwrap().events), ["tenant_put", "tenant_put", "owner_put", "owner_put"]);
    assert_eq!(kinds(acme.of_owner("alice").events(&all).unwrap().events), ["owner_put", "owner_put"]);
    assert_eq!(kinds(store.of_owner("alice").events(&all).unwrap().events), ["owner_put"]);
    assert_eq!(kinds(acme.of_owner("bob").events(&all).unwrap().events), [""; 0]);
    assert!(store.verify_events().unwrap().fault.is_none());
}
