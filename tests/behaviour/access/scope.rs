//! What an acting key may do with other keys.

use std::sync::atomic::{AtomicBool, Ordering};

use apikey::{
    Actor, Attempt, AuthError, CapViolation, Conflict, CreatedKey, EventFilter, KeyFilter, KeyId, KeyStore, KeyUpdate,
    Limit, NewKey, Overlap, RotateOptions, StoreError, VerifiedKey,
};
use apikey_testkit::{alice, all, clocked, code, hours, info, start};
use chrono::TimeDelta;

const MANAGE: [&str; 2] = ["orders:read", "keys:create"];

fn evil() -> NewKey {
    NewKey::for_owner("evil").permissions(MANAGE)
}

pub(super) fn victim() -> NewKey {
    NewKey::for_owner("victim").permissions(["orders:read"])
}

/// A key, verified from an address in 10.1.0.0/16.
pub(super) fn verified(store: &KeyStore, created: &CreatedKey) -> VerifiedKey {
    store.check(&Attempt::new(created.key.expose_secret()).peer(std::net::IpAddr::from([10, 1, 2, 3]))).unwrap()
}

fn actor(store: &KeyStore, key: NewKey) -> VerifiedKey {
    verified(store, &store.create(key).unwrap())
}

#[track_caller]
fn violation<T: std::fmt::Debug>(result: Result<T, StoreError>) -> CapViolation {
    match result {
        Err(StoreError::Exceeds(violation)) => violation,
        other => panic!("a cap is violated: {other:?}"),
    }
}

/// To an acting key without `keys:any_owner`, ids of other owners' keys are as good as ids that no key has.
#[track_caller]
fn is_missing<T: std::fmt::Debug>(result: Result<T, StoreError>, id: KeyId) {
    assert!(matches!(result, Err(StoreError::NotFound(missing)) if missing == id), "{result:?}");
}

#[test]
fn nobody_becomes_another_owner() {
    let (store, _) = clocked();
    let target = store.create(victim()).unwrap();
    let evil = actor(&store, evil());
    let id = target.info.id();
    for overlap in [Overlap::None, Overlap::UntilFirstUse, Overlap::For(hours(1))] {
        is_missing(store.rotate_within(id, overlap, &evil), id);
        let options = RotateOptions::new(overlap).within(&evil).idempotency_key("mine");
        is_missing(store.rotate_with(id, &options), id);
    }
    is_missing(store.replace_leaked_within(id, "", &evil), id);
    is_missing(store.update(id, KeyUpdate::new().disabled(true).within(&evil)), id);
    is_missing(store.update(id, KeyUpdate::new().name("x").within(&evil)), id);
    is_missing(store.revoke_within(id, "", &evil), id);
    let not_its_own = CapViolation::Owner { wanted: "victim".into(), actor: "evil".into() };
    assert_eq!(violation(store.revoke_owner_within("victim", "", &evil)), not_its_own);
    assert_eq!(violation(store.create(victim().within(&evil))), not_its_own);
    assert_eq!(violation(store.create_many([NewKey::for_owner("evil"), victim().within(&evil)])), not_its_own);
    assert_eq!(all(&store, &KeyFilter::owner("victim")), std::slice::from_ref(&target.info));
    assert_eq!(code(&store, target.key.expose_secret()), "ok");
    assert_eq!(all(&store, &KeyFilter::owner("evil")).len(), 1);

    // A key that may act for other owners still grants, and changes, no more than it has.
    let admin = actor(&store, NewKey::for_owner("admin").permissions(["orders:read", "keys:any_owner"]));
    store.create(victim().within(&admin)).unwrap();
    store.rotate_within(id, Overlap::None, &admin).unwrap();
    let stronger = store.create(NewKey::for_owner("victim").permissions(["stock:read"])).unwrap().info.id();
    let refused = violation(store.rotate_within(stronger, Overlap::None, &admin));
    assert_eq!(refused, CapViolation::Target(stronger));
    assert!(!refused.to_string().contains("stock"), "what it may do is not disclosed: {refused}");
}

