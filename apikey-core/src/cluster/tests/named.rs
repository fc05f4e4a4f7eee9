//! Roles, tenants and owners on several nodes.

use crate::cluster::MemoryLedger;
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::recovery::lost::Lost;
use crate::cluster::tests::went_back::agree;
use crate::cluster::tests::{cluster, eventually};
use crate::{AuthError, Conflict, KeyStore, KeyUpdate, NewKey, Role, StoreError, Tenant};

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
