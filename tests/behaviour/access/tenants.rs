//! Tenants: whose keys a handle sees, and what a key of a tenant manages.

use apikey::sink::from_fn;
use apikey::{
    AuthError, CapViolation, Clock, Conflict, CreatedKey, EventFilter, ExportOptions, ImportOptions, KeyFilter, KeyId,
    KeyState, KeyStore, KeyUpdate, LineFault, NewKey, Overlap, Restore, Revoked, Role, RotationPolicy, Rotator,
    StoreError, Tenant, TenantStore, VerifiedKey,
};
use apikey_testkit::{clocked, hours};
use chrono::TimeDelta;
use proptest::prelude::*;

/// A store with owners of the same names in two tenants and in none.
fn store() -> (KeyStore, [CreatedKey; 6]) {
    let store = KeyStore::temporary().unwrap();
    let [acme, apex] = ["acme", "apex"].map(|name| store.tenant(name).unwrap());
    let new = |owner: &str| NewKey::for_owner(owner).permissions(["orders:*"]);
    let keys = [
        store.create(new("alice")).unwrap(),
        store.create(new("bob")).unwrap(),
        acme.create(new("alice")).unwrap(),
        acme.create(new("bob")).unwrap(),
        apex.create(new("alice")).unwrap(),
        apex.create(new("bob")).unwrap(),
    ];
    (store, keys)
}

fn verified(store: &KeyStore, key: &CreatedKey) -> VerifiedKey {
    store.verify(key.key.expose_secret()).unwrap()
}

fn ids<'k>(keys: impl IntoIterator<Item = &'k CreatedKey>) -> Vec<KeyId> {
    keys.into_iter().map(|key| key.info.id()).collect()
}

fn listed(list: impl Fn(&KeyFilter) -> Result<apikey::Page, StoreError>, filter: KeyFilter) -> Vec<KeyId> {
    let page = list(&filter.limit(1000)).unwrap();
    page.keys.iter().map(apikey::KeyInfo::id).collect()
}

#[test]
fn a_verified_key_names_its_tenant() {
    let (store, keys) = store();
    for (key, tenant) in keys.iter().zip([None, None, Some("acme"), Some("acme"), Some("apex"), Some("apex")]) {
        let key = verified(&store, key);
        assert_eq!(key.tenant(), tenant);
        assert_eq!(store.get(key.id()).unwrap().unwrap().tenant(), tenant);
        for name in ["acme", "apex", "", "ACME", "acme\u{1}"] {
            let expected = if tenant == Some(name) { Ok(()) } else { Err(AuthError::NotFound) };
            assert_eq!(key.in_tenant(name), expected, "{name:?}");
        }
        assert_eq!(key.in_no_tenant().is_ok(), tenant.is_none());
    }
    assert_eq!((AuthError::NotFound.status(), AuthError::NotFound.code()), (404, "not_found"));
}

