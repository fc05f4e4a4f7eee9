//! Attempts to leave a tenant through a service that has no handle of it: `within` is all that bounds its callers.

use apikey::{
    CapViolation, Conflict, CreatedKey, EventFilter, ImportScheme, Imported, KeyFilter, KeyId, KeyStore, KeyUpdate,
    NewKey, Overlap, Role, RotateOptions, StoreError, Tenant, VerifiedKey,
};
use proptest::prelude::*;

const EVERYTHING: [&str; 2] = ["*", "keys:*"];

/// A store with a busy tenant beside acme; the attacker has everything in acme.
struct Service {
    store: KeyStore,
    attacker: VerifiedKey,
    /// Keys of apex, and of no tenant.
    others: Vec<CreatedKey>,
}

fn service() -> Service {
    let store = KeyStore::temporary().unwrap();
    store.put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
    let apex = store.tenant("apex").unwrap();
    let new = |owner: &str| NewKey::for_owner(owner).permissions(["orders:read"]).roles(["reader"]).metadata("a", "b");
    let attacker = NewKey::for_owner("admin").permissions(EVERYTHING);
    let attacker = store.tenant("acme").unwrap().create(attacker).unwrap();
    let others = vec![
        apex.create(new("admin")).unwrap(),
        apex.create(new("bob")).unwrap(),
        store.create(new("admin")).unwrap(),
        store.create(new("acme")).unwrap(),
    ];
    let attacker = store.verify(attacker.key.expose_secret()).unwrap();
    Service { store, attacker, others }
}

impl Service {
    fn ids(&self) -> Vec<KeyId> {
        self.others.iter().map(|key| key.info.id()).collect()
    }

    /// What somebody else sees of the keys that are not the attacker's.
    fn state(&self) -> String {
        let keys: Vec<_> = self.ids().into_iter().map(|id| self.store.get(id).unwrap()).collect();
        format!("{keys:?} {:?} {:?}", self.store.roles().unwrap(), self.store.tenants().unwrap())
    }
}

/// The answer to a call, without the id that it was about.
fn answer<T>(result: Result<T, StoreError>, id: KeyId) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("{} {} {error}", error.status(), error.code()).replace(&id.to_string(), "ID"),
    }
}

#[test]
fn an_id_from_elsewhere_is_unknown_to_every_call() {
    let Service { store, attacker, .. } = &service();
    let probe = |id: KeyId| {
        let options = |overlap| RotateOptions::new(overlap).within(attacker);
        [
            answer(store.get_within(id, attacker).map(|key| assert!(key.is_none())), id),
            answer(store.update(id, KeyUpdate::new().name("mine").within(attacker)), id),
            answer(store.update(id, KeyUpdate::new().add_roles(["nobody"]).within(attacker)), id),
            answer(store.rotate_within(id, Overlap::None, attacker), id),
            answer(store.rotate_with(id, &options(Overlap::None).idempotency_key("k")), id),
            answer(store.replace_leaked_within(id, "mine", attacker), id),
            answer(store.revoke_within(id, "mine", attacker), id),
            answer(store.events_within(&EventFilter::default().key(id), attacker), id),
        ]
    };
    let service = service();
    let before = service.state();
    let unknown = probe("01931a4e-7c3b-7def-8123-456789abcdef".parse().unwrap());
    assert!(unknown[1..].iter().all(|answer| answer.starts_with("404 not_found")), "{unknown:?}");
    // Also the ids under which the store keeps the bounds of acme and the role `reader`.
    let of_names = ["fffe0003-50cd-ce44-9978-e69bd9515fdc", "fffe0002-420e-0624-481c-25a651453d56"];
    let of_names = of_names.map(|id| id.parse::<KeyId>().unwrap());
    store.put_tenant(Tenant::new("acme")).unwrap();
    for id in of_names {
        assert_eq!(probe(id), unknown, "{id}");
        assert!(store.get(id).unwrap().is_none());
    }
    let Service { store, attacker, .. } = &service;
    for id in service.ids() {
        let page = store.list_within(&KeyFilter::default().after(id), attacker).unwrap();
        assert!(page.keys.iter().all(|key| key.tenant() == Some("acme")));
        assert!(store.get_within(id, attacker).unwrap().is_none());
        for error in [
            store.update(id, KeyUpdate::new().disabled(true).within(attacker)).map(drop).unwrap_err(),
            store.rotate_within(id, Overlap::None, attacker).map(drop).unwrap_err(),
            store.replace_leaked_within(id, "mine", attacker).map(drop).unwrap_err(),
            store.revoke_within(id, "mine", attacker).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::NotFound(_)), "{error}");
        }
    }
    assert_eq!(service.state(), before);
}

