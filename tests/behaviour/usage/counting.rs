//! Every use and every refusal is counted once: in memory, over a restart, and from many threads.

use std::collections::BTreeMap;
use std::thread;

use apikey::{
    AuthError, CreatedKey, KeyFilter, KeyInfo, KeyStore, KeyUpdate, NewKey, Requirement, Step, Usage, UsageReport,
};
use apikey_testkit::{alice, clocked, database, hours};

fn counting() -> KeyStore {
    KeyStore::builder().count_use(true).temporary().unwrap()
}

fn refusals(report: &UsageReport) -> Vec<(&str, u64)> {
    report.refusals().iter().map(|(code, count)| (code.as_str(), *count)).collect()
}

#[test]
fn uses_and_refusals_are_counted_by_key_owner_tenant_and_store() {
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().count_use(true).open(directory.path()).unwrap();
    let store = open();
    let acme = store.tenant("acme").unwrap();
    let keys = [
        store.create(alice().permissions(["orders:read"])).unwrap(),
        store.create(alice().name("second")).unwrap(),
        acme.create(alice()).unwrap(),
        acme.create(NewKey::for_owner("bob")).unwrap(),
    ];
    for (at, key) in keys.iter().enumerate() {
        for _ in 0..=at {
            store.verify(key.key.expose_secret()).unwrap();
        }
    }
    let secret = keys[0].key.expose_secret();
    let verified = store.authorize(secret, &Requirement::permission("orders:read").unwrap()).unwrap();
    store.recheck(&verified).unwrap();
    assert!(store.identify(secret).is_some());
    assert!(store.authorize(secret, &Requirement::permission("orders:write").unwrap()).is_err());
    store.note_refusal(&AuthError::Missing, None, None::<std::net::IpAddr>);
    for _ in 0..3 {
        store.verify("ak_nothing").unwrap_err();
    }
    store.update(keys[3].info.id(), KeyUpdate::new().disabled(true)).unwrap();
    store.verify(keys[3].key.expose_secret()).unwrap_err();

    let check = |store: &KeyStore| {
        let of = |usage: Usage| store.usage(&usage).unwrap();
        let uses: Vec<u64> = keys.iter().map(|key| of(Usage::of_key(key.info.id())).uses()).collect();
        assert_eq!(uses, [2, 2, 3, 4]);
        assert_eq!(refusals(&of(Usage::of_key(keys[0].info.id()))), [("insufficient_permission", 1)]);
        assert_eq!(refusals(&of(Usage::of_key(keys[3].info.id()))), [("disabled_api_key", 1)]);
        assert_eq!(of(Usage::of_owner("alice")).uses(), 4);
        assert_eq!(of(Usage::of_owner_in_tenant("acme", "alice")).uses(), 3);
        assert_eq!((of(Usage::of_tenant("acme")).uses(), of(Usage::of_tenant("apex")).uses()), (7, 0));
        assert_eq!(refusals(&of(Usage::of_tenant("acme"))), [("disabled_api_key", 1)]);
        let all = of(Usage::of_store());
        assert_eq!(all.uses(), 11);
        assert_eq!(
            refusals(&all),
            [("disabled_api_key", 1), ("insufficient_permission", 1), ("invalid_api_key", 3), ("missing_api_key", 1),]
        );
        for step in [Step::Minute, Step::Day] {
            let report = of(Usage::of_store().step(step));
            assert_eq!((report.uses(), report.refusals().values().sum::<u64>()), (11, 6));
            assert_eq!(of(Usage::of_key(keys[2].info.id()).step(step)).uses(), 3);
        }
        let total = |info: &KeyInfo| store.get(info.id()).unwrap().unwrap().uses_total();
        assert_eq!(keys.iter().map(|key| total(&key.info)).collect::<Vec<_>>(), [2, 2, 3, 4]);
        let most = store.most_used(chrono::Utc::now() - hours(1), 3).unwrap();
        let most: Vec<_> =
            most.iter().map(|key| (key.key, key.owner.as_str(), key.tenant.as_deref(), key.uses)).collect();
        assert_eq!(most[0], (keys[3].info.id(), "bob", Some("acme"), 4));
        assert_eq!(most[1], (keys[2].info.id(), "alice", Some("acme"), 3));
        assert_eq!(most.len(), 3);
    };
    check(&store);
    drop(acme);
    store.close().unwrap();
    check(&open());
    // It answers, and counts nothing more, without the option.
    let store = KeyStore::open(directory.path()).unwrap();
    store.verify(secret).unwrap();
    let report = store.usage(&Usage::of_store()).unwrap();
    assert_eq!((report.uses(), report.uses_total()), (11, 11));
    assert_eq!(store.get(keys[0].info.id()).unwrap().unwrap().uses_total(), 0);
}

