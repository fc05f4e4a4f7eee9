//! What callers may make of their own keys without a key that caps them.

use apikey::{
    Conflict, CreatedKey, KeyBounds, KeyFilter, KeyId, KeyStore, KeyUpdate, ManualClock, NewKey, Overlap, OwnerStore,
    Role, StoreError, Usage,
};
use apikey_testkit::hours;
use chrono::{TimeDelta, Utc};

fn new() -> NewKey {
    NewKey::for_owner("alice")
}

fn bounded(store: &KeyStore, bounds: KeyBounds) -> OwnerStore {
    store.of_owner("alice").bounded(bounds)
}

fn orders() -> KeyBounds {
    KeyBounds::new().offer(["orders:read", "reports:*"])
}

/// The field of an error that names one.
#[track_caller]
fn field<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result.unwrap_err() {
        StoreError::Invalid { field, .. } => field,
        error => panic!("{error}"),
    }
}

#[track_caller]
fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Conflict {
    match result.unwrap_err() {
        StoreError::Conflict(conflict) => conflict,
        error => panic!("{error}"),
    }
}

#[test]
fn a_new_key_has_what_is_offered_and_nothing_that_others_give() {
    let store = KeyStore::builder().prefixes(["shop_live", "shop_test"]).temporary().unwrap();
    store.put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
    let alice = bounded(&store, orders());
    for grants in [&["orders:read"][..], &["reports:daily"], &["reports:*", "orders:read"], &[]] {
        alice.create(new().permissions(grants)).unwrap();
    }
    for (refused, expected) in [
        (new().permissions(["orders:write"]), "permissions"),
        (new().permissions(["orders:*"]), "permissions"),
        (new().permissions(["*"]), "permissions"),
        (new().permissions(["*:*"]), "permissions"),
        (new().permissions(["orders:read", "keys:read"]), "permissions"),
        (new().roles(["reader"]), "roles"),
        (new().label("plan", "pro"), "labels"),
        (new().prefix("shop_test"), "prefix"),
        (NewKey::for_owner("bob"), "owner"),
    ] {
        let text = format!("{refused:?}");
        assert_eq!(field(alice.create(refused)), expected, "{text}");
    }
    // What narrows the key is the owner's to say.
    let narrow = new().limit(1, hours(1)).networks(["10.0.0.0/8"]).idle_after(hours(24)).expires_in(hours(1));
    assert!(alice.create(narrow).is_ok());
    // Nothing is offered where nothing is said.
    let nothing = bounded(&store, KeyBounds::default());
    assert_eq!(field(nothing.create(new().permissions(["orders:read"]))), "permissions");
    assert!(nothing.create(new()).is_ok());
}

#[test]
fn a_key_lives_as_long_as_the_bounds_say() {
    let clock = ManualClock::new(Utc::now());
    let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    let alice = bounded(&store, orders().max_lifetime(TimeDelta::days(90)));
    let key = alice.create(new()).unwrap().info;
    let latest = key.created_at() + TimeDelta::days(90);
    assert_eq!(key.expires_at(), Some(latest), "a key that names no end gets the latest");
    assert!(alice.create(new().expires_in(TimeDelta::days(90))).is_ok());
    assert_eq!(field(alice.create(new().expires_in(TimeDelta::days(91)))), "expires_at");
    clock.advance(TimeDelta::days(30));
    let set = |end| alice.update(key.id(), KeyUpdate::new().expires_at(end));
    assert!(set(Some(key.created_at() + TimeDelta::days(40))).is_ok());
    assert!(set(Some(latest)).is_ok(), "the lifetime counts from the creation");
    assert_eq!(field(set(Some(latest + TimeDelta::milliseconds(1)))), "expires_at");
    assert_eq!(field(set(None)), "expires_at");
    // A key that others gave a longer life keeps it, and may only lose of it.
    let long = store.create(new().expires_in(TimeDelta::days(900))).unwrap().info;
    alice.update(long.id(), KeyUpdate::new().name("mine")).unwrap();
    let shorter = long.expires_at().unwrap() - TimeDelta::days(1);
    assert!(alice.update(long.id(), KeyUpdate::new().expires_at(Some(shorter))).is_ok());
    assert_eq!(field(alice.update(long.id(), KeyUpdate::new().expires_at(long.expires_at()))), "expires_at");
}

