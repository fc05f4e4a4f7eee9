//! Roles: what they grant, at once and for every key that has them.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use apikey::{
    Attempt, CapViolation, Conflict, EventFilter, ExportOptions, ImportOptions, KeyFilter, KeyStore, KeyUpdate, NewKey,
    Restore, Role, StoreError,
};
use chrono::TimeDelta;

fn reader(permissions: &[&str]) -> Role {
    Role::new("reader").permissions(permissions)
}

#[test]
fn an_edit_is_one_event_and_holds_for_the_next_verification_of_every_key() {
    let store = KeyStore::temporary().unwrap();
    assert!(store.put_role(reader(&["orders:read"])).unwrap());
    assert!(!store.put_role(reader(&["orders:read"])).unwrap(), "nothing changes");
    let keys = store.create_many((0..1000).map(|_| NewKey::for_owner("alice").roles(["reader"]))).unwrap();
    let before = store.health().last_durable;
    store.put_role(reader(&["stock:read"])).unwrap();
    assert_eq!(store.health().last_durable, before + 1);
    for key in &keys {
        let key = store.verify(key.key.expose_secret()).unwrap();
        assert!(key.allows("stock:read") && !key.allows("orders:read"));
    }
    let event = store.events(&EventFilter::default().limit(1)).unwrap().events.remove(0);
    assert_eq!((event.kind().name(), event.key()), ("role_put", None));
}

#[test]
fn bad_input_names_the_field() {
    let store = KeyStore::temporary().unwrap();
    let field = |error: StoreError| match error {
        StoreError::Invalid { field, .. } => field,
        other => panic!("{other:?}"),
    };
    for name in ["", "Reader", "a:b", "*", &"a".repeat(65)] {
        assert_eq!(field(store.put_role(Role::new(name)).unwrap_err()), "name", "{name}");
        assert_eq!(field(store.delete_role(name).unwrap_err()), "role", "{name}");
    }
    assert_eq!(field(store.put_role(Role::new("a").describe("x".repeat(257))).unwrap_err()), "description");
    assert!(matches!(store.put_role(reader(&["Orders"])), Err(StoreError::Permission(_))));
    let with = |roles: &[&str]| store.create(NewKey::for_owner("alice").roles(roles)).unwrap_err();
    assert_eq!((field(with(&["reader"])), field(with(&["a:b"]))), ("roles", "roles"));
    for number in 0..256 {
        store.put_role(Role::new(format!("role{number}"))).unwrap();
    }
    assert_eq!(field(store.put_role(Role::new("one.more")).unwrap_err()), "role");
    let twice = store.create(NewKey::for_owner("alice").roles(["role1", "role2", "role1"])).unwrap_err();
    assert!(twice.to_string().contains("named once") && twice.to_string().contains("role1"), "{twice}");
    assert_eq!(field(twice), "roles");
    let id = store.create(NewKey::for_owner("alice").roles(["role1"])).unwrap().info.id();
    let update = |update: KeyUpdate| store.update(id, update);
    assert_eq!(field(update(KeyUpdate::new().add_roles(["role2", "role2"])).unwrap_err()), "add_roles");
    assert_eq!(
        update(KeyUpdate::new().add_roles(["role1"])).unwrap().roles(),
        ["role1"],
        "what it has changes nothing"
    );
    let many: Vec<String> = (0..17).map(|number| format!("role{number}")).collect();
    assert_eq!(field(store.create(NewKey::for_owner("alice").roles(&many)).unwrap_err()), "roles");
}

#[test]
fn a_role_in_use_is_not_deleted() {
    let store = KeyStore::temporary().unwrap();
    store.put_role(reader(&["orders:read"])).unwrap();
    let id = store.create(NewKey::for_owner("alice").roles(["reader"])).unwrap().info.id();
    let error = store.delete_role("reader").unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::RoleInUse { keys: 1 })), "{error}");
    store.update(id, KeyUpdate::new().remove_roles(["reader"])).unwrap();
    assert!(store.delete_role("reader").unwrap() && !store.delete_role("reader").unwrap());
    assert!(store.roles().unwrap().is_empty());
}

#[test]
fn filters_find_keys_by_their_roles_and_by_what_these_grant_now() {
    let store = KeyStore::temporary().unwrap();
    store.put_role(reader(&["orders:*"])).unwrap();
    store.put_role(Role::new("other").permissions(["stock:read"])).unwrap();
    store.create(NewKey::for_owner("alice").roles(["reader"])).unwrap();
    store.create(NewKey::for_owner("bob").roles(["other"]).permissions(["orders:read"])).unwrap();
    let owners = |filter: KeyFilter| -> Vec<String> {
        store.list(&filter).unwrap().keys.iter().map(|key| key.owner().to_owned()).collect()
    };
    assert_eq!(owners(KeyFilter::default().role("reader")), ["alice"]);
    assert_eq!(owners(KeyFilter::owner("bob").role("reader")), [""; 0]);
    assert_eq!(owners(KeyFilter::default().permission("orders:read")), ["alice", "bob"]);
    assert_eq!(owners(KeyFilter::default().permission("orders:write")), ["alice"]);
    assert_eq!(owners(KeyFilter::default().permission("stock:read")), ["bob"]);
    store.put_role(reader(&["stock:read"])).unwrap();
    assert_eq!(owners(KeyFilter::default().permission("orders:read")), ["bob"]);
    assert_eq!(owners(KeyFilter::default().permission("stock:read")), ["alice", "bob"]);
    let error = store.list(&KeyFilter::default().role("a:b")).unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "role", .. }), "{error}");
}

