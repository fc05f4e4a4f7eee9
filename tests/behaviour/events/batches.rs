//! Event batches: pages, purges, gaps and backups that begin within one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use apikey::{Event, EventFilter, EventKind, KeyStore, KeyUpdate, ManualClock, OpenError, Restore};
use apikey_testkit::stored_events::{batch, events, frames, split_batches};
use apikey_testkit::{alice, database, hours, start};

/// Events in a batch of these tests. How many the store itself writes together depends on timing.
const BATCH: usize = 16;

/// A closed store with so many events, an hour apart, sixteen in a batch from the first on.
fn in_batches(count: i64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let store = KeyStore::builder().clock(clock.clone()).open(directory.path()).unwrap();
    let id = store.create(alice()).unwrap().info.id();
    for number in 1..count {
        clock.advance(hours(1));
        store.update(id, KeyUpdate::new().name(format!("name {number}"))).unwrap();
    }
    store.close().unwrap();
    database::edit(directory.path(), |database| {
        let tree = database.open_tree("events").unwrap();
        let all = events(database);
        tree.clear().unwrap();
        for together in all.chunks(BATCH) {
            let frames: Vec<Vec<u8>> = together.iter().map(|(_, frame)| frame.clone()).collect();
            tree.insert(together[0].0.to_be_bytes(), batch(&frames)).unwrap();
        }
    });
    directory
}

fn numbers(store: &KeyStore, filter: &EventFilter) -> Vec<u64> {
    store.events(filter).unwrap().events.iter().map(Event::number).collect()
}

#[test]
fn history_that_begins_within_a_batch_is_whole() {
    for last in [1, 2, 15, 16, 17, 31, 40, 59] {
        let directory = in_batches(60);
        let open = || KeyStore::builder().clock(ManualClock::new(start() + hours(100))).open(directory.path()).unwrap();
        let store = open();
        assert_eq!(store.purge_events(start() + hours(last)).unwrap(), usize::try_from(last).unwrap());
        let whole = |store: &KeyStore, newest: u64| {
            let report = store.verify_events().unwrap();
            assert!(report.is_whole(), "{report:?}");
            let last = u64::try_from(last).unwrap();
            assert_eq!((report.checkpoint, report.events, report.last), (last, newest - last, newest));
            let numbers = numbers(store, &EventFilter::default().after(last + 3).limit(5));
            assert_eq!(numbers, (last + 4..=newest).take(5).collect::<Vec<_>>());
        };
        whole(&store, 61);
        store.close().unwrap();
        let store = open();
        whole(&store, 61);
        store.create(alice()).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (backup, copy) = (elsewhere.path().join("backup"), elsewhere.path().join("copy"));
        store.backup(&backup).unwrap();
        store.close().unwrap();
        whole(&open(), 62);
        KeyStore::restore(&Restore::new(&backup, &copy)).unwrap();
        let report = KeyStore::open(&copy).unwrap().verify_events().unwrap();
        assert!(report.is_whole() && report.checkpoint == u64::try_from(last).unwrap(), "{report:?}");
    }
}

#[test]
fn a_page_begins_anywhere_in_a_batch() {
    let directory = in_batches(60);
    let store = KeyStore::open(directory.path()).unwrap();
    for after in 0..61 {
        let numbers = numbers(&store, &EventFilter::default().after(after).limit(2));
        assert_eq!(numbers, (after + 1..=60).take(2).collect::<Vec<_>>());
    }
}

/// As a store may have them that is changed now and then.
#[test]
fn events_in_batches_of_one_are_read_all_the_same() {
    let directory = in_batches(60);
    let tree = |database: &sled::Db| database.open_tree("events").unwrap();
    database::edit(directory.path(), |database| {
        split_batches(database);
        assert_eq!(tree(database).len(), 60);
    });
    let store = KeyStore::open(directory.path()).unwrap();
    store.create_many((0..3).map(|_| alice())).unwrap();
    let report = store.verify_events().unwrap();
    assert!(report.is_whole() && report.events == 63, "{report:?}");
    assert_eq!(store.purge_events(start() + hours(30)).unwrap(), 30);
    store.close().unwrap();
    database::edit(directory.path(), |database| {
        let lengths: Vec<usize> = tree(database).iter().map(|item| frames(&item.unwrap().1).unwrap().len()).collect();
        assert_eq!(lengths, [&[1; 30][..], &[3, 1]].concat());
    });
    assert!(KeyStore::open(directory.path()).unwrap().verify_events().unwrap().is_whole());
}