#[test]
fn an_owner_has_as_many_keys_as_the_bounds_say() {
    let clock = ManualClock::new(Utc::now());
    let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    let alice = bounded(&store, orders().max_keys(3));
    let full = |result: Result<CreatedKey, StoreError>| {
        assert_eq!(conflict(result), Conflict::TooManyKeys { max: 3 });
    };
    let given = store.create(new()).unwrap().info.id();
    let short = alice.create(new().expires_in(hours(1))).unwrap().info.id();
    alice.create(new()).unwrap();
    full(alice.create(new()));
    let many = alice.create_many([new(), new()]).unwrap_err();
    assert_eq!((many.status(), many.code()), (409, "too_many_keys"));
    // Neither a revoked key counts nor one that has expired, and those of others never do.
    alice.revoke(given, "unused").unwrap();
    clock.advance(hours(2));
    assert!(alice.get(short).unwrap().is_some());
    store.create(NewKey::for_owner("bob")).unwrap();
    store.tenant("acme").unwrap().create(new()).unwrap();
    assert!(conflict(alice.create_many([new(), new(), new()])) == Conflict::TooManyKeys { max: 3 });
    alice.create_many([new(), new()]).unwrap();
    full(alice.create(new()));
    // Those who run the service are not bound.
    store.create(new()).unwrap();
    full(alice.create(new()));
    // A disabled key can come back, so it counts.
    let all = alice.list(&KeyFilter::default()).unwrap().keys;
    for key in all.iter().filter(|key| key.revoked().is_none()) {
        alice.update(key.id(), KeyUpdate::new().disabled(true)).unwrap();
    }
    full(alice.create(new()));
}

#[test]
fn a_repeated_request_makes_no_key_and_needs_no_room() {
    let store = KeyStore::temporary().unwrap();
    let alice = bounded(&store, orders().max_keys(1));
    let first = alice.create(new().idempotency_key("one")).unwrap();
    let again = alice.create(new().idempotency_key("one")).unwrap();
    assert_eq!(first.info.id(), again.info.id());
    assert!(store.verify(first.key.expose_secret()).is_err());
    assert_eq!(conflict(alice.create(new().idempotency_key("two"))), Conflict::TooManyKeys { max: 1 });
}

#[test]
fn an_owner_with_many_ended_keys_gets_others_once_they_are_purged() {
    let store = KeyStore::temporary().unwrap();
    let alice = bounded(&store, orders());
    for chunk in 0..10 {
        let ids: Vec<KeyId> =
            store.create_many((0..100).map(|_| new())).unwrap().iter().map(|key| key.info.id()).collect();
        assert_eq!(alice.revoke_keys(&ids, "of a loop").unwrap(), 100, "{chunk}");
    }
    assert_eq!(conflict(alice.create(new())), Conflict::TooManyEnded { keys: 1000 });
    store.purge(Utc::now() + TimeDelta::seconds(1)).unwrap();
    assert!(alice.create(new()).is_ok());
}

/// At the same time: the writer decides one change after the other.
#[test]
fn threads_that_create_together_get_no_more_than_the_bounds() {
    let store = KeyStore::temporary().unwrap();
    let alice = bounded(&store, orders().max_keys(5));
    let created: usize = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..3).filter(|_| alice.create(new()).is_ok()).count())).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!((created, alice.list(&KeyFilter::default()).unwrap().keys.len()), (5, 5));
}

