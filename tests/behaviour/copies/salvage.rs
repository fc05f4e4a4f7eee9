//! Salvage: a new store of what a damaged one still has.

use std::fs;
use std::path::Path;

use apikey::{
    CreatedKey, EventFilter, KeyFilter, KeyStore, KeyUpdate, NewKey, OpenError, Owner, Quota, Restore, RestoreError,
    Role, SalvageReport, Tenant,
};
use apikey_testkit::stored_events::split_batches;
use apikey_testkit::{alice, all, code, database};

struct Fixture {
    directory: tempfile::TempDir,
    keys: Vec<CreatedKey>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = KeyStore::open(directory.path().join("old")).unwrap();
        let keys = store.create_many((0..30).map(|_| alice().permissions(["orders:read"]))).unwrap();
        store.revoke(keys[1].info.id(), "leaked").unwrap();
        store.update(keys[2].info.id(), KeyUpdate::new().name("renamed")).unwrap();
        store.close().unwrap();
        Self { directory, keys }
    }

    fn damage(&self, change: impl FnOnce(&sled::Db)) {
        let database = database::open(&self.directory.path().join("old")).unwrap();
        change(&database);
        database.flush().unwrap();
    }

    fn salvage(&self) -> (SalvageReport, KeyStore) {
        let path = |name: &str| self.directory.path().join(name);
        let report = KeyStore::salvage(path("old"), path("new")).unwrap();
        (report, KeyStore::open(path("new")).unwrap())
    }

    fn code(&self, store: &KeyStore, n: usize) -> &'static str {
        code(store, self.keys[n].key.expose_secret())
    }
}

fn place(created: &CreatedKey) -> [u8; 16] {
    created.info.id().as_uuid().as_u128().to_be_bytes()
}

#[test]
fn a_store_that_is_whole_is_saved_whole() {
    let fixture = Fixture::new();
    let (report, store) = fixture.salvage();
    assert_eq!((report.records, report.events, report.last_found, report.last_known), (30, 32, 32, 32));
    assert!(report.missing.is_empty() && report.gaps.is_empty() && report.faults.is_empty(), "{report:?}");
    assert!(report.doubtful.is_empty() && report.is_whole());
    assert_eq!(fixture.code(&store, 0), "ok");
    assert_eq!(fixture.code(&store, 1), "revoked_api_key");
    assert_eq!(all(&store, &KeyFilter::owner("alice")).len(), 30);
    assert!(store.verify_events().unwrap().is_whole());
    assert_eq!(store.events(&EventFilter::default().kind("salvaged")).unwrap().events.len(), 1);
}

#[test]
fn lost_records_and_events_are_named_and_the_rest_is_saved() {
    let fixture = Fixture::new();
    fixture.damage(|database| {
        let keys = database.open_tree("keys").unwrap();
        keys.insert(place(&fixture.keys[5]), b"garbage").unwrap();
        split_batches(database);
        let events = database.open_tree("events").unwrap();
        events.remove(7u64.to_be_bytes()).unwrap();
        events.remove(8u64.to_be_bytes()).unwrap();
    });
    assert!(matches!(KeyStore::open(fixture.directory.path().join("old")), Err(OpenError::Damaged { .. })));
    let (report, store) = fixture.salvage();
    assert!(!report.faults.is_empty() && !report.is_whole());
    assert_eq!(report.known_records, Some(30));
    // The database's files may still contain what it has lost.
    let five = fixture.keys[5].info.id();
    assert!(report.missing.contains(&five) != report.doubtful.contains(&five), "{report:?}");
    assert!(matches!(fixture.code(&store, 5), "invalid_api_key" | "disabled_api_key"));
    assert!(report.gaps.is_empty() || report.gaps == [(7, 8)], "{:?}", report.gaps);
    for n in [0, 2, 6, 29] {
        assert_eq!(fixture.code(&store, n), "ok", "{n}");
    }
    assert_eq!(fixture.code(&store, 1), "revoked_api_key");
    store.create(alice()).unwrap();
}

