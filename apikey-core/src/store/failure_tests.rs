//! Tests of a store whose disk fails: restrictions still take effect, and nothing else does.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;

use crate::{
    Attempt, AuthError, CreatedKey, ImportScheme, Imported, KeyFilter, KeyId, KeyStore, KeyUpdate, NewKey, Overlap,
    Owner, Quota, Role, StoreError, Tenant, Usage, VerifiedKey,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Read,
    Write,
    Sync,
}

const BOTH: [Fault; 2] = [Fault::Write, Fault::Sync];
/// sled can refuse to read when it could not write.
const ALL: [Fault; 3] = [Fault::Read, Fault::Write, Fault::Sync];

fn store() -> KeyStore {
    KeyStore::temporary().unwrap()
}

fn refuse(store: &KeyStore, fault: Fault) {
    let disk = store.inner().engine.log.open().unwrap();
    let faults = &disk.faults;
    match fault {
        Fault::Read => {
            faults.read.store(true, Ordering::SeqCst);
            faults.write.store(true, Ordering::SeqCst);
        }
        Fault::Write => faults.write.store(true, Ordering::SeqCst),
        Fault::Sync => faults.sync.store(true, Ordering::SeqCst),
    }
}

fn create(store: &KeyStore) -> CreatedKey {
    store.create(NewKey::for_owner("alice").permissions(["a:read", "a:write"])).unwrap()
}

fn verify(store: &KeyStore, key: &CreatedKey) -> Result<VerifiedKey, AuthError> {
    store.verify(key.key.expose_secret())
}

fn not_durable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotDurable { .. })), "{result:?}");
}

fn io<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Io { .. })), "{result:?}");
}

#[test]
fn what_takes_rights_away_is_in_force_and_says_that_it_is_not_on_disk() {
    for fault in ALL {
        let clock = crate::ManualClock::new(chrono::Utc::now());
        let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
        let [revoked, disabled, narrowed, shortened, rotated] = [(); 5].map(|()| create(&store));
        refuse(&store, fault);
        let id = |key: &CreatedKey| key.info.id();
        not_durable(store.revoke(id(&revoked), "leaked"));
        assert_eq!(verify(&store, &revoked).unwrap_err(), AuthError::Revoked);
        not_durable(store.revoke(id(&revoked), "again"));
        not_durable(store.update(id(&disabled), KeyUpdate::new().disabled(true)));
        assert_eq!(verify(&store, &disabled).unwrap_err(), AuthError::Disabled);
        not_durable(store.update(id(&narrowed), KeyUpdate::new().permissions(["a:read", "b"])));
        let left = verify(&store, &narrowed).unwrap();
        assert!(left.allows("a:read") && !left.allows("a:write") && !left.allows("b"));
        let end = crate::Clock::now(&clock) + TimeDelta::hours(1);
        not_durable(store.update(id(&shortened), KeyUpdate::new().expires_at(end)));
        verify(&store, &shortened).unwrap();
        clock.advance(TimeDelta::hours(1));
        assert_eq!(verify(&store, &shortened).unwrap_err(), AuthError::Expired);
        not_durable(store.rotate(id(&rotated), Overlap::None));
        assert_eq!(verify(&store, &rotated).unwrap_err(), AuthError::Invalid);
        assert!(!store.health().is_good());
    }
}

