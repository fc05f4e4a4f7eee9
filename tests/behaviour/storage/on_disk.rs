//! The bytes on disk: what the store never writes, and which changes of them it notices.

use std::fs;
use std::path::Path;

use apikey::{CreatedKey, KeyStore, ManualClock, OpenError, Overlap};
use apikey_testkit::stored_events::{batch, frames, split_batches};
use apikey_testkit::{TokenParts, alice, code, database, hours, start};
use sha2::{Digest, Sha256};

/// A closed store with three keys.
fn closed_store() -> (tempfile::TempDir, Vec<CreatedKey>) {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    let keys = store.create_many((0..3).map(|_| alice().name("ci").permissions(["orders:read"]))).unwrap();
    store.close().unwrap();
    (directory, keys)
}

/// The record of a key, with the tree and the key it is stored under.
fn record(database: &sled::Db, created: &CreatedKey) -> (sled::Tree, [u8; 16], Vec<u8>) {
    let tree = database.open_tree("keys").unwrap();
    let id = created.info.id().as_uuid().as_u128().to_be_bytes();
    let record = tree.get(id).unwrap().expect("the record is there").to_vec();
    (tree, id, record)
}

/// The frame with a CRC-32 that is right for its bytes.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    frame.truncate(frame.len() - 4);
    let check = crc32fast::hash(&frame);
    frame.extend(check.to_le_bytes());
    frame
}

