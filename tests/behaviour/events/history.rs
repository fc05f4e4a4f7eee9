//! The history of events, and how the store notices that somebody has changed it.

use std::path::Path;

use apikey::{
    ChainFault, Changes, EventFilter, EventKind, EventPage, KeyStore, KeyUpdate, ManualClock, Overlap, Pepper,
};
use apikey_testkit::stored_events::{batch, frames, split_batches};
use apikey_testkit::{alice, database, hours, start};

fn history(store: &KeyStore, filter: &EventFilter) -> Vec<String> {
    store.events(filter).unwrap().events.iter().map(|event| event.kind().name().to_owned()).collect()
}

#[test]
fn every_change_is_an_event() {
    let clock = ManualClock::new(start());
    let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    let one = store.create(alice()).unwrap().info.id();
    let two = store.create(alice()).unwrap().info.id();
    clock.advance(hours(1));
    store.update(one, KeyUpdate::new().name("ci").disabled(false)).unwrap();
    let new = store.rotate(one, Overlap::For(hours(2))).unwrap();
    store.verify(new.key.expose_secret()).unwrap();
    store.revoke(two, "leaked").unwrap();
    store.revoke(two, "again").unwrap();
    store.purge(start() + hours(9)).unwrap();

    let all = EventFilter::default();
    let kinds = ["created", "created", "updated", "rotated", "first_used", "revoked", "purged"];
    assert_eq!(history(&store, &all), kinds);
    assert_eq!(history(&store, &all.clone().key(two)), ["created", "revoked", "purged"]);
    assert_eq!(history(&store, &all.clone().kind("rotated")), ["rotated"]);
    assert_eq!(history(&store, &all.clone().since(start() + hours(1))), &kinds[2..]);
    assert_eq!(history(&store, &all.clone().until(start() + hours(1))), &kinds[..2]);
    assert!(store.events(&all.clone().kind("renamed")).is_err());
    assert!(store.events(&all.clone().limit(0)).is_err());

    let page = store.events(&all.clone().limit(3)).unwrap();
    assert_eq!((page.events.len(), page.next), (3, Some(3)));
    let rest = store.events(&all.clone().after(3)).unwrap();
    assert_eq!((rest.events.len(), rest.next), (4, None));

    let EventPage { events, .. } = store.events(&all).unwrap();
    assert!((1..).zip(&events).all(|(number, event)| event.number() == number));
    assert_eq!(events[5].key(), Some(two));
    assert_eq!(events[5].at(), start() + hours(1));
    assert_eq!(*events[5].kind(), EventKind::Revoked { reason: "leaked".into() });
    let json = serde_json::to_value(&events[5]).unwrap();
    assert_eq!((json["kind"].as_str(), json["reason"].as_str()), (Some("revoked"), Some("leaked")));
}

/// The kind and the changes of the last event.
fn last(store: &KeyStore) -> (&'static str, Changes) {
    let event = store.events(&EventFilter::default()).unwrap().events.pop().unwrap();
    match event.kind() {
        EventKind::Updated { changes } | EventKind::Disabled { changes } | EventKind::Enabled { changes } => {
            (event.kind().name(), changes.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_says_what_changed_from_what_to_what() {
    let store = KeyStore::builder().clock(ManualClock::new(start())).temporary().unwrap();
    let id = store.create(alice().name("ci").permissions(["orders:*"]).metadata("team", "blue")).unwrap().info.id();
    let update = |update: KeyUpdate| {
        store.update(id, update).unwrap();
        last(&store)
    };
    let (day, year) = (start() + hours(24), start() + hours(9000));
    let (kind, changes) = update(KeyUpdate::new().permissions(["orders:read"]).expires_at(year));
    assert_eq!((kind, changes.fields()), ("updated", vec!["permissions", "expires_at"]));
    let permissions = changes.permissions.unwrap();
    assert_eq!((permissions.from, permissions.to), (vec!["orders:*".to_owned()], vec!["orders:read".to_owned()]));
    let end = changes.expires_at.unwrap();
    assert_eq!((end.from, end.to), (None, Some(year)));

    let (_, changes) = update(KeyUpdate::new().expires_at(day).limit(10, hours(1)).networks(["10.0.0.0/8"]));
    assert_eq!(changes.expires_at.map(|end| (end.from, end.to)), Some((Some(year), Some(day))));
    let limit = changes.limit.unwrap();
    assert_eq!((limit.from, limit.to.unwrap().count()), (None, 10));
    assert_eq!(changes.networks.unwrap().to, ["10.0.0.0/8"]);

    let policy = apikey::RotationPolicy::every(hours(9));
    let (_, changes) = update(KeyUpdate::new().rotation(policy).no_limit().any_network());
    assert_eq!(changes.rotation.map(|policy| (policy.from, policy.to)), Some((None, Some(policy))));
    assert_eq!(changes.networks.unwrap().to, Vec::<String>::new());
    assert!(changes.limit.unwrap().to.is_none());

    // Values that may be personal are in no event.
    let (_, changes) =
        update(KeyUpdate::new().name("alice's laptop").metadata("mail", "a@b.org").without_metadata("team"));
    assert_eq!((changes.name, &changes.metadata[..]), (true, &["team".to_owned(), "mail".to_owned()][..]));
    let json = serde_json::to_string(&store.events(&EventFilter::default()).unwrap()).unwrap();
    assert!(!json.contains("laptop") && !json.contains("a@b.org") && !json.contains("blue"), "{json}");

    // What is so already is no change.
    let (_, changes) = update(KeyUpdate::new().name("other").permissions(["orders:read"]));
    assert_eq!(changes.fields(), ["name"]);
}

#[test]
fn disabling_and_enabling_are_kinds_of_their_own() {
    let store = KeyStore::builder().clock(ManualClock::new(start())).temporary().unwrap();
    let id = store.create(alice().permissions(["a"])).unwrap().info.id();
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(last(&store), ("disabled", Changes::default()));
    store.update(id, KeyUpdate::new().disabled(true).name("x")).unwrap();
    assert_eq!(last(&store).0, "updated");
    store.update(id, KeyUpdate::new().disabled(false).permissions(["b"])).unwrap();
    let (kind, changes) = last(&store);
    assert_eq!((kind, changes.fields()), ("enabled", vec!["permissions"]));
    assert_eq!(history(&store, &EventFilter::default().kind("disabled")), ["disabled"]);
}

#[test]
fn a_chain_is_whole_after_reopening_and_changes() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let store = KeyStore::open(directory.path()).unwrap();
        store.create(alice()).unwrap();
        let report = store.verify_events().unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.events, report.last, report.checkpoint), (round, round, 0));
        assert_eq!(report.peppered_from, None);
        store.close().unwrap();
    }
}