#[test]
fn labels_that_a_change_takes_away_are_gone_and_those_that_it_sets_are_not_there() {
    for fault in ALL {
        let store = store();
        let new = || NewKey::for_owner("alice").name("ci").label("plan", "pro").label("region", "eu");
        let [set, removed, cleared, revoked] = [(); 4].map(|()| store.create(new()).unwrap());
        let other = store.create(NewKey::for_owner("alice2").label("plan", "pro")).unwrap();
        let labels = |key: &CreatedKey| {
            let key = verify(&store, key).unwrap();
            key.labels().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        refuse(&store, fault);
        let update = |key: &CreatedKey, update| store.update(key.info.id(), update);
        not_durable(update(&set, KeyUpdate::new().label("plan", "free").label("beta", "yes").name("cd")));
        assert_eq!(labels(&set), "region=eu", "{fault:?}");
        assert_eq!(verify(&store, &set).unwrap().name(), Some("ci"));
        not_durable(update(&removed, KeyUpdate::new().remove_label("region").label("plan", "pro")));
        assert_eq!(labels(&removed), "plan=pro", "{fault:?}");
        not_durable(update(&cleared, KeyUpdate::new().no_labels()));
        assert_eq!(labels(&cleared), "", "{fault:?}");
        io(update(&revoked, KeyUpdate::new().label("beta", "yes")));
        assert_eq!(labels(&revoked), "plan=pro region=eu", "{fault:?}");
        // The owner is a part of what the index has under one number.
        not_durable(store.revoke_owner("alice", "left"));
        for key in [&set, &removed, &cleared, &revoked] {
            assert_eq!(verify(&store, key).unwrap_err(), AuthError::Revoked);
        }
        verify(&store, &other).unwrap();
    }
}

#[test]
fn roles_that_a_change_takes_from_a_key_are_gone_and_those_that_it_adds_are_not_there() {
    for fault in ALL {
        let store = store();
        for name in ["reader", "writer", "other"] {
            store.put_role(Role::new(name).permissions([format!("a:{name}")])).unwrap();
        }
        let new = || NewKey::for_owner("alice").roles(["reader", "writer"]).permissions(["own"]);
        let [removed, set, cleared, added] = [(); 4].map(|()| store.create(new()).unwrap());
        let in_tenant = store.tenant("acme").unwrap().create(new()).unwrap();
        let held = |key: &CreatedKey| verify(&store, key).unwrap().permissions().collect::<Vec<_>>().join(" ");
        refuse(&store, fault);
        let update = |key: &CreatedKey, update| store.update(key.info.id(), update);
        not_durable(update(&removed, KeyUpdate::new().remove_roles(["writer"]).add_roles(["other"])));
        assert_eq!(held(&removed), "a:reader own", "{fault:?}");
        not_durable(update(&set, KeyUpdate::new().roles(["writer", "other"])));
        assert_eq!(held(&set), "a:writer own", "{fault:?}");
        not_durable(update(&cleared, KeyUpdate::new().roles([""; 0])));
        assert_eq!(held(&cleared), "own", "{fault:?}");
        not_durable(update(&in_tenant, KeyUpdate::new().remove_roles(["reader", "writer"])));
        assert_eq!(held(&in_tenant), "own", "{fault:?}");
        io(update(&added, KeyUpdate::new().add_roles(["other"])));
        assert_eq!(held(&added), "a:reader a:writer own", "{fault:?}");
    }
}

/// A narrowing may leave what the catalogue lacks, since a role and a tenant keep what an earlier one allowed.
#[test]
fn a_catalogue_keeps_nothing_from_being_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (of_role, of_tenant) = {
        let store = KeyStore::open(&path).unwrap();
        store.put_role(Role::new("reader").permissions(["old:read", "a:read"])).unwrap();
        store.put_tenant(Tenant::new("acme").permissions(["old:read", "a:read"])).unwrap();
        let new = || NewKey::for_owner("alice");
        let of_role = store.create(new().roles(["reader"])).unwrap();
        let of_tenant = store.tenant("acme").unwrap().create(new().permissions(["a:read"])).unwrap();
        store.close().unwrap();
        (of_role, of_tenant)
    };
    let store = KeyStore::builder().catalog(["a:read"]).open(&path).unwrap();
    refuse(&store, Fault::Read);
    not_durable(store.put_role(Role::new("reader").permissions(["old:read"])));
    not_durable(store.put_tenant(Tenant::new("acme").permissions(["old:read"])));
    for key in [&of_role, &of_tenant] {
        assert!(!verify(&store, key).unwrap().allows("a:read"));
    }
}