/// Several transactions delete, none of them up to the end of a batch.
/// An update of many long permissions is an event that is larger than sled may have in one value.
#[test]
fn an_event_that_is_large_is_in_overflow_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let clock = ManualClock::new(start());
    let open = |name: &str| KeyStore::builder().clock(clock.clone()).open(path(name)).unwrap();
    let grants = |kind: char| -> Vec<String> {
        let segment = kind.to_string().repeat(20);
        (0..64).map(|number| format!("{segment}:{segment}:{segment}{number}")).collect()
    };
    let store = open("store");
    let id = store.create(alice().permissions(grants('a'))).unwrap().info.id();
    for number in 0..40 {
        clock.advance(hours(1));
        store.update(id, KeyUpdate::new().permissions(grants(if number % 2 == 0 { 'b' } else { 'a' }))).unwrap();
    }
    let checked = |store: &KeyStore, last: u64, purged: u64| {
        let report = store.verify_events().unwrap();
        assert!(report.is_whole() && report.last == last && report.checkpoint == purged, "{report:?}");
        let event = store.events(&EventFilter::default().after(39).limit(1)).unwrap().events.remove(0);
        let EventKind::Updated { changes } = event.kind() else { panic!("{event:?}") };
        let permissions = changes.permissions.as_ref().unwrap();
        assert_eq!((event.number(), &permissions.from, &permissions.to), (40, &grants('a'), &grants('b')));
    };
    checked(&store, 41, 0);
    store.close().unwrap();
    let chunks = |name: &str| {
        database::edit(&path(name), |database| {
            let lengths = database.open_tree("events").unwrap().iter().values().map(|value| value.unwrap().len());
            assert!(lengths.max().unwrap() <= 4096 + 9);
            // Those of the record are among them.
            let chunks = database.open_tree("overflow").unwrap();
            chunks.iter().keys().filter(|key| key.as_ref().unwrap().starts_with(&[255; 8])).count()
        })
    };
    assert_eq!(chunks("store"), 2 * 40);
    let store = open("store");
    checked(&store, 41, 0);
    store.backup(path("backup")).unwrap();
    KeyStore::restore(&Restore::new(path("backup"), path("new"))).unwrap();
    checked(&open("new"), 42, 0);
    assert_eq!(store.purge_events(start() + hours(39)).unwrap(), 39);
    checked(&store, 42, 39);
    store.close().unwrap();
    assert_eq!(chunks("store"), 2 * 2, "those of the purged events are gone");
    let report = KeyStore::salvage(path("store"), path("saved")).unwrap();
    assert!(report.is_whole(), "{report:?}");
    checked(&open("saved"), 43, 39);
    // A chunk that is lost is damage.
    database::edit(&path("store"), |database| {
        let chunks = database.open_tree("overflow").unwrap();
        let (key, _) = chunks.last().unwrap().unwrap();
        chunks.remove(key).unwrap();
    });
    let error = KeyStore::open(path("store")).map(drop).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { what, .. } if what.contains("event")), "{error:?}");
}

#[test]
fn a_long_history_is_purged() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || KeyStore::builder().clock(clock.clone()).open(directory.path()).unwrap();
    let store = open();
    for count in [900, 1613, 500] {
        store.create_many((0..count).map(|_| alice())).unwrap();
        clock.advance(hours(1));
    }
    assert_eq!(store.purge_events(start() + hours(2)).unwrap(), 2513);
    store.close().unwrap();
    let report = open().verify_events().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.checkpoint, report.events), (2513, 501));
}

#[test]
fn a_reader_goes_on_in_order_while_the_first_events_are_deleted() {
    let directory = in_batches(120);
    let store = KeyStore::open(directory.path()).unwrap();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !ended.load(Ordering::Relaxed) || reads == 0 {
                let mut numbers = numbers(&store, &EventFilter::default().limit(200));
                // Behind them is one event for each time that something was deleted.
                numbers.retain(|number| *number <= 120);
                assert_eq!(numbers.last(), Some(&120), "{numbers:?}");
                // The first events may disappear meanwhile; no other may.
                assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
                let kept =
                    numbers.len() - numbers.iter().rev().zip((0..=120).rev()).take_while(|(a, b)| **a == *b).count();
                assert!(kept <= BATCH, "{numbers:?}");
                reads += 1;
            }
        });
        for last in (0..119).step_by(3) {
            store.purge_events(start() + hours(last)).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    // The last purge was the 40th, and each is an event.
    assert_eq!(numbers(&store, &EventFilter::default()).first(), Some(&118));
}

