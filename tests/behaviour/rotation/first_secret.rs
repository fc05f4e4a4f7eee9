//! The first secret of a key, delivered by the rotator.

use apikey::{
    Clock, EventFilter, EventKind, ImportScheme, Imported, KeyStore, ManualClock, NewKey, Overlap, Rotator, StoreError,
};
use apikey_testkit::{alice, clocked, code, hours, ms};

use crate::rotation::fake_sink::{FakeSink, Reaction};
use crate::rotation::rotator_fixture::{policy, run};

fn rotating() -> NewKey {
    alice().rotation(policy())
}

struct Fixture {
    store: KeyStore,
    clock: ManualClock,
    sink: FakeSink,
    rotator: Rotator,
}

impl Fixture {
    fn new(sink: FakeSink) -> Self {
        let (store, clock) = clocked();
        let rotator = Rotator::new(store.clone(), sink.clone());
        Self { store, clock, sink, rotator }
    }

    /// The process dies, and another one starts.
    fn restart(&mut self) {
        self.rotator = Rotator::new(KeyStore::temporary().unwrap(), self.sink.clone());
        self.rotator = Rotator::new(self.store.clone(), self.sink.clone());
    }
}

#[test]
fn the_sink_gets_it_and_the_key_rotates_when_it_is_due() {
    for (new, rotates) in [(alice(), false), (rotating(), true)] {
        let fixture = Fixture::new(FakeSink::default());
        let created = fixture.rotator.create(new).unwrap();
        assert_eq!(created.failed, None);
        let id = created.info.id();
        let first = fixture.sink.token(id);
        assert_eq!(fixture.store.verify(&first).unwrap().secret_version(), 1);
        assert_eq!(created.info.rotation().and_then(|rotation| rotation.pending()), None);
        assert_eq!(fixture.store.get(id).unwrap().unwrap().overlap(), None);
        assert_eq!(run(&fixture.rotator, &fixture.clock).delivered, [], "once");
        fixture.clock.advance(hours(10));
        assert_eq!(run(&fixture.rotator, &fixture.clock).delivered, if rotates { vec![id] } else { vec![] });
        assert!(fixture.store.verify(&first).is_ok());
        assert_eq!(fixture.sink.versions(), if rotates { vec![1, 2] } else { vec![1] });
    }
}

#[test]
fn a_sink_that_refuses_gets_the_same_secret_later() {
    let fixture = Fixture::new(FakeSink::default());
    fixture.sink.react_with(Reaction::Refuses);
    let created = fixture.rotator.create(rotating()).unwrap();
    let failed = created.failed.unwrap();
    assert_eq!((failed.reason.as_str(), failed.retry_at), ("no [REDACTED]!", fixture.clock.now() + ms(1000)));
    assert_eq!(created.info.rotation().unwrap().pending(), Some(1));
    fixture.sink.react_with(Reaction::Accepts);
    assert_eq!(run(&fixture.rotator, &fixture.clock).delivered, [], "not before the wait is over");
    fixture.clock.advance(ms(1000));
    assert_eq!(run(&fixture.rotator, &fixture.clock).delivered, [created.info.id()]);
    assert_eq!(fixture.sink.versions(), [1, 1]);
    assert_eq!(code(&fixture.store, &fixture.sink.token(created.info.id())), "ok");
}

