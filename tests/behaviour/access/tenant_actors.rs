//! What acting keys may do in tenants and to them, under ceilings.

use apikey::{
    CapViolation, CreatedKey, KeyFilter, KeyStore, KeyUpdate, NewKey, Overlap, Role, StoreError, Tenant, VerifiedKey,
};
use apikey_testkit::hours;

fn verified(store: &KeyStore, key: &CreatedKey) -> VerifiedKey {
    store.verify(key.key.expose_secret()).unwrap()
}

fn acme() -> Tenant {
    Tenant::new("acme")
}

/// In a tenant `*` is no exemption, also under a ceiling that names permissions to manage keys, and its holder cannot give
/// itself these by name.
#[test]
fn everything_in_a_tenant_never_becomes_an_exemption() {
    let store = KeyStore::temporary().unwrap();
    let tenant = store.tenant("acme").unwrap();
    store.put_role(Role::new("manager").permissions(["keys:*"])).unwrap();
    tenant.create(NewKey::for_owner("bob")).unwrap();
    let star = tenant.create(NewKey::for_owner("alice").permissions(["*"]).expires_in(hours(1))).unwrap();
    let star = verified(&store, &star);
    for update in [
        KeyUpdate::new().add_permissions(["keys:*"]),
        KeyUpdate::new().add_permissions(["*:*"]),
        KeyUpdate::new().permissions(["*", "keys:outlive"]),
        KeyUpdate::new().add_roles(["manager"]),
    ] {
        let error = store.update(star.id(), update.within(&star)).unwrap_err();
        assert!(matches!(&error, StoreError::Exceeds(CapViolation::Delegation(_))), "{error}");
    }
    store.update(star.id(), KeyUpdate::new().name("keeps what it has").within(&star)).unwrap();
    for ceiling in [&["*"][..], &["orders:*", "keys:*"], &["orders:*", "keys:any_owner", "keys:outlive"]] {
        store.put_tenant(acme().permissions(ceiling)).unwrap();
        let new = |owner: &str| NewKey::for_owner(owner).permissions(["orders:read"]).within(&star);
        let longer = tenant.create(new("alice").expires_in(hours(2))).unwrap_err();
        assert!(matches!(longer, StoreError::Exceeds(CapViolation::End { .. })), "{ceiling:?}: {longer}");
        let other = tenant.create(new("bob")).unwrap_err();
        assert!(matches!(other, StoreError::Exceeds(CapViolation::Owner { .. })), "{ceiling:?}: {other}");
        let page = store.list_within(&KeyFilter::default(), &star).unwrap();
        assert!(page.keys.iter().all(|key| key.owner() == "alice"), "{ceiling:?}");
    }
    // What its grants name counts, as far as the ceiling leaves it.
    let admin = tenant.create(NewKey::for_owner("admin").permissions(["*", "keys:*"]).expires_in(hours(1))).unwrap();
    let admin = verified(&store, &admin);
    let new = |owner: &str| NewKey::for_owner(owner).permissions(["orders:read"]).within(&admin);
    assert!(tenant.create(new("bob").expires_in(hours(2))).is_ok());
    store.put_tenant(acme().permissions(["orders:*", "keys:any_owner"])).unwrap();
    assert!(tenant.create(new("bob")).is_ok());
    let longer = tenant.create(new("bob").expires_in(hours(2))).unwrap_err();
    assert!(matches!(longer, StoreError::Exceeds(CapViolation::End { .. })), "{longer}");
}

/// Whatever the ceiling leaves both: a leaked key must not stay because its grants are beyond the ceiling.
#[test]
fn an_actor_manages_keys_of_its_tenant_that_are_given_no_more_than_itself() {
    let store = KeyStore::temporary().unwrap();
    let tenant = store.tenant("acme").unwrap();
    let new = |grants: &[&str]| tenant.create(NewKey::for_owner("alice").permissions(grants)).unwrap();
    let admin = verified(&store, &new(&["*"]));
    let (all, read) = (new(&["*"]), verified(&store, &new(&["orders:read", "stock:read"])));
    store.put_tenant(acme().permissions(["orders:*"])).unwrap();
    assert!(tenant.revoke_within(all.info.id(), "mine", &read).is_err());
    let update = |update: KeyUpdate| tenant.update(all.info.id(), update.within(&admin));
    update(KeyUpdate::new().name("leaked").disabled(true)).unwrap();
    tenant.update(admin.id(), KeyUpdate::new().name("admin").within(&admin)).unwrap();
    let error = update(KeyUpdate::new().add_permissions(["stock:read"])).unwrap_err();
    assert!(matches!(error, StoreError::Exceeds(CapViolation::Grant(_))), "{error}");
    let error = tenant.rotate_within(all.info.id(), Overlap::None, &admin).unwrap_err();
    assert!(matches!(error, StoreError::Exceeds(CapViolation::Grant(_))), "{error}");
    assert!(tenant.revoke_within(all.info.id(), "leaked", &admin).unwrap());
}

/// Its keys would have what it gives without the bounds of the actor.
#[test]
fn an_actor_with_bounds_of_its_own_raises_no_ceiling() {
    let store = KeyStore::temporary().unwrap();
    store.put_tenant(acme().permissions(["orders:read"])).unwrap();
    let admin = NewKey::for_owner("admin").permissions(["orders:*", "keys:any_owner", "keys:any_tenant"]);
    let admin = verified(&store, &store.create(admin.expires_in(hours(1))).unwrap());
    let put = |to: &[&str]| store.put_tenant_within(acme().permissions(to), &admin);
    let error = put(&["orders:*"]).unwrap_err();
    assert!(matches!(&error, StoreError::Exceeds(CapViolation::End { wanted: None, .. })), "{error}");
    assert!(put(&[]).unwrap());
}