#[test]
fn no_filter_finds_keys_or_ids_of_elsewhere() {
    let service = service();
    let Service { store, attacker, .. } = &service;
    let foreign = service.ids();
    let acme = store.tenant("acme").unwrap();
    for count in 0..20 {
        acme.create(NewKey::for_owner(format!("owner {count}"))).unwrap();
        store.tenant("apex").unwrap().create(NewKey::for_owner("bob").name("match")).unwrap();
    }
    let all = KeyFilter::default;
    for filter in [
        all(),
        all().any_tenant(),
        all().no_tenant(),
        all().tenant("apex"),
        KeyFilter::owner("admin"),
        KeyFilter::owner("admin").any_tenant(),
        KeyFilter::owner("bob").tenant("apex"),
        all().text("match"),
        all().text("bob"),
        all().role("reader"),
        all().permission("orders:read"),
        all().metadata("a", "b"),
        all().never_used(),
    ] {
        for size in [1, 3, 1000] {
            let mut filter = filter.clone().limit(size);
            loop {
                let page = store.list_within(&filter, attacker).unwrap();
                let by_handle = acme.list(&filter).unwrap();
                for key in page.keys.iter().chain(&by_handle.keys) {
                    assert_eq!(key.tenant(), Some("acme"));
                }
                // Where the next page begins is no id of elsewhere.
                for next in page.next.iter().chain(&by_handle.next) {
                    assert!(!foreign.contains(next) && acme.get(*next).unwrap().is_some());
                }
                let Some(next) = page.next else { break };
                filter = filter.after(next);
            }
        }
    }
    let page = acme.events(&EventFilter::default().limit(1000)).unwrap();
    let of_acme = |id| acme.get(id).unwrap().is_some();
    assert!(page.events.iter().all(|event| event.key().is_some_and(of_acme)));
    let page = store.events_within(&EventFilter::default().limit(1000), attacker).unwrap();
    assert!(page.events.len() > 20 && page.events.iter().all(|event| event.key().is_some_and(of_acme)));
    for id in service.ids() {
        assert_eq!(store.events_within(&EventFilter::default().key(id), attacker).unwrap_err().status(), 404);
    }
}

#[test]
fn nothing_is_created_revoked_put_or_ended_elsewhere() {
    let service = service();
    let Service { store, attacker, .. } = &service;
    let before = service.state();
    let apex = store.tenant("apex").unwrap();
    let new = || NewKey::for_owner("admin").within(attacker);
    let exceeds = |error: StoreError| match error {
        StoreError::Exceeds(violation) => violation.kind(),
        other => panic!("{other}"),
    };
    assert_eq!(exceeds(apex.create(new()).map(drop).unwrap_err()), "tenant");
    assert_eq!(exceeds(apex.create(new().idempotency_key("k")).map(drop).unwrap_err()), "tenant");
    assert_eq!(exceeds(apex.create_many([NewKey::for_owner("eve").within(attacker)]).map(drop).unwrap_err()), "tenant");
    // Among keys that it may create, one that it may not stops all of them.
    let many = [new(), NewKey::for_owner("admin").expires_in(chrono::TimeDelta::days(1)).within(attacker)];
    assert!(store.create_many(many).unwrap().iter().all(|key| key.info.tenant() == Some("acme")));
    for owner in ["admin", "bob", "acme", "nobody"] {
        assert_eq!(exceeds(apex.revoke_owner_within(owner, "mine", attacker).unwrap_err()), "tenant", "{owner}");
        // Through a handle of the whole store the owner is one of its tenant, where only it has keys.
        if owner != "admin" {
            assert_eq!(store.revoke_owner_within(owner, "mine", attacker).unwrap(), 0, "{owner}");
        }
        let of_none = store.of_owner(owner);
        assert!(of_none.list_within(&KeyFilter::default(), attacker).unwrap().keys.is_empty());
        assert!(of_none.create(NewKey::for_owner(owner).within(attacker)).is_err());
    }
    for name in ["acme", "apex", "nobody"] {
        assert_eq!(exceeds(store.put_tenant_within(Tenant::new(name), attacker).unwrap_err()), "tenant");
        assert_eq!(exceeds(store.end_tenant_within(name, "mine", attacker).unwrap_err()), "tenant");
    }
    for name in ["reader", "mine"] {
        assert_eq!(exceeds(store.put_role_within(Role::new(name), attacker).unwrap_err()), "role");
        assert_eq!(exceeds(store.delete_role_within(name, attacker).unwrap_err()), "role", "not how many keys have it");
    }
    assert_eq!(service.state(), before);
}