#[test]
fn an_acting_key_hands_on_no_role_that_grants_more() {
    let store = KeyStore::temporary().unwrap();
    store.put_role(reader(&["orders:read"])).unwrap();
    store.put_role(Role::new("writer").permissions(["orders:*"])).unwrap();
    let actor = store.create(NewKey::for_owner("alice").roles(["reader"])).unwrap();
    let actor = store.verify(actor.key.expose_secret()).unwrap();
    let new = |role: &str| store.create(NewKey::for_owner("alice").roles([role]).within(&actor));
    assert!(new("reader").is_ok());
    assert!(matches!(new("writer"), Err(StoreError::Exceeds(CapViolation::Grant(_)))));
    let put = |name: &str, grants: &[&str]| store.put_role_within(Role::new(name).permissions(grants), &actor);
    assert!(put("viewer", &["orders:read"]).unwrap());
    assert!(matches!(put("viewer", &["orders:write"]), Err(StoreError::Exceeds(CapViolation::Grant(_)))));
    assert!(matches!(put("writer", &[]), Err(StoreError::Exceeds(CapViolation::Role(_)))));
    assert!(matches!(store.delete_role_within("writer", &actor), Err(StoreError::Exceeds(CapViolation::Role(_)))));
}

#[test]
fn roles_outlive_a_restart_a_backup_and_an_export_and_a_restore_gives_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::open(path("store")).unwrap();
    store.put_role(reader(&["orders:read", "stock:read"]).describe("reads")).unwrap();
    let created = store.create(NewKey::for_owner("alice").roles(["reader"])).unwrap();
    let token = created.key.expose_secret();
    store.backup(path("backup")).unwrap();
    store.put_role(reader(&["stock:read"])).unwrap();
    store.close().unwrap();
    let store = KeyStore::open(path("store")).unwrap();
    let gives = |store: &KeyStore| {
        let key = store.verify(token).unwrap();
        (key.allows("orders:read"), key.allows("stock:read"))
    };
    assert_eq!(gives(&store), (false, true));

    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let other = KeyStore::temporary().unwrap();
    let report = other.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.roles, report.refused.len()), (1, 1, 0));
    assert_eq!(gives(&other), (false, true));
    store.close().unwrap();

    KeyStore::restore(&Restore::new(path("backup"), path("alone"))).unwrap();
    assert_eq!(gives(&KeyStore::open(path("alone")).unwrap()), (true, true));
    let report = KeyStore::restore(&Restore::new(path("backup"), path("over")).over(path("store"))).unwrap();
    assert_eq!(report.roles, ["reader"]);
    let restored = KeyStore::open(path("over")).unwrap();
    assert_eq!(gives(&restored), (false, true));
    assert!(restored.verify_events().unwrap().is_whole());
}

#[test]
fn an_actor_without_delegation_leaves_a_role_what_it_manages_already() {
    let store = KeyStore::temporary().unwrap();
    store.put_role(reader(&["orders:read", "keys:create"])).unwrap();
    let actor = store.create(NewKey::for_owner("alice").permissions(["orders:*", "keys:create"])).unwrap();
    let actor = store.verify(actor.key.expose_secret()).unwrap();
    assert!(store.put_role_within(reader(&["orders:write", "keys:create"]), &actor).unwrap());
    assert!(store.put_role_within(reader(&["orders:write"]), &actor).unwrap());
    let error = store.put_role_within(reader(&["keys:create"]), &actor).unwrap_err();
    assert!(matches!(error, StoreError::Exceeds(CapViolation::Delegation(_))), "{error}");
}

/// The keys with the role would have what it grants without the bounds of the actor, as the actor could not give it to them.
#[test]
fn an_actor_with_bounds_of_its_own_gives_nothing_to_a_role_that_is_there() {
    let store = KeyStore::temporary().unwrap();
    store.put_role(reader(&["orders:read"])).unwrap();
    let unbounded = store.create(NewKey::for_owner("alice").roles(["reader"])).unwrap();
    let bounded = || NewKey::for_owner("alice").permissions(["orders:*"]);
    let minute = TimeDelta::minutes(1);
    let violation = |result: Result<bool, StoreError>| match result.unwrap_err() {
        StoreError::Exceeds(violation) => violation.kind(),
        other => panic!("{other}"),
    };
    for (new, kind) in [
        (bounded().expires_in(minute), "end"),
        (bounded().idle_after(TimeDelta::days(1)), "idle"),
        (bounded().networks(["10.0.0.0/8"]), "networks"),
        (bounded().limit(10, minute), "limit"),
    ] {
        let actor = store.create(new).unwrap();
        let attempt = Attempt::new(actor.key.expose_secret()).peer(std::net::IpAddr::from([10, 1, 2, 3]));
        let actor = store.check(&attempt).unwrap();
        let more = || KeyUpdate::new().permissions(["orders:write"]).within(&actor);
        assert!(store.update(unbounded.info.id(), more()).is_err());
        let put = |permissions: &[&str]| store.put_role_within(reader(permissions), &actor);
        assert_eq!(violation(put(&["orders:read", "orders:write"])), kind);
        assert!(!store.verify(unbounded.key.expose_secret()).unwrap().allows("orders:write"));
        // It may narrow the role, describe it, and make one that no key has.
        assert!(put(&[]).unwrap());
        assert!(store.put_role_within(reader(&[]).describe(kind), &actor).unwrap());
        assert!(store.put_role_within(Role::new(kind).permissions(["orders:write"]), &actor).unwrap());
        store.put_role(reader(&["orders:read"])).unwrap();
    }
}