#[test]
fn a_record_is_a_kind_a_format_a_payload_and_their_crc_32() {
    let (directory, keys) = closed_store();
    database::edit(directory.path(), |database| {
        for created in &keys {
            let (_, _, record) = record(database, created);
            assert_eq!(record[..3], [0xa9, b'K', 1], "the magic, the kind, the format");
            assert_eq!(sealed(record.clone()), record);
            assert!(record.len() <= 32 * 1024);
        }
    });
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let (directory, keys) = closed_store();
    database::edit(directory.path(), |database| {
        let (tree, id, mut record) = record(database, &keys[1]);
        record[2] = 2;
        tree.insert(id, sealed(record)).unwrap();
    });
    for _ in 0..2 {
        match KeyStore::open(directory.path()) {
            Err(error @ OpenError::NewerFormat { .. }) => {
                assert!(error.to_string().contains("newer version: it has format 2"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_flipped_byte_of_a_record_is_noticed() {
    let (directory, keys) = closed_store();
    let length = database::edit(directory.path(), |database| record(database, &keys[1]).2.len());
    // The head, the checksum and a part of the payload: every byte would take too long.
    let places = [0, 1, 2, 3, length - 1, length - 4, length - 5].into_iter().chain((4..length - 5).step_by(23));
    for place in places {
        let before = database::edit(directory.path(), |database| {
            let (tree, id, record) = record(database, &keys[1]);
            let mut changed = record.clone();
            changed[place] ^= 0x10;
            tree.insert(id, changed).unwrap();
            record
        });
        let error = KeyStore::open(directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "byte {place}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("damaged") && text.contains("backup"), "it says what to do: {text}");
        assert!(text.contains(&*directory.path().to_string_lossy()), "{text}");
        database::edit(directory.path(), |database| {
            let (tree, id, _) = record(database, &keys[1]);
            tree.insert(id, before).unwrap();
        });
    }
    let store = KeyStore::open(directory.path()).unwrap();
    assert!(keys.iter().all(|created| code(&store, created.key.expose_secret()) == "ok"));
}

#[test]
fn a_well_formed_record_that_was_changed_lost_or_added_is_noticed() {
    type Change = fn(&sled::Db, &[CreatedKey]);
    let changes: [(&str, Change); 5] = [
        ("a payload changed under a right checksum", |database, keys| {
            let (tree, id, mut bytes) = record(database, &keys[0]);
            let at = bytes.windows(5).position(|window| window == b"alice").unwrap();
            bytes[at] = b'A';
            tree.insert(id, sealed(bytes)).unwrap();
        }),
        ("a lost record", |database, keys| {
            let (tree, id, _) = record(database, &keys[0]);
            tree.remove(id).unwrap();
        }),
        ("the last record lost", |database, keys| {
            let (tree, id, _) = record(database, &keys[2]);
            tree.remove(id).unwrap();
        }),
        ("all records lost", |database, _| database.open_tree("keys").unwrap().clear().unwrap()),
        ("a record under another id", |database, keys| {
            let (tree, mut id, bytes) = record(database, &keys[0]);
            id[15] ^= 1;
            tree.insert(id, bytes).unwrap();
        }),
    ];
    for (case, change) in changes {
        let (directory, keys) = closed_store();
        database::edit(directory.path(), |database| change(database, &keys));
        let error = KeyStore::open(directory.path()).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{case}: {error:?}");
    }
}

#[test]
fn a_missing_event_is_noticed_at_open() {
    for lost in [1..=1u64, 2..=2, 3..=3, 2..=3, 1..=3] {
        let (directory, _) = closed_store();
        database::edit(directory.path(), |database| {
            let events = database.open_tree("events").unwrap();
            split_batches(database);
            assert_eq!(events.len(), 3);
            for number in lost.clone() {
                events.remove(number.to_be_bytes()).unwrap().unwrap();
            }
        });
        let error = KeyStore::open(directory.path()).map(drop).unwrap_err();
        assert!(matches!(&error, OpenError::Damaged { what, .. } if what.contains("event")), "{lost:?}: {error:?}");
    }
}

/// Events of one change are one batch: three of them here.
#[test]
fn a_changed_event_batch_is_noticed_at_open() {
    type Change<'a> = &'a dyn Fn(Vec<&[u8]>) -> Vec<u8>;
    let changes: [(&str, bool, Change<'_>); 8] = [
        ("nothing", true, &|frames| batch(&frames)),
        ("the first is gone", false, &|frames| batch(&frames[1..])),
        ("one is gone", false, &|frames| batch(&[&frames[..1], &frames[2..]].concat())),
        ("one is there twice", false, &|frames| batch(&[&frames[..1], &frames[..]].concat())),
        ("all but one are gone", false, &|frames| frames[0].to_vec()),
        ("none is left", false, &|_| batch::<&[u8]>(&[])),
        ("another checksum", false, &|frames| [&batch(&frames)[..], b"."].concat()),
        ("a newer format", false, &|_| sealed(b"\xa9B\x02....".to_vec())),
    ];
    for (case, good, change) in changes {
        let (directory, _) = closed_store();
        database::edit(directory.path(), |database| {
            let events = database.open_tree("events").unwrap();
            assert_eq!(events.len(), 1);
            let (key, value) = events.first().unwrap().unwrap();
            let frames = frames(&value).unwrap();
            assert_eq!(frames.len(), 3);
            events.insert(key, change(frames)).unwrap();
        });
        match KeyStore::open(directory.path()) {
            Ok(store) => assert!(good && store.verify_events().unwrap().is_whole(), "{case}"),
            Err(OpenError::NewerFormat { .. }) => assert_eq!(case, "a newer format"),
            Err(error) => assert!(!good && matches!(error, OpenError::Damaged { .. }), "{case}: {error:?}"),
        }
    }
}

/// Without one entry of any tree, the store is whole all the same, or does not open.
#[test]
fn an_entry_lost_anywhere_is_noticed_or_restored() {
    let foreign = "legacy-0123456789abcdefghij";
    let import = |owner: &str| {
        apikey::NewKey::for_owner(owner).imported(apikey::Imported::raw(foreign), apikey::ImportScheme::Whole)
    };
    let (directory, keys) = closed_store();
    let store = KeyStore::open(directory.path()).unwrap();
    store.create(import("alice")).unwrap();
    store.close().unwrap();
    let entries = database::edit(directory.path(), |database| {
        let mut entries = Vec::new();
        for name in database.tree_names() {
            let tree = database.open_tree(&name).unwrap();
            entries.extend(tree.iter().map(|entry| (name.clone(), entry.unwrap())));
        }
        entries
    });
    assert!(entries.len() > 10);
    for (name, (key, value)) in entries {
        let shown = format!("{} {:?}", String::from_utf8_lossy(&name), key);
        database::edit(directory.path(), |database| drop(database.open_tree(&name).unwrap().remove(&key).unwrap()));
        match KeyStore::open(directory.path()) {
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{shown}: {error:?}"),
            Ok(store) => {
                for token in keys.iter().map(|created| created.key.expose_secret()).chain([foreign]) {
                    assert_eq!(code(&store, token), "ok", "without {shown}");
                }
                let listed = |filter| store.list(&filter).unwrap().keys.len();
                assert_eq!(listed(apikey::KeyFilter::default()), 4, "without {shown}");
                assert_eq!(listed(apikey::KeyFilter::owner("alice")), 4, "by owner, without {shown}");
                assert!(store.create(import("bob")).is_err(), "a digest held is a conflict, without {shown}");
                store.close().unwrap();
            }
        }
        database::edit(directory.path(), |database| {
            drop(database.open_tree(&name).unwrap().insert(&key, value).unwrap())
        });
    }
}

#[test]
fn hostile_records_are_damage_and_no_panic() {
    let hostile: [fn(usize) -> Vec<u8>; 5] = [
        |_| Vec::new(),
        |_| vec![0],
        |length| vec![0xff; length],
        |_| sealed([0xa9, b'K', 1].into_iter().chain([0xff; 400]).chain([0; 4]).collect()),
        |_| vec![0; 1 << 20],
    ];
    for hostile in hostile {
        let (directory, keys) = closed_store();
        database::edit(directory.path(), |database| {
            let (tree, id, record) = record(database, &keys[0]);
            tree.insert(id, hostile(record.len())).unwrap();
        });
        let error = KeyStore::open(directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }
}

#[test]
fn a_truncated_database_is_noticed() {
    for kept in [0, 100, 4096, 10_000] {
        let (directory, _) = closed_store();
        let file = directory.path().join("sled/db");
        let length = fs::metadata(&file).unwrap().len();
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(kept.min(length - 1)).unwrap();
        // sled's snapshot may contain a part of what is missing: the store has everything, or does not open.
        match KeyStore::open(directory.path()) {
            Ok(store) => assert_eq!(store.list(&apikey::KeyFilter::default()).unwrap().keys.len(), 3, "{kept}"),
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Io { .. }), "{error:?}"),
        }
    }
}

/// A crash while sled writes a snapshot leaves this behind, and sled alone would not open again.
#[test]
fn an_unfinished_snapshot_does_not_stop_the_open() {
    let (directory, keys) = closed_store();
    fs::write(directory.path().join("sled/snap.00000000000003E8.generating"), "half a snapsh").unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    assert!(keys.iter().all(|created| code(&store, created.key.expose_secret()) == "ok"));
}

/// The digest that is stored for one of the store's own secrets.
fn digest(created: &CreatedKey) -> Vec<u8> {
    let parts = TokenParts::of(created.key.expose_secret());
    Sha256::digest([b"\x01", parts.id.as_bytes(), parts.secret.as_bytes()].concat()).to_vec()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn files(path: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![fs::read(&path).unwrap()] }).collect()
}

#[test]
fn a_secret_is_never_written_and_only_its_digest_is() {
    let (directory, keys) = closed_store();
    let files = files(directory.path());
    for created in &keys {
        let token = created.key.expose_secret();
        for part in [token, &TokenParts::of(token).secret, &TokenParts::of(token).secret[8..24]] {
            assert!(!files.iter().any(|file| holds(file, part.as_bytes())));
        }
        database::edit(directory.path(), |database| {
            assert!(holds(&record(database, created).2, &digest(created)), "SHA-256 of version, id and secret");
        });
    }
}

#[test]
fn a_pepper_is_never_written_and_hides_the_digest() {
    let directory = tempfile::tempdir().unwrap();
    let pepper = b"a pepper that nobody may read";
    let store = KeyStore::builder().pepper(apikey::Pepper::new(1, pepper)).open(directory.path()).unwrap();
    let created = store.create(alice()).unwrap();
    store.close().unwrap();
    assert!(!files(directory.path()).iter().any(|file| holds(file, pepper)));
    database::edit(directory.path(), |database| assert!(!holds(&record(database, &created).2, &digest(&created))));
}

#[test]
fn the_digest_of_an_ended_secret_is_erased() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let open = || {
        let builder = KeyStore::builder().keep_ended_secrets(hours(0));
        builder.clock(clock.clone()).open(directory.path()).unwrap()
    };
    let store = open();
    let old = store.create_many((0..3).map(|_| alice())).unwrap();
    let overlaps = [Overlap::None, Overlap::UntilFirstUse, Overlap::For(hours(1))];
    let new: Vec<CreatedKey> =
        old.iter().zip(overlaps).map(|(old, overlap)| store.rotate(old.info.id(), overlap).unwrap()).collect();
    for created in &new {
        assert_eq!(code(&store, created.key.expose_secret()), "ok");
    }
    clock.advance(hours(1));
    store.close().unwrap();
    open().close().unwrap();
    database::edit(directory.path(), |database| {
        for ((old, new), overlap) in old.iter().zip(&new).zip(overlaps) {
            let (_, _, record) = record(database, old);
            assert!(holds(&record, &digest(new)), "{overlap:?}");
            assert!(!holds(&record, &digest(old)), "{overlap:?}");
        }
    });
}

/// sled reads a damaged log up to the damage, appends after it, and does not find the appended part again.
#[test]
fn a_damaged_database_keeps_what_is_replayed_into_it_or_the_store_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    drop(KeyStore::open(path("store")).unwrap());
    let store = KeyStore::open(path("store")).unwrap();
    let tokens: Vec<_> = (0..9).map(|_| store.create(alice()).unwrap().key).collect();
    for byte in 0..24 {
        // As a killed process leaves it, with one bit flipped.
        let copy = path(&format!("copy-{byte}"));
        for folder in ["", "sled"] {
            std::fs::create_dir(copy.join(folder)).unwrap();
            for entry in std::fs::read_dir(path("store").join(folder)).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    std::fs::copy(entry.path(), copy.join(folder).join(entry.file_name())).unwrap();
                }
            }
        }
        let mut log = std::fs::read(copy.join("sled/db")).unwrap();
        log[byte] ^= 2;
        std::fs::write(copy.join("sled/db"), log).unwrap();
        for time in ["first", "second"] {
            match KeyStore::open(&copy) {
                Ok(store) => {
                    let known = tokens.iter().all(|token| store.verify(token.expose_secret()).is_ok());
                    assert!(known, "byte {byte}, {time} open");
                    store.close().unwrap();
                }
                Err(OpenError::Damaged { .. }) if time == "first" => break,
                Err(error) => panic!("byte {byte}, {time} open: {error}"),
            }
        }
    }
}
