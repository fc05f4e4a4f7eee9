//! Many threads use one store.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use apikey::{
    Conflict, CreatedKey, ImportScheme, Imported, KeyFilter, KeyStore, KeyUpdate, NewKey, Overlap, StoreError,
    VerifiedKey,
};
use apikey_testkit::{alice, all, clocked, code, hours, info};
use chrono::{TimeDelta, Utc};

fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

/// Runs at the end in any case: a test that fails must not leave its threads running.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn handles_and_verified_keys_are_send_and_sync() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    anywhere::<KeyStore>();
    anywhere::<VerifiedKey>();
    error::<apikey::AuthError>();
    error::<apikey::StoreError>();
    error::<apikey::OpenError>();
    fn copy<T: Copy + Send + Sync + Ord + std::hash::Hash + 'static>() {}
    copy::<apikey::KeyId>();
}

const RACED: usize = 600;

/// Four threads verify the first secret of a key again and again while `take` takes something from the key. `has` must
/// not hold in a verification that begins after `take` has returned.
fn race(has: impl Fn(&KeyStore, &str) -> bool + Sync, take: impl Fn(&KeyStore, &CreatedKey)) {
    let store = KeyStore::temporary().unwrap();
    let keys = store.create_many((0..RACED).map(|_| alice().permissions(["orders:write", "a"]))).unwrap();
    let tokens: Vec<&str> = keys.iter().map(token).collect();
    let taken: Vec<AtomicBool> = keys.iter().map(|_| AtomicBool::new(false)).collect();
    let current = AtomicUsize::new(0);
    let look = |at: usize| {
        let was_taken = taken[at].load(SeqCst);
        let found = has(&store, tokens[at]);
        assert!(!(was_taken && found), "key {at} still has what was taken from it");
        found
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let at = current.load(SeqCst);
                    if at == RACED {
                        break;
                    }
                    look(at);
                    look(at.saturating_sub(1));
                }
                (0..RACED).for_each(|at| assert!(!look(at)));
            });
        }
        let _end = Finally(|| current.store(RACED, SeqCst));
        for (at, created) in keys.iter().enumerate() {
            assert!(look(at), "key {at} has it before");
            take(&store, created);
            taken[at].store(true, SeqCst);
            current.store(at + 1, SeqCst);
        }
    });
}

fn verifies(store: &KeyStore, token: &str) -> bool {
    store.verify(token).is_ok()
}

#[test]
fn when_revoke_has_returned_no_verification_succeeds() {
    race(verifies, |store, created| assert!(store.revoke(created.info.id(), "leaked").unwrap()));
}

#[test]
fn when_a_key_was_disabled_no_verification_succeeds() {
    race(verifies, |store, created| {
        store.update(created.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    });
}

#[test]
fn when_a_key_was_given_an_end_that_is_past_no_verification_succeeds() {
    race(verifies, |store, created| {
        // An end that has passed by the time of the change is refused.
        let update = || {
            let end = Utc::now() + TimeDelta::milliseconds(5);
            store.update(created.info.id(), KeyUpdate::new().expires_at(end)).map(|_| end)
        };
        let end = std::iter::repeat_with(update).find_map(Result::ok).unwrap();
        while Utc::now() < end + TimeDelta::milliseconds(10) {
            thread::yield_now();
        }
    });
}

#[test]
fn when_a_permission_was_taken_away_no_verification_has_it() {
    let has = |store: &KeyStore, token: &str| store.verify(token).unwrap().allows("orders:write");
    race(has, |store, created| {
        store.update(created.info.id(), KeyUpdate::new().permissions(["a", "orders:read"])).unwrap();
    });
}

#[test]
fn when_rotate_without_an_overlap_has_returned_the_old_secret_is_invalid() {
    race(verifies, |store, created| {
        let new = store.rotate(created.info.id(), Overlap::None).unwrap();
        assert_eq!(code(store, token(&new)), "ok");
    });
}

#[test]
fn when_the_new_secret_was_verified_the_old_one_is_invalid() {
    race(verifies, |store, created| {
        let new = store.rotate(created.info.id(), Overlap::UntilFirstUse).unwrap();
        assert_eq!(code(store, token(&new)), "ok");
    });
}

#[test]
fn known_keys_verify_without_a_gap_while_others_come_and_go() {
    let store = KeyStore::temporary().unwrap();
    let known = store.create_many((0..100).map(|n| NewKey::for_owner(format!("known {n}")))).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for start in 0..3 {
            let (store, known, over) = (&store, &known, &over);
            scope.spawn(move || {
                while !over.load(SeqCst) {
                    for at in 0..known.len() {
                        let at = (at + start * 31) % known.len();
                        let verified = store.verify(token(&known[at])).unwrap();
                        assert_eq!(verified.owner(), format!("known {at}"));
                        assert_eq!(verified.id(), known[at].info.id());
                    }
                }
            });
        }
        let _end = Finally(|| over.store(true, SeqCst));
        for round in 0..12 {
            let more = store.create_many((0..400).map(|n| NewKey::for_owner(format!("other {}", n % 7)))).unwrap();
            for created in more.iter().step_by(79) {
                assert_eq!(code(&store, token(created)), "ok");
                store.rotate(created.info.id(), Overlap::None).unwrap();
            }
            if round % 4 == 3 {
                store.revoke_owner(&format!("other {}", round % 7), "").unwrap();
                store.purge(chrono::Utc::now() + hours(1)).unwrap();
            }
        }
    });
}

