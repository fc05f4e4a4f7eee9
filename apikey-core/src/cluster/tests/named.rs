//! Roles, tenants and owners on several nodes.

use crate::cluster::MemoryLedger;
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::recovery::lost::Lost;
use crate::cluster::tests::went_back::agree;
use crate::cluster::tests::{cluster, eventually};
use crate::{AuthError, Conflict, KeyStore, KeyUpdate, NewKey, Owner, Quota, Role, StoreError, Tenant};

fn node(ledger: &MemoryLedger, name: &str) -> KeyStore {
    KeyStore::builder().cluster(cluster(ledger, name)).temporary().unwrap()
}

fn permissions(store: &KeyStore, token: &str) -> Vec<String> {
    store.verify(token).unwrap().permissions().map(str::to_owned).collect()
}

#[test]
fn what_a_role_or_a_tenant_takes_away_on_one_node_is_gone_on_all() {
    let ledger = MemoryLedger::new();
    let nodes = ["one", "two", "three"].map(|name| node(&ledger, name));
    nodes[0].put_role(Role::new("reader").permissions(["orders:read", "stock:read"])).unwrap();
    let tenant = nodes[1].tenant("acme").unwrap();
    let created = tenant.create(NewKey::for_owner("alice").roles(["reader"]).permissions(["a"])).unwrap();
    let token = created.key.expose_secret();
    for store in &nodes {
        assert_eq!(permissions(store, token), ["a", "orders:read", "stock:read"]);
    }
    nodes[2].put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
    for store in &nodes {
        assert_eq!(permissions(store, token), ["a", "orders:read"]);
    }
    nodes[0].put_tenant(Tenant::new("acme").permissions(["orders:*", "stock:*"])).unwrap();
    for store in &nodes {
        assert_eq!(permissions(store, token), ["orders:read"]);
    }
    nodes[1].put_role(Role::new("reader").permissions(["stock:write", "b"])).unwrap();
    for store in &nodes {
        eventually("the role is on every node", || permissions(store, token) == ["stock:write"]);
    }
    // A node that joins loads both.
    let later = node(&ledger, "four");
    assert_eq!(permissions(&later, token), ["stock:write"]);
    assert_eq!(later.roles().unwrap(), nodes[0].roles().unwrap());
    assert_eq!(later.tenants().unwrap(), nodes[0].tenants().unwrap());
    let error = later.delete_role("reader").unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::RoleInUse { keys: 1 })), "{error}");

    later.end_tenant("acme", "left").unwrap();
    for store in nodes.iter().chain([&later]) {
        assert_eq!(store.verify(token).unwrap_err(), AuthError::Revoked);
        let info = store.get(created.info.id()).unwrap().unwrap();
        assert_eq!(info.revoked().map(crate::Revoked::reason), Some("left"));
        let error = store.tenant("acme").unwrap().create(NewKey::for_owner("bob")).unwrap_err();
        assert!(matches!(error, StoreError::Conflict(Conflict::TenantEnded)), "{error}");
    }
    let latest = node(&ledger, "five");
    assert_eq!(latest.verify(token).unwrap_err(), AuthError::Revoked);
}

/// The quotas that are in force on a node for all keys of an owner, and of its tenant.
fn in_force(store: &KeyStore, owner: &str) -> [Option<Quota>; 2] {
    let acme = store.tenant("acme").unwrap();
    let (of_owner, of_tenant) = (acme.of_owner(owner).quota_status(), acme.quota_status());
    [of_owner, of_tenant].map(|status| status.unwrap().map(|status| status.quota()))
}