#[test]
fn a_handle_sees_the_keys_of_its_tenant() {
    let (store, keys) = store();
    let [acme, apex] = ["acme", "apex"].map(|name| store.tenant(name).unwrap());
    let all = || KeyFilter::default();
    assert_eq!(listed(|filter| acme.list(filter), all()), ids(&keys[2..4]));
    assert_eq!(listed(|filter| apex.list(filter), all()), ids(&keys[4..]));
    assert_eq!(listed(|filter| acme.list(filter), KeyFilter::owner("alice")), ids(&keys[2..3]));
    assert_eq!(listed(|filter| acme.list(filter), all().tenant("apex")), []);
    assert_eq!(listed(|filter| acme.list(filter), all().no_tenant()), []);
    assert_eq!(listed(|filter| acme.list(filter), KeyFilter::owner("bob").any_tenant()), ids(&keys[3..4]));
    assert_eq!(listed(|filter| acme.of_owner("alice").list(filter), all()), ids(&keys[2..3]));
    assert_eq!(listed(|filter| store.of_owner("alice").list(filter), all()), ids(&keys[..1]));
    assert_eq!(listed(|filter| store.of_owner_of(&verified(&store, &keys[5])).list(filter), all()), ids(&keys[5..]));
    // A name that no owner can have leads to no keys, and not to all of the tenant.
    for name in ["", "\0", "alice\0", "\u{1}"] {
        assert_eq!(listed(|filter| acme.of_owner(name).list(filter), all()), [], "{name:?}");
        assert_eq!(listed(|filter| store.of_owner(name).list(filter), all()), [], "{name:?}");
        assert!(acme.of_owner(name).get(keys[2].info.id()).unwrap().is_none());
    }
    // Without a tenant an owner is one of none.
    assert_eq!(listed(|filter| store.list(filter), KeyFilter::owner("alice")), ids(&keys[..1]));
    assert_eq!(listed(|filter| store.list(filter), all()), ids(&keys));
    assert_eq!(listed(|filter| store.list(filter), all().no_tenant()), ids(&keys[..2]));
    assert_eq!(listed(|filter| store.list(filter), all().tenant("acme")), ids(&keys[2..4]));
    assert_eq!(listed(|filter| store.list(filter), KeyFilter::owner("alice").tenant("apex")), ids(&keys[4..5]));
    let alices = ids([&keys[0], &keys[2], &keys[4]]);
    assert_eq!(listed(|filter| store.list(filter), KeyFilter::owner("alice").any_tenant()), alices);
    let events = acme.events(&EventFilter::default()).unwrap().events;
    assert_eq!(events.iter().filter_map(apikey::Event::key).collect::<Vec<_>>(), ids(&keys[2..4]));
}

#[test]
fn an_owner_is_revoked_in_its_tenant_alone() {
    let (store, keys) = store();
    assert_eq!(store.revoke_owner("alice", "left").unwrap(), 1);
    assert_eq!(store.tenant("acme").unwrap().revoke_owner("alice", "left").unwrap(), 1);
    let refused = keys.each_ref().map(|key| store.verify(key.key.expose_secret()).is_err());
    assert_eq!(refused, [true, false, true, false, false, false]);
}

#[test]
fn a_name_that_is_none_is_an_error() {
    let store = KeyStore::temporary().unwrap();
    for name in ["", "Acme", "a b", "a:b", "*", "../acme", "acme\0", "é", &"a".repeat(65)] {
        let error = store.tenant(name).unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { field: "tenant", .. }), "{name:?}: {error}");
    }
    assert!(store.tenant("a".repeat(64)).is_ok() && store.tenant("_-0").is_ok());
    let both: Result<KeyFilter, _> = serde_json::from_str(r#"{"tenant": "acme", "any_tenant": true}"#);
    assert!(matches!(store.list(&both.unwrap()), Err(StoreError::Invalid { field: "tenant", .. })));
}

/// What a caller learns from a handle about an id: every answer, as a text without the id.
fn answers(tenant: &TenantStore, id: KeyId, actor: &VerifiedKey) -> String {
    let text =
        |error: StoreError| format!("{} {} {error}", error.status(), error.code()).replace(&id.to_string(), "ID");
    let update = || KeyUpdate::new().name("mine");
    format!(
        "{:?}",
        [
            tenant.get(id).map(|key| format!("{key:?}")).unwrap_or_else(text),
            tenant.get_within(id, actor).map(|key| format!("{key:?}")).unwrap_or_else(text),
            tenant.update(id, update()).map(|_| String::new()).unwrap_or_else(text),
            tenant.update(id, update().within(actor)).map(|_| String::new()).unwrap_or_else(text),
            tenant.rotate(id, Overlap::None).map(|_| String::new()).unwrap_or_else(text),
            tenant.rotate_within(id, Overlap::None, actor).map(|_| String::new()).unwrap_or_else(text),
            tenant.replace_leaked(id, "mine").map(|_| String::new()).unwrap_or_else(text),
            tenant.replace_leaked_within(id, "mine", actor).map(|_| String::new()).unwrap_or_else(text),
            tenant.revoke(id, "mine").map(|_| String::new()).unwrap_or_else(text),
            tenant.revoke_within(id, "mine", actor).map(|_| String::new()).unwrap_or_else(text),
            format!("{:?}", tenant.events(&EventFilter::default().key(id)).unwrap().events),
        ]
    )
}

