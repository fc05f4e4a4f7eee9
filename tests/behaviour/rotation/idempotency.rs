//! Repeated requests: they make one key or one rotation, and the last caller gets a secret that works.

use apikey::{
    Conflict, CreatedKey, ImportScheme, Imported, KeyFilter, KeyId, KeyStore, KeyUpdate, ManualClock, NewKey, Overlap,
    Restore, RotateOptions, StoreError,
};
use apikey_testkit::{alice, all, clocked, code, hours, ms, start};

fn request() -> NewKey {
    alice().name("ci").permissions(["orders:read"]).idempotency_key("request-1")
}

fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Conflict {
    match result.unwrap_err() {
        StoreError::Conflict(conflict) => conflict,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeated_creation_makes_no_second_key() {
    let (store, _) = clocked();
    let lost = store.create(request()).unwrap();
    let again = store.create(request()).unwrap();
    let last = store.create(request()).unwrap();
    assert_eq!((again.info.id(), last.info.id()), (lost.info.id(), lost.info.id()));
    assert_eq!(last.info.version(), 3);
    assert_eq!(all(&store, &KeyFilter::default()).len(), 1);
    assert_eq!(code(&store, token(&lost)), "invalid_api_key");
    assert_eq!(code(&store, token(&again)), "invalid_api_key");
    assert_eq!(code(&store, token(&last)), "ok");
    // The secret has arrived: a further repeat is a conflict, and no working secret ends.
    let repeated = Conflict::Repeated { id: lost.info.id() };
    assert_eq!(conflict(store.create(request())), repeated);
    assert_eq!(code(&store, token(&last)), "ok");
    // The same when the key is gone.
    store.revoke(lost.info.id(), "").unwrap();
    assert_eq!(conflict(store.create(request())), repeated);
    store.purge(start() + hours(1)).unwrap();
    assert_eq!(conflict(store.create(request())), repeated);
    assert_eq!(all(&store, &KeyFilter::default()).len(), 0);
}

#[test]
fn another_request_under_the_same_key_is_refused() {
    let (store, _) = clocked();
    let id = store.create(request()).unwrap().info.id();
    let others = [
        NewKey::for_owner("bob").name("ci").permissions(["orders:read"]),
        alice().name("ci").permissions(["orders:read", "orders:write"]),
        alice().name("ci").permissions(["orders:read"]).expires_in(hours(1)),
    ];
    for other in others {
        assert_eq!(conflict(store.create(other.idempotency_key("request-1"))), Conflict::OtherRequest);
    }
    assert_eq!(conflict(store.rotate_idempotent(id, Overlap::None, "request-1")), Conflict::OtherRequest);
    let other = store.create(alice()).unwrap().info.id();
    store.rotate_idempotent(other, Overlap::None, "request-2").unwrap();
    assert_eq!(conflict(store.rotate_idempotent(id, Overlap::None, "request-2")), Conflict::OtherRequest);
    assert_eq!(conflict(store.rotate_idempotent(other, Overlap::UntilFirstUse, "request-2")), Conflict::OtherRequest);
    assert_eq!(store.get(other).unwrap().unwrap().version(), 2);
}

#[test]
fn a_repeated_rotation_replaces_a_successor_nobody_has() {
    for overlap in [Overlap::For(hours(1)), Overlap::UntilFirstUse, Overlap::None] {
        let (store, _) = clocked();
        let old = store.create(alice()).unwrap();
        let id = old.info.id();
        store.verify(token(&old)).unwrap();
        let lost = store.rotate_idempotent(id, overlap, "may").unwrap();
        let new = store.rotate_idempotent(id, overlap, "may").unwrap();
        assert_eq!((lost.info.version(), new.info.version()), (2, 3));
        assert_eq!(code(&store, token(&lost)), "invalid_api_key", "{overlap:?}");
        let held = if overlap == Overlap::None { "invalid_api_key" } else { "ok" };
        assert_eq!(code(&store, token(&old)), held, "{overlap:?}");
        assert_eq!(code(&store, token(&new)), "ok");
        assert_eq!(conflict(store.rotate_idempotent(id, overlap, "may")), Conflict::Repeated { id });
        assert_eq!(code(&store, token(&new)), "ok");
        let held = match overlap {
            Overlap::For(_) => "ok",
            Overlap::UntilFirstUse => "rotated_api_key",
            Overlap::None => "invalid_api_key",
        };
        assert_eq!(code(&store, token(&old)), held, "{overlap:?}");
    }
}

/// The overlap is over before the repeat comes: the lost secret ends without an overlap of its own.
#[test]
fn a_lost_successor_has_no_overlap() {
    let (store, clock) = clocked();
    let old = store.create(alice()).unwrap();
    let id = old.info.id();
    let lost = store.rotate_idempotent(id, Overlap::For(hours(1)), "may").unwrap();
    clock.advance(hours(2));
    let new = store.rotate_idempotent(id, Overlap::For(hours(1)), "may").unwrap();
    assert_eq!(code(&store, token(&lost)), "invalid_api_key");
    assert_eq!(code(&store, token(&old)), "rotated_api_key");
    assert_eq!(code(&store, token(&new)), "ok");
}

#[test]
fn a_repeat_after_another_change_replaces_nothing() {
    let (store, _) = clocked();
    let id = store.create(request()).unwrap().info.id();
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(conflict(store.create(request())), Conflict::Disabled);
    store.update(id, KeyUpdate::new().disabled(false)).unwrap();
    let rotated = store.rotate(id, Overlap::None).unwrap();
    assert_eq!(conflict(store.create(request())), Conflict::Repeated { id });
    assert_eq!(code(&store, token(&rotated)), "ok");
}

#[test]
fn the_store_remembers_a_request_for_a_day_and_through_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || KeyStore::builder().clock(clock.clone()).open(directory.path()).unwrap();
    let store = open();
    let lost = store.create(request()).unwrap();
    let used = store.create(request().idempotency_key("request-2")).unwrap();
    store.verify(token(&used)).unwrap();
    store.close().unwrap();
    let store = open();
    clock.advance(hours(24) - ms(1));
    let again = store.create(request()).unwrap();
    assert_eq!(again.info.id(), lost.info.id());
    assert_eq!(
        conflict(store.create(request().idempotency_key("request-2"))),
        Conflict::Repeated { id: used.info.id() }
    );
    store.close().unwrap();
    // A use of the replaced secret after one more restart is an attempt with an ended secret.
    let store = open();
    assert_eq!(code(&store, token(&again)), "ok");
    assert_eq!(conflict(store.create(request())), Conflict::Repeated { id: lost.info.id() });
    // A repeat does not restart the day.
    clock.advance(ms(1));
    let fresh = store.create(request()).unwrap();
    assert_ne!(fresh.info.id(), lost.info.id());
    assert_eq!(code(&store, token(&again)), "ok");
    store.close().unwrap();
    clock.advance(hours(25));
    open().close().unwrap(); // forgets what is over, as the store's thread does
    let database = (0..1000).find_map(|_| sled::open(directory.path().join("sled")).ok()).unwrap();
    assert_eq!(database.open_tree("made").unwrap().len(), 0);
}

#[test]
fn idempotency_keys_are_nowhere_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    let id = store.create(request().idempotency_key("an-idempotency-key-7f3a9c1e")).unwrap().info.id();
    store.rotate_idempotent(id, Overlap::None, "another-idempotency-key-5b2d").unwrap();
    store.close().unwrap();
    let mut looked = 0;
    for entry in std::fs::read_dir(directory.path().join("sled")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for text in [&b"an-idempotency-key"[..], b"another-idempotency-key"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text), "{path:?}");
        }
        looked += bytes.len();
    }
    assert!(looked > 0);
}