#[test]
fn no_key_outlives_the_one_that_made_it() {
    let (store, clock) = clocked();
    let actor = actor(&store, alice().permissions(["orders:*"]).expires_in(hours(2)));
    let latest = start() + hours(2);
    let made = store.create(alice().within(&actor)).unwrap();
    assert_eq!(made.info.expires_at(), Some(latest), "what is not set is the actor's");
    let id = made.info.id();
    for (wanted, key) in [
        (Some(latest + TimeDelta::milliseconds(1)), alice().expires_at(latest + TimeDelta::milliseconds(1))),
        (Some(start() + hours(3)), alice().expires_in(hours(3))),
    ] {
        assert_eq!(violation(store.create(key.within(&actor))), CapViolation::End { wanted, latest });
    }
    store.create(alice().expires_at(latest).within(&actor)).unwrap();
    store.update(id, KeyUpdate::new().expires_at(start() + hours(1)).within(&actor)).unwrap();
    for wanted in [None, Some(start() + hours(3))] {
        let refused = violation(store.update(id, KeyUpdate::new().expires_at(wanted).within(&actor)));
        assert_eq!(refused, CapViolation::End { wanted, latest });
    }
    // A key that ends later: the acting key gets no secret of it, and cannot move its end.
    let longer = store.create(alice().expires_in(hours(9))).unwrap().info.id();
    let end = |wanted| CapViolation::End { wanted, latest };
    let wanted = Some(start() + hours(9));
    assert_eq!(violation(store.rotate_within(longer, Overlap::None, &actor)), end(wanted));
    assert_eq!(violation(store.replace_leaked_within(longer, "", &actor)), end(wanted));
    let later = Some(start() + hours(10));
    assert_eq!(violation(store.update(longer, KeyUpdate::new().expires_at(later).within(&actor))), end(later));
    store.update(longer, KeyUpdate::new().expires_at(start() + hours(8)).name("ci").within(&actor)).unwrap();
    store.revoke_within(longer, "", &actor).unwrap();

    clock.advance(hours(2));
    let expired = CapViolation::Actor(AuthError::Expired);
    assert_eq!(violation(store.create(alice().within(&actor))), expired);
}

#[test]
fn no_key_is_good_from_more_networks_or_faster_than_the_one_that_made_it() {
    let (store, _) = clocked();
    let bound = alice().permissions(["orders:*"]).networks(["10.0.0.0/8"]).limit(10, TimeDelta::seconds(1));
    let actor = actor(&store, bound);
    let made = store.create(alice().within(&actor)).unwrap().info;
    assert_eq!(made.networks(), ["10.0.0.0/8"]);
    assert_eq!(made.limit().map(|limit| (limit.count(), limit.per())), Some((10, TimeDelta::seconds(1))));
    let id = made.id();
    for key in [alice().networks(["10.1.0.0/16", "10.2.3.4"]), alice().limit(5, TimeDelta::seconds(1))] {
        store.create(key.within(&actor)).unwrap();
    }
    let networks = |net: &str| CapViolation::Networks(net.into());
    assert_eq!(violation(store.create(alice().networks(["10.1.0.0/16", "::1"]).within(&actor))), networks("::1/128"));
    let widen = |update: KeyUpdate| violation(store.update(id, update.within(&actor)));
    assert_eq!(widen(KeyUpdate::new().any_network()), networks("anywhere"));
    assert_eq!(widen(KeyUpdate::new().networks(["10.0.0.0/7"])), networks("10.0.0.0/7"));
    assert!(matches!(widen(KeyUpdate::new().no_limit()), CapViolation::Limit { wanted: None, .. }));
    let faster = violation(store.create(alice().limit(20, TimeDelta::seconds(1)).within(&actor)));
    assert!(matches!(faster, CapViolation::Limit { wanted: Some(_), .. }), "{faster:?}");
    assert_eq!(
        faster.to_string(),
        "the key would have a rate limit of 20 requests per 1 second, and the acting key has a rate limit of 10 requests per 1 second; that takes the permission *"
    );
    let free = store.create(alice()).unwrap();
    assert_eq!(violation(store.rotate_within(free.info.id(), Overlap::None, &actor)), networks("anywhere"));
    assert_eq!(info(&store, &free), free.info);
}