#[test]
fn a_foreign_id_has_the_answers_of_an_unknown_one() {
    let store = KeyStore::temporary().unwrap();
    let [acme, apex] = ["acme", "apex"].map(|name| store.tenant(name).unwrap());
    let actor = acme.create(NewKey::for_owner("admin").permissions(["*", "keys:*"])).unwrap();
    let actor = verified(&store, &actor);
    let foreign = apex.create_many((0..500).map(|n| NewKey::for_owner(format!("owner {}", n % 7)))).unwrap();
    let of_none = store.create_many((0..500).map(|n| NewKey::for_owner(format!("owner {}", n % 7)))).unwrap();
    let unknown = answers(&acme, "01931a4e-7c3b-7def-8123-456789abcdef".parse().unwrap(), &actor);
    assert!(unknown.contains("404 not_found"), "{unknown}");
    for id in ids(foreign.iter().chain(&of_none)) {
        assert_eq!(answers(&acme, id, &actor), unknown);
    }
    for key in foreign.iter().chain(&of_none) {
        let key = verified(&store, key);
        assert_eq!((key.secret_version(), key.superseded()), (1, false));
    }
}

proptest! {
    /// Whatever an actor of a tenant has, it manages keys of its tenant only, also through a handle that sees all keys.
    #[test]
    fn a_key_of_a_tenant_never_leaves_it(
        grants in proptest::sample::subsequence(vec!["*", "keys:*", "keys:any_owner", "keys:any_tenant", "orders:*", "keys:delegate"], 0..6),
        at in 0usize..3, target in 0usize..6, operation in 0usize..7,
    ) {
        let (store, keys) = store();
        let tenants = [None, Some("acme"), Some("apex")];
        let new = NewKey::for_owner("alice").permissions(&grants);
        let actor = match tenants[at] {
            None => store.create(new).unwrap(),
            Some(tenant) => store.tenant(tenant).unwrap().create(new).unwrap(),
        };
        let actor = verified(&store, &actor);
        let id = keys[target].info.id();
        let of_target = keys[target].info.tenant();
        let done = match operation {
            0 => store.get_within(id, &actor).unwrap().is_some(),
            1 => store.update(id, KeyUpdate::new().disabled(true).within(&actor)).is_ok(),
            2 => store.rotate_within(id, Overlap::None, &actor).is_ok(),
            3 => store.revoke_within(id, "mine", &actor).is_ok(),
            4 => store.replace_leaked_within(id, "mine", &actor).is_ok(),
            5 => store.list_within(&KeyFilter::default().limit(1000), &actor).unwrap().keys.iter().any(|key| key.id() == id),
            _ => {
                let of_target = of_target.map_or_else(|| store.create(NewKey::for_owner("alice").within(&actor)), |tenant| {
                    store.tenant(tenant).unwrap().create(NewKey::for_owner("alice").within(&actor))
                });
                of_target.is_ok_and(|created| created.info.tenant() == keys[target].info.tenant())
            }
        };
        let has = |wanted: &str| grants.iter().any(|grant| *grant == wanted || *grant == "keys:*" || (*grant == "*" && at == 0));
        // Without a tenant, an actor reaches others by two permissions. `*` counts there, and nowhere else.
        let may = of_target == actor.tenant() || (at == 0 && has("keys:any_owner") && has("keys:any_tenant"));
        // Creating through the plain store makes a key of the actor's own tenant.
        prop_assert!(!done || may || (operation == 6 && of_target.is_none() && at != 0), "{grants:?} {tenants:?} {at} {target} {operation}");
        if operation == 6 && of_target.is_none() && at != 0 {
            prop_assert!(!done);
        }
    }
}