#[test]
fn a_process_that_dies_on_the_way_leaves_a_key_that_gets_a_secret() {
    for (reaction, reports, versions) in [
        // Before the sink had it: another one takes its place.
        (Reaction::Panics, true, vec![1, 2]),
        // After: the sink says that it has it, or the store cannot know, and delivers another one.
        (Reaction::AcceptsThenPanics, true, vec![1]),
        (Reaction::AcceptsThenPanics, false, vec![1, 2]),
        (Reaction::Panics, false, vec![1, 2]),
    ] {
        let mut fixture = Fixture::new(if reports { FakeSink::that_reports() } else { FakeSink::default() });
        fixture.sink.react_with(reaction);
        let created = fixture.rotator.create(rotating()).unwrap();
        assert!(created.failed.is_some());
        fixture.restart();
        fixture.sink.react_with(Reaction::Accepts);
        assert_eq!(run(&fixture.rotator, &fixture.clock).delivered, [created.info.id()], "{reaction:?} {reports}");
        assert_eq!(fixture.sink.versions(), versions, "{reaction:?} {reports}");
        assert_eq!(code(&fixture.store, &fixture.sink.token(created.info.id())), "ok");
        let info = fixture.store.get(created.info.id()).unwrap().unwrap();
        assert_eq!((info.rotation().unwrap().pending(), info.overlap()), (None, None), "{reaction:?} {reports}");
        assert!(fixture.store.verify_events().unwrap().is_whole());
    }
}

#[test]
fn a_store_that_opens_again_delivers_what_waited() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let sink = FakeSink::that_reports();
    sink.react_with(Reaction::Refuses);
    let id = {
        let store = KeyStore::open(&path).unwrap();
        let rotator = Rotator::new(store.clone(), sink.clone());
        let created = rotator.create(alice()).unwrap();
        assert!(created.failed.is_some());
        created.info.id()
    };
    sink.react_with(Reaction::Accepts);
    let store = KeyStore::open(&path).unwrap();
    let rotator = Rotator::new(store.clone(), sink.clone());
    assert_eq!(rotator.run_due(chrono::Utc::now()).unwrap().delivered, [id]);
    assert_eq!(store.verify(&sink.token(id)).unwrap().id(), id);
}

#[test]
fn a_capped_creation_stays_within_its_actor_and_names_it() {
    let fixture = Fixture::new(FakeSink::default());
    let actor = fixture.store.create(alice().permissions(["orders:*"])).unwrap();
    let actor = fixture.store.verify(actor.key.expose_secret()).unwrap();
    let beyond = fixture.rotator.create(alice().permissions(["admin"]).within(&actor)).unwrap_err();
    assert_eq!(beyond.code(), "exceeds_actor");
    assert!(fixture.sink.versions().is_empty());
    let created = fixture.rotator.create(alice().permissions(["orders:read"]).within(&actor)).unwrap();
    let events = fixture.store.events(&EventFilter::default().key(created.info.id())).unwrap().events;
    let of = |kind: fn(&EventKind) -> bool| events.iter().filter(|event| kind(event.kind())).count();
    assert_eq!(of(|kind| matches!(kind, EventKind::Created)), 1);
    assert!(events.iter().any(|event| event.actor() == Some(&apikey::Actor::Key(actor.id()))), "{events:?}");
    assert_eq!(of(|kind| matches!(kind, EventKind::Promoted { version: 1, .. })), 1);
}

#[test]
fn what_has_no_secret_to_deliver_is_refused() {
    let fixture = Fixture::new(FakeSink::default());
    let imported = alice().imported(Imported::raw("legacy-7f3a9c1e5b2d4860aa"), ImportScheme::Whole);
    for (new, field) in [(imported, "imported"), (alice().idempotency_key("k"), "idempotency_key")] {
        let error = fixture.rotator.create(new).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: of, .. } if of == field), "{error}");
    }
    let other = Rotator::new(fixture.store.clone(), FakeSink::default());
    fixture.rotator.create(alice()).unwrap();
    let error = other.create(alice()).unwrap_err();
    assert_eq!((error.status(), error.code()), (503, "unavailable"));
}

#[test]
fn the_handle_of_the_thread_creates_keys_too() {
    let (store, _clock) = clocked();
    let sink = FakeSink::default();
    let handle = Rotator::new(store.clone(), sink.clone()).start().unwrap();
    let created = handle.create(alice()).unwrap();
    assert_eq!(code(&store, &sink.token(created.info.id())), "ok");
    let rotated = store.rotate(created.info.id(), Overlap::None).unwrap();
    assert_eq!(code(&store, rotated.key.expose_secret()), "ok");
    store.close().unwrap();
    assert!(matches!(handle.create(alice()), Err(StoreError::Closed)));
}
