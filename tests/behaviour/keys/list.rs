//! Pages of keys, and the filters that choose them.

use apikey::{KeyFilter, KeyId, KeyState, KeyStore, KeyUpdate, NewKey, RotationPolicy, StoreError};
use apikey_testkit::{alice, all, clocked, hours, ms, start};

#[test]
fn pages_hold_every_key_once_in_order_of_creation() {
    let store = KeyStore::temporary().unwrap();
    let owners = ["alice", "bob", "alice", "carol", "alice"];
    let ids: Vec<KeyId> = (0..230).map(|n| store.create(NewKey::for_owner(owners[n % 5])).unwrap().info.id()).collect();
    assert!(ids.is_sorted());
    let found = |filter: KeyFilter| all(&store, &filter).iter().map(apikey::KeyInfo::id).collect::<Vec<_>>();
    for limit in [1, 7, 23, 46, 115, 229, 230, 231, 1000] {
        assert_eq!(found(KeyFilter::default().limit(limit)), ids, "{limit}");
        let page = store.list(&KeyFilter::default().limit(limit)).unwrap();
        assert_eq!(page.keys.len(), limit.min(230));
        if limit < 230 {
            assert_eq!(page.next, Some(ids[limit - 1]), "{limit}");
        }
        let alices: Vec<KeyId> =
            ids.iter().copied().enumerate().filter(|(n, _)| n % 5 % 2 == 0).map(|(_, id)| id).collect();
        assert_eq!(found(KeyFilter::owner("alice").limit(limit)), alices, "{limit}");
    }
    assert_eq!(store.list(&KeyFilter::default()).unwrap().keys.len(), 100, "a page without a limit");
    assert_eq!(found(KeyFilter::default().after(ids[99])), ids[100..]);
    assert_eq!(found(KeyFilter::default().after(ids[229])), []);
    assert_eq!(found(KeyFilter::owner("nobody")), []);
    for limit in [0, 1001, usize::MAX] {
        let error = store.list(&KeyFilter::default().limit(limit)).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "limit", .. }), "{error:?}");
    }
}

#[test]
fn a_page_goes_on_though_its_last_key_was_purged() {
    let (store, _) = clocked();
    let keys = store.create_many((0..6).map(|_| alice())).unwrap();
    let page = store.list(&KeyFilter::default().limit(3)).unwrap();
    store.revoke(keys[2].info.id(), "").unwrap();
    assert_eq!(store.purge(start() + ms(1)).unwrap(), 1);
    let rest = store.list(&KeyFilter::default().limit(3).after(page.next.unwrap())).unwrap();
    assert_eq!(
        rest.keys.iter().map(apikey::KeyInfo::id).collect::<Vec<_>>(),
        [3, 4, 5].map(|n: usize| keys[n].info.id())
    );
}