#[test]
fn an_actor_of_a_tenant_creates_in_it() {
    let (store, _) = store();
    let acme = store.tenant("acme").unwrap();
    let admin = verified(&store, &acme.create(NewKey::for_owner("admin").permissions(["*", "keys:*"])).unwrap());
    let new = || NewKey::for_owner("carol").permissions(["orders:read"]).within(&admin);
    assert_eq!(store.create(new()).unwrap().info.tenant(), Some("acme"));
    assert_eq!(acme.create(new()).unwrap().info.tenant(), Some("acme"));
    let error = store.tenant("apex").unwrap().create(new()).unwrap_err();
    let expected = CapViolation::Tenant { wanted: Some("apex".into()), actor: Some("acme".into()) };
    assert!(matches!(&error, StoreError::Exceeds(violation) if *violation == expected), "{error}");
    // In a tenant `*` gives everything and exempts from nothing.
    let star = verified(
        &store,
        &acme.create(NewKey::for_owner("admin").permissions(["*"]).expires_in(chrono::TimeDelta::hours(1))).unwrap(),
    );
    let longer = acme.create(
        NewKey::for_owner("admin").permissions(["orders:read"]).expires_in(chrono::TimeDelta::hours(2)).within(&star),
    );
    assert!(matches!(longer.unwrap_err(), StoreError::Exceeds(CapViolation::End { .. })));
    let other = acme.create(NewKey::for_owner("bob").permissions(["orders:read"]).within(&star));
    assert!(matches!(other.unwrap_err(), StoreError::Exceeds(CapViolation::Owner { .. })));
}

#[test]
fn copies_keep_the_tenant() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::open(path("store")).unwrap();
    let key = store.tenant("acme").unwrap().create(NewKey::for_owner("alice")).unwrap();
    store.backup(path("backup")).unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    store.close().unwrap();
    KeyStore::restore(&Restore::new(path("backup"), path("restored"))).unwrap();
    let restored = KeyStore::open(path("restored")).unwrap();
    let imported = KeyStore::temporary().unwrap();
    imported.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    for copy in [KeyStore::open(path("store")).unwrap(), restored, imported] {
        assert_eq!(verified(&copy, &key).tenant(), Some("acme"));
        assert_eq!(listed(|filter| copy.tenant("acme").unwrap().list(filter), KeyFilter::default()), [key.info.id()]);
        assert_eq!(copy.tenant("acme").unwrap().revoke_owner("alice", "left").unwrap(), 1);
    }
}

fn acme() -> Tenant {
    Tenant::new("acme")
}

#[test]
fn a_tenant_bounds_all_of_its_keys_at_once() {
    let store = KeyStore::temporary().unwrap();
    let tenant = store.tenant("acme").unwrap();
    store.put_role(Role::new("reader").permissions(["stock:read"])).unwrap();
    let plain = || NewKey::for_owner("alice").permissions(["orders:*", "*:read"]).roles(["reader"]);
    let keys: Vec<_> = (0..100).map(|_| tenant.create(plain()).unwrap()).collect();
    let outside = store.create(plain()).unwrap();
    let has = |key: &CreatedKey, permission: &str| verified(&store, key).allows(permission);
    assert!(keys.iter().all(|key| has(key, "orders:write") && has(key, "stock:read")));

    let before = store.health().last_durable;
    assert!(store.put_tenant(acme().permissions(["orders:*"])).unwrap());
    assert!(!store.put_tenant(acme().permissions(["orders:*"])).unwrap(), "nothing changes");
    assert_eq!(store.health().last_durable, before + 1, "one event for all keys");
    assert!(keys.iter().all(|key| has(key, "orders:write") && !has(key, "stock:read") && !has(key, "a:read")));
    assert!(has(&outside, "stock:read"));
    let later = tenant.create(plain()).unwrap();
    assert_eq!(verified(&store, &later).permissions().collect::<Vec<_>>(), ["orders:*"]);
    assert_eq!(later.info.permissions(), ["orders:*", "*:read"], "its own grants stay");

    store.put_tenant(acme().permissions(["stock:*"])).unwrap();
    assert!(has(&later, "stock:read") && !has(&later, "orders:write"));
    store.put_role(Role::new("reader").permissions(["stock:write", "orders:none"])).unwrap();
    assert!(has(&later, "stock:write") && !has(&later, "orders:none"));
    store.put_tenant(acme().permissions::<&str>([])).unwrap();
    assert_eq!(verified(&store, &later).permissions().count(), 0);
    store.put_tenant(acme()).unwrap();
    assert!(has(&later, "orders:write") && has(&later, "stock:write"));
    assert_eq!(tenant.info().unwrap().unwrap().permissions(), ["*"]);
    assert!(store.tenant("apex").unwrap().info().unwrap().is_none());
}