#[test]
fn a_change_gives_nothing_but_what_is_offered() {
    let store = KeyStore::temporary().unwrap();
    store.put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
    let alice = bounded(&store, orders());
    let key = store
        .create(
            new()
                .permissions(["orders:write"])
                .roles(["reader"])
                .label("plan", "free")
                .limit(10, hours(1))
                .quota(apikey::Quota::per_day(10))
                .networks(["10.0.0.0/8"])
                .idle_after(hours(24))
                .not_before(Utc::now() + hours(1)),
        )
        .unwrap()
        .info;
    let change = || KeyUpdate::new();
    for (update, expected) in [
        (change().add_permissions(["orders:delete"]), "permissions"),
        (change().permissions(["*"]), "permissions"),
        (change().add_roles(["reader", "writer"]), "roles"),
        (change().label("plan", "pro"), "labels"),
        (change().remove_label("plan"), "labels"),
        (change().limit(11, hours(1)), "limit"),
        (change().no_limit(), "limit"),
        (change().quota(apikey::Quota::per_day(11)), "quota"),
        (change().any_network(), "networks"),
        (change().networks(["10.0.0.0/7"]), "networks"),
        (change().idle_after(hours(48)), "idle_after"),
        (change().not_before(Utc::now()), "not_before"),
    ] {
        store.put_role(Role::new("writer").permissions(["orders:write"])).unwrap();
        let text = format!("{update:?}");
        assert_eq!(field(alice.update(key.id(), update)), expected, "{text}");
    }
    for update in [
        change().name("mine"),
        change().metadata("team", "blue"),
        change().add_permissions(["reports:daily"]),
        change().remove_permissions(["orders:write"]),
        change().limit(5, hours(1)),
        change().networks(["10.1.0.0/16"]),
        change().remove_roles(["reader"]),
        change().disabled(true),
    ] {
        let text = format!("{update:?}");
        assert!(alice.update(key.id(), update).is_ok(), "{text}");
    }
    // Who disabled it is not in the record, so who runs the service enables it.
    assert_eq!(field(alice.update(key.id(), change().disabled(false))), "disabled");
    assert_eq!(field(alice.update(key.id(), change().add_permissions(["orders:write"]))), "permissions");
}

#[test]
fn no_secret_goes_out_of_a_key_that_has_more_than_is_offered() {
    let store = KeyStore::temporary().unwrap();
    store.put_role(Role::new("admin").permissions(["keys:*"])).unwrap();
    let alice = bounded(&store, orders());
    for wide in [new().permissions(["orders:read", "*"]), new().roles(["admin"])] {
        let id = store.create(wide).unwrap().info.id();
        let refused = |error: Conflict| {
            assert!(matches!(&error, Conflict::NotOffered { grant } if grant != "orders:read"), "{error}")
        };
        refused(conflict(alice.rotate(id, Overlap::UntilFirstUse)));
        refused(conflict(alice.rotate_idempotent(id, Overlap::None, "one")));
        refused(conflict(alice.replace_leaked(id, "leaked")));
        // It may go all the same.
        assert!(alice.revoke(id, "leaked").unwrap());
    }
    let own = alice.create(new().permissions(["orders:read"])).unwrap();
    let rotated = alice.rotate(own.info.id(), Overlap::None).unwrap();
    assert!(store.verify(own.key.expose_secret()).is_err() && store.verify(rotated.key.expose_secret()).is_ok());
    assert!(alice.replace_leaked(own.info.id(), "leaked").is_ok());
}

#[test]
fn an_owner_reads_the_usage_of_its_own_keys() {
    let store = KeyStore::builder().count_use(true).temporary().unwrap();
    let alice = bounded(&store, orders());
    let [own, other] = ["alice", "bob"].map(|owner| store.create(NewKey::for_owner(owner)).unwrap());
    for key in [&own, &other, &other] {
        store.verify(key.key.expose_secret()).unwrap();
    }
    assert_eq!(alice.usage(&Usage::of_owner("alice")).unwrap().uses_total(), 1);
    assert_eq!(alice.usage(&Usage::of_key(own.info.id())).unwrap().uses_total(), 1);
    assert_eq!(alice.usage(&Usage::of_key(other.info.id())).unwrap_err().status(), 404);
    for foreign in [Usage::of_owner("bob"), Usage::of_owner_in_tenant("acme", "alice"), Usage::of_store()] {
        assert_eq!(alice.usage(&foreign).unwrap_err().status(), 422, "{foreign:?}");
    }
    assert_eq!(alice.find(&KeyFilter::default(), 10).unwrap().unwrap().len(), 1);
    assert_eq!(alice.revoke_keys(&[own.info.id(), other.info.id()], "mine").unwrap_err().status(), 404);
    assert!(store.verify(own.key.expose_secret()).is_ok(), "all or none");
}