/// The files still contain the events of a damaged batch.
#[test]
fn events_of_a_damaged_batch_are_found_or_named() {
    let fixture = Fixture::new();
    fixture.damage(|database| {
        let events = database.open_tree("events").unwrap();
        let (key, value) = events.first().unwrap().unwrap();
        assert_eq!(value[..3], [0xa9, b'B', 1]);
        events.insert(key, &value[..value.len() - 1]).unwrap();
    });
    let error = KeyStore::open(fixture.directory.path().join("old")).map(drop).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { what, .. } if what.contains("event")), "{error:?}");
    let (report, store) = fixture.salvage();
    assert!(report.faults.iter().any(|fault| fault.contains("events cannot be read")), "{report:?}");
    let named: u64 = report.gaps.iter().map(|(first, last)| last - first + 1).sum();
    assert_eq!(report.events + named, 32, "{report:?}");
    assert_eq!(report.events, 32, "all of them are in the files: {report:?}");
    assert_eq!(fixture.code(&store, 1), "revoked_api_key");
    assert!(store.verify_events().unwrap().is_whole());
}

/// A forged head with a right checksum that leaves no number for the events of a salvage.
#[test]
fn a_head_with_the_largest_number_is_an_error() {
    let fixture = Fixture::new();
    fixture.damage(|database| {
        let meta = database.open_tree("meta").unwrap();
        let head = meta.get("head").unwrap().unwrap();
        assert_eq!(head[..4], [0xa9, b'H', 1, 32]);
        let mut forged = [&[0xa9, b'H', 1, 253][..], &u64::MAX.to_le_bytes(), &head[4..head.len() - 4]].concat();
        let check = crc32fast::hash(&forged);
        forged.extend(check.to_le_bytes());
        meta.insert("head", forged).unwrap();
    });
    let path = |name: &str| fixture.directory.path().join(name);
    assert!(matches!(KeyStore::open(path("old")), Err(OpenError::Damaged { .. })));
    let error = KeyStore::salvage(path("old"), path("new")).map(drop).unwrap_err();
    assert!(error.to_string().contains("no number is left"), "{error}");
    assert!(!path("new").join("sled").exists());
}

#[test]
fn nothing_but_the_files_is_needed() {
    let fixture = Fixture::new();
    let sled = fixture.directory.path().join("old/sled");
    fs::write(sled.join("conf"), "nonsense").unwrap();
    for entry in fs::read_dir(&sled).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("snap") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let (report, store) = fixture.salvage();
    assert_eq!(report.records, 30, "{report:?}");
    assert_eq!(fixture.code(&store, 1), "revoked_api_key");
    for id in &report.doubtful {
        store.update(*id, KeyUpdate::new().disabled(false)).ok();
    }
    assert_eq!(fixture.code(&store, 1), "revoked_api_key");
    assert_eq!(fixture.code(&store, 0), "ok");
}

#[test]
fn no_revocation_is_lost_silently() {
    let fixture = Fixture::new();
    let clean = fs::read(fixture.directory.path().join("old/sled/db")).unwrap();
    let end = clean.iter().rposition(|byte| *byte != 0).unwrap();
    for round in 0..25usize {
        let mut bytes = clean.clone();
        let at = round * end / 25;
        bytes[at..(at + 600).min(end)].fill(0xa5);
        fs::write(fixture.directory.path().join("old/sled/db"), bytes).unwrap();
        let new = fixture.directory.path().join(format!("new {round}"));
        let report = KeyStore::salvage(fixture.directory.path().join("old"), &new).unwrap();
        let store = KeyStore::open(&new).unwrap();
        // Either the key is as it was, or the report says that changes are lost.
        assert!(fixture.code(&store, 1) != "ok" || !report.gaps.is_empty(), "{round}: {report:?}");
        assert_eq!(all(&store, &KeyFilter::default()).len() as u64, report.records);
    }
}

#[test]
fn nothing_is_saved_into_another_store_or_from_nowhere() {
    let fixture = Fixture::new();
    let path = |name: &str| fixture.directory.path().join(name);
    let error = KeyStore::salvage(path("old"), path("old")).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error:?}");
    let error = KeyStore::salvage(path("nowhere"), path("new")).unwrap_err();
    assert!(matches!(error, RestoreError::NoOldStore { .. }), "{error:?}");
    assert!(!Path::new(&path("nowhere")).exists());
    // A mistyped name is an error: an empty result would look like a store without keys.
    fs::create_dir(path("other")).unwrap();
    for file in ["lock", "notes.txt"] {
        fs::write(path("other").join(file), "x").unwrap();
        let error = KeyStore::salvage(path("other"), path("new")).unwrap_err();
        assert!(matches!(error, RestoreError::NoOldStore { .. }), "{error:?}");
    }
    assert!(!path("new").exists());
}