#[test]
fn the_keys_of_a_tenant_share_its_limit() {
    let store = KeyStore::temporary().unwrap();
    let tenant = store.tenant("acme").unwrap();
    let keys = [(); 2].map(|()| tenant.create(NewKey::for_owner("alice")).unwrap());
    let own = tenant.create(NewKey::for_owner("alice").limit(1, TimeDelta::days(1))).unwrap();
    let other = store.tenant("apex").unwrap().create(NewKey::for_owner("alice")).unwrap();
    store.put_tenant(acme().limit(4, TimeDelta::days(1))).unwrap();
    let passes = |key: &CreatedKey| match store.verify(key.key.expose_secret()) {
        Ok(_) => true,
        Err(AuthError::RateLimited { limit, .. }) => {
            assert!(limit.is_some());
            false
        }
        Err(other) => panic!("{other}"),
    };
    assert!(
        passes(&own) && !passes(&own) && !passes(&own),
        "its own limit comes first, and takes nothing from the others"
    );
    let key = verified(&store, &keys[0]);
    assert_eq!(store.limit_status(&key).unwrap().remaining(), 2);
    assert!(passes(&keys[1]) && passes(&keys[0]) && !passes(&keys[0]) && !passes(&keys[1]));
    assert_eq!(store.limit_status(&key).unwrap().remaining(), 0);
    assert!(passes(&other));
    store.put_tenant(acme()).unwrap();
    assert!(passes(&keys[0]) && store.limit_status(&key).is_none());
    // What was used stays used.
    store.put_tenant(acme().limit(4, TimeDelta::days(1))).unwrap();
    assert!(!passes(&keys[0]));
}

#[test]
fn an_ended_tenant_is_over_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::open(path("store")).unwrap();
    let tenant = store.tenant("acme").unwrap();
    let keys: Vec<_> = (0..50).map(|_| tenant.create(NewKey::for_owner("alice")).unwrap()).collect();
    let other = store.create(NewKey::for_owner("alice")).unwrap();
    let caller = verified(&store, &keys[0]);
    let before = store.health().last_durable;
    assert!(store.end_tenant("acme", "left").unwrap());
    assert!(!store.end_tenant("acme", "again").unwrap());
    assert_eq!(store.health().last_durable, before + 1, "one event for all keys");
    let is_over = |store: &KeyStore| {
        for key in &keys {
            assert_eq!(store.verify(key.key.expose_secret()).unwrap_err(), AuthError::Revoked);
        }
        let tenant = store.tenant("acme").unwrap();
        let (id, info) = (keys[0].info.id(), tenant.get(keys[0].info.id()).unwrap().unwrap());
        assert_eq!(info.revoked().map(Revoked::reason), Some("left"));
        let revoked = KeyFilter::default().state(KeyState::Revoked).limit(1000);
        assert_eq!(tenant.list(&revoked).unwrap().keys.len(), 50);
        let ended = [
            tenant.create(NewKey::for_owner("bob")).map(drop),
            tenant.update(id, KeyUpdate::new().name("x")).map(drop),
            tenant.rotate(id, Overlap::None).map(drop),
            tenant.replace_leaked(id, "leaked").map(drop),
            store.put_tenant(acme()).map(drop),
        ];
        for error in ended.map(Result::unwrap_err) {
            assert!(matches!(error, StoreError::Conflict(Conflict::TenantEnded)), "{error}");
            assert_eq!((error.status(), error.code()), (409, "tenant_ended"));
        }
        assert!(store.verify(other.key.expose_secret()).is_ok());
    };
    is_over(&store);
    assert_eq!(store.recheck(&caller), Err(AuthError::Revoked));
    store.close().unwrap();
    let store = KeyStore::open(path("store")).unwrap();
    is_over(&store);
    assert!(store.verify_events().unwrap().is_whole());
    assert_eq!(store.purge(chrono::Utc::now() + TimeDelta::hours(1)).unwrap(), 50);
    assert!(store.tenant("acme").unwrap().create(NewKey::for_owner("bob")).is_err());
    let named: Vec<_> = store.tenants().unwrap().iter().map(|tenant| tenant.name().to_owned()).collect();
    assert_eq!(named, ["acme"]);
}