#[test]
fn creations_of_eight_threads_are_visible_at_once_and_durable() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    let together = Barrier::new(8);
    let created: Vec<CreatedKey> = thread::scope(|scope| {
        let create = |thread: usize| {
            let (store, together) = (&store, &together);
            move || {
                together.wait();
                let mut made = Vec::new();
                for n in 0..12 {
                    let owner = format!("owner {thread}");
                    match n % 3 {
                        0 => made.extend(store.create_many((0..5).map(|_| NewKey::for_owner(&owner))).unwrap()),
                        _ => made.push(store.create(NewKey::for_owner(&owner)).unwrap()),
                    }
                    let last = made.last().unwrap();
                    assert_eq!(store.verify(token(last)).unwrap().owner(), owner);
                    assert_eq!(store.get(last.info.id()).unwrap().unwrap().owner(), owner);
                    let listed = all(store, &KeyFilter::owner(&owner));
                    assert!(listed.iter().map(|key| key.id()).eq(made.iter().map(|created| created.info.id())));
                }
                made
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(create(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(created.len(), 8 * 28);
    let ids: HashSet<_> = created.iter().map(|created| created.info.id()).collect();
    assert_eq!(ids.len(), created.len());
    store.close().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    assert_eq!(all(&store, &KeyFilter::default()).len(), created.len());
    for created in &created {
        assert_eq!(store.verify(token(created)).unwrap().owner(), created.info.owner());
    }
}

/// Runs `work` on eight threads that begin together.
fn eight<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let together = Barrier::new(8);
    thread::scope(|scope| {
        let (work, together) = (&work, &together);
        let run = |thread| {
            move || {
                together.wait();
                work(thread)
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn get_and_list_never_show_half_of_a_change() {
    const KEYS: usize = 300;
    let (store, clock) = clocked();
    let new = |n| NewKey::for_owner(format!("owner {n}")).name("a").permissions(["a"]);
    let keys = store.create_many((0..KEYS).map(new)).unwrap();
    assert!(keys.iter().all(|created| verifies(&store, token(created))));
    // No later use hides the first: each rotation keeps it.
    let used = Some(keys[0].info.created_at());
    clock.advance(hours(1));
    let current = AtomicUsize::new(0);
    let look = |at: usize, version: &mut u32| {
        let listed = store.list(&KeyFilter::owner(format!("owner {at}"))).unwrap().keys;
        for key in [listed.into_iter().next().unwrap(), info(&store, &keys[at])] {
            assert_eq!(key.last_used_at(), used, "version {}", key.version());
            assert_eq!(key.overlap(), None);
            assert_eq!(key.permissions(), [key.name().unwrap()], "one update sets both");
            assert!(key.version() >= *version, "from {version} back to {}", key.version());
            *version = key.version();
        }
    };
    thread::scope(|scope| {
        let looking = || {
            loop {
                let (at, mut version) = (current.load(SeqCst), 0);
                if at >= KEYS {
                    break;
                }
                while current.load(SeqCst) == at {
                    look(at, &mut version);
                }
            }
        };
        let lookers = [scope.spawn(looking), scope.spawn(looking)];
        let _end = Finally(|| current.store(KEYS, SeqCst));
        for (at, created) in keys.iter().enumerate() {
            look(at, &mut 0);
            store.rotate(created.info.id(), Overlap::None).unwrap();
            store.update(created.info.id(), KeyUpdate::new().name("b").permissions(["b"])).unwrap();
            store.rotate(created.info.id(), Overlap::None).unwrap();
            current
                .store(if lookers.iter().any(thread::ScopedJoinHandle::is_finished) { KEYS } else { at + 1 }, SeqCst);
        }
    });
}

#[test]
fn of_eight_threads_one_imports_an_external_key() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    for round in 0..5 {
        let foreign = format!("legacy-0123456789abcdefghij-{round}");
        let results = eight(|thread| {
            let new = NewKey::for_owner(format!("owner {thread}"));
            store.create(new.imported(Imported::raw(&foreign), ImportScheme::Whole))
        });
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for lost in lost {
            assert!(matches!(lost, Err(StoreError::Conflict(Conflict::DigestHeld(_)))), "{lost:?}");
        }
        let winner = won.into_iter().next().unwrap().unwrap();
        assert_eq!(store.verify(&foreign).unwrap().id(), winner.info.id());
        assert_eq!(all(&store, &KeyFilter::default()).len(), round + 1);
    }
}

#[test]
fn updates_of_eight_threads_do_not_overwrite_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    let created = store.create(alice()).unwrap();
    eight(|thread| {
        for n in 0..4 {
            let update = KeyUpdate::new().metadata(format!("{thread} {n}"), "x");
            let after = store.update(created.info.id(), update).unwrap();
            assert!(after.metadata().contains_key(&format!("{thread} {n}")));
        }
    });
    assert_eq!(info(&store, &created).metadata().len(), 32);
    let refused =
        eight(|thread| store.update(created.info.id(), KeyUpdate::new().metadata(format!("more {thread}"), "")));
    assert!(refused.iter().all(Result::is_err), "the bound holds for what the others wrote too");
    store.close().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    assert_eq!(info(&store, &created).metadata().len(), 32);
}

#[test]
fn rotations_of_eight_threads_leave_one_new_secret() {
    for overlap in [Overlap::For(hours(1)), Overlap::UntilFirstUse, Overlap::None] {
        let directory = tempfile::tempdir().unwrap();
        let store = KeyStore::open(directory.path()).unwrap();
        let first = store.create(alice()).unwrap();
        let new: Vec<CreatedKey> = eight(|_| store.rotate(first.info.id(), overlap).unwrap());
        let versions: HashSet<u32> = new.iter().map(|created| created.info.version()).collect();
        assert_eq!(versions, (2..=9).collect());
        let old = if overlap == Overlap::None { "invalid_api_key" } else { "ok" };
        for reopened in [false, true] {
            let store = match reopened {
                false => store.clone(),
                true => {
                    store.close().unwrap();
                    KeyStore::open(directory.path()).unwrap()
                }
            };
            if !reopened {
                assert_eq!(code(&store, token(&first)), old, "{overlap:?}");
            }
            for created in &new {
                let expected = if created.info.version() == 9 { "ok" } else { "invalid_api_key" };
                assert_eq!(code(&store, token(created)), expected, "{overlap:?} {}", created.info.version());
            }
        }
    }
}

#[test]
fn one_of_eight_revocations_gives_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    let keys = store.create_many((0..20).map(|_| alice())).unwrap();
    let counts = eight(|thread| {
        let count = store.revoke_owner("alice", format!("thread {thread}")).unwrap();
        assert!(keys.iter().all(|created| code(&store, token(created)) == "revoked_api_key"));
        count
    });
    assert_eq!(counts.iter().sum::<usize>(), 20, "each was newly revoked once");
    let reasons = |store: &KeyStore| {
        all(store, &KeyFilter::default()).iter().map(|key| key.revoked().unwrap().clone()).collect::<Vec<_>>()
    };
    let before = reasons(&store);
    store.close().unwrap();
    assert_eq!(reasons(&KeyStore::open(directory.path()).unwrap()), before);
}

#[test]
fn a_close_during_verifications_and_changes_makes_them_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let store = KeyStore::open(directory.path()).unwrap();
        let created = store.create(alice()).unwrap();
        let verified = AtomicUsize::new(0);
        let acknowledged: Vec<CreatedKey> = thread::scope(|scope| {
            let _end = Finally(|| drop(store.close()));
            let verifiers = [(); 3].map(|()| {
                scope.spawn(|| {
                    loop {
                        match code(&store, token(&created)) {
                            "ok" => verified.fetch_add(1, SeqCst),
                            found => break assert_eq!(found, "unavailable"),
                        };
                    }
                    assert_eq!(code(&store, token(&created)), "unavailable");
                })
            });
            let creator = scope.spawn(|| {
                let mut made = Vec::new();
                loop {
                    match store.create(alice()) {
                        Ok(created) => made.push(created),
                        Err(error) => {
                            assert!(matches!(error, StoreError::Closed), "{error:?}");
                            break made;
                        }
                    }
                }
            });
            while verified.load(SeqCst) < 1000 && !verifiers.iter().any(thread::ScopedJoinHandle::is_finished) {
                thread::yield_now();
            }
            store.close().unwrap();
            assert_eq!(code(&store, token(&created)), "unavailable");
            creator.join().unwrap()
        });
        let store = KeyStore::open(directory.path()).unwrap();
        for created in &acknowledged {
            assert_eq!(code(&store, token(created)), "ok");
        }
    }
}

/// A large record has overflow chunks; a reader sees the record before a change, or the one after it.
#[test]
fn a_large_record_is_read_whole_while_it_changes() {
    let store = KeyStore::temporary().unwrap();
    let large = |word: &str| (0..30).map(|at| (format!("entry{at}"), word.repeat(100))).collect::<Vec<_>>();
    let key = large("one").into_iter().fold(alice(), |key, (name, value)| key.metadata(name, value));
    let id = store.create(key).unwrap().info.id();
    let small = store.create(alice()).unwrap().info.id();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _done = Finally(|| done.store(true, SeqCst));
            for turn in 0..300 {
                let word = ["one", "two"][turn % 2];
                let update = large(word).into_iter().fold(KeyUpdate::new(), |update, (name, value)| {
                    // Sometimes it is small again, and its chunks are removed.
                    match turn % 7 {
                        0 => update.without_metadata(name),
                        _ => update.metadata(name, value),
                    }
                });
                store.update(id, update).unwrap();
            }
        });
        let mut seen = HashSet::new();
        while !done.load(SeqCst) {
            let page = store.list(&KeyFilter::default()).unwrap().keys;
            assert_eq!(page.iter().map(apikey::KeyInfo::id).collect::<Vec<_>>(), [id, small]);
            for info in [store.get(id).unwrap().unwrap(), page[0].clone()] {
                let words: HashSet<String> = info.metadata().values().map(|value| value[..3].to_owned()).collect();
                assert!(words.len() <= 1, "{words:?}");
                seen.extend(words);
            }
        }
        assert_eq!(seen.len(), 2);
    });
}

/// Each of the first two reads history and the log; the last waits until both release the log.
#[test]
fn closing_beside_a_purge_and_a_check_of_history_ends() {
    for round in 0..30 {
        let store = KeyStore::temporary().unwrap();
        for _ in 0..5 {
            store.create(alice()).unwrap();
        }
        let begin = Barrier::new(4);
        let until_closed = |work: &dyn Fn() -> Result<(), StoreError>| {
            begin.wait();
            while work().is_ok() {}
        };
        let (done, closed) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| until_closed(&|| store.purge_events(Utc::now() + hours(1)).map(drop)));
            scope.spawn(|| until_closed(&|| store.verify_events().map(drop)));
            scope.spawn(|| until_closed(&|| store.create(alice()).map(drop)));
            let closing = store.clone();
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                thread::yield_now();
                let _ = done.send(closing.close());
            });
            if closed.recv_timeout(std::time::Duration::from_secs(60)).is_err() {
                eprintln!("round {round}: the threads wait for each other");
                std::process::abort();
            }
        });
    }
}