/// An ended key makes room for another, so it must not come back for nothing.
#[test]
fn a_key_that_has_expired_comes_back_only_where_there_is_room() {
    let clock = ManualClock::new(Utc::now());
    let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    let alice = bounded(&store, orders().max_keys(2));
    let short = alice.create_many([(); 2].map(|()| new().expires_in(hours(1)))).unwrap();
    clock.advance(hours(2));
    let others = alice.create_many([new(), new()]).unwrap();
    let later = |key: &CreatedKey| alice.update(key.info.id(), KeyUpdate::new().expires_at(Utc::now() + hours(48)));
    assert_eq!(conflict(later(&short[0])), Conflict::TooManyKeys { max: 2 });
    assert_eq!(
        conflict(alice.update(short[0].info.id(), KeyUpdate::new().expires_at(None))),
        Conflict::TooManyKeys { max: 2 }
    );
    // Everything else of it may change, and it may come back in the room of another.
    alice.update(short[0].info.id(), KeyUpdate::new().name("old")).unwrap();
    alice.revoke(others[0].info.id(), "unused").unwrap();
    later(&short[0]).unwrap();
    assert_eq!(conflict(later(&short[1])), Conflict::TooManyKeys { max: 2 });
    // A key that has not expired takes no more room than before.
    later(&short[0]).unwrap();
}

#[test]
fn an_owner_gives_itself_no_uses_of_a_quota() {
    let store = KeyStore::temporary().unwrap();
    let alice = bounded(&store, orders());
    let key = store.create(new().quota(apikey::Quota::total(1))).unwrap();
    store.verify(key.key.expose_secret()).unwrap();
    assert_eq!(field(alice.add_uses(key.info.id(), 5)), "quota");
    assert!(store.verify(key.key.expose_secret()).is_err());
}

/// What the store gives every key is of those who run the service.
#[test]
fn a_new_key_keeps_what_the_store_gives_every_key() {
    let store = KeyStore::builder()
        .default_idle_after(hours(24))
        .default_rotation(apikey::RotationPolicy::every(hours(240)))
        .temporary()
        .unwrap();
    let alice = bounded(&store, orders());
    let key = alice.create(new()).unwrap().info;
    assert!(key.idle_after().is_some() && key.rotation().is_some());
    assert!(alice.create(new().idle_after(hours(12))).is_ok());
    for (refused, expected) in [
        (new().no_idle_after(), "idle_after"),
        (new().idle_after(hours(25)), "idle_after"),
        (new().no_rotation(), "rotation"),
        (new().rotation(apikey::RotationPolicy::every(hours(24_000))), "rotation"),
    ] {
        let text = format!("{refused:?}");
        assert_eq!(field(alice.create(refused)), expected, "{text}");
    }
}

#[test]
fn bounds_as_wide_as_they_get_are_bounds() {
    let store = KeyStore::temporary().unwrap();
    let alice = bounded(&store, orders().max_keys(usize::MAX).max_lifetime(TimeDelta::MAX));
    let key = alice.create(new()).unwrap();
    assert!(store.verify(key.key.expose_secret()).is_ok());
    // No key ends after the year 9999, so this is no bound.
    assert_eq!(key.info.expires_at(), None);
    assert!(alice.update(key.info.id(), KeyUpdate::new().expires_at(Utc::now() + hours(1))).is_ok());
    assert!(alice.update(key.info.id(), KeyUpdate::new().expires_at(None)).is_ok());
    let none = bounded(&store, orders().max_keys(0));
    assert_eq!(conflict(none.create(new())), Conflict::TooManyKeys { max: 0 });
}