#[test]
fn a_store_that_does_not_count_has_no_counts() {
    let store = KeyStore::temporary().unwrap();
    let key = store.create(alice()).unwrap();
    store.verify(key.key.expose_secret()).unwrap();
    store.verify("ak_nothing").unwrap_err();
    let report = store.usage(&Usage::of_store()).unwrap();
    assert_eq!((report.uses(), report.refusals()), (0, &BTreeMap::new()));
    assert!(store.most_used(chrono::Utc::now() - hours(1), 3).unwrap().is_empty());
    assert_eq!(store.list(&KeyFilter::default()).unwrap().keys[0].uses_total(), 0);
}

/// More keys than the first tables of a thread have room for, from threads that end, while somebody reads.
#[test]
fn sums_are_exact_over_threads_and_many_keys() {
    const KEYS: usize = 5000;
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().count_use(true).open(directory.path()).unwrap();
    let store = open();
    let keys = store.create_many((0..KEYS).map(|at| NewKey::for_owner(format!("owner{}", at % 7)))).unwrap();
    let hot = store.create(alice()).unwrap();
    let counted = |store: &KeyStore| store.usage(&Usage::of_store()).unwrap().uses();
    let (mut before, mut rounds) = (0, 0);
    for _ in 0..2 {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (store, keys, hot) = (&store, &keys, &hot);
                    scope.spawn(move || {
                        for at in 0..KEYS {
                            store.verify(keys[(at * 7 + thread) % KEYS].key.expose_secret()).unwrap();
                            store.verify(hot.key.expose_secret()).unwrap();
                        }
                    })
                })
                .collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                let now = counted(&store);
                assert!(now >= before, "{now} after {before}");
                before = now;
            }
        });
        rounds += 4;
        assert_eq!(counted(&store), rounds * 2 * KEYS as u64);
    }
    let check = |store: &KeyStore| {
        let of = |id| store.usage(&Usage::of_key(id)).unwrap().uses();
        assert_eq!(of(hot.info.id()), rounds * KEYS as u64);
        assert!(keys.iter().all(|key| of(key.info.id()) == rounds));
        assert_eq!(store.usage(&Usage::of_owner("owner3")).unwrap().uses(), rounds * (KEYS as u64 - 3).div_ceil(7));
    };
    check(&store);
    store.close().unwrap();
    check(&open());
}

#[test]
fn an_imported_secret_and_a_rotated_one_count_for_their_key() {
    let store = counting();
    let legacy = "legacy-0123456789abcdefghij";
    let imported = apikey::Imported::raw(legacy);
    let key = store.create(alice().imported(imported, apikey::ImportScheme::Whole)).unwrap();
    store.verify(legacy).unwrap();
    let next = store.rotate(key.info.id(), apikey::Overlap::For(hours(1))).unwrap();
    store.verify(next.key.expose_secret()).unwrap();
    store.verify(legacy).unwrap();
    assert_eq!(store.usage(&Usage::of_key(key.info.id())).unwrap().uses(), 3);
}

#[test]
fn a_purged_key_has_no_counts_and_its_owner_keeps_them() {
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().count_use(true).open(directory.path()).unwrap();
    let store = open();
    let keys = store.create_many([alice(), alice()]).unwrap();
    for key in &keys {
        store.verify(key.key.expose_secret()).unwrap();
    }
    store.close().unwrap();
    let store = open();
    store.revoke(keys[0].info.id(), "left").unwrap();
    store.purge(chrono::Utc::now() + hours(1)).unwrap();
    let check = |store: &KeyStore| {
        assert!(matches!(store.usage(&Usage::of_key(keys[0].info.id())), Err(apikey::StoreError::NotFound(_))));
        assert_eq!(store.usage(&Usage::of_owner("alice")).unwrap().uses(), 2);
        let most = store.most_used(chrono::Utc::now() - hours(1), 9).unwrap();
        assert_eq!(most.iter().map(|key| key.key).collect::<Vec<_>>(), [keys[1].info.id()]);
    };
    check(&store);
    store.close().unwrap();
    check(&open());
    let rows = || {
        let database = database::open(directory.path()).unwrap();
        let rows = database.open_tree("usage").unwrap();
        let of = |key: &CreatedKey| {
            let id = key.info.id().as_uuid().into_bytes();
            rows.iter().keys().filter(|name| name.as_ref().unwrap().ends_with(&id)).count()
        };
        (of(&keys[0]), of(&keys[1]))
    };
    assert_eq!(rows(), (0, 4));
    // One that does not count, as the command opens it, deletes them, too.
    let store = KeyStore::open(directory.path()).unwrap();
    store.revoke(keys[1].info.id(), "left").unwrap();
    store.purge(chrono::Utc::now() + hours(1)).unwrap();
    assert_eq!(store.usage(&Usage::of_owner("alice")).unwrap().uses(), 2);
    store.close().unwrap();
    drop(store);
    assert_eq!(rows(), (0, 0));
}

#[test]
fn a_store_that_is_closed_answers_nothing() {
    let (store, _) = clocked();
    store.close().unwrap();
    assert!(matches!(store.usage(&Usage::of_store()), Err(apikey::StoreError::Closed)));
}
