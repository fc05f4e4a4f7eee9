//! The actor of each change, and the filters for actors and unused keys.

use apikey::{
    Actor, EventFilter, EventKind, ImportOptions, KeyFilter, KeyId, KeyState, KeyStore, KeyUpdate, Overlap, Peer,
    Restore, RotationPolicy, Rotator, StoreError,
};
use apikey_testkit::{alice, all, clocked, hours, info, ms, start};

fn actors(store: &KeyStore) -> Vec<(String, Option<String>)> {
    let page = store.events(&EventFilter::default()).unwrap();
    let told = |event: &apikey::Event| (event.kind().name().to_owned(), event.actor().map(ToString::to_string));
    page.events.iter().map(told).collect()
}

#[test]
fn every_change_names_the_actor_of_its_handle() {
    let (plain, clock) = clocked();
    let bot = plain.as_actor("deploy-bot");
    let one = bot.create(alice()).unwrap();
    let id = one.info.id();
    bot.clone().update(id, KeyUpdate::new().name("ci")).unwrap();
    let new = bot.rotate(id, Overlap::For(hours(1))).unwrap();
    plain.verify(new.key.expose_secret()).unwrap();
    bot.verify(new.key.expose_secret()).unwrap();
    bot.as_actor("alice@example.org").revoke(id, "left").unwrap();
    bot.revoke_owner("alice", "left").unwrap();
    plain.create_many([alice(), alice()]).unwrap();
    bot.revoke_owner("alice", "left").unwrap();
    clock.advance(hours(48));
    bot.purge(start() + hours(24)).unwrap();
    let mut lines = Vec::new();
    let other = KeyStore::temporary().unwrap();
    other.create(alice()).unwrap();
    other.export(&mut lines, &apikey::ExportOptions::default().digests(true)).unwrap();
    bot.import(lines.as_slice(), &ImportOptions::default()).unwrap();

    let recorded = actors(&plain);
    let by = |kind: &str, actor: Option<&str>| (kind.to_owned(), actor.map(str::to_owned));
    let bot = Some("deploy-bot");
    let expected = [
        by("created", bot),
        by("updated", bot),
        by("rotated", bot),
        by("first_used", None),
        by("revoked", Some("alice@example.org")),
        by("created", None),
        by("created", None),
        by("revoked", bot),
        by("revoked", bot),
        by("purged", bot),
        by("purged", bot),
        by("purged", bot),
    ];
    // The maintenance thread erases ended secrets at a time of its own.
    let own: Vec<_> = recorded.into_iter().filter(|(kind, _)| kind != "secrets_erased").collect();
    assert_eq!(own[..expected.len()], expected);
    assert_eq!(own[expected.len()..], [by("created", bot)], "an import");
}

#[test]
fn an_actor_out_of_bounds_changes_nothing() {
    let (store, _) = clocked();
    let id = store.create(alice()).unwrap().info.id();
    for actor in ["", &"x".repeat(129), "two\nlines"] {
        let handle = store.as_actor(actor);
        let refused = [
            handle.create(alice()).map(|_| ()),
            handle.revoke(id, "").map(drop),
            handle.rotate(id, Overlap::None).map(|_| ()),
            handle.update(id, KeyUpdate::new().disabled(true)).map(|_| ()),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(StoreError::Invalid { field: "actor", .. })), "{refused:?}");
        }
    }
    assert_eq!(actors(&store).len(), 1);
    store.as_actor("x".repeat(128)).revoke(id, "").unwrap();
}

/// The actors of a store's events of these kinds.
fn named(store: &KeyStore, kinds: &[&str]) -> Vec<Option<Actor>> {
    let events = store.events(&EventFilter::default()).unwrap().events;
    let of = |event: &apikey::Event| kinds.contains(&event.kind().name());
    events.iter().filter(|event| of(event)).map(|event| event.actor().cloned()).collect()
}

#[test]
fn an_address_that_is_known_is_in_the_event() {
    let (store, _) = clocked();
    let address = std::net::IpAddr::from([203, 0, 113, 7]);
    let key = store.as_actor_from("console", address).create(alice()).unwrap().info.id();
    store.as_actor_from(key, Peer::Behind(address)).update(key, KeyUpdate::new().name("ci")).unwrap();
    store.of_owner("alice").as_actor_from(Actor::Uid(7), address).revoke(key, "left").unwrap();
    let events = store.events(&EventFilter::default()).unwrap().events;
    let told: Vec<_> = events.iter().map(|event| (event.actor().cloned().unwrap(), event.peer())).collect();
    let expected = [
        (Actor::Application("console".into()), Some(address)),
        (Actor::Key(key), None),
        (Actor::Uid(7), Some(address)),
    ];
    assert_eq!(told, expected);
    let json = serde_json::to_value(&events[2]).unwrap();
    assert_eq!((&json["actor"], &json["peer"]), (&"uid:7".into(), &"203.0.113.7".into()));
    assert_eq!(serde_json::from_value::<apikey::Event>(json).unwrap(), events[2]);
}