#[test]
fn what_roles_and_tenants_take_away_is_gone_and_what_they_give_is_not_there() {
    for fault in ALL {
        let store = store();
        for name in ["narrowed", "widened"] {
            store.put_role(Role::new(name).permissions(["a:read", "a:write"])).unwrap();
        }
        let of_role = |name: &str| store.create(NewKey::for_owner("alice").roles([name])).unwrap();
        let [narrowed, widened] = ["narrowed", "widened"].map(of_role);
        let of_tenant = |name: &str| {
            let new = NewKey::for_owner("alice").permissions(["a:*", "b:*"]);
            store.tenant(name).unwrap().create(new).unwrap()
        };
        let [bounded, freed, ended, put] = ["bounded", "freed", "ended", "put"].map(of_tenant);
        store.put_tenant(Tenant::new("freed").permissions(["a:*"])).unwrap();
        let has = |key: &CreatedKey, permission: &str| verify(&store, key).unwrap().allows(permission);
        refuse(&store, fault);
        not_durable(store.put_role(Role::new("narrowed").permissions(["a:read", "b:read"])));
        assert!(has(&narrowed, "a:read") && !has(&narrowed, "a:write") && !has(&narrowed, "b:read"), "{fault:?}");
        io(store.put_role(Role::new("widened").permissions(["a:read", "a:write", "b:read"])));
        assert!(has(&widened, "a:write") && !has(&widened, "b:read"), "{fault:?}");
        not_durable(store.put_tenant(Tenant::new("bounded").permissions(["b:*"])));
        assert!(has(&bounded, "b:read") && !has(&bounded, "a:read"), "{fault:?}");
        io(store.put_tenant(Tenant::new("freed")));
        assert!(has(&freed, "a:read") && !has(&freed, "b:read"), "{fault:?}");
        not_durable(store.put_tenant(Tenant::new("put").limit(1, TimeDelta::days(1))));
        assert!(verify(&store, &put).is_ok() && verify(&store, &put).is_err(), "{fault:?}");
        not_durable(store.end_tenant("ended", "left"));
        assert_eq!(verify(&store, &ended).unwrap_err(), AuthError::Revoked, "{fault:?}");
    }
}

#[test]
fn what_shared_quotas_take_away_is_gone_and_what_they_give_is_not_there() {
    for fault in ALL {
        let store = store();
        let acme = store.tenant("acme").unwrap();
        let new = |owner: &str| acme.create(NewKey::for_owner(owner)).unwrap();
        let [lowered, raised, freed, put] = ["lowered", "raised", "freed", "put"].map(new);
        let of_tenant = |name: &str| store.tenant(name).unwrap().create(NewKey::for_owner("alice")).unwrap();
        let [bounded, widened] = ["bounded", "widened"].map(of_tenant);
        let owner = |name: &str, uses| acme.put_owner(Owner::new(name).quota(Quota::total(uses)));
        let tenant = |name: &str, uses| store.put_tenant(Tenant::new(name).quota(Quota::total(uses)));
        for name in ["lowered", "raised", "freed"] {
            owner(name, 3).unwrap();
        }
        tenant("widened", 3).unwrap();
        let passes = |key: &CreatedKey| (0..9).filter(|_| verify(&store, key).is_ok()).count();
        refuse(&store, fault);
        not_durable(owner("lowered", 2));
        assert_eq!(passes(&lowered), 2, "{fault:?}");
        io(owner("raised", 4));
        assert_eq!(passes(&raised), 3, "{fault:?}");
        io(acme.put_owner(Owner::new("freed")));
        assert_eq!(passes(&freed), 3, "{fault:?}");
        not_durable(owner("put", 1));
        assert_eq!(passes(&put), 1, "{fault:?}");
        not_durable(tenant("bounded", 1));
        assert_eq!(passes(&bounded), 1, "{fault:?}");
        io(tenant("widened", 5));
        assert_eq!(passes(&widened), 3, "{fault:?}");
    }
}

#[test]
fn the_time_of_a_store_is_not_put_back_before_that_is_on_disk() {
    for fault in BOTH {
        let clock = crate::ManualClock::new(chrono::Utc::now());
        let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
        let key = store.create(NewKey::for_owner("alice").expires_in(TimeDelta::hours(1))).unwrap();
        clock.advance(TimeDelta::hours(1));
        create(&store);
        clock.advance(TimeDelta::hours(-1));
        refuse(&store, fault);
        io(store.accept_clock());
        assert_eq!(verify(&store, &key).unwrap_err(), AuthError::Expired);
        assert!(store.health().ahead.is_some());
    }
}

/// The kernel reports a failed sync once: a later one that succeeds proves nothing.
#[test]
fn a_failed_sync_is_remembered_whichever_thread_called_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = KeyStore::open(&path).unwrap();
    let key = create(&store);
    refuse(&store, Fault::Sync);
    io(store.purge_events(chrono::DateTime::UNIX_EPOCH));
    store.inner().engine.log.open().unwrap().faults.sync.store(false, Ordering::SeqCst);
    let disk = store.inner().engine.log.open().unwrap();
    disk.checkpoint().unwrap_err();
    drop(disk);
    io(store.create(NewKey::for_owner("bob")));
    assert!(!store.health().is_good());
    store.close().unwrap_err();
    // The kernel's cache may differ from the disk: the next process must not read the cache.
    let in_use = path.join("sled").join("in-use");
    assert!(in_use.exists());
    let store = KeyStore::open(&path).unwrap();
    verify(&store, &key).unwrap();
    assert!(in_use.exists() && store.health().is_good());
    store.close().unwrap();
    assert!(!in_use.exists());
}