/// Each permission lifts its bound, and the others stay.
#[test]
fn permissions_that_lift_a_bound() {
    let (store, _) = clocked();
    let bound = |grants: &[&str]| {
        let key = alice().permissions(grants).expires_in(hours(2)).networks(["10.0.0.0/8"]);
        actor(&store, key.limit(10, TimeDelta::seconds(1)))
    };
    let freed = |grants: &[&str]| {
        let info = store.create(alice().within(&bound(grants))).unwrap().info;
        let bob = store.create(NewKey::for_owner("bob").within(&bound(grants))).is_ok();
        (bob, info.expires_at().is_none(), info.networks().is_empty(), info.limit().is_none())
    };
    assert_eq!(freed(&["orders:*"]), (false, false, false, false));
    assert_eq!(freed(&["keys:any_owner"]), (true, false, false, false));
    assert_eq!(freed(&["keys:outlive"]), (false, true, false, false));
    assert_eq!(freed(&["keys:anywhere"]), (false, false, true, false));
    assert_eq!(freed(&["keys:*"]), (true, true, true, false));
    assert_eq!(freed(&["*"]), (true, true, true, true));
}

/// Whoever may create keys creates none that may, unless it has `keys:delegate`.
#[test]
fn permissions_that_manage_keys_are_handed_on_by_few() {
    let (store, _) = clocked();
    let key = || NewKey::for_owner("evil");
    let manages = |grant: &str| CapViolation::Delegation(grant.into());
    for (held, grant) in [
        ("keys:create", "keys:create"),
        ("*:create", "*:create"),
        ("*:create", "keys:create"),
        ("usage:*", "usage:read"),
    ] {
        let manager = actor(&store, key().permissions([held, "orders:read"]));
        assert_eq!(violation(store.create(key().permissions([grant]).within(&manager))), manages(grant));
        let plain = store.create(key().permissions(["orders:read"]).within(&manager)).unwrap().info.id();
        for update in [KeyUpdate::new().permissions([grant]), KeyUpdate::new().add_permissions([grant])] {
            assert_eq!(violation(store.update(plain, update.within(&manager))), manages(grant));
        }
        // What a key has already, it keeps; but its secret is not for another key.
        let holder = store.create(key().permissions([grant])).unwrap().info.id();
        store.update(holder, KeyUpdate::new().name("ci").within(&manager)).unwrap();
        assert_eq!(violation(store.rotate_within(holder, Overlap::None, &manager)), manages(grant));
        store.rotate_within(manager.id(), Overlap::UntilFirstUse, &manager).unwrap();
        let delegate = actor(&store, key().permissions([held, "keys:delegate"]));
        store.create(key().permissions([grant]).within(&delegate)).unwrap();
    }
    let root = actor(&store, key().permissions(["*"]));
    store.create(key().permissions(["*"]).within(&root)).unwrap();
}

/// With the secret of a key that may do more, the acting key would gain what that one has.
#[test]
fn a_key_that_goes_further_is_given_nothing() {
    const MORE: [&str; 2] = ["orders:read", "stock:read"];
    let (store, _) = clocked();
    let bound = NewKey::for_owner("evil")
        .permissions(MORE)
        .networks(["10.0.0.0/8"])
        .limit(10, TimeDelta::seconds(1))
        .expires_in(hours(2));
    let evil = actor(&store, bound);
    let orders = || NewKey::for_owner("evil").permissions(["orders:read"]);
    let far = store.create(orders().expires_in(hours(1)).limit(5, TimeDelta::seconds(1))).unwrap().info.id();
    let networks = CapViolation::Networks("anywhere".into());
    let update = |update: KeyUpdate| store.update(far, update.within(&evil));
    for more in [
        KeyUpdate::new().permissions(MORE),
        KeyUpdate::new().expires_at(start() + hours(2)),
        KeyUpdate::new().limit(6, TimeDelta::seconds(1)),
        KeyUpdate::new().permissions(MORE).disabled(true),
    ] {
        assert_eq!(violation(update(more)), networks);
    }
    // Only somebody who covers the key may enable it again.
    update(KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(violation(update(KeyUpdate::new().disabled(false))), networks);
    for less in [
        KeyUpdate::new().name("ci").metadata("team", "blue"),
        KeyUpdate::new().expires_at(start() + TimeDelta::minutes(1)),
        KeyUpdate::new().limit(4, TimeDelta::seconds(1)),
        KeyUpdate::new().permissions::<&str>([]),
    ] {
        update(less).unwrap();
    }
    // Bound to the actor's networks it exceeds nothing, and may be given the rest, too.
    update(KeyUpdate::new().networks(["10.1.0.0/16"]).permissions(MORE).disabled(false)).unwrap();
}

/// A secret that may have no successor gets none through somebody else's request either.
#[test]
fn a_secret_repeats_only_its_own_requests() {
    let (store, _) = clocked();
    let key = store.create(evil()).unwrap();
    let id = key.info.id();
    let leaked = verified(&store, &key);
    let admin = actor(&store, evil().permissions(["orders:read", "keys:create", "keys:delegate"]));
    let options = || RotateOptions::new(Overlap::For(hours(1))).idempotency_key("leak-4711");
    let new = store.rotate_with(id, &options()).unwrap();
    let overlapping = Conflict::Overlapping { until: Some(start() + hours(1)) };
    let refused = store.rotate_with(id, &options().within(&leaked)).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(ref conflict) if *conflict == overlapping), "{refused:?}");
    assert_eq!(new.info.version(), 2);
    // Another acting key has idempotency keys of its own: this is its first request.
    let its = store.rotate_with(id, &options().within(&admin)).unwrap();
    assert_eq!(its.info.version(), 3);
    assert_eq!(code(&store, its.key.expose_secret()), "ok");
    let refused = store.rotate_with(id, &options().within(&leaked)).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(ref conflict) if *conflict == overlapping), "{refused:?}");
}

