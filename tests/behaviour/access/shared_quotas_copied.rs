//! Quotas that keys share, in backups, exports and restores: none is lost, and none gives more than it gave.

use std::collections::BTreeMap;

use apikey::{ExportOptions, ImportOptions, KeyStore, LineFault, Owner, Quota, Restore, Tenant};
use apikey_testkit::alice;

use super::shared_quotas::{Place, bob, passed};

#[test]
fn copies_have_the_quotas() {
    let place = Place::new();
    let store = place.open();
    let acme = store.tenant("acme").unwrap();
    store.put_tenant(Tenant::new("acme").quota(Quota::per_month(10))).unwrap();
    acme.put_owner(Owner::new("alice").quota(Quota::per_day(4))).unwrap();
    store.put_owner(Owner::new("alice").quota(Quota::total(3))).unwrap();
    store.put_owner(Owner::new("strict").quota(Quota::total(3).strict())).unwrap();
    let keys = [acme.create(alice()).unwrap(), acme.create(bob()).unwrap(), store.create(alice()).unwrap()];
    let path = |name: &str| place.directory.path().join(name);
    store.backup(path("backup")).unwrap();
    KeyStore::restore(&Restore::new(path("backup"), path("restored"))).unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let imported = KeyStore::builder().clock(place.clock.clone()).temporary().unwrap();
    let report = imported.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.tenants, report.owners, report.refused.len()), (3, 1, 3, 0));
    let again = imported.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    assert_eq!((again.imported, again.tenants, again.owners, again.refused.len()), (0, 0, 0, 3), "the keys alone");
    let restored = KeyStore::builder().clock(place.clock.clone()).open(path("restored")).unwrap();
    for copy in [restored, imported] {
        let quotas: Vec<_> = copy.owners().unwrap().iter().map(|owner| owner.quota().unwrap()).collect();
        assert_eq!(quotas, [Quota::total(3), Quota::total(3).strict(), Quota::per_day(4)]);
        assert_eq!(keys.each_ref().map(|key| passed(&copy, key, 20)), [4, 6, 3]);
    }
}