#[test]
fn a_tenant_that_has_ended_looks_to_others_as_before() {
    let service = service();
    let Service { store, attacker, .. } = &service;
    let probe = || {
        let apex = store.tenant("apex").unwrap();
        let id = service.ids()[0];
        [
            answer(apex.create(NewKey::for_owner("eve").within(attacker)), id),
            answer(apex.update(id, KeyUpdate::new().name("mine").within(attacker)), id),
            answer(apex.rotate_within(id, Overlap::None, attacker), id),
            answer(apex.revoke_owner_within("bob", "mine", attacker), id),
            answer(store.update(id, KeyUpdate::new().name("mine").within(attacker)), id),
            answer(store.put_tenant_within(Tenant::new("apex"), attacker), id),
            answer(store.end_tenant_within("apex", "mine", attacker), id),
        ]
    };
    let before = probe();
    store.put_tenant(Tenant::new("apex").permissions(["orders:*"])).unwrap();
    assert_eq!(probe(), before);
    store.end_tenant("apex", "left").unwrap();
    assert_eq!(probe(), before);
}

#[test]
fn idempotency_keys_and_imports_disclose_nothing_of_elsewhere() {
    let service = service();
    let Service { store, attacker, .. } = &service;
    let [acme, apex] = ["acme", "apex"].map(|name| store.tenant(name).unwrap());
    let new = || NewKey::for_owner("bob").name("ci").idempotency_key("5d1a7c0b");
    // Handles, with and without an owner, and no handle: one idempotency key is four requests.
    let keys = [
        apex.create(new()).unwrap(),
        acme.create(new()).unwrap(),
        apex.of_owner("bob").create(new()).unwrap(),
        acme.of_owner("bob").create(new()).unwrap(),
        store.of_owner("bob").create(new()).unwrap(),
        store.create(new()).unwrap(),
        store.create(new().within(attacker)).unwrap(),
    ];
    let mut ids: Vec<_> = keys.iter().map(|key| key.info.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), keys.len());
    assert!(keys.iter().all(|key| store.verify(key.key.expose_secret()).is_ok()), "no repeat replaced a secret");
    let raw = "a-key-of-apex-that-acme-has-found-0123456789";
    let import = || NewKey::for_owner("bob").imported(Imported::raw(raw), ImportScheme::Whole);
    apex.create(import()).unwrap();
    for result in
        [acme.create(import()), acme.of_owner("bob").create(import()), store.create(import().within(attacker))]
    {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Conflict(Conflict::DigestHeld(None))), "{error}");
    }
}

#[test]
fn a_handle_of_a_name_begins_no_other_name() {
    let store = KeyStore::temporary().unwrap();
    let names = ["a", "ab", "abc", "a-b", "a_b", "b", "-", "_", "0"];
    for name in names {
        let tenant = store.tenant(name).unwrap();
        for owner in names {
            tenant.create(NewKey::for_owner(owner)).unwrap();
        }
    }
    for name in names {
        store.create(NewKey::for_owner(name)).unwrap();
        let keys = store.tenant(name).unwrap().list(&KeyFilter::default().limit(1000)).unwrap().keys;
        assert_eq!(keys.len(), names.len(), "{name}");
        assert!(keys.iter().all(|key| key.tenant() == Some(name)));
        for owner in names {
            let keys = store.tenant(name).unwrap().of_owner(owner).list(&KeyFilter::default()).unwrap().keys;
            assert_eq!((keys.len(), keys[0].owner(), keys[0].tenant()), (1, owner, Some(name)));
        }
    }
    assert_eq!(store.list(&KeyFilter::default().no_tenant()).unwrap().keys.len(), names.len());
}

