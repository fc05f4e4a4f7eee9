//! Fields of later versions: kept where they may be passed over, refused where they must be understood.

use std::fs;
use std::path::Path;

use apikey::{CreatedKey, KeyStore, KeyUpdate, NewKey, OpenError, Overlap, Restore, RestoreError};
use apikey_testkit::{code, copy_directory, database};
use sha2::{Digest, Sha256};

/// A field that may be passed over, and one that must be understood, with five bytes of content.
const IGNORABLE: [u8; 7] = *b"\xf0\x05later";
const CRITICAL: [u8; 7] = *b"\xf1\x05later";

/// Where a field is put.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Record,
    Secret,
}

fn sealed(mut framed: Vec<u8>) -> Vec<u8> {
    let check = crc32fast::hash(&framed);
    framed.extend(check.to_le_bytes());
    framed
}

fn hash(frame: &[u8]) -> u128 {
    let digest = Sha256::digest(frame);
    u128::from_le_bytes(digest[..16].try_into().unwrap())
}

/// A sum in a frame, so many bytes before its checksum, moved by the difference of two records.
fn with_sum(frame: &[u8], behind: usize, difference: u128) -> Vec<u8> {
    let mut framed = frame[..frame.len() - 4].to_vec();
    let place = framed.len() - behind - 16..framed.len() - behind;
    assert_eq!(framed[place.start - 1], 254, "a number of 16 bytes");
    let sum = u128::from_le_bytes(framed[place.clone()].try_into().unwrap()).wrapping_add(difference);
    framed[place].copy_from_slice(&sum.to_le_bytes());
    sealed(framed)
}

/// Writes a field into the tail of a key's record, or of its secret, as a later version would. The record's has the number of
/// the key's event, and the secret's is empty.
fn add(store: &Path, created: &CreatedKey, slot: Slot, field: &[u8]) {
    database::edit(store, |database| {
        let keys = database.open_tree("keys").unwrap();
        let id = created.info.id().as_uuid().as_u128().to_be_bytes();
        let old = keys.get(id).unwrap().unwrap();
        let framed = &old[..old.len() - 4];
        let (fixed, tails) = framed.split_at(framed.len() - 5);
        assert_eq!(tails, [0, 3, 48, 1, 1], "the secret's tail and the record's");
        let length = |field: usize| u8::try_from(field).unwrap();
        let new = sealed(match slot {
            Slot::Record => [fixed, &[0, length(3 + field.len()), 48, 1, 1], field].concat(),
            Slot::Secret => [fixed, &[length(field.len())], field, &tails[1..]].concat(),
        });
        let difference = hash(&new).wrapping_sub(hash(&old));
        keys.insert(id, new).unwrap();
        let meta = database.open_tree("meta").unwrap();
        let head = meta.get("head").unwrap().unwrap();
        // Behind the sum are the highest id and the tail.
        meta.insert("head", with_sum(&head, 18, difference)).unwrap();
        let mark = store.join("mark");
        let sector = fs::read(&mark).unwrap();
        let length = usize::from(u16::from_le_bytes([sector[0], sector[1]]));
        let mut marked = [&sector[..2], &with_sum(&sector[2..2 + length], 1, difference)].concat();
        marked.resize(512, 0);
        fs::write(mark, marked).unwrap();
    });
}

/// The fields in the record of a key of a closed store.
fn fields(store: &Path, created: &CreatedKey) -> usize {
    database::edit(store, |database| {
        let id = created.info.id().as_uuid().as_u128().to_be_bytes();
        let record = database.open_tree("keys").unwrap().get(id).unwrap().unwrap();
        record.windows(IGNORABLE.len()).filter(|window| **window == IGNORABLE).count()
    })
}

fn store_with_a_key(path: &Path) -> CreatedKey {
    let store = KeyStore::open(path).unwrap();
    let created = store.create(NewKey::for_owner("alice").permissions(["orders:*"])).unwrap();
    store.close().unwrap();
    created
}

