//! Tenants: whose keys a handle sees, and what a key of a tenant manages.

use apikey::{
    AuthError, CapViolation, CreatedKey, EventFilter, ExportOptions, ImportOptions, KeyFilter, KeyId, KeyStore,
    KeyUpdate, NewKey, Overlap, Restore, StoreError, TenantStore, VerifiedKey,
};
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