/// A key is not imported under a quota other than the one that it had, nor under none.
#[test]
fn a_line_of_an_owner_that_is_refused_takes_the_keys_of_the_owner_with_it() {
    let from = KeyStore::temporary().unwrap();
    from.put_owner(Owner::new("alice").quota(Quota::per_day(5))).unwrap();
    from.tenant("acme").unwrap().put_owner(Owner::new("alice").quota(Quota::per_day(6))).unwrap();
    let created = [from.create(alice()).unwrap(), from.create(bob()).unwrap()];
    let of_acme = from.tenant("acme").unwrap().create(alice()).unwrap();
    let mut lines = Vec::new();
    from.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();

    let store = KeyStore::temporary().unwrap();
    store.put_owner(Owner::new("alice").quota(Quota::per_day(50))).unwrap();
    let acme = store.tenant("acme").unwrap();
    acme.create(alice()).unwrap(); // relies on having no quota
    let report = store.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    let faults: Vec<String> = report.refused.iter().map(|refused| refused.fault.to_string()).collect();
    assert_eq!((report.imported, report.owners, faults.len()), (1, 0, 4), "{faults:?}");
    assert!(store.get(created[1].info.id()).unwrap().is_some());
    assert!(store.get(created[0].info.id()).unwrap().is_none() && store.get(of_acme.info.id()).unwrap().is_none());
    let held = report.refused.iter().filter(|refused| matches!(refused.fault, LineFault::OwnerHeld { .. })).count();
    let refused =
        report.refused.iter().filter(|refused| matches!(refused.fault, LineFault::OwnerRefused { .. })).count();
    assert_eq!((held, refused), (2, 2));
    assert!(faults.iter().any(|fault| fault.contains(r#"owner "alice" of tenant "acme""#)), "{faults:?}");
    assert_eq!(store.of_owner("alice").info().unwrap().unwrap().quota(), Some(Quota::per_day(50)));

    // Cut off, or of a later version.
    let text = String::from_utf8(lines).unwrap();
    for (found, instead) in [("\"per\":\"day\"", "\"per\":\"week\""), ("\"changed_at\"", "\"burst\":1,\"changed_at\"")]
    {
        let broken: String = text
            .lines()
            .map(|line| {
                let is_of_owner = line.contains("\"kind\":\"owner\"") && line.contains("\"tenant\":null");
                if is_of_owner { line.replace(found, instead) + "\n" } else { line.to_owned() + "\n" }
            })
            .collect();
        assert_ne!(broken, text);
        let store = KeyStore::temporary().unwrap();
        let report = store.import(broken.as_bytes(), &ImportOptions::default()).unwrap();
        assert_eq!((report.imported, report.owners, report.refused.len()), (2, 1, 2), "{:?}", report.refused);
        assert!(store.get(created[0].info.id()).unwrap().is_none());
    }
    // A line of an owner holds for the keys after it: a key before it is there already.
    let (named, keys): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| !line.contains("\"kind\":\"key\""));
    let reversed: String = keys.into_iter().chain(named).map(|line| line.to_owned() + "\n").collect();
    let store = KeyStore::temporary().unwrap();
    let report = store.import(reversed.as_bytes(), &ImportOptions::default()).unwrap();
    let held: BTreeMap<u64, String> =
        report.refused.iter().map(|refused| (refused.line, refused.fault.to_string())).collect();
    assert_eq!((report.imported, report.owners), (2, 1), "{held:?}");
}

/// A restore takes again what an owner and a tenant lost after the backup, and gives nothing back.
#[test]
fn a_restore_over_a_later_store_takes_again_what_was_lost() {
    let place = Place::new();
    let path = |name: &str| place.directory.path().join(name);
    let store = place.open();
    for (name, quota) in [("lowered", 100), ("raised", 100), ("removed", 100)] {
        store.put_owner(Owner::new(name).quota(Quota::per_day(quota))).unwrap();
        store.put_tenant(Tenant::new(name).quota(Quota::per_day(quota))).unwrap();
    }
    store.backup(path("backup")).unwrap();
    for (name, quota) in [("lowered", Some(10)), ("raised", Some(1000)), ("removed", None), ("new", Some(5))] {
        let (owner, tenant) = (Owner::new(name), Tenant::new(name));
        store.put_owner(quota.map_or(owner.clone(), |quota| owner.quota(Quota::per_day(quota)))).unwrap();
        store.put_tenant(quota.map_or(tenant.clone(), |quota| tenant.quota(Quota::per_day(quota)))).unwrap();
    }
    store.close().unwrap();
    let restore = Restore::new(path("backup"), path("restored")).over(path("store"));
    let report = KeyStore::restore(&restore).unwrap();
    let owners: Vec<_> = report.owners.iter().map(|owner| (owner.name(), owner.quota().unwrap().count())).collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(report.tenants.clone()), ["lowered", "new"]);
    assert_eq!(BTreeMap::from_iter(owners), BTreeMap::from([("lowered", 10), ("new", 5)]));
    let restored = KeyStore::builder().clock(place.clock.clone()).open(path("restored")).unwrap();
    let counts = |quotas: Vec<(String, Option<Quota>)>| {
        let count = |(name, quota): (String, Option<Quota>)| (name, quota.map(|quota| quota.count()));
        quotas.into_iter().map(count).collect::<BTreeMap<_, _>>()
    };
    let expected = [("lowered", 10), ("raised", 100), ("removed", 100), ("new", 5)];
    let expected: BTreeMap<String, Option<u64>> =
        expected.into_iter().map(|(name, count)| (name.to_owned(), Some(count))).collect();
    let owners = restored.owners().unwrap().into_iter().map(|owner| (owner.name().to_owned(), owner.quota()));
    let tenants = restored.tenants().unwrap().into_iter().map(|tenant| (tenant.name().to_owned(), tenant.quota()));
    assert_eq!(counts(owners.collect()), expected);
    assert_eq!(counts(tenants.collect()), expected);
    assert!(restored.verify_events().unwrap().fault.is_none());
}