#[test]
fn a_field_that_may_be_passed_over_outlives_every_change() {
    type Change = fn(&KeyStore, &CreatedKey);
    let changes: [(&str, Change); 5] = [
        ("nothing", |_, _| ()),
        ("an update", |store, key| {
            store.update(key.info.id(), KeyUpdate::new().name("ci").permissions(["orders:read"])).unwrap();
        }),
        ("a rotation", |store, key| {
            let new = store.rotate(key.info.id(), Overlap::For(chrono::TimeDelta::hours(1))).unwrap();
            assert_eq!(code(store, new.key.expose_secret()), "ok");
        }),
        ("a revocation", |store, key| assert!(store.revoke(key.info.id(), "left").unwrap())),
        ("an update back", |store, key| {
            for on in [true, false] {
                store.update(key.info.id(), KeyUpdate::new().disabled(on)).unwrap();
            }
        }),
    ];
    for slot in [Slot::Record, Slot::Secret] {
        for (case, change) in changes {
            let directory = tempfile::tempdir().unwrap();
            let path = |name: &str| directory.path().join(name);
            let created = store_with_a_key(&path("store"));
            add(&path("store"), &created, slot, &IGNORABLE);
            let store = KeyStore::open(path("store")).unwrap();
            assert_eq!(code(&store, created.key.expose_secret()), "ok", "{slot:?}: {case}");
            change(&store, &created);
            store.backup(path("backup")).unwrap();
            store.close().unwrap();
            assert_eq!(fields(&path("store"), &created), 1, "{slot:?}: {case}");
            KeyStore::restore(&Restore::new(path("backup"), path("new"))).unwrap();
            assert_eq!(fields(&path("new"), &created), 1, "{slot:?}: {case}, restored");
            KeyStore::open(path("new")).unwrap().close().unwrap();
        }
    }
}

#[test]
fn a_field_that_must_be_understood_refuses_the_store() {
    for slot in [Slot::Record, Slot::Secret] {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let created = store_with_a_key(&path("store"));
        let whole = KeyStore::open(path("store")).unwrap();
        whole.backup(path("backup")).unwrap();
        whole.close().unwrap();
        add(&path("store"), &created, slot, &CRITICAL);
        let error = KeyStore::open(path("store")).unwrap_err();
        assert!(matches!(error, OpenError::NewerFormat { .. }), "{slot:?}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("newer version") && text.contains("(241)") && !text.contains("damaged"), "{text}");
        // Nobody can say what such a store takes away: neither is anything made of it.
        let restore = Restore::new(path("backup"), path("new")).over(path("store"));
        for error in [KeyStore::restore(&restore).map(drop), KeyStore::salvage(path("store"), path("new")).map(drop)] {
            let error = error.unwrap_err();
            assert!(matches!(error, RestoreError::Directory(OpenError::NewerFormat { .. })), "{slot:?}: {error:?}");
            assert!(!path("new").join("sled").exists());
        }
    }
}

/// A later version can keep this one away from all that it writes, including the write-ahead log.
#[test]
fn settings_that_must_be_understood_refuse_the_store_before_its_log_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, left) = (directory.path().join("open"), directory.path().join("left"));
    let store = KeyStore::open(&path).unwrap();
    // What a kill leaves: a change in the write-ahead log that the database may lack.
    store.create(NewKey::for_owner("alice")).unwrap();
    copy_directory(&path, &left);
    let read = |name: &str| {
        database::edit(&left, |database| {
            database.open_tree("meta").unwrap().get(name).unwrap().map(|frame| frame.to_vec())
        })
    };
    let (head, settings) = (read("head"), read("store").unwrap());
    let write = |frame: Vec<u8>| {
        database::edit(&left, |database| database.open_tree("meta").unwrap().insert("store", frame).unwrap().unwrap())
    };
    let fixed = &settings[..settings.len() - 5];
    write(sealed([fixed, &[u8::try_from(CRITICAL.len()).unwrap()], &CRITICAL].concat()));
    let error = KeyStore::open(&left).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { .. }), "{error}");
    assert_eq!(read("head"), head, "nothing was replayed");
    write(settings);
    assert_eq!(KeyStore::open(&left).unwrap().health().last_durable, 1);
}