#[test]
fn purging_leaves_a_checkpoint_and_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || KeyStore::builder().clock(clock.clone()).open(directory.path()).unwrap();
    let store = open();
    for _ in 0..6 {
        store.create(alice()).unwrap();
        clock.advance(hours(1));
    }
    assert_eq!(store.purge_events(start() + hours(2)).unwrap(), 2);
    let report = store.verify_events().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.checkpoint, report.events, report.last), (2, 5, 7));
    // The newest stays: the event that says so.
    assert_eq!(store.as_actor("janitor").purge_events(start() + hours(99)).unwrap(), 4);
    let events = store.events(&EventFilter::default().actor("janitor")).unwrap().events;
    assert_eq!(*events[0].kind(), EventKind::EventsPurged { last: 6 });
    assert_eq!((events[0].number(), events[0].key()), (8, None));
    store.close().unwrap();
    let store = open();
    store.create(alice()).unwrap();
    let report = store.verify_events().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.checkpoint, report.events, report.last), (6, 3, 9));
}

#[test]
fn tampering_is_noticed() {
    type Change = fn(&sled::Tree);
    let cases: [(&str, Change, ChainFault); 5] = [
        ("one is gone", |events| drop(events.remove(3u64.to_be_bytes()).unwrap()), ChainFault::Missing { number: 3 }),
        (
            "two changed places",
            |events| {
                let (one, two) = (3u64.to_be_bytes(), 4u64.to_be_bytes());
                let other = events.insert(one, events.get(two).unwrap().unwrap()).unwrap().unwrap();
                events.insert(two, other).unwrap();
            },
            ChainFault::Damaged { number: 3 },
        ),
        (
            "one has another reason",
            |events| {
                let place = 3u64.to_be_bytes();
                let value = events.get(place).unwrap().unwrap();
                let mut frame = frames(&value).unwrap()[0].to_vec();
                let at = frame.windows(6).position(|window| window == b"leaked").unwrap();
                frame[at] = b'L';
                frame.truncate(frame.len() - 4);
                let check = crc32fast::hash(&frame);
                frame.extend(check.to_le_bytes());
                events.insert(place, batch(&[frame])).unwrap();
            },
            ChainFault::Changed { number: 3 },
        ),
        (
            "a flipped bit",
            |events| {
                let place = 2u64.to_be_bytes();
                let value = events.get(place).unwrap().unwrap();
                let mut frame = frames(&value).unwrap()[0].to_vec();
                frame[7] ^= 1;
                events.insert(place, batch(&[frame])).unwrap();
            },
            ChainFault::Damaged { number: 2 },
        ),
        (
            "the last is gone",
            |events| drop(events.remove(5u64.to_be_bytes()).unwrap()),
            ChainFault::Missing { number: 5 },
        ),
    ];
    for pepper in [false, true] {
        let open = |path: &Path| match pepper {
            false => KeyStore::open(path),
            true => KeyStore::builder().pepper(Pepper::new(1, [7; 32])).open(path),
        };
        for (case, change, fault) in cases {
            let directory = tempfile::tempdir().unwrap();
            let store = open(directory.path()).unwrap();
            let ids: Vec<_> = (0..2).map(|_| store.create(alice()).unwrap().info.id()).collect();
            store.revoke(ids[0], "leaked").unwrap();
            store.update(ids[1], KeyUpdate::new().name("x")).unwrap();
            store.update(ids[1], KeyUpdate::new().name("y")).unwrap();
            assert_eq!(store.verify_events().unwrap().peppered_from, pepper.then_some(1));
            store.close().unwrap();
            database::edit(directory.path(), |database| {
                split_batches(database);
                change(&database.open_tree("events").unwrap());
            });
            // A store whose history is damaged may also refuse to open.
            let Ok(store) = open(directory.path()) else { continue };
            let report = store.verify_events().unwrap();
            assert_eq!(report.fault, Some(fault), "{case}");
            assert!(report.faults >= 1);
        }
    }
}

#[test]
fn a_pepper_that_only_events_need_is_named_when_it_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let pepper = || KeyStore::builder().pepper(Pepper::new(3, [7; 32]));
    let clock = ManualClock::new(start());
    let store = pepper().clock(clock.clone()).open(directory.path()).unwrap();
    let id = store.create(alice()).unwrap().info.id();
    store.revoke(id, "left").unwrap();
    clock.advance(hours(1));
    store.purge(start() + hours(1)).unwrap();
    store.close().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    let report = store.verify_events().unwrap();
    assert_eq!(report.fault, Some(ChainFault::Pepper { number: 1, pepper: 3 }));
    store.close().unwrap();
    assert!(pepper().open(directory.path()).unwrap().verify_events().unwrap().is_whole());
}