/// A store with a role and a tenant, which are wide at first and then narrow, and a tenant that ends. Returns the frames of
/// their records from before.
struct Named {
    fixture: Fixture,
    wide: Vec<(sled::IVec, sled::IVec)>,
}

impl Named {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = || KeyStore::open(directory.path().join("old")).unwrap();
        let store = open();
        let put = |store: &KeyStore, permissions: &[&str]| {
            store.put_role(Role::new("reader").permissions(permissions)).unwrap();
            store.put_tenant(Tenant::new("acme").permissions(permissions)).unwrap();
        };
        put(&store, &["orders:read", "stock:read"]);
        store.put_tenant(Tenant::new("apex")).unwrap();
        let grants = ["orders:read", "stock:read"];
        let keys = vec![
            store.create(alice().roles(["reader"])).unwrap(),
            store.tenant("acme").unwrap().create(alice().permissions(grants)).unwrap(),
            store.tenant("apex").unwrap().create(alice().permissions(grants)).unwrap(),
        ];
        store.close().unwrap();
        let fixture = Fixture { directory, keys };
        let mut wide = Vec::new();
        fixture.damage(|database| wide.extend(fixture.records(database)));
        assert_eq!(wide.len(), 3);
        let store = KeyStore::open(fixture.directory.path().join("old")).unwrap();
        store.backup(fixture.directory.path().join("backup")).unwrap();
        put(&store, &["orders:read"]);
        store.end_tenant("apex", "left").unwrap();
        store.close().unwrap();
        Self { fixture, wide }
    }

    /// No key has more than the store gave at last.
    fn check(&self, store: &KeyStore) {
        for key in &self.fixture.keys[..2] {
            let held = store.verify(key.key.expose_secret()).unwrap();
            assert!(!held.allows("stock:read"), "{:?}", held.permissions().collect::<Vec<_>>());
        }
        assert_eq!(self.fixture.code(store, 2), "revoked_api_key");
        assert!(store.verify_events().unwrap().is_whole());
    }
}

impl Fixture {
    /// Makes the database a new one, whose files have nothing of what was in it before.
    fn forget_what_was(&self) {
        let path = |name: &str| self.directory.path().join(name);
        let old = database::open(&path("old")).unwrap();
        let new = sled::open(path("fresh")).unwrap();
        new.import(old.export());
        new.flush().unwrap();
        drop((old, new));
        fs::remove_dir_all(path("old/sled")).unwrap();
        fs::rename(path("fresh"), path("old/sled")).unwrap();
    }

    /// The records of roles and tenants, which lie behind those of keys.
    fn records(&self, database: &sled::Db) -> Vec<(sled::IVec, sled::IVec)> {
        let keys = database.open_tree("keys").unwrap();
        keys.scan_prefix([0xff, 0xfe]).map(Result::unwrap).collect()
    }
}

#[test]
fn roles_and_tenants_in_an_earlier_state_are_narrowed_by_their_events() {
    let named = Named::new();
    named.fixture.damage(|database| {
        let keys = database.open_tree("keys").unwrap();
        named.wide.iter().for_each(|(place, frame)| drop(keys.insert(place, frame).unwrap()));
    });
    assert!(KeyStore::open(named.fixture.directory.path().join("old")).is_err());
    let (report, store) = named.fixture.salvage();
    assert!(!report.faults.is_empty(), "{report:?}");
    named.check(&store);
}

