//! What one owner sees of the store, and may change.

use apikey::{
    Actor, CapViolation, EventFilter, KeyFilter, KeyId, KeyStore, KeyUpdate, NewKey, Overlap, RotateOptions, StoreError,
};
use apikey_testkit::{alice, all, clocked, hours, start};
use chrono::TimeDelta;

use super::scope::{verified, victim};

/// Every call with the id of another owner's key answers as for an id that never existed.
#[test]
fn to_an_owner_the_keys_of_others_do_not_exist() {
    let (store, _) = clocked();
    let unknown = {
        let other = KeyStore::temporary().unwrap();
        other.create(alice()).unwrap().info.id()
    };
    let (plain, disabled, revoked, rotating) = (
        store.create(victim()).unwrap(),
        store.create(victim()).unwrap(),
        store.create(victim()).unwrap(),
        store.create(victim()).unwrap(),
    );
    store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    store.revoke(revoked.info.id(), "").unwrap();
    let newer = store.rotate(rotating.info.id(), Overlap::For(hours(1))).unwrap();
    store.verify(newer.key.expose_secret()).unwrap();
    let bob = store.of_owner("bob");
    let own = bob.create(NewKey::for_owner("bob").permissions(["*"])).unwrap();
    let actor = verified(&store, &own);
    let answers = |id: KeyId| -> Vec<String> {
        let within = RotateOptions::new(Overlap::None).within(&actor);
        let answers = [
            format!("{:?}", bob.get(id)),
            format!("{:?}", bob.update(id, KeyUpdate::new().name("mine"))),
            format!("{:?}", bob.update(id, KeyUpdate::new().name("mine").within(&actor))),
            format!("{:?}", bob.update(id, KeyUpdate::new().expires_at(start()))),
            format!("{:?}", bob.rotate(id, Overlap::None)),
            format!("{:?}", bob.rotate(id, Overlap::UntilFirstUse)),
            format!("{:?}", bob.rotate_within(id, Overlap::None, &actor)),
            format!("{:?}", bob.rotate_idempotent(id, Overlap::None, "again")),
            format!("{:?}", bob.rotate_with(id, &within)),
            format!("{:?}", bob.rotate_with(id, &within.idempotency_key("again"))),
            format!("{:?}", bob.replace_leaked(id, "")),
            format!("{:?}", bob.replace_leaked_within(id, "", &actor)),
            format!("{:?}", bob.revoke(id, "")),
            format!("{:?}", bob.revoke_within(id, "", &actor)),
            format!("{:?}", bob.events(&EventFilter::default().key(id))),
        ];
        answers.into_iter().map(|answer| answer.replace(&id.to_string(), "the id")).collect()
    };
    let before = all(&store, &KeyFilter::owner("victim"));
    let expected = answers(unknown);
    assert!(expected[1..14].iter().all(|answer| answer == "Err(there is no key the id)"), "{expected:?}");
    for key in [&plain, &disabled, &revoked, &rotating] {
        assert_eq!(answers(key.info.id()), expected);
    }
    assert_eq!(all(&store, &KeyFilter::owner("victim")), before);

    // The same where the store bounds lifetimes: its errors must not reveal the records of others.
    let bounded = KeyStore::builder().max_lifetime(TimeDelta::days(90)).temporary().unwrap();
    let policy = apikey::RotationPolicy::every(TimeDelta::days(30)).overlap(Overlap::For(hours(1)));
    let id = bounded.create(victim().rotation(policy)).unwrap().info.id();
    let bob = bounded.of_owner("bob");
    let missing =
        |id: KeyId| format!("{:?}", bob.rotate(id, Overlap::UntilFirstUse)).replace(&id.to_string(), "the id");
    assert_eq!(missing(id), missing(unknown));
}

#[test]
fn an_owner_manages_its_own_keys_and_no_others() {
    let (store, _) = clocked();
    let (anna, bob) = (store.of_owner("anna"), store.as_actor("console").of_owner("bob"));
    assert_eq!((anna.owner(), bob.owner()), ("anna", "bob"));
    let annas = |count| (0..count).map(|_| NewKey::for_owner("anna"));
    let created = anna.create_many(annas(3)).unwrap();
    let id = created[0].info.id();
    bob.create(NewKey::for_owner("bob")).unwrap();
    for error in [
        bob.create(NewKey::for_owner("anna")).unwrap_err(),
        bob.create_many([NewKey::for_owner("bob"), NewKey::for_owner("anna")]).unwrap_err(),
        store.of_owner("").create(NewKey::for_owner("anna")).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Invalid { field: "owner", .. }), "{error:?}");
    }
    let owners = |store: &apikey::OwnerStore, filter: &KeyFilter| {
        let page = store.list(filter).unwrap();
        page.keys.iter().map(|key| key.owner().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(owners(&anna, &KeyFilter::default()), ["anna", "anna", "anna"]);
    assert_eq!(owners(&anna, &KeyFilter::owner("anna")).len(), 3);
    assert_eq!(owners(&anna, &KeyFilter::owner("bob")), [""; 0]);
    assert_eq!(owners(&bob, &KeyFilter::default()), ["bob"]);
    assert_eq!(owners(&store.of_owner("an"), &KeyFilter::default()), [""; 0]);
    assert_eq!(owners(&store.of_owner(""), &KeyFilter::default()), [""; 0]);
    let page = anna.list(&KeyFilter::default().limit(2)).unwrap();
    assert_eq!(anna.list(&KeyFilter::default().after(page.next.unwrap())).unwrap().keys.len(), 1);

    // Owners share no idempotency keys, in neither direction.
    let once = |store: &apikey::OwnerStore| {
        store.create(NewKey::for_owner(store.owner()).idempotency_key("first")).unwrap().info.id()
    };
    assert_ne!(once(&anna), once(&bob));
    assert_eq!(once(&anna), once(&anna));

    anna.update(id, KeyUpdate::new().name("ci")).unwrap();
    anna.rotate_idempotent(id, Overlap::None, "may").unwrap();
    anna.as_actor("anna").revoke(id, "left").unwrap();
    let events = anna.events(&EventFilter::default()).unwrap().events;
    assert!(
        events.iter().all(|event| all(&store, &KeyFilter::owner("anna")).iter().any(|k| Some(k.id()) == event.key()))
    );
    let of_one: Vec<_> =
        events.iter().filter(|event| event.key() == Some(id)).map(|event| event.kind().name()).collect();
    assert_eq!(of_one, ["created", "updated", "rotated", "revoked"]);
    assert_eq!(events.last().and_then(|event| event.actor()), Some(&Actor::from("anna")));
    let bobs = bob.events(&EventFilter::default()).unwrap().events;
    assert_eq!(bobs.iter().map(apikey::Event::actor).collect::<Vec<_>>(), [Some(&Actor::from("console")); 2]);

    assert_eq!(bob.revoke_all("left").unwrap(), 2);
    assert_eq!(anna.list(&KeyFilter::default().state(apikey::KeyState::Active)).unwrap().keys.len(), 3);
    let actor = verified(&store, &created[1]);
    assert_eq!(anna.revoke_all_within("left", &actor).unwrap(), 3);
    let missing = bob.revoke_all_within("", &actor);
    assert!(matches!(missing, Err(StoreError::Exceeds(CapViolation::Actor(_)))), "{missing:?}");
}