/// The log stays until all checks have passed: it may contain a change that the database has lost.
#[test]
fn a_store_that_does_not_open_keeps_its_write_ahead_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let pepper = crate::Pepper::new(1, [7; 32]);
    let store = KeyStore::builder().pepper(pepper).open(&path).unwrap();
    create(&store);
    store.close().unwrap();
    let wal = || std::fs::read(path.join("sled").join("wal")).unwrap();
    let held = wal();
    assert!(held.iter().any(|byte| *byte != 0));
    KeyStore::open(&path).unwrap_err();
    assert!(wal() == held);
}

/// Only the records say whether an acting key may restrict a key; the index knows owners without them.
#[test]
fn what_is_capped_takes_nothing_away_from_keys_that_cannot_be_read() {
    let store = store();
    let [acting, target, own] = [(); 3].map(|()| create(&store));
    let bobs = store.create(NewKey::for_owner("bob")).unwrap();
    let actor = verify(&store, &acting).unwrap();
    let id = |key: &CreatedKey| key.info.id();
    refuse(&store, Fault::Read);
    io(store.revoke_within(id(&target), "", &actor));
    io(store.revoke_owner_within("alice", "", &actor));
    io(store.update(id(&target), KeyUpdate::new().disabled(true).within(&actor)));
    io(store.rotate_within(id(&target), Overlap::None, &actor));
    io(store.replace_leaked_within(id(&target), "", &actor));
    let alice = store.of_owner("alice");
    io(alice.revoke(id(&bobs), ""));
    io(alice.rotate(id(&bobs), Overlap::None));
    io(alice.update(id(&bobs), KeyUpdate::new().disabled(true)));
    for key in [&target, &bobs, &acting] {
        verify(&store, key).unwrap();
    }
    not_durable(alice.revoke(id(&own), "leaked"));
    assert_eq!(verify(&store, &own).unwrap_err(), AuthError::Revoked);
    not_durable(alice.rotate(id(&target), Overlap::None));
    assert_eq!(verify(&store, &target).unwrap_err(), AuthError::Invalid);
    not_durable(alice.revoke_all("left"));
    assert_eq!(verify(&store, &acting).unwrap_err(), AuthError::Revoked);
    verify(&store, &bobs).unwrap();
}

#[test]
fn what_gives_rights_is_not_in_force() {
    for fault in ALL {
        let store = store();
        let disabled = create(&store);
        store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
        let [widened, rotated] = [(); 2].map(|()| create(&store));
        refuse(&store, fault);
        io(store.create(NewKey::for_owner("bob")));
        io(store.update(disabled.info.id(), KeyUpdate::new().disabled(false)));
        assert_eq!(verify(&store, &disabled).unwrap_err(), AuthError::Disabled);
        io(store.update(widened.info.id(), KeyUpdate::new().permissions(["a:read", "a:write", "b", "a:*"])));
        assert!(!verify(&store, &widened).unwrap().allows("b"));
        io(store.rotate(rotated.info.id(), Overlap::For(TimeDelta::hours(1))));
        let old = verify(&store, &rotated).unwrap();
        assert!(!old.superseded(), "nobody has the new secret");
    }
}

fn passes_from(store: &KeyStore, key: &CreatedKey, peer: [u8; 4]) -> bool {
    store.check(&Attempt::new(key.key.expose_secret()).peer(std::net::IpAddr::from(peer))).is_ok()
}