#[test]
fn a_quota_that_is_put_on_one_node_is_on_all() {
    let ledger = MemoryLedger::new();
    let nodes = ["one", "two"].map(|name| node(&ledger, name));
    let created = nodes[0].tenant("acme").unwrap().create(NewKey::for_owner("alice")).unwrap();
    let owner = |store: &KeyStore, quota: Option<Quota>| {
        let owner = Owner::new("alice");
        let owner = quota.map_or(owner.clone(), |quota| owner.quota(quota));
        store.tenant("acme").unwrap().put_owner(owner).unwrap()
    };
    let total = |uses| Some(Quota::total(uses));
    owner(&nodes[1], total(6));
    nodes[0].put_tenant(Tenant::new("acme").quota(Quota::total(9))).unwrap();
    // It holds on every node when the call returns.
    for store in &nodes {
        assert_eq!(in_force(store, "alice"), [total(6), total(9)]);
        // A node may have a block too much, which is a use here.
        assert!((0..100).filter(|_| store.verify(created.key.expose_secret()).is_ok()).count() <= 7);
    }
    owner(&nodes[0], total(5));
    for store in &nodes {
        assert_eq!(in_force(store, "alice")[0], total(5));
    }
    owner(&nodes[1], None);
    for store in &nodes {
        eventually("nobody bounds the owner any more", || store.owners().unwrap().is_empty());
        eventually("nor is anything in force", || in_force(store, "alice")[0].is_none());
    }
    owner(&nodes[0], Some(Quota::per_day(5)));
    let later = node(&ledger, "three");
    assert_eq!(later.owners().unwrap(), nodes[0].owners().unwrap());
    assert_eq!(later.tenants().unwrap(), nodes[0].tenants().unwrap());
    assert_eq!(in_force(&later, "alice"), [Some(Quota::per_day(5)), total(9)]);
}

#[test]
fn what_a_fork_lost_of_quotas_is_taken_again_and_what_it_gave_is_lost() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(directory.path().join("replica.db"));
    let disk = open().unwrap();
    let owner = |store: &KeyStore, name: &str, uses: Option<u64>| {
        let owner = Owner::new(name);
        store.put_owner(uses.map_or(owner.clone(), |uses| owner.quota(Quota::total(uses)))).unwrap()
    };
    for name in ["lowered", "raised", "removed", "both"] {
        owner(&disk, name, Some(100));
    }
    disk.put_tenant(Tenant::new("acme").quota(Quota::total(100))).unwrap();
    let backup = ledger.backup();
    owner(&disk, "lowered", Some(10));
    owner(&disk, "raised", Some(1000));
    owner(&disk, "removed", Some(50));
    owner(&disk, "removed", None);
    owner(&disk, "both", Some(10));
    owner(&disk, "new", Some(10));
    disk.put_tenant(Tenant::new("acme").quota(Quota::total(10))).unwrap();
    disk.close().unwrap();
    ledger.go_back(&backup);
    let one = node(&ledger, "one");
    owner(&one, "both", Some(500));
    let disk = open().unwrap();
    let quotas = |store: &KeyStore| {
        let owners = store.owners().unwrap().into_iter();
        let owners = owners.map(|owner| (owner.name().to_owned(), owner.quota().unwrap().count()));
        (owners.collect::<Vec<_>>(), store.tenants().unwrap()[0].quota().unwrap().count())
    };
    let all = [("both", 10), ("lowered", 10), ("new", 10), ("raised", 100), ("removed", 100)];
    let expected = (all.map(|(name, uses)| (name.to_owned(), uses)).to_vec(), 10);
    // It is in force here before the log has it.
    for (name, uses) in &expected.0 {
        let left = disk.of_owner(name).quota_status().unwrap().unwrap();
        assert_eq!(left.quota().count(), *uses, "{name}");
    }
    assert_eq!(in_force(&disk, "nobody")[1], Some(Quota::total(10)));
    agree(&[&disk, &one]);
    for store in [&disk, &one, &node(&ledger, "later")] {
        assert_eq!(quotas(store), expected);
    }
}

