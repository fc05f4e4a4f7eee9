//! What a service that lets callers manage keys builds on: changes of what was read, bounded pages, checks that use nothing,
//! and calls within a caller.

use std::net::IpAddr;
use std::thread;

use apikey::{
    Attempt, AuthError, CapViolation, Conflict, CreatedKey, EventFilter, KeyFilter, KeyId, KeyInfo, KeyStore,
    KeyUpdate, NewKey, Overlap, Requirement, StoreError, Usage, VerifiedKey,
};
use apikey_testkit::{alice, clocked, hours, info};
use chrono::TimeDelta;

fn actor(store: &KeyStore, key: NewKey) -> VerifiedKey {
    store.verify(store.create(key).unwrap().key.expose_secret()).unwrap()
}

#[test]
fn a_key_knows_the_event_that_left_it_so() {
    let store = KeyStore::temporary().unwrap();
    let key = store.create(alice()).unwrap();
    let id = key.info.id();
    assert_eq!(key.info.last_event(), 1);
    store.create(alice()).unwrap();
    let last = || {
        let newest = EventFilter::default().key(id).newest_first().limit(1);
        store.events(&newest).unwrap().events[0].number()
    };
    let check = |changed: u64| assert_eq!((changed, info(&store, &key).last_event()), (last(), last()));
    check(1);
    check(store.update(id, KeyUpdate::new().name("ci")).unwrap().last_event());
    assert_eq!(store.update(id, KeyUpdate::new().name("ci")).unwrap().last_event(), 3, "nothing changed");
    let rotated = store.rotate(id, Overlap::UntilFirstUse).unwrap();
    check(rotated.info.last_event());
    store.verify(rotated.key.expose_secret()).unwrap();
    store.revoke(id, "").unwrap();
    check(last());
    assert_eq!(last(), store.health().last_durable);
}