#[test]
fn repeats_that_come_at_once_make_one_key() {
    let directory = tempfile::tempdir().unwrap();
    for (round, temporary) in [true, false, true, false].into_iter().enumerate() {
        let store = match temporary {
            true => KeyStore::temporary().unwrap(),
            false => KeyStore::open(directory.path().join(round.to_string())).unwrap(),
        };
        let old = store.create(alice()).unwrap().info.id();
        let (created, rotated): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
            let once = || (store.create(request()), store.rotate_idempotent(old, Overlap::UntilFirstUse, "may"));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(once)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).unzip()
        });
        assert_eq!(all(&store, &KeyFilter::default()).len(), 2);
        for answers in [created, rotated] {
            let answers: Vec<CreatedKey> = answers.into_iter().map(Result::unwrap).collect();
            let works = answers.iter().filter(|created| store.verify(token(created)).is_ok());
            assert_eq!(works.count(), 1, "the last one");
            let newest = answers.iter().max_by_key(|created| created.info.version()).unwrap();
            assert_eq!(code(&store, token(newest)), "ok");
        }
    }
}

/// A use and a repeat race. Either the use wins, and the repeat is a conflict, or the repeat replaces the secret, and the
/// use is refused.
#[test]
fn a_use_and_a_repeat_at_once_agree() {
    for _ in 0..200 {
        let store = KeyStore::temporary().unwrap();
        let first = store.create(request()).unwrap();
        let (used, again) = std::thread::scope(|scope| {
            let used = scope.spawn(|| store.verify(token(&first)).is_ok());
            let again = scope.spawn(|| store.create(request()));
            (used.join().unwrap(), again.join().unwrap())
        });
        match again {
            Ok(again) => {
                assert!(!used);
                assert_eq!(code(&store, token(&again)), "ok");
            }
            Err(error) => {
                assert_eq!(conflict::<()>(Err(error)), Conflict::Repeated { id: first.info.id() });
                assert!(used);
            }
        }
        assert_eq!(code(&store, token(&first)), if used { "ok" } else { "invalid_api_key" });
    }
}