#[test]
fn ones_own_key() {
    let (store, _) = clocked();
    let key = store.create(evil().expires_in(hours(9))).unwrap();
    let id = key.info.id();
    let old = verified(&store, &key);
    // It may rotate and revoke itself, and grant itself nothing.
    let grown = KeyUpdate::new().permissions(["*"]).within(&old);
    assert_eq!(violation(store.update(id, grown)), CapViolation::Grant("*".into()));
    let refused = violation(store.update(id, KeyUpdate::new().expires_at(None).within(&old)));
    assert!(matches!(refused, CapViolation::End { wanted: None, .. }), "{refused:?}");
    let new = store.rotate_within(id, Overlap::For(hours(1)), &old).unwrap();
    // A secret with an end of its own gets no successor, by any call.
    let overlapping = Conflict::Overlapping { until: Some(start() + hours(1)) };
    let conflict = |result: Result<CreatedKey, StoreError>| match result {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    };
    for overlap in [Overlap::None, Overlap::UntilFirstUse, Overlap::For(hours(1))] {
        assert_eq!(conflict(store.rotate_within(id, overlap, &old)), overlapping, "{overlap:?}");
    }
    assert_eq!(conflict(store.replace_leaked_within(id, "", &old)), overlapping);
    assert_eq!(code(&store, new.key.expose_secret()), "ok");
    store.revoke_within(id, "left", &old).unwrap();
    assert_eq!(violation(store.revoke_within(id, "", &old)), CapViolation::Actor(AuthError::Revoked));
    assert_eq!(info(&store, &key).revoked().map(|revoked| revoked.reason().to_owned()).as_deref(), Some("left"));
}

#[test]
fn an_owner_is_revoked_all_or_none_and_the_actor_last() {
    let (store, _) = clocked();
    store.create_many((0..1500).map(|_| alice().permissions(["orders:read"]))).unwrap();
    let actor = actor(&store, alice().permissions(["orders:*"]));
    store.create_many((0..700).map(|_| alice())).unwrap();
    // One that has ended already stops nobody.
    let ended = store.create(alice().permissions(["stock:read"])).unwrap().info.id();
    store.revoke(ended, "first").unwrap();
    assert_eq!(store.revoke_owner_within("alice", "left", &actor).unwrap(), 2201);
    assert!(all(&store, &KeyFilter::owner("alice")).iter().all(|key| key.revoked().is_some()));

    let bobs = |grant: &str| NewKey::for_owner("bob").permissions([grant]);
    let actor = self::actor(&store, bobs("orders:*"));
    store.create_many([bobs("orders:read"), bobs("stock:read"), bobs("orders:read")]).unwrap();
    let uncovered = all(&store, &KeyFilter::owner("bob").permission("stock:read"))[0].id();
    assert_eq!(violation(store.revoke_owner_within("bob", "", &actor)), CapViolation::Target(uncovered));
    assert!(all(&store, &KeyFilter::owner("bob")).iter().all(|key| key.revoked().is_none()));
    assert_eq!(
        violation(store.revoke_owner_within("nobody", "", &actor)),
        CapViolation::Owner { wanted: "nobody".into(), actor: "bob".into() }
    );
}