#[test]
fn a_rotator_has_the_actor_of_its_handle() {
    for (actor, expected) in [(None, "rotator"), (Some("vault-sync"), "vault-sync")] {
        let (store, clock) = clocked();
        store.create(alice().rotation(RotationPolicy::every(hours(24)))).unwrap();
        clock.advance(hours(24));
        let handle = actor.map_or_else(|| store.clone(), |actor| store.as_actor(actor));
        let rotator = Rotator::new(handle, apikey::sink::from_fn(|_| Ok(())));
        assert_eq!(rotator.run_due(start() + hours(24)).unwrap().delivered.len(), 1);
        assert_eq!(named(&store, &["staged", "promoted"]), vec![Some(Actor::from(expected)); 2]);
    }
    let (store, _) = clocked();
    let rotator = Rotator::new(store.as_actor(""), apikey::sink::from_fn(|_| Ok(())));
    assert!(matches!(rotator.run_due(start()), Err(StoreError::Invalid { field: "actor", .. })));
}

#[test]
fn who_restores_and_who_salvages_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::open(path("old")).unwrap();
    let id = store.create(alice().permissions(["orders:*"]).expires_at(start() + hours(9000))).unwrap().info.id();
    store.backup(path("backup")).unwrap();
    store.update(id, KeyUpdate::new().permissions(["orders:read"]).disabled(true)).unwrap();
    store.close().unwrap();
    let restore = Restore::new(path("backup"), path("new")).over(path("old"));
    KeyStore::restore(&restore.clone().actor("alice@example.org")).unwrap();
    let restored = KeyStore::open(path("new")).unwrap();
    assert_eq!(named(&restored, &["restored", "reapplied"]), vec![Some(Actor::from("alice@example.org")); 2]);
    let event = restored.events(&EventFilter::default().kind("reapplied")).unwrap().events.remove(0);
    let EventKind::Reapplied { disabled: true, changes, .. } = event.kind() else { panic!("{event:?}") };
    assert_eq!(changes.permissions.as_ref().unwrap().to, ["orders:read"]);
    KeyStore::salvage_as(path("old"), path("saved"), Actor::Uid(1000)).unwrap();
    let saved = KeyStore::open(path("saved")).unwrap();
    assert_eq!(named(&saved, &["salvaged"]), [Some(Actor::Uid(1000))]);
    // An actor out of bounds is refused before anything is made.
    assert!(KeyStore::restore(&Restore::new(path("backup"), path("none")).actor("")).is_err());
    assert!(KeyStore::salvage_as(path("old"), path("none"), "").is_err());
    assert!(!path("none").exists());
}

#[test]
fn events_can_be_filtered_by_actor() {
    let (store, _) = clocked();
    store.create(alice()).unwrap();
    let id = store.as_actor("bob").create(alice()).unwrap().info.id();
    store.as_actor("bobby").revoke(id, "").unwrap();
    let page = store.events(&EventFilter::default().actor("bob")).unwrap();
    assert_eq!(page.events.iter().map(apikey::Event::number).collect::<Vec<_>>(), [2]);
    assert_eq!(store.events(&EventFilter::default().actor("")).unwrap().events, []);
}

#[test]
fn keys_nobody_uses_are_listed() {
    let (store, clock) = clocked();
    let [used, never, old] = [(); 3].map(|()| store.create(alice()).unwrap());
    store.verify(old.key.expose_secret()).unwrap();
    clock.advance(hours(10));
    store.verify(used.key.expose_secret()).unwrap();
    let late = store.create(alice()).unwrap();
    let since = |time| {
        let keys = all(&store, &KeyFilter::owner("alice").idle_since(time));
        keys.iter().map(apikey::KeyInfo::id).collect::<Vec<KeyId>>()
    };
    assert_eq!(since(start()), []);
    assert_eq!(since(start() + ms(1)), [never.info.id(), old.info.id()]);
    assert_eq!(since(start() + hours(10)), [never.info.id(), old.info.id()]);
    assert_eq!(
        since(start() + hours(10) + ms(1)),
        [used.info.id(), never.info.id(), old.info.id(), late.info.id()],
        "never used counts from its creation"
    );
    // A rotation keeps the time of use, and the filter for states works as elsewhere.
    store.rotate(used.info.id(), Overlap::None).unwrap();
    assert_eq!(info(&store, &used).last_used_at(), Some(start() + hours(10)));
    store.revoke(never.info.id(), "").unwrap();
    let idle = KeyFilter::default().idle_since(start() + ms(1)).state(KeyState::Active);
    assert_eq!(all(&store, &idle).iter().map(apikey::KeyInfo::id).collect::<Vec<_>>(), [old.info.id()]);
}