#[test]
fn roles_and_tenants_that_are_lost_are_as_events_show_that_lie_anywhere() {
    let named = Named::new();
    named.fixture.damage(|database| {
        let keys = database.open_tree("keys").unwrap();
        named.wide.iter().for_each(|(place, _)| drop(keys.insert(place, b"garbage").unwrap()));
        split_batches(database);
        let events = database.open_tree("events").unwrap();
        // Those that narrow, and the end.
        (7..=9u64).for_each(|number| drop(events.insert(number.to_be_bytes(), b"garbage").unwrap()));
    });
    let (report, store) = named.fixture.salvage();
    named.check(&store);
    // Nothing later is lost, so they are as they were.
    assert!(!report.faults.iter().any(|fault| fault.contains("until you put it")), "{report:?}");
    let role = store.role("reader").unwrap().unwrap();
    assert_eq!(role.permissions(), ["orders:read"]);
    assert!(store.verify(named.fixture.keys[0].key.expose_secret()).unwrap().allows("orders:read"));
    let path = |name: &str| named.fixture.directory.path().join(name);
    let restore = Restore::new(path("backup"), path("restored")).over(path("old"));
    KeyStore::restore(&restore).unwrap();
    named.check(&KeyStore::open(path("restored")).unwrap());
}

/// A role that was deleted stays so, and one without keys comes back, too.
#[test]
fn roles_whose_records_are_lost_come_back_but_for_deleted_ones() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path().join("old")).unwrap();
    for name in ["reader", "writer", "gone"] {
        store.put_role(Role::new(name).permissions(["orders:read"])).unwrap();
    }
    store.delete_role("gone").unwrap();
    let keys = vec![store.create(alice().roles(["reader"])).unwrap()];
    store.close().unwrap();
    let fixture = Fixture { directory, keys };
    fixture.damage(|database| {
        let places = fixture.records(database);
        assert_eq!(places.len(), 2);
        let keys = database.open_tree("keys").unwrap();
        places.iter().for_each(|(place, _)| drop(keys.remove(place).unwrap()));
    });
    fixture.forget_what_was();
    let (report, store) = fixture.salvage();
    let roles = store.roles().unwrap();
    assert_eq!(roles.iter().map(apikey::RoleInfo::name).collect::<Vec<_>>(), ["reader", "writer"], "{report:?}");
    assert!(store.verify(fixture.keys[0].key.expose_secret()).unwrap().allows("orders:read"));
    assert!(store.verify_events().unwrap().is_whole());
}

/// A later event may have narrowed the role or the tenant, so what an earlier one shows is not enough.
#[test]
fn a_role_and_a_tenant_of_which_record_and_later_events_are_lost_grant_and_leave_nothing() {
    let named = Named::new();
    named.fixture.damage(|database| {
        let keys = database.open_tree("keys").unwrap();
        named.wide.iter().for_each(|(place, _)| drop(keys.remove(place).unwrap()));
        split_batches(database);
        let events = database.open_tree("events").unwrap();
        (7..=9u64).for_each(|number| drop(events.remove(number.to_be_bytes()).unwrap()));
    });
    named.fixture.forget_what_was();
    let (report, store) = named.fixture.salvage();
    assert_eq!(report.gaps, [(7, 9)]);
    for key in &named.fixture.keys {
        assert_eq!(store.verify(key.key.expose_secret()).unwrap().permissions().count(), 0);
    }
    for lost in ["role \"reader\"", "tenant \"acme\"", "tenant \"apex\""] {
        assert!(report.faults.iter().any(|fault| fault.contains(lost)), "{report:?}");
    }
    assert!(store.role("reader").unwrap().unwrap().permissions().is_empty());
    store.put_tenant(Tenant::new("acme").permissions(["orders:*"])).unwrap();
    let key = store.verify(named.fixture.keys[1].key.expose_secret()).unwrap();
    assert_eq!(key.permissions().collect::<Vec<_>>(), ["orders:read"]);
}

