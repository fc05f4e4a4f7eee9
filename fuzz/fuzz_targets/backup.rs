//! Backup files, as bytes and with their checksums healed step by step.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use apikey_core::BackupError;
use apikey_core::fuzzing::{Contents, Stored, read_backup};
use apikey_fuzz::archive::{self, Item, heal_all, heal_digest, heal_frames, split};
use apikey_fuzz::damage::{Dice, damage};
use apikey_fuzz::memory::bounded;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary directory"));
static FILE: LazyLock<PathBuf> = LazyLock::new(|| DIRECTORY.path().join("file.backup"));

fuzz_target!(|data: &[u8]| {
    check(data);
    heal_digest(data).map(|file| check(&file));
    heal_frames(data).map(|file| check(&file));
    let Some(file) = heal_all(data).filter(|file| check(file)) else { return };
    // The file is sound, so the same file with any damage must not be.
    let mut dice = Dice::of(&file);
    for _ in 0..4 {
        let bad = damage(&file, &mut dice);
        assert!(bad == file || !check(&bad), "damage was not noticed");
    }
    // Nor may a file be sound that lacks a record or an event, or has it twice or in another place, with a right digest.
    let items = split(&file).expect("it was just joined").0;
    let counted: Vec<usize> = (0..items.len()).filter(|at| b"RAE".contains(&items[*at].0)).collect();
    if !counted.is_empty() {
        let at = counted[dice.below(counted.len())];
        let mut fewer = items.clone();
        let one = fewer.remove(at);
        let mut more = items.clone();
        more.insert(at, one);
        let mut other = items;
        other.swap(at, counted[dice.below(counted.len())]);
        for (changed, what) in [(&fewer, "missing"), (&more, "doubled")] {
            assert!(!check(&archive::join(changed)), "a {what} item was not noticed");
        }
        // With counts and sums that agree, the rest must.
        for changed in [fewer, more, other] {
            heal_all(&archive::join(&changed)).map(|file| check(&file));
        }
    }
});

/// Whether the reader accepts the file. It must then have read what the other reader finds.
fn check(file: &[u8]) -> bool {
    fs::write(&*FILE, file).expect("room in the temporary directory");
    // Two passes with a buffer of 1 MiB each, one item at a time, and all amendments.
    let peak = (2 << 20) + 8 * file.len();
    let read = bounded(peak, 2 * peak + 64 * file.len(), || read_backup(&FILE));
    match read {
        Ok(contents) => agree(file, &contents),
        Err(BackupError::Damaged { .. } | BackupError::NewerFormat { .. } | BackupError::OldFormat { .. }) => {
            return false;
        }
        Err(other) => panic!("{other}"),
    }
    true
}

fn agree(file: &[u8], contents: &Contents) {
    let (items, sound) = split(file).expect("a backup that is whole");
    assert!(sound && file.ends_with(&contents.digest));
    let place = |tag: &u8| b"MRAEUT".iter().position(|known| known == tag);
    assert!(items.iter().filter_map(|(tag, _)| place(tag)).is_sorted());
    // A later version writes a small letter for an item that may be passed over.
    assert!(
        items.iter().all(|(tag, _)| place(tag).is_some() || tag.is_ascii_lowercase()),
        "an item that must be known"
    );
    let records = archive::records(&items).expect("whole items");
    let sum = records.values().fold(0u128, |sum, frame| sum.wrapping_add(archive::hash(frame)));
    assert_eq!(contents.head, (records.len() as u64, sum));
    for (id, frame) in &records {
        assert_eq!(Stored::decode(b'K', frame).and_then(|record| record.id()), Some(*id));
    }
    assert_eq!(contents.records, records.into_iter().collect::<Vec<_>>());
    let of = |wanted| items.iter().filter(move |(tag, _): &&Item| *tag == wanted).map(|(_, content)| content);
    assert_eq!(of(b'M').count(), 1);
    let opens = |frame: &Vec<u8>| frame.is_empty() || Stored::decode(b'M', frame).is_some();
    assert!(of(b'M').all(opens), "settings that no store can be opened with");
    assert!(of(b'E').eq(contents.events.iter().map(|(_, frame)| frame)));
    assert!(contents.events.is_sorted_by(|(one, _), (next, _)| one < next));
    for (number, frame) in &contents.events {
        assert_eq!(Stored::decode(b'E', frame).and_then(|event| event.number()), Some(*number));
    }
    assert!(of(b'U').cloned().eq(contents.uses.iter().map(|(key, second)| [&key[..], &second.to_le_bytes()].concat())));
}