#[test]
fn networks_and_limits_are_taken_away_and_not_given() {
    for fault in ALL {
        let store = store();
        let create = |new: NewKey| store.create(new).unwrap();
        let new = || NewKey::for_owner("alice");
        let hour = TimeDelta::hours(1);
        let [bound, slowed, both] = [(); 3].map(|()| create(new()));
        let second = store.rotate(slowed.info.id(), Overlap::For(hour)).unwrap();
        let narrowed = create(new().networks(["10.0.0.0/8"]));
        let slower = create(new().limit(5, hour));
        let freed = create(new().networks(["10.0.0.0/8"]).limit(2, hour));
        let untouched = create(new());
        refuse(&store, fault);
        let id = |key: &CreatedKey| key.info.id();
        not_durable(store.update(id(&bound), KeyUpdate::new().networks(["10.0.0.0/8"])));
        assert!(passes_from(&store, &bound, [10, 0, 0, 1]) && !passes_from(&store, &bound, [9, 0, 0, 1]));
        not_durable(store.update(id(&slowed), KeyUpdate::new().limit(2, hour)));
        assert!(verify(&store, &slowed).is_ok() && verify(&store, &second).is_ok(), "{fault:?}");
        assert_eq!(verify(&store, &slowed).unwrap_err().code(), "rate_limited");
        not_durable(store.update(id(&both), KeyUpdate::new().limit(1, hour).networks(["10.0.0.0/8"])));
        assert!(!passes_from(&store, &both, [9, 0, 0, 1]));
        assert!(passes_from(&store, &both, [10, 0, 0, 1]) && !passes_from(&store, &both, [10, 0, 0, 1]));
        // Two lists meet in what both contain, and two limits in the stricter.
        not_durable(store.update(id(&narrowed), KeyUpdate::new().networks(["10.1.0.0/16", "11.0.0.0/8"])));
        assert!(passes_from(&store, &narrowed, [10, 1, 0, 1]));
        assert!(!passes_from(&store, &narrowed, [10, 0, 0, 1]) && !passes_from(&store, &narrowed, [11, 0, 0, 1]));
        not_durable(store.update(id(&slower), KeyUpdate::new().limit(3, TimeDelta::minutes(1))));
        assert_eq!((0..10).filter(|_| verify(&store, &slower).is_ok()).count(), 3);
        let free = KeyUpdate::new().any_network().no_limit();
        io(store.update(id(&freed), free));
        io(store.update(id(&freed), KeyUpdate::new().networks(["0.0.0.0/0", "::/0"]).limit(9, hour)));
        assert!(!passes_from(&store, &freed, [9, 0, 0, 1]));
        assert_eq!((0..10).filter(|_| passes_from(&store, &freed, [10, 0, 0, 1])).count(), 2);
        assert!(passes_from(&store, &untouched, [9, 0, 0, 1]) && verify(&store, &untouched).is_ok());
    }
}

/// After a failed write the state of the disk is unknown: a later write that succeeds does not make it trustworthy
/// again.
#[test]
fn after_a_failure_nothing_is_acknowledged_until_the_store_is_reopened() {
    for fault in BOTH {
        let store = store();
        let (revoked, other) = (create(&store), create(&store));
        refuse(&store, fault);
        not_durable(store.revoke(revoked.info.id(), "leaked"));
        {
            let disk = store.inner().engine.log.open().unwrap();
            disk.faults.write.store(false, Ordering::SeqCst);
            disk.faults.sync.store(false, Ordering::SeqCst);
        }
        io(store.create(NewKey::for_owner("bob")));
        io(store.update(other.info.id(), KeyUpdate::new().name("x")));
        // A change of the revoked key must not bring it back.
        let _ = store.update(revoked.info.id(), KeyUpdate::new().name("x")).unwrap_err();
        assert_eq!(verify(&store, &revoked).unwrap_err(), AuthError::Revoked);
        assert!(verify(&store, &other).is_ok());
    }
}

/// The records may contain changes for which no caller has an answer.
#[test]
fn after_a_failure_no_conflict_is_reported() {
    for fault in BOTH {
        let store = store();
        let key = create(&store);
        refuse(&store, fault);
        let rotate = || store.rotate(key.info.id(), Overlap::For(TimeDelta::hours(1))).map(drop);
        let disable = || store.update(key.info.id(), KeyUpdate::new().disabled(true)).map(drop);
        let unknown = || store.revoke(KeyId::from_u128(7), "unknown").map(drop);
        let changes: [&dyn Fn() -> Result<(), StoreError>; 6] =
            [&rotate, &rotate, &disable, &rotate, &disable, &unknown];
        for change in changes {
            let error = change().unwrap_err();
            assert!(matches!(error, StoreError::NotDurable { .. } | StoreError::Io { .. }), "{error:?}");
        }
    }
}