#[test]
fn what_a_fork_lost_of_roles_and_tenants_is_taken_from_them_again_and_what_it_gave_is_lost() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(directory.path().join("replica.db"));
    let disk = open().unwrap();
    let role = |name: &str, grants: &[&str]| Role::new(name).permissions(grants);
    for name in ["narrowed", "widened", "deleted", "both"] {
        disk.put_role(role(name, &["a", "b"])).unwrap();
    }
    let create = |name: &str| disk.create(NewKey::for_owner("alice").roles([name])).unwrap();
    let keys = ["narrowed", "widened", "deleted", "both"].map(create);
    let of_tenant =
        |name: &str| disk.tenant(name).unwrap().create(NewKey::for_owner("bob").permissions(["a", "b", "c"])).unwrap();
    let (bounded, ended) = (of_tenant("bounded"), of_tenant("ended"));
    let backup = ledger.backup();
    disk.put_role(role("narrowed", &["b", "c"])).unwrap();
    disk.put_role(role("narrowed", &["a", "b", "c"])).unwrap();
    disk.put_role(role("narrowed", &["b", "c"])).unwrap();
    disk.put_role(role("widened", &["a", "b", "c"])).unwrap();
    disk.update(keys[2].info.id(), KeyUpdate::new().roles(["both"])).unwrap();
    assert!(disk.delete_role("deleted").unwrap());
    disk.put_role(role("both", &["a"])).unwrap();
    disk.put_tenant(Tenant::new("bounded").permissions(["a", "c"])).unwrap();
    disk.put_tenant(Tenant::new("ended").permissions(["c"])).unwrap();
    disk.end_tenant("ended", "left").unwrap();
    disk.close().unwrap();
    ledger.go_back(&backup);
    // Somebody changes what the snapshot has.
    let one = node(&ledger, "one");
    one.put_role(role("both", &["a", "b", "d"])).unwrap();
    one.put_role(role("widened", &["a", "b", "d"])).unwrap();
    one.put_tenant(Tenant::new("bounded").permissions(["a", "b"])).unwrap();
    let disk = open().unwrap();
    let what = disk.health().cluster.unwrap().recovered.unwrap();
    assert!(what.contains("from 1 keys and 5 roles, tenants and owners"), "{what}");
    let token = |key: &crate::CreatedKey| key.key.expose_secret().to_owned();
    let expected: [(&crate::CreatedKey, &[&str]); 4] =
        [(&keys[0], &["b"]), (&keys[1], &["a", "b", "d"]), (&keys[3], &["a"]), (&bounded, &["a"])];
    // It is in force here before the log has it.
    for (key, grants) in expected {
        assert_eq!(permissions(&disk, &token(key)), grants, "{:?}", key.info.roles());
    }
    assert_eq!(disk.verify(&token(&ended)).unwrap_err(), AuthError::Revoked);
    agree(&[&disk, &one]);
    let later = node(&ledger, "later");
    for store in [&disk, &one, &later] {
        for (key, grants) in expected {
            assert_eq!(permissions(store, &token(key)), grants, "{:?}", key.info.roles());
        }
        assert!(permissions(store, &token(&keys[2])).is_empty());
        assert_eq!(store.verify(&token(&ended)).unwrap_err(), AuthError::Revoked);
        assert!(store.role("deleted").unwrap().unwrap().permissions().is_empty());
    }
    // From here on the log decides: an operator gives it back.
    one.put_role(role("narrowed", &["a", "b"])).unwrap();
    eventually("the role is on every node", || permissions(&disk, &token(&keys[0])) == ["a", "b"]);
}

#[test]
fn what_is_kept_of_a_role_is_in_force_after_a_restart_until_the_log_has_it() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(directory.path().join("replica.db"));
    let disk = open().unwrap();
    disk.put_role(Role::new("reader").permissions(["a", "b"])).unwrap();
    let key = disk.create(NewKey::for_owner("alice").roles(["reader"])).unwrap();
    let token = key.key.expose_secret();
    disk.put_role(Role::new("reader").permissions(["a"])).unwrap();
    // As if the engine had lost the last change.
    let engine = &disk.inner().engine;
    assert_eq!(ClusterOrder::node_of(engine).keep_lost(engine, 2).unwrap(), Lost { keys: 0, named: 1 });
    disk.close().unwrap();
    let one = node(&ledger, "one");
    one.put_role(Role::new("reader").permissions(["a", "b", "c"])).unwrap();
    assert_eq!(permissions(&one, token), ["a", "b", "c"]);
    let disk = open().unwrap();
    assert_eq!(permissions(&disk, token), ["a"]);
    agree(&[&disk, &one]);
    assert_eq!(permissions(&one, token), ["a"]);
    assert_eq!(one.role("reader").unwrap().unwrap().permissions(), ["a"]);
}