/// The role grants another permission in each version. A verification between two versions finds one of those that were in
/// force while it ran, in every key with the role.
#[test]
fn a_verification_beside_edits_has_what_was_in_force_while_it_ran() {
    const VERSIONS: usize = 1000;
    let store = KeyStore::temporary().unwrap();
    let version = |number: usize| reader(&["always", &format!("v{number}")]);
    store.put_role(version(0)).unwrap();
    store.put_role(Role::new("other").permissions(["other"])).unwrap();
    let create = |new: NewKey| store.create(new).unwrap();
    let keys = [
        create(NewKey::for_owner("alice").roles(["reader"])),
        create(NewKey::for_owner("bob").roles(["reader", "other"]).permissions(["own"])),
        create(NewKey::for_owner("carol").roles(["reader"])),
    ];
    // The versions whose edits have begun and ended.
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let check = |at: usize| {
        let first = ended.load(SeqCst);
        let key = store.verify(keys[at].key.expose_secret()).unwrap();
        let last = begun.load(SeqCst);
        let held: Vec<usize> = (0..=VERSIONS).filter(|number| key.allows(format!("v{number}"))).collect();
        assert!(held.iter().all(|number| (first..=last).contains(number)), "{held:?} in {first}..={last}");
        // The third key loses the role and gets it again.
        assert!(held.len() <= 1 && (at == 2 || key.allows("always")), "{held:?}");
        assert_eq!((key.allows("own"), key.allows("other")), (at == 1, at == 1));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=VERSIONS {
                begun.store(number, SeqCst);
                store.put_role(version(number)).unwrap();
                ended.store(number, SeqCst);
            }
        });
        scope.spawn(|| {
            let id = keys[2].info.id();
            while ended.load(SeqCst) < VERSIONS {
                store.update(id, KeyUpdate::new().remove_roles(["reader"])).unwrap();
                store.update(id, KeyUpdate::new().add_roles(["reader"])).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while ended.load(SeqCst) < VERSIONS {
                    (0..keys.len()).for_each(&check);
                }
            });
        }
    });
    (0..keys.len()).for_each(check);
}

#[test]
fn a_role_of_a_hundred_thousand_keys_is_edited_by_one_event() {
    const KEYS: usize = 100_000;
    let store = KeyStore::temporary().unwrap();
    store.put_role(reader(&["orders:read"])).unwrap();
    let mut some = Vec::new();
    for _ in 0..KEYS / 10_000 {
        let new = (0..10_000).map(|_| NewKey::for_owner("alice").roles(["reader"]));
        some.push(store.create_many(new).unwrap().swap_remove(5_000));
    }
    let before = store.health().last_durable;
    store.put_role(reader(&["stock:read"])).unwrap();
    assert_eq!(store.health().last_durable, before + 1);
    for key in &some {
        let key = store.verify(key.key.expose_secret()).unwrap();
        assert!(key.allows("stock:read") && !key.allows("orders:read"));
    }
    let error = store.delete_role("reader").unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::RoleInUse { keys: 100_000 })), "{error}");
}

/// A deletion counts the keys with the role while others get it.
#[test]
fn no_key_is_left_with_a_role_that_was_deleted_meanwhile() {
    const TURNS: usize = 300;
    let store = KeyStore::temporary().unwrap();
    store.create_many((0..100).map(|_| NewKey::for_owner("alice"))).unwrap();
    let deleted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..TURNS {
                    match store.create(NewKey::for_owner("bob").roles(["reader"])) {
                        Ok(created) => {
                            assert!(store.role("reader").unwrap().is_some(), "a key has the role");
                            store.update(created.info.id(), KeyUpdate::new().remove_roles(["reader"])).unwrap();
                        }
                        Err(StoreError::Invalid { field: "roles", .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..TURNS {
                store.put_role(reader(&["orders:read"])).unwrap();
                match store.delete_role("reader") {
                    Ok(true) => drop(deleted.fetch_add(1, SeqCst)),
                    Err(StoreError::Conflict(Conflict::RoleInUse { .. })) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    });
    assert!(deleted.load(SeqCst) > 0);
}
