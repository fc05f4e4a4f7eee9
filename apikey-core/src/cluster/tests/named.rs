//! Roles and tenants on several nodes.

use crate::cluster::MemoryLedger;
use crate::cluster::tests::{cluster, eventually};
use crate::{AuthError, Conflict, KeyStore, NewKey, Role, StoreError, Tenant};

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