#[test]
fn who_puts_a_tenant_covers_what_it_leaves() {
    let store = KeyStore::temporary().unwrap();
    store.put_tenant(acme().permissions(["orders:*"])).unwrap();
    let actor =
        |grants: &[&str]| verified(&store, &store.create(NewKey::for_owner("admin").permissions(grants)).unwrap());
    let violation = |result: Result<bool, StoreError>| match result {
        Ok(_) => None,
        Err(StoreError::Exceeds(violation)) => Some(violation.kind()),
        Err(other) => panic!("{other}"),
    };
    let any = ["keys:any_owner", "keys:any_tenant"];
    let put = |grants: &[&str], to: &[&str]| {
        let all: Vec<&str> = any.iter().chain(grants).copied().collect();
        violation(store.put_tenant_within(acme().permissions(to), &actor(&all)))
    };
    assert_eq!(violation(store.put_tenant_within(acme(), &actor(&["orders:*", "keys:any_owner"]))), Some("tenant"));
    assert_eq!(
        violation(store.end_tenant_within("acme", "", &actor(&["orders:*", "keys:any_tenant"]))),
        Some("tenant")
    );
    assert_eq!(put(&["orders:read"], &["orders:read"]), Some("grant"), "it does not cover what there was");
    assert_eq!(put(&["orders:*"], &["stock:read"]), Some("grant"));
    assert_eq!(put(&["orders:*", "keys:*"], &["orders:*", "keys:create"]), None, "keys:* is keys:delegate, too");
    assert_eq!(put(&["orders:*", "keys:create"], &["orders:*", "keys:create"]), None, "nothing changes");
    assert_eq!(put(&["*"], &["*"]), None);
    assert_eq!(put(&["orders:*"], &["orders:*"]), Some("grant"));
    let inside = store.tenant("acme").unwrap().create(NewKey::for_owner("admin").permissions(["*", "keys:*"])).unwrap();
    let inside = verified(&store, &inside);
    assert_eq!(violation(store.put_tenant_within(acme(), &inside)), Some("tenant"));
    assert_eq!(violation(store.end_tenant_within("acme", "", &inside)), Some("tenant"));
    assert_eq!(violation(store.put_role_within(Role::new("reader"), &inside)), Some("role"));
    assert!(store.end_tenant_within("acme", "left", &actor(&["*"])).unwrap());
}

#[test]
fn an_actor_has_no_more_than_its_tenant_leaves_it() {
    let store = KeyStore::temporary().unwrap();
    let tenant = store.tenant("acme").unwrap();
    let admin = tenant.create(NewKey::for_owner("alice").permissions(["*", "keys:*"])).unwrap();
    let admin = verified(&store, &admin);
    store.put_tenant(acme().permissions(["orders:*"])).unwrap();
    let new = |grant: &str| tenant.create(NewKey::for_owner("alice").permissions([grant]).within(&admin)).map(drop);
    assert!(new("orders:read").is_ok());
    assert!(matches!(new("stock:read"), Err(StoreError::Exceeds(CapViolation::Grant(_)))));
}