#[test]
fn idempotency_keys_out_of_bounds_and_calls_without_repeats_are_refused() {
    let (store, _) = clocked();
    let id = store.create(alice()).unwrap().info.id();
    let invalid = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::Invalid { field: "idempotency_key", .. })), "{result:?}");
    };
    for key in ["", &"k".repeat(256), "two\nlines"] {
        invalid(store.create(alice().idempotency_key(key)).map(drop));
        invalid(store.rotate_idempotent(id, Overlap::None, key).map(drop));
    }
    store.rotate_idempotent(id, Overlap::None, "k".repeat(255)).unwrap();
    invalid(store.create_many([alice(), request()]).map(drop));
    let imported = alice().imported(Imported::raw("legacy-7f3a9c1e5b2d4860"), ImportScheme::Whole);
    invalid(store.create(imported.idempotency_key("import")).map(drop));
    assert_eq!(all(&store, &KeyFilter::default()).len(), 1);
}

#[test]
fn a_repeat_is_capped_as_the_first_request_was() {
    let (store, _) = clocked();
    let admin = store.create(alice().permissions(["orders:*"])).unwrap();
    let actor = store.verify(token(&admin)).unwrap();
    let request = || alice().permissions(["orders:read"]).within(&actor).idempotency_key("capped");
    let id = store.create(request()).unwrap().info.id();
    let options = || RotateOptions::new(Overlap::UntilFirstUse).within(&actor).idempotency_key("capped rotation");
    store.rotate_with(id, &options()).unwrap();
    store.update(admin.info.id(), KeyUpdate::new().permissions(["customers:read"])).unwrap();
    assert!(matches!(store.create(request()), Err(StoreError::Exceeds(_))));
    assert!(matches!(store.rotate_with(id, &options()), Err(StoreError::Exceeds(_))));
    // Without the cap, and of another acting key, it is a request of its own.
    let bare = store.create(alice().permissions(["orders:read"]).idempotency_key("capped")).unwrap();
    assert_ne!(bare.info.id(), id);
}

/// Idempotency keys of callers do not meet, whoever their owners are: none learns that another has used one.
#[test]
fn acting_keys_share_no_idempotency_keys() {
    let (store, _) = clocked();
    let mut made = std::collections::HashSet::new();
    for owner in ["alice", "alice", "bob"] {
        let key = store.create(NewKey::for_owner(owner).permissions(["orders:*"])).unwrap();
        let actor = store.verify(token(&key)).unwrap();
        let request = || NewKey::for_owner(owner).name(key.info.id().to_string()).within(&actor).idempotency_key("1");
        let first = store.create(request()).unwrap().info.id();
        assert!(made.insert(first), "{owner}");
        assert_eq!(store.create(request()).unwrap().info.id(), first);
        let other = request().name("another request");
        assert_eq!(conflict(store.create(other)), Conflict::OtherRequest);
        let options = RotateOptions::new(Overlap::UntilFirstUse).within(&actor).idempotency_key("2");
        store.rotate_with(key.info.id(), &options).unwrap();
    }
}

#[test]
fn a_restored_store_forgets_the_requests() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path().join("keys.db")).unwrap();
    let first: KeyId = store.create(request()).unwrap().info.id();
    let file = directory.path().join("backup");
    store.backup(&file).unwrap();
    store.close().unwrap();
    KeyStore::restore(&Restore::new(&file, directory.path().join("restored"))).unwrap();
    let store = KeyStore::open(directory.path().join("restored")).unwrap();
    let second = store.create(request()).unwrap();
    assert_ne!(second.info.id(), first);
    assert_eq!(all(&store, &KeyFilter::default()).len(), 2);
}

#[test]
fn a_repeat_postpones_no_end() {
    let (store, clock) = clocked();
    let old = store.create(alice()).unwrap();
    let (id, overlap) = (old.info.id(), Overlap::For(hours(1)));
    store.rotate_idempotent(id, overlap, "again").unwrap();
    for _ in 0..3 {
        clock.advance(hours(1) - ms(60_000) * 45);
        store.rotate_idempotent(id, overlap, "again").unwrap();
    }
    assert_eq!(code(&store, token(&old)), "ok");
    clock.advance(ms(60_000) * 15);
    assert_eq!(code(&store, token(&old)), "rotated_api_key");
}

#[test]
fn a_secret_that_was_given_an_end_since_it_was_verified_gets_no_successor() {
    let (store, _) = clocked();
    let old = store.create(alice()).unwrap();
    let waits = store.verify(token(&old)).unwrap();
    let new = store.rotate(old.info.id(), Overlap::For(hours(1))).unwrap();
    let options = RotateOptions::new(Overlap::UntilFirstUse).within(&waits);
    assert!(matches!(conflict(store.rotate_with(old.info.id(), &options)), Conflict::Overlapping { .. }));
    assert_eq!(code(&store, token(&new)), "ok");
}