/// A store whose owner and tenant had larger quotas at first, and an owner whose quota was removed. Returns the frames of the
/// owner's and the tenant's records from before.
fn with_quotas() -> Named {
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::open(directory.path().join("old")).unwrap();
    let store = open();
    let put = |store: &KeyStore, uses: u64| {
        store.put_owner(Owner::new("alice").quota(Quota::total(uses))).unwrap();
        store.put_tenant(Tenant::new("acme").quota(Quota::total(uses))).unwrap();
    };
    put(&store, 100);
    let acme = store.tenant("acme").unwrap();
    let keys = vec![
        store.create(alice()).unwrap(),
        acme.create(NewKey::for_owner("bob")).unwrap(),
        store.create(NewKey::for_owner("freed")).unwrap(),
    ];
    store.close().unwrap();
    let fixture = Fixture { directory, keys };
    let mut wide = Vec::new();
    fixture.damage(|database| wide.extend(fixture.records(database)));
    assert_eq!(wide.len(), 2);
    let store = KeyStore::open(fixture.directory.path().join("old")).unwrap();
    store.put_owner(Owner::new("freed").quota(Quota::total(1))).unwrap();
    put(&store, 10);
    store.put_owner(Owner::new("freed")).unwrap();
    store.close().unwrap();
    Named { fixture, wide }
}

fn counts(store: &KeyStore) -> (Vec<(String, u64)>, Option<u64>) {
    let owners = store.owners().unwrap();
    let owners = owners.iter().map(|owner| (owner.name().to_owned(), owner.quota().unwrap().count())).collect();
    let tenant = store.tenant("acme").unwrap().info().unwrap();
    (owners, tenant.and_then(|tenant| tenant.quota()).map(|quota| quota.count()))
}

#[test]
fn quotas_that_keys_share_are_as_events_show_them() {
    for is_lost in [false, true] {
        let named = with_quotas();
        named.fixture.damage(|database| {
            let keys = database.open_tree("keys").unwrap();
            for (place, frame) in &named.wide {
                drop(if is_lost { keys.remove(place) } else { keys.insert(place, frame) }.unwrap());
            }
        });
        let (report, store) = named.fixture.salvage();
        assert_eq!(counts(&store), (vec![("alice".to_owned(), 10)], Some(10)), "{report:?}");
        assert!(!report.faults.iter().any(|fault| fault.contains("put it")), "{report:?}");
        for (key, passes) in named.fixture.keys.iter().zip([10, 10, 20]) {
            assert_eq!((0..20).filter(|_| store.verify(key.key.expose_secret()).is_ok()).count(), passes);
        }
        assert!(store.verify_events().unwrap().is_whole());
    }
}

/// What nothing shows any more gives nobody any uses, until somebody puts it; but an owner of which nothing shows that it had a
/// quota has none.
#[test]
fn a_quota_of_which_record_and_events_are_lost_has_no_uses_left() {
    let named = with_quotas();
    named.fixture.damage(|database| {
        let keys = database.open_tree("keys").unwrap();
        named.wide.iter().for_each(|(place, _)| drop(keys.insert(place, b"garbage").unwrap()));
        split_batches(database);
        let events = database.open_tree("events").unwrap();
        (1..=9u64).for_each(|number| drop(events.remove(number.to_be_bytes()).unwrap()));
    });
    named.fixture.forget_what_was();
    let (report, store) = named.fixture.salvage();
    assert!(report.faults.iter().any(|fault| fault.contains("quota of owner \"alice\" is lost")), "{report:?}");
    let code = |n: usize| named.fixture.code(&store, n);
    assert_eq!((code(0), code(2)), ("no_uses_left", "ok"), "{report:?}");
    store.put_owner(Owner::new("alice").quota(Quota::total(5))).unwrap();
    assert_eq!(code(0), "ok");
}

/// An earlier event shows a quota; a later one may have made it smaller.
#[test]
fn a_quota_of_which_later_events_are_lost_is_as_the_earlier_show_and_the_report_says_so() {
    let named = with_quotas();
    named.fixture.damage(|database| {
        let keys = database.open_tree("keys").unwrap();
        named.wide.iter().for_each(|(place, _)| drop(keys.remove(place).unwrap()));
        split_batches(database);
        let events = database.open_tree("events").unwrap();
        (6..=9u64).for_each(|number| drop(events.remove(number.to_be_bytes()).unwrap()));
    });
    named.fixture.forget_what_was();
    let (report, store) = named.fixture.salvage();
    assert_eq!(counts(&store).0, [("alice".to_owned(), 100)], "{report:?}");
    let says = |what: &str| report.faults.iter().any(|fault| fault.contains(what));
    assert!(says("the quota of owner \"alice\" may have changed since") && says("tenant \"acme\""), "{report:?}");
}