#[test]
fn a_restore_narrows_and_ends_tenants() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::open(path("store")).unwrap();
    let names = ["acme", "apex", "late", "wider"];
    let keys = names.map(|name| {
        store.tenant(name).unwrap().create(NewKey::for_owner("alice").permissions(["orders:*", "stock:*"])).unwrap()
    });
    store.put_tenant(Tenant::new("acme").permissions(["orders:*", "stock:*"])).unwrap();
    store.put_tenant(Tenant::new("wider").permissions(["orders:read"])).unwrap();
    store.backup(path("backup")).unwrap();
    store.put_tenant(Tenant::new("acme").permissions(["orders:*"]).limit(5, TimeDelta::minutes(1))).unwrap();
    store.end_tenant("apex", "left").unwrap();
    store.put_tenant(Tenant::new("late").permissions(["stock:read"])).unwrap();
    store.put_tenant(Tenant::new("wider").permissions(["orders:*"])).unwrap();
    store.close().unwrap();

    let report = KeyStore::restore(&Restore::new(path("backup"), path("over")).over(path("store"))).unwrap();
    let mut tenants = report.tenants.clone();
    tenants.sort_unstable();
    assert_eq!(tenants, ["acme", "apex", "late"]);
    let store = KeyStore::open(path("over")).unwrap();
    let permissions = |at: usize| verified(&store, &keys[at]).permissions().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        (permissions(0), permissions(2), permissions(3)),
        (vec!["orders:*".to_owned()], vec!["stock:read".to_owned()], vec!["orders:read".to_owned()],)
    );
    assert_eq!(store.verify(keys[1].key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(store.tenant("acme").unwrap().info().unwrap().unwrap().limit().is_some());
    assert!(store.verify_events().unwrap().is_whole());

    // The backup alone is as it was.
    KeyStore::restore(&Restore::new(path("backup"), path("alone"))).unwrap();
    let store = KeyStore::open(path("alone")).unwrap();
    assert!(store.verify(keys[1].key.expose_secret()).is_ok());

    KeyStore::salvage(path("store"), path("saved")).unwrap();
    let saved = KeyStore::open(path("saved")).unwrap();
    assert_eq!(saved.verify(keys[1].key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(!verified(&saved, &keys[0]).allows("stock:read"));
}

#[test]
fn lines_of_tenants_come_before_those_of_keys() {
    let store = KeyStore::temporary().unwrap();
    store.put_tenant(acme().permissions(["orders:*"]).limit(10, TimeDelta::minutes(1))).unwrap();
    let key = store.tenant("acme").unwrap().create(NewKey::for_owner("alice").permissions(["*"])).unwrap();
    let dead = store.tenant("apex").unwrap().create(NewKey::for_owner("alice")).unwrap();
    store.end_tenant("apex", "left").unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let import = |into: &KeyStore| into.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    let copy = KeyStore::temporary().unwrap();
    let report = import(&copy);
    assert_eq!((report.imported, report.tenants, report.refused.len()), (2, 2, 0), "{:?}", report.refused);
    assert_eq!(copy.tenants().unwrap().len(), 2);
    assert_eq!(verified(&copy, &key).permissions().collect::<Vec<_>>(), ["orders:*"]);
    assert_eq!(copy.verify(dead.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(copy.tenant("apex").unwrap().create(NewKey::for_owner("bob")).is_err());
    // Other bounds are not overwritten.
    let held = KeyStore::temporary().unwrap();
    held.put_tenant(acme().permissions(["stock:*"])).unwrap();
    let report = import(&held);
    assert!(matches!(&report.refused[0].fault, LineFault::TenantHeld { name } if name == "acme"));
    assert_eq!(held.tenant("acme").unwrap().info().unwrap().unwrap().permissions(), ["stock:*"]);
}

#[test]
fn bad_bounds_name_the_field() {
    let store = KeyStore::temporary().unwrap();
    let field = |error: StoreError| match error {
        StoreError::Invalid { field, .. } => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(store.put_tenant(Tenant::new("Acme")).unwrap_err()), "tenant");
    assert_eq!(field(store.end_tenant("Acme", "left").unwrap_err()), "tenant");
    assert!(matches!(
        store.end_tenant("acme", "x".repeat(257)),
        Err(StoreError::TooLong { .. } | StoreError::Invalid { .. })
    ));
    assert_eq!(field(store.put_tenant(acme().limit(0, TimeDelta::minutes(1))).unwrap_err()), "limit.count");
    assert!(matches!(store.put_tenant(acme().permissions(["Orders"])), Err(StoreError::Permission(_))));
    let many: Vec<String> = (0..65).map(|number| format!("a{number}")).collect();
    assert_eq!(field(store.put_tenant(acme().permissions(&many)).unwrap_err()), "permissions");
    assert!(store.tenants().unwrap().is_empty());
}

#[test]
fn the_keys_of_an_ended_tenant_are_neither_rotated_nor_warned_of() {
    let (store, clock) = clocked();
    let tenant = store.tenant("acme").unwrap();
    let policy = RotationPolicy::every(hours(10)).overlap(Overlap::For(hours(1)));
    let key = tenant.create(NewKey::for_owner("alice").rotation(policy).expires_in(hours(100))).unwrap();
    let sink = from_fn(|_| panic!("nothing is delivered"));
    let rotator = Rotator::new(store.clone(), sink).warn_before([hours(50)]);
    store.end_tenant("acme", "left").unwrap();
    clock.advance(hours(60));
    let report = rotator.run_due(clock.now()).unwrap();
    assert_eq!((report.rotated.len(), report.failed.len(), report.warned.len()), (0, 0, 0), "{report:?}");
    assert_eq!(store.get(key.info.id()).unwrap().unwrap().version(), 1);
}

#[test]
fn a_rotator_creates_keys_of_a_tenant() {
    let (store, _) = clocked();
    let rotator = Rotator::new(store.clone(), from_fn(|_| Ok(())));
    let policy = || RotationPolicy::every(hours(10));
    let created = rotator.create_in_tenant("acme", NewKey::for_owner("alice").rotation(policy())).unwrap();
    assert_eq!((created.info.tenant(), created.failed), (Some("acme"), None));
    assert!(rotator.create_in_tenant("Acme", NewKey::for_owner("alice").rotation(policy())).is_err());
    store.end_tenant("acme", "left").unwrap();
    let error = rotator.create_in_tenant("acme", NewKey::for_owner("alice").rotation(policy())).unwrap_err();
    assert_eq!(error.code(), "tenant_ended");
}

#[test]
fn an_actor_reads_the_events_of_keys_that_it_covers() {
    let (store, keys) = store();
    let acme = store.tenant("acme").unwrap();
    store.put_tenant(Tenant::new("acme").permissions(["orders:*", "keys:*"])).unwrap();
    let narrow = acme.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap();
    let admin = acme.create(NewKey::for_owner("admin").permissions(["orders:*", "keys:any_owner"])).unwrap();
    let root = store.create(NewKey::for_owner("root").permissions(["*"])).unwrap();
    let [actor, admin_key, root_key] = [&narrow, &admin, &root].map(|key| verified(&store, key));
    let seen = |actor: &VerifiedKey| {
        let events = store.events_within(&EventFilter::default(), actor).unwrap().events;
        let mut keys: Vec<KeyId> = events.iter().filter_map(apikey::Event::key).collect();
        keys.sort_unstable();
        (keys, events.iter().any(|event| event.key().is_none()))
    };
    assert_eq!(seen(&actor), (ids([&narrow]), false));
    assert_eq!(seen(&admin_key), (ids([&keys[2], &keys[3], &narrow, &admin]), false));
    assert_eq!(seen(&root_key), (ids(keys.iter().chain([&narrow, &admin, &root])), true));
    let of = |key: &CreatedKey, actor: &VerifiedKey| {
        let page = store.events_within(&EventFilter::default().key(key.info.id()), actor);
        page.map(|page| page.events.len()).map_err(|error| error.status())
    };
    assert_eq!((of(&keys[2], &actor), of(&keys[3], &actor), of(&keys[0], &actor)), (Err(403), Err(404), Err(404)));
    assert_eq!((of(&keys[3], &admin_key), of(&keys[0], &admin_key)), (Ok(1), Err(404)));
}