#[test]
fn the_secret_of_a_key_that_was_given_away_gives_nothing_more() {
    let service = service();
    let Service { store, attacker, .. } = &service;
    // An old secret of the attacker's, with an end, makes itself no successor, and no key that outlives the cap.
    let id = attacker.id();
    store.rotate(id, Overlap::For(chrono::TimeDelta::hours(1))).unwrap();
    let error = store.rotate_within(id, Overlap::None, attacker).unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::Overlapping { .. })), "{error}");
    // A bounded tenant bounds what its administrator gives, from that moment on.
    store.put_tenant(Tenant::new("acme").permissions(["orders:*", "keys:create"])).unwrap();
    let give = |grant: &str| store.create(NewKey::for_owner("admin").permissions([grant]).within(attacker));
    assert!(give("orders:read").is_ok());
    for grant in ["*", "stock:read", "keys:any_owner"] {
        assert!(matches!(give(grant).unwrap_err(), StoreError::Exceeds(CapViolation::Grant(_))), "{grant}");
    }
    assert!(matches!(give("keys:create").unwrap_err(), StoreError::Exceeds(CapViolation::Delegation(_))));
    assert!(matches!(
        store.create(NewKey::for_owner("bob").within(attacker)).unwrap_err(),
        StoreError::Exceeds(CapViolation::Owner { .. })
    ));
    // An ended one lets it do nothing, with a key that was verified before.
    store.end_tenant("acme", "left").unwrap();
    for error in [
        give("orders:read").map(drop).unwrap_err(),
        store.list_within(&KeyFilter::default(), attacker).map(drop).unwrap_err(),
        store.revoke_within(id, "mine", attacker).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Exceeds(CapViolation::Actor(_))), "{error}");
    }
}

proptest! {
    /// A ceiling and grants meet permission by permission.
    #[test]
    fn a_key_has_what_both_its_grants_and_its_tenant_let_through(
        grants in proptest::collection::vec("(\\*|[ab])(:(\\*|[ab])){0,2}", 0..4),
        ceiling in proptest::collection::vec("(\\*|[ab])(:(\\*|[ab])){0,2}", 0..4),
        role in proptest::collection::vec("(\\*|[ab])(:(\\*|[ab])){0,2}", 0..3),
    ) {
        let store = KeyStore::temporary().unwrap();
        let valid = |grants: &[String]| grants.iter().filter(|grant| apikey::check_grant(grant.as_str()).is_ok()).cloned().collect::<Vec<_>>();
        let (grants, ceiling, role) = (valid(&grants), valid(&ceiling), valid(&role));
        store.put_role(Role::new("role").permissions(&role)).unwrap();
        let new = || NewKey::for_owner("alice").permissions(&grants).roles(["role"]);
        let verify = |key: &CreatedKey| store.verify(key.key.expose_secret()).unwrap();
        let free = verify(&store.create(new()).unwrap());
        let most = verify(&store.create(NewKey::for_owner("bob").permissions(&ceiling)).unwrap());
        let key = store.tenant("acme").unwrap().create(new()).unwrap();
        store.put_tenant(Tenant::new("acme").permissions(&ceiling)).unwrap();
        let bounded = verify(&key);
        let segments = ["a", "b", "c"];
        let mut all: Vec<String> = segments.iter().map(|one| (*one).to_owned()).collect();
        for _ in 0..3 {
            let longer: Vec<String> = all.iter().flat_map(|text| segments.map(|one| format!("{text}:{one}"))).collect();
            all.extend(longer);
        }
        for permission in &all {
            prop_assert_eq!(bounded.allows(permission), free.allows(permission) && most.allows(permission), "{}", permission);
        }
    }
}