/// The store checks each key of a batch against its own actor, as that is now.
#[test]
fn a_batch_is_as_good_as_its_worst_key() {
    let (store, _) = clocked();
    let strong = actor(&store, alice());
    let weak = actor(&store, alice().expires_in(hours(1)));
    let short = |actor| alice().expires_in(hours(1)).within(actor);
    let long = |actor| alice().expires_in(hours(2)).within(actor);
    let count = || all(&store, &KeyFilter::owner("alice")).len();
    let end = CapViolation::End { wanted: Some(start() + hours(2)), latest: start() + hours(1) };
    for keys in [
        [short(&strong), long(&weak)],
        [long(&strong), long(&weak)],
        [short(&weak), long(&weak)],
        [long(&weak), long(&strong)],
    ] {
        assert_eq!(violation(store.create_many(keys)), end);
        assert_eq!(count(), 2);
    }
    assert_eq!(store.create_many([long(&strong), short(&weak), long(&strong)]).unwrap().len(), 3);
}

/// A repeat hands out a secret of the key as it is now, not as it was at the first request.
#[test]
fn a_repeat_is_capped_by_what_the_key_has_become() {
    let (store, _) = clocked();
    let actor = actor(&store, evil());
    let request = || NewKey::for_owner("evil").within(&actor).idempotency_key("again");
    let id = store.create(request()).unwrap().info.id();
    assert_eq!(store.create(request()).unwrap().info.id(), id);
    store.update(id, KeyUpdate::new().permissions(["stock:read"])).unwrap();
    assert_eq!(violation(store.create(request())), CapViolation::Target(id));
    store.update(id, KeyUpdate::new().permissions::<&str>([])).unwrap();
    assert_eq!(store.create(request()).unwrap().info.version(), 3);
}

#[test]
fn a_capped_change_names_its_actor() {
    let (store, _) = clocked();
    let actor = actor(&store, evil());
    let id = store.create(NewKey::for_owner("evil").within(&actor)).unwrap().info.id();
    store.as_actor("console").rotate_within(id, Overlap::None, &actor).unwrap();
    store.revoke_within(id, "", &actor).unwrap();
    let events = store.events(&EventFilter::default().key(id)).unwrap().events;
    let actors: Vec<_> = events.iter().map(apikey::Event::actor).collect();
    let own = format!("key:{}", actor.id());
    let [own, console] = [Actor::from(own), Actor::from("console")];
    assert_eq!(actors, [Some(&own), Some(&console), Some(&own)]);
}

/// A change that races the end of its actor is decided before or after it, and never with rights that are gone.
#[test]
fn an_actor_that_is_narrowed_meanwhile_goes_no_further() {
    type Narrow = fn(&KeyStore, KeyId);
    let narrowings: [(&str, Narrow); 3] = [
        ("revoked", |store, id| assert!(store.revoke(id, "").unwrap())),
        ("updated", |store, id| drop(store.update(id, KeyUpdate::new().permissions(["keys:create"])).unwrap())),
        ("rotated", |store, id| drop(store.rotate(id, Overlap::None).unwrap())),
    ];
    for (kind, narrow) in narrowings {
        let (store, _) = clocked();
        let actor = actor(&store, evil());
        let targets = store.create_many((0..20).map(|_| evil())).unwrap();
        let begun = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (store, actor, targets, begun) = (&store, &actor, &targets, &begun);
                scope.spawn(move || {
                    for at in 0.. {
                        let target = targets[at % targets.len()].info.id();
                        let done = match thread {
                            0 => store.create(evil().within(actor)).map(drop),
                            1 => store.rotate_within(target, Overlap::None, actor).map(drop),
                            _ => store.update(target, KeyUpdate::new().name(format!("{at}")).within(actor)).map(drop),
                        };
                        if let Err(error) = done {
                            assert!(matches!(error, StoreError::Exceeds(_)), "{error:?}");
                            break;
                        }
                        begun.store(at > 5, Ordering::Relaxed);
                    }
                });
            }
            while !begun.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            narrow(&store, actor.id());
        });
        let mut filter = EventFilter::default().limit(1000);
        let mut events = Vec::new();
        loop {
            let page = store.events(&filter).unwrap();
            events.extend(page.events);
            let Some(next) = page.next else { break };
            filter = filter.after(next);
        }
        let own = format!("key:{}", actor.id());
        let narrowed = events.iter().find(|event| event.key() == Some(actor.id()) && event.kind().name() == kind);
        let narrowed = narrowed.unwrap().number();
        let acted: Vec<u64> = events
            .iter()
            .filter(|event| event.actor() == Some(&Actor::from(&own)))
            .map(apikey::Event::number)
            .collect();
        assert!(!acted.is_empty(), "{kind}");
        assert!(acted.iter().all(|number| *number < narrowed), "{kind}: {narrowed} {acted:?}");
    }
}