#[test]
fn each_filter_finds_what_it_says() {
    let (store, clock) = clocked();
    let make = |key: NewKey| store.create(key).unwrap().info.id();
    let ci = make(alice().name("CI runner").permissions(["orders:read"]));
    let web = make(alice().permissions(["orders:*"]).metadata("Team", "blue sky"));
    let all_of = make(NewKey::for_owner("Bob & Söhne").permissions(["*"]).expires_at(start() + hours(10)));
    let short = make(NewKey::for_owner("carol").expires_at(start() + hours(1)));
    let later = make(NewKey::for_owner("carol").not_before(start() + hours(20)));
    let off = make(NewKey::for_owner("dave").permissions(["orders:write"]));
    let gone = make(NewKey::for_owner("dave"));
    store.update(off, KeyUpdate::new().disabled(true)).unwrap();
    store.revoke(gone, "a reason to find").unwrap();
    clock.advance(hours(2));
    let found = |filter: KeyFilter| all(&store, &filter).iter().map(apikey::KeyInfo::id).collect::<Vec<_>>();
    let any = KeyFilter::default;

    assert_eq!(found(any()), [ci, web, all_of, short, later, off, gone]);
    assert_eq!(found(KeyFilter::owner("dave")), [off, gone]);
    assert_eq!(found(KeyFilter::owner("dav")), []);
    assert_eq!(found(any().state(KeyState::Active)), [ci, web, all_of]);
    assert_eq!(found(any().state(KeyState::Expired)), [short]);
    assert_eq!(found(any().state(KeyState::NotYetValid)), [later]);
    assert_eq!(found(any().state(KeyState::Disabled)), [off]);
    assert_eq!(found(any().state(KeyState::Revoked)), [gone]);
    let by_state: usize = KeyState::ALL.iter().map(|state| found(any().state(*state)).len()).sum();
    assert_eq!(by_state, 7);
    assert_eq!(found(any().permission("orders:read")), [ci, web, all_of]);
    assert_eq!(found(any().permission("orders:write")), [web, all_of, off]);
    assert_eq!(found(any().permission("orders")), [all_of]);
    assert_eq!(found(any().text("RUNNER")), [ci]);
    assert_eq!(found(any().text("söhne")), [all_of]);
    assert_eq!(found(any().text("Blue")), [web]);
    assert_eq!(found(any().text("team")), [web]);
    let hint = store.get(later).unwrap().unwrap().hint().to_owned();
    assert!(found(any().text(&hint[hint.len() - 4..])).contains(&later));
    assert_eq!(found(any().text("no such text")), []);
    assert_eq!(found(any().expiring_before(start() + hours(10))), [short]);
    assert_eq!(found(any().expiring_before(start() + hours(10) + ms(1))), [all_of, short]);
    // Combined filters all apply.
    assert_eq!(found(any().permission("orders:read").text("blue").state(KeyState::Active)), [web]);
    assert_eq!(found(KeyFilter::owner("carol").state(KeyState::NotYetValid).limit(1)), [later]);
    assert_eq!(found(any().permission("orders:read").after(ci).limit(1)), [web, all_of]);
    for bad in ["orders:*", "", "Orders"] {
        let error = store.list(&any().permission(bad)).unwrap_err();
        assert!(error.to_string().contains("permission"), "{error}");
    }
}

#[test]
fn filters_by_use_metadata_rotation_and_end() {
    let (store, clock) = clocked();
    let used = store.create(alice().metadata("team", "blue").metadata("floor", "2")).unwrap();
    let rotating = store.create(alice().metadata("team", "blue").rotation(RotationPolicy::every(hours(10)))).unwrap();
    let (used_id, rotating) = (used.info.id(), rotating.info.id());
    let short = store.create(alice().expires_at(start() + hours(1))).unwrap().info.id();
    let gone = store.create(alice()).unwrap().info.id();
    store.revoke(gone, "").unwrap();
    clock.advance(hours(2));
    store.verify(used.key.expose_secret()).unwrap();
    let found = |filter: KeyFilter| all(&store, &filter).iter().map(apikey::KeyInfo::id).collect::<Vec<_>>();
    let any = KeyFilter::default;
    assert_eq!(found(any().never_used()), [rotating, short, gone]);
    assert_eq!(found(any().metadata("team", "blue")), [used_id, rotating]);
    assert_eq!(found(any().metadata("team", "blue").metadata("floor", "2")), [used_id]);
    assert_eq!(found(any().metadata("team", "Blue")), []);
    assert_eq!(found(any().rotation_due_before(start() + hours(10))), []);
    assert_eq!(found(any().rotation_due_before(start() + hours(10) + ms(1))), [rotating]);
    // What a purge deletes: no key that is valid, whatever the time.
    let far = start() + hours(1000);
    assert_eq!(found(any().purgeable_before(start())), []);
    assert_eq!(found(any().purgeable_before(start() + ms(1))), [gone]);
    assert_eq!(found(any().purgeable_before(far)), [short, gone]);
    assert_eq!(store.purge(far).unwrap(), 2);
    assert_eq!(found(any()), [used_id, rotating]);
}