#[test]
fn a_rotation_that_meets_an_unwritten_first_use_ends() {
    let store = store();
    let (old, other) = (create(&store), create(&store));
    let new = store.rotate(old.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    refuse(&store, Fault::Write);
    not_durable(store.revoke(other.info.id(), "the store fails"));
    assert!(verify(&store, &new).is_ok());
    // The first use cannot be written, so the record still says "unused": this must not be tried for ever.
    let _ = store.rotate(old.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap_err();
    not_durable(store.revoke(old.info.id(), "still works"));
    assert_eq!(verify(&store, &new).unwrap_err(), AuthError::Revoked);
    let _ = store.close();
}

#[test]
fn a_large_owner_is_revoked_in_memory_to_the_last_key() {
    for fault in ALL {
        let store = store();
        let keys = store.create_many((0..2500).map(|_| NewKey::for_owner("mallory"))).unwrap();
        let other = create(&store);
        refuse(&store, fault);
        not_durable(store.revoke_owner("mallory", "leaked"));
        for key in &keys {
            assert_eq!(verify(&store, key).unwrap_err(), AuthError::Revoked);
        }
        assert!(verify(&store, &other).is_ok());
    }
}

#[test]
fn a_key_whose_record_cannot_be_read_is_ended_with_all_its_secrets_and_no_other_key() {
    let store = store();
    let raw = "an-old-key-of-forty-characters-0123456789";
    let imported = store.create(NewKey::for_owner("bob").imported(Imported::raw(raw), ImportScheme::Whole)).unwrap();
    let later = NewKey::for_owner("carol").not_before(chrono::DateTime::UNIX_EPOCH);
    let later = store.create(later).unwrap();
    let rotated = create(&store);
    let successor = store.rotate(rotated.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    let other = create(&store);
    refuse(&store, Fault::Read);
    for key in [&imported, &later, &rotated] {
        not_durable(store.revoke(key.info.id(), "leaked"));
    }
    for key in [&imported, &later, &rotated, &successor] {
        assert_eq!(verify(&store, key).unwrap_err(), AuthError::Revoked);
    }
    assert!(verify(&store, &other).is_ok());
    // The store does not know whether this key exists.
    io(store.revoke(KeyId::from_u128(7), "unknown"));
    assert!(store.get(other.info.id()).is_err() && store.list(&KeyFilter::owner("alice")).is_err());
}

/// Requests of an operator through the admin socket, which are the most likely while the disk is full.
#[test]
fn while_the_disk_refuses_every_question_is_answered() {
    use crate::admin::{Answer, Request, SecretText, Session, Verdict};
    for fault in BOTH {
        let store = store();
        let [kept, taken] = [(); 2].map(|()| create(&store));
        refuse(&store, fault);
        let waits = store.create(NewKey::for_owner("alice")).unwrap_err();
        assert!(matches!(waits, StoreError::Io { .. }), "{waits:?}");
        not_durable(store.revoke(taken.info.id(), "leaked"));
        // Requests about earlier changes still have answers, and the maintenance thread's work in between changes
        // nothing.
        store.inner().checkpoint();
        let mut session = Session::new(store.clone());
        let mut ask = |request| match session.ask(request) {
            Answer::Fault(fault) => panic!("{fault:?}"),
            answer => answer,
        };
        for owner in [None, Some("alice")] {
            let filter = owner.map_or_else(KeyFilter::default, KeyFilter::owner);
            let Answer::Keys(page) = ask(Request::List(filter.clone())) else { panic!("no keys") };
            let ids: Vec<KeyId> = page.keys.iter().map(|key| key.id()).collect();
            assert_eq!(ids, [kept.info.id(), taken.info.id()], "{fault:?}, of {owner:?}");
            let Answer::Keys(page) = ask(Request::List(filter.after(kept.info.id()))) else { panic!("no keys") };
            assert_eq!(page.keys.len(), 1);
        }
        let Answer::Events(page) = ask(Request::Events(Default::default())) else { panic!("no events") };
        assert_eq!(page.events.iter().map(|event| event.number()).collect::<Vec<_>>(), [1, 2]);
        let Answer::Key(_) = ask(Request::Get { id: kept.info.id() }) else { panic!("no key") };
        // The answer shows what is in force, even if the record could not be written.
        for (key, good) in [(&kept, true), (&taken, false)] {
            let token = SecretText::new(key.key.expose_secret());
            let check = Request::Check { token, permissions: Vec::new(), peer: None };
            let Answer::Verdict(verdict) = ask(check) else { panic!("no verdict") };
            assert_eq!(matches!(*verdict, Verdict::Good { .. }), good, "{verdict:?}");
        }
        let Answer::Diagnosis(found) = ask(Request::Diagnose) else { panic!("no diagnosis") };
        assert!(!found.is_good() && found.health.failed_since.is_some() && found.events.fault.is_none(), "{found:?}");
        assert_eq!(found.keys.values().sum::<u64>(), 2);
        // The store creates no backup from an uncertain state.
        store.backup(tempfile::tempdir().unwrap().path().join("backup")).unwrap_err();
    }
}

/// Uses are the first thing that a full disk has no room for: they wait in memory, and go once they are too many. Nothing
/// else fails for it.
#[test]
fn a_full_disk_drops_counts_of_uses_first() {
    let store = KeyStore::builder().count_use(true).temporary().unwrap();
    let key = create(&store);
    let inner = store.inner();
    let counted = || store.usage(&Usage::of_key(key.info.id())).unwrap().uses();
    let fill = |is_full| inner.engine.log.open().unwrap().faults.write.store(is_full, Ordering::SeqCst);
    verify(&store, &key).unwrap();
    fill(true);
    inner.keep_usage(true);
    assert_eq!((counted(), store.health().usage_dropped), (1, 0), "it waits");
    fill(false);
    inner.keep_usage(true);
    store.update(key.info.id(), KeyUpdate::new().name("good")).unwrap();
    assert_eq!(store.get(key.info.id()).unwrap().unwrap().uses_total(), 1);

    fill(true);
    const MANY: u64 = 1 << 17;
    for other in 0..MANY {
        let counts = inner.engine.counts.as_ref().unwrap();
        counts.pending().add_uses(29_000_000, other.into(), 0, 2);
    }
    inner.keep_usage(false);
    assert_eq!(store.health().usage_dropped, 2 * MANY);
    assert!(store.health().is_good());
    fill(false);
    inner.keep_usage(true);
    assert_eq!(counted(), 1);
    store.update(key.info.id(), KeyUpdate::new().name("better")).unwrap();
}

/// A quota goes on in memory, and what was used is written once the disk can.
#[test]
fn a_quota_holds_while_the_disk_fails() {
    let store = store();
    let key = store.create(NewKey::for_owner("alice").quota(Quota::per_month(3))).unwrap();
    let faults = |is_full| store.inner().engine.log.open().unwrap().faults.write.store(is_full, Ordering::SeqCst);
    faults(true);
    for _ in 0..3 {
        verify(&store, &key).unwrap();
        store.inner().write_quotas();
    }
    assert_eq!(verify(&store, &key).unwrap_err().code(), "quota_exceeded");
    assert_eq!(store.inner().engine.index.unwritten_quotas().len(), 1);
    faults(false);
    store.inner().write_quotas();
    assert_eq!(store.inner().engine.index.unwritten_quotas(), []);
    // A lower one is in force even if it cannot be written, and a higher one is not.
    let more = store.create(NewKey::for_owner("alice").quota(Quota::per_month(9))).unwrap();
    verify(&store, &more).unwrap();
    faults(true);
    not_durable(store.update(more.info.id(), KeyUpdate::new().quota(Quota::per_month(1))));
    assert_eq!(verify(&store, &more).unwrap_err().code(), "quota_exceeded");
    io(store.update(key.info.id(), KeyUpdate::new().quota(Quota::per_month(30))));
    assert_eq!(verify(&store, &key).unwrap_err().code(), "quota_exceeded");
}

/// A strict quota has what is reserved while the disk fails, and no more; and goes on once it can.
#[test]
fn a_strict_quota_stops_while_the_disk_fails() {
    let store = store();
    let key = store.create(NewKey::for_owner("alice").quota(Quota::total(1000).strict())).unwrap();
    let faults = |is_full| store.inner().engine.log.open().unwrap().faults.write.store(is_full, Ordering::SeqCst);
    faults(true);
    let passed = (0..30).filter(|_| verify(&store, &key).is_ok()).count();
    assert_eq!(passed, 10);
    for _ in 0..3 {
        store.inner().write_quotas();
        assert_eq!(verify(&store, &key).unwrap_err().status(), 429);
    }
    assert!(store.health().is_good());
    faults(false);
    store.inner().write_quotas();
    verify(&store, &key).unwrap();
    // What a store cannot write when it closes counts as used.
    faults(true);
    assert!((0..9).all(|_| verify(&store, &key).is_ok()));
}