/// The store knows a gap that a salvage left, also after a purge before it, within it and after it.
#[test]
fn a_known_gap_within_a_former_batch_stays_known() {
    for last in [3, 20, 24, 30, 50] {
        let directory = in_batches(60);
        database::edit(directory.path(), |database| {
            split_batches(database);
            let tree = database.open_tree("events").unwrap();
            for gone in 21..25u64 {
                tree.remove(gone.to_be_bytes()).unwrap();
            }
            // In a new directory: the files of a database still contain what one of its trees has lost, and a salvage finds it.
            let copy = sled::open(directory.path().join("copy")).unwrap();
            copy.import(database.export());
            copy.flush().unwrap();
        });
        std::fs::remove_dir_all(directory.path().join("sled")).unwrap();
        std::fs::rename(directory.path().join("copy"), directory.path().join("sled")).unwrap();
        assert!(matches!(KeyStore::open(directory.path()), Err(OpenError::Damaged { .. })));
        let into = directory.path().join("new");
        let report = KeyStore::salvage(directory.path(), &into).unwrap();
        let store = KeyStore::open(&into).unwrap();
        assert_eq!((report.events, &report.gaps[..]), (56, &[(21, 24)][..]), "{report:?}");
        store.purge_events(start() + hours(last)).unwrap();
        let left = numbers(&store, &EventFilter::default());
        let first = u64::try_from(last).unwrap() + 1;
        let there = |number: &u64| !(21..25).contains(number);
        assert_eq!(left, (first..=62).filter(there).collect::<Vec<_>>());
        store.close().unwrap();
        let store = KeyStore::open(&into).unwrap();
        assert_eq!(numbers(&store, &EventFilter::default()), left);
    }
}

/// Two values have the same event, which no store writes.
#[test]
fn overlapping_batches_are_damage_and_lose_nothing_in_a_salvage() {
    let directory = in_batches(60);
    database::edit(directory.path(), |database| {
        let tree = database.open_tree("events").unwrap();
        let all = events(database);
        // The first batch goes on to event 40, and another begins with 33.
        let frames: Vec<Vec<u8>> = all[..40].iter().map(|(_, frame)| frame.clone()).collect();
        tree.insert(1u64.to_be_bytes(), batch(&frames)).unwrap();
        tree.remove(17u64.to_be_bytes()).unwrap();
    });
    let error = KeyStore::open(directory.path()).map(drop).unwrap_err();
    assert!(
        matches!(&error, OpenError::Damaged { what, .. } if what.contains("event 40 is followed by event 33")),
        "{error}"
    );
    let into = directory.path().join("new");
    let report = KeyStore::salvage(directory.path(), &into).unwrap();
    assert_eq!((report.events, report.gaps.len()), (60, 0), "{report:?}");
    let store = KeyStore::open(&into).unwrap();
    assert!(store.verify_events().unwrap().is_whole());
    store.close().unwrap();
    // A salvage declares gaps, but not overlaps.
    database::edit(&into, |database| {
        let (fifth, frame) = events(database).swap_remove(4);
        let twice = database.open_tree("events").unwrap().insert(fifth.to_be_bytes(), batch(&[frame])).unwrap();
        assert_eq!(twice, None);
    });
    let error = KeyStore::open(&into).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    database::edit(&into, |database| drop(database.open_tree("events").unwrap().remove(5u64.to_be_bytes())));
    let store = KeyStore::open(&into).unwrap();
    store.purge_events(start() + hours(36)).unwrap();
    assert_eq!(numbers(&store, &EventFilter::default().limit(100)), (37..=62).collect::<Vec<_>>());
}

#[test]
fn the_newest_events_come_first_page_by_page() {
    let directory = in_batches(2500);
    let store = KeyStore::open(directory.path()).unwrap();
    let newest = EventFilter::default().newest_first();
    assert_eq!(numbers(&store, &newest.clone().limit(3)), [2500, 2499, 2498]);
    for size in [7, 500, 1000] {
        let (mut filter, mut seen) = (newest.clone().limit(size), Vec::new());
        loop {
            let page = store.events(&filter).unwrap();
            seen.extend(page.events.iter().map(Event::number));
            let Some(next) = page.next else { break };
            filter = filter.before(next);
        }
        assert!(seen.iter().copied().eq((1..=2500).rev()), "{size}");
    }
    assert_eq!(numbers(&store, &newest.clone().before(3)), [2, 1]);
    assert_eq!(numbers(&store, &newest.clone().before(10).after(7)), [9, 8]);
    assert_eq!(numbers(&store, &EventFilter::default().before(10).after(7)), [8, 9]);
    assert!(numbers(&store, &newest.clone().after(2500)).is_empty());
    assert!(numbers(&store, &newest.clone().before(0)).is_empty());
    assert_eq!(numbers(&store, &newest.clone().kind("created").kind("revoked")), [1]);
    let early = numbers(&store, &newest.clone().until(start() + hours(3)));
    assert_eq!(early, [3, 2, 1]);
    store.purge_events(start() + hours(2400)).unwrap();
    // The purge is an event, too.
    assert_eq!(numbers(&store, &newest.clone().limit(1000)).last(), Some(&2401));
}