#[test]
fn a_violation_names_its_bound() {
    let latest = start() + hours(2);
    let max = {
        let store = KeyStore::temporary().unwrap();
        store.create(alice().limit(5, TimeDelta::minutes(1))).unwrap().info.limit().unwrap()
    };
    let texts: [(CapViolation, &str); 6] = [
        (
            CapViolation::Owner { wanted: "bob".into(), actor: "alice".into() },
            "it belongs to \"alice\", and the change concerns keys of \"bob\"; that takes the permission keys:any_owner",
        ),
        (CapViolation::Grant("admin".into()), "its permissions do not cover \"admin\""),
        (
            CapViolation::Delegation("keys:create".into()),
            "its permission \"keys:create\" manages keys, and another key would have it; that takes the permission keys:delegate",
        ),
        (
            CapViolation::End { wanted: None, latest },
            "the key would never end, and the acting key ends at 2031-05-04T14:00:00Z; that takes the permission keys:outlive",
        ),
        (
            CapViolation::Networks("anywhere".into()),
            "the key would be valid from anywhere, and the acting key is not; that takes the permission keys:anywhere",
        ),
        (
            CapViolation::Limit { wanted: None::<Limit>, max },
            "the key would have no rate limit, and the acting key has a rate limit of 5 requests per 1 minute; that takes the permission *",
        ),
    ];
    for (violation, text) in texts {
        assert_eq!(violation.to_string(), text);
        assert_eq!(StoreError::Exceeds(violation).status(), 403);
    }
}

/// What a caller may read is what it may change: keys of its owner, or of everybody.
#[test]
fn an_actor_reads_the_keys_of_its_owner() {
    let (store, _) = clocked();
    let target = store.create(victim()).unwrap();
    let evil = actor(&store, evil());
    let id = target.info.id();
    let page = store.list_within(&KeyFilter::default(), &evil).unwrap();
    assert_eq!(page.keys.iter().map(|key| key.owner()).collect::<Vec<_>>(), ["evil"]);
    assert_eq!(page.next, None);
    assert!(store.list_within(&KeyFilter::owner("victim"), &evil).unwrap().keys.is_empty());
    assert_eq!(store.get_within(id, &evil).unwrap(), None);
    assert_eq!(store.get_within(evil.id(), &evil).unwrap().map(|key| key.id()), Some(evil.id()));
    // A handle of the other owner gives it nothing either, and bounds are those of `list`.
    let theirs = store.of_owner("victim");
    assert_eq!(theirs.get_within(id, &evil).unwrap(), None);
    assert!(theirs.list_within(&KeyFilter::default(), &evil).unwrap().keys.is_empty());
    assert!(matches!(
        theirs.list_within(&KeyFilter::default().limit(0), &evil),
        Err(StoreError::Invalid { field: "limit", .. })
    ));

    let admin = actor(&store, NewKey::for_owner("admin").permissions(["keys:any_owner"]));
    assert_eq!(store.list_within(&KeyFilter::default(), &admin).unwrap().keys.len(), 3);
    assert_eq!(store.get_within(id, &admin).unwrap().map(|key| key.id()), Some(id));
    assert_eq!(theirs.list_within(&KeyFilter::default(), &admin).unwrap().keys.len(), 1);

    // As the actor is now, and not as it was verified.
    store.update(admin.id(), KeyUpdate::new().permissions(["keys:read"])).unwrap();
    assert_eq!(store.get_within(id, &admin).unwrap(), None);
    store.revoke(admin.id(), "").unwrap();
    assert_eq!(violation(store.get_within(id, &admin)), CapViolation::Actor(AuthError::Revoked));
    assert_eq!(violation(store.list_within(&KeyFilter::default(), &admin)), CapViolation::Actor(AuthError::Revoked));
}