#[test]
fn of_two_changes_of_what_was_read_one_is_made() {
    let store = KeyStore::temporary().unwrap();
    let key = store.create(alice()).unwrap();
    for round in 0..20 {
        let read = info(&store, &key).last_event();
        let rename = |name: String| store.update(key.info.id(), KeyUpdate::new().name(name).only_if(read));
        let answers = thread::scope(|scope| {
            let calls: Vec<_> = (0..2).map(|n| scope.spawn(move || rename(format!("{round} {n}")))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
        });
        let now = info(&store, &key).last_event();
        for answer in &answers {
            match answer {
                Ok(info) => assert_eq!(info.last_event(), now),
                Err(StoreError::Conflict(Conflict::Changed { last_event })) => assert_eq!(*last_event, now),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    }
    let missing =
        store.update("01931a4e-7c3b-7def-8123-456789abcdef".parse().unwrap(), KeyUpdate::new().name("x").only_if(0));
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    // Of a key of another owner a caller does not even learn that it was changed.
    let bob = actor(&store, NewKey::for_owner("bob").permissions(["keys:update"]));
    let foreign = store.update(key.info.id(), KeyUpdate::new().name("x").only_if(0).within(&bob));
    assert!(matches!(foreign, Err(StoreError::NotFound(_))), "{foreign:?}");
    assert!(serde_json::to_string(&KeyUpdate::new().only_if(1)).is_err(), "it is not sent");
}

#[test]
fn a_bounded_page_may_be_short_and_the_pages_have_every_key_once() {
    let store = KeyStore::temporary().unwrap();
    let owners = ["alice", "bob", "carol"];
    for n in 0..60 {
        store.create(NewKey::for_owner(owners[n % 3]).name(format!("n{n}"))).unwrap();
    }
    for filter in [KeyFilter::default(), KeyFilter::default().text("n1"), KeyFilter::owner("bob")] {
        let all = apikey_testkit::all(&store, &filter.clone());
        for (reads, limit) in [(1, 1), (1, 10), (7, 3), (60, 60), (61, 5), (1000, 1000)] {
            let mut filter = filter.clone().max_reads(reads).limit(limit);
            let mut found: Vec<KeyInfo> = Vec::new();
            loop {
                let page = store.list(&filter).unwrap();
                assert!(page.keys.len() <= limit.min(reads));
                found.extend(page.keys);
                let Some(next) = page.next else { break };
                filter = filter.after(next);
            }
            assert_eq!(found, all, "{reads} {limit}");
        }
    }
    for newest in [false, true] {
        let filter = EventFilter::default().kind("created").max_reads(7).limit(3);
        let mut filter = if newest { filter.newest_first() } else { filter };
        let mut numbers = Vec::new();
        loop {
            let page = store.events(&filter).unwrap();
            numbers.extend(page.events.iter().map(apikey::Event::number));
            let Some(next) = page.next else { break };
            filter = if newest { filter.before(next) } else { filter.after(next) };
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    }
}

#[test]
fn an_inspection_answers_as_a_check_and_leaves_nothing() {
    let (store, clock) = clocked();
    let limited = alice().permissions(["orders:read"]).limit(1, TimeDelta::hours(1)).networks(["10.0.0.0/8"]);
    let key = store.create(limited).unwrap();
    let token = key.key.expose_secret();
    let [inside, outside] = ["10.1.2.3", "192.0.2.1"].map(|text| text.parse::<IpAddr>().unwrap());
    let write = Requirement::permission("orders:write").unwrap();
    for _ in 0..5 {
        assert!(store.inspect(&Attempt::new(token)).answer.is_ok(), "without an address it asks for no network");
        let found = store.inspect(&Attempt::new(token).peer(inside));
        assert_eq!(found.key.unwrap().id(), key.info.id());
        assert_eq!(store.inspect(&Attempt::new(token).peer(outside)).answer, Err(AuthError::AddressNotAllowed));
        let lacks = store.inspect(&Attempt::new(token).needs(&write));
        assert_eq!(lacks.answer.unwrap_err().code(), "insufficient_permission");
    }
    assert_eq!(info(&store, &key).last_used_at(), None);
    store.check(&Attempt::new(token).peer(inside)).unwrap();
    assert!(store.check(&Attempt::new(token).peer(inside)).is_err(), "its one request is used");
    assert!(store.inspect(&Attempt::new(token)).answer.is_ok());
    let new = store.rotate(key.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    clock.advance(hours(2));
    let ended = store.inspect(&Attempt::new(token));
    assert_eq!((ended.answer, ended.rotated), (Err(AuthError::Rotated), Some(key.info.id())));
    store.revoke(key.info.id(), "").unwrap();
    let revoked = store.inspect(&Attempt::new(new.key.expose_secret()));
    assert_eq!((revoked.answer, revoked.key.map(|key| key.id())), (Err(AuthError::Revoked), Some(key.info.id())));
}

#[test]
fn an_inspection_counts_guesses_by_their_address() {
    let store = KeyStore::builder().failed_attempts(2, TimeDelta::hours(1)).temporary().unwrap();
    let key = store.create(alice()).unwrap();
    let from = |token: &str, host: u8| store.inspect(&Attempt::new(token).peer(IpAddr::from([192, 0, 2, host]))).answer;
    for _ in 0..2 {
        assert_eq!(from("a guess", 1), Err(AuthError::Invalid));
    }
    assert_eq!(from(key.key.expose_secret(), 1).unwrap_err().status(), 429);
    assert!(from(key.key.expose_secret(), 2).is_ok());
    // Guesses of nobody count against nobody: callers without an address share a budget.
    for _ in 0..5 {
        assert_eq!(store.inspect(&Attempt::new("a guess")).answer, Err(AuthError::Invalid));
    }
    assert!(store.check(&Attempt::new(key.key.expose_secret())).is_ok());
}

#[test]
fn keys_are_revoked_together_within_their_caller() {
    let store = KeyStore::temporary().unwrap();
    let admin = actor(&store, alice().permissions(["*"]));
    let mine = actor(&store, alice().permissions(["keys:revoke", "orders:read"]));
    let new = |owner: &str, grant: &str| store.create(NewKey::for_owner(owner).permissions([grant])).unwrap();
    let [one, two] = [new("alice", "orders:read"), new("alice", "orders:read")];
    let stronger = new("alice", "orders:write");
    let ids = |keys: &[&CreatedKey]| keys.iter().map(|key| key.info.id()).collect::<Vec<_>>();
    let all = store.revoke_keys_within(&ids(&[&one, &stronger, &two]), "left", &mine);
    assert!(matches!(all, Err(StoreError::Exceeds(CapViolation::Target(_)))), "{all:?}");
    assert!([&one, &two].iter().all(|key| info(&store, key).revoked().is_none()), "all or none");
    let of_bob = new("bob", "orders:read");
    assert_eq!(store.revoke_keys_within(&ids(&[&of_bob]), "", &mine).unwrap_err().status(), 404);
    assert_eq!(store.revoke_keys_within(&ids(&[&one, &two, &one]), "left", &mine).unwrap(), 2);
    assert_eq!(info(&store, &one).revoked().unwrap().reason(), "left");
    // Its own key is the last, and a thousand and more fit.
    let many = store.create_many((0..1200).map(|_| NewKey::for_owner("bob"))).unwrap();
    let mut all: Vec<KeyId> = many.iter().map(|key| key.info.id()).collect();
    all.insert(0, admin.id());
    assert_eq!(store.revoke_keys_within(&all, "", &admin).unwrap(), 1201);
    assert!(store.recheck(&admin).is_err());
}

#[test]
fn usage_is_for_who_may_read_the_keys() {
    let store = KeyStore::builder().count_use(true).temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    let of = |key: CreatedKey| store.verify(key.key.expose_secret()).unwrap();
    let mine = actor(&store, alice().permissions(["usage:read"]));
    let any_owner = actor(&store, NewKey::for_owner("eve").permissions(["usage:read", "keys:any_owner"]));
    let admin = actor(&store, NewKey::for_owner("root").permissions(["*"]));
    let in_acme = of(acme.create(alice().permissions(["usage:read", "keys:any_owner"])).unwrap());
    let bob = store.create(NewKey::for_owner("bob")).unwrap().info.id();
    let asked =
        |usage: Usage, actor: &VerifiedKey| store.usage_within(&usage, actor).map_or_else(|e| e.status(), |_| 200);
    let rows = [
        (Usage::of_key(mine.id()), [200, 200, 200, 404]),
        (Usage::of_key(bob), [404, 200, 200, 404]),
        (Usage::of_key(in_acme.id()), [404, 404, 200, 200]),
        (Usage::of_owner("alice"), [200, 200, 200, 403]),
        (Usage::of_owner("bob"), [403, 200, 200, 403]),
        (Usage::of_owner_in_tenant("acme", "alice"), [403, 403, 200, 200]),
        (Usage::of_tenant("acme"), [403, 403, 200, 200]),
        (Usage::of_tenant("apex"), [403, 403, 200, 403]),
        (Usage::of_store(), [403, 403, 200, 403]),
    ];
    for (usage, expected) in rows {
        let answers = [&mine, &any_owner, &admin, &in_acme].map(|actor| asked(usage.clone(), actor));
        assert_eq!(answers, expected, "{usage:?}");
    }
}
