//! `kill -9` during automatic rotations into a directory: the secret in the file verifies at every moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apikey::sink::DirectorySink;
use apikey::{KeyFilter, KeyInfo, KeyStore, NewKey, Overlap, RotationPolicy, Rotator};
use apikey_testkit::{Process, copy_directory};
use chrono::{TimeDelta, Utc};

use crate::child::{Role, command, ran_as_child, scratch, within};
use apikey_testkit::random::{Random, rounds, seed};

const TEST: &str = "rotate::rotate";
const LIMIT: Duration = Duration::from_secs(120);

fn sink(root: &Path) -> DirectorySink {
    DirectorySink::new(root.join("secrets"))
}

fn keys(store: &KeyStore) -> Vec<KeyInfo> {
    store.list(&KeyFilter::default()).unwrap().keys
}

/// The child's part: it rotates keys without a pause, whose overlaps end in different ways.
pub(crate) fn run_child(root: &Path) {
    let store = KeyStore::open(root.join("keys.db")).unwrap();
    // Every run is half a day later, so there is always a rotation due. The overlaps are longer than the test takes, in the
    // store's own time; they end with a later run.
    let every = RotationPolicy::every(TimeDelta::hours(12));
    let overlaps = [Overlap::For(TimeDelta::hours(6)), Overlap::For(TimeDelta::hours(11)), Overlap::UntilFirstUse];
    println!("\nchild: open");
    let rotator = Rotator::new(store.clone(), sink(root));
    // The next run delivers a first secret that a kill has kept from the sink.
    for overlap in overlaps.iter().skip(keys(&store).len()) {
        let created = rotator.create(NewKey::for_owner("crash").rotation(every.overlap(*overlap))).unwrap();
        assert_eq!(created.failed, None);
    }
    let begin = keys(&store).iter().filter_map(|key| key.rotation()).map(|rotation| rotation.due()).max();
    let mut now = begin.unwrap().max(Utc::now());
    loop {
        let report = rotator.run_due(now).unwrap();
        assert!(report.failed.is_empty(), "{report:?}");
        println!("\nchild: {} {}", report.rotated.len(), report.delivered.len());
        now += TimeDelta::hours(12);
        for key in keys(&store) {
            // The reader, whom an overlap until the first use needs.
            let token = std::fs::read_to_string(sink(root).path_of(&key).unwrap()).unwrap();
            store.verify(token.trim_end()).unwrap();
        }
    }
}

#[derive(Default, Debug)]
struct Tally {
    young: usize,
    rotations: u64,
    /// Kills that left an undelivered secret, and how many of those the file had already.
    waiting: usize,
    arrived: usize,
    /// Kills that left a file under its temporary name.
    unfinished: usize,
}

#[test]
fn rotate() {
    if ran_as_child() {
        return;
    }
    let (kills, seed) = (rounds("APIKEY_ROTATIONS", 24), seed());
    println!("rotate: {kills} kills, APIKEY_SEED={seed}");
    let mut tally = Tally::default();
    let mut directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    for round in 0..kills {
        if round % 20 == 0 {
            directory = tempfile::tempdir().unwrap();
        }
        let mut random = Random::fork(seed, round as u64);
        run_and_kill(directory.path(), &mut random);
        // A check repairs, and uses secrets. Mostly it works on a copy, so that the next process finds what the kill left.
        let copied = scratch();
        let root = match random.percent(75) {
            true => {
                copy_directory(directory.path(), copied.path());
                copied.path().to_owned()
            }
            false => directory.path().to_owned(),
        };
        let checked = within(LIMIT, move || check(&root));
        let (rotations, found) = checked.expect("the store opens, and every file's secret verifies");
        tally.rotations = tally.rotations.max(rotations);
        tally.young += usize::from(found.is_empty());
        for (waits, arrived, unfinished) in found {
            tally.waiting += usize::from(waits);
            tally.arrived += usize::from(waits && arrived);
            tally.unfinished += usize::from(unfinished);
        }
    }
    println!("rotate: {kills} kills, {tally:?}, no file whose secret did not verify; {:.0?}", begun.elapsed());
    assert!(tally.rotations > 5 && tally.young < kills / 2, "the processes were killed before they did anything");
    // A third of the kills leave an undelivered secret, so at least one of so many does.
    assert!(tally.waiting > 0, "no kill came between a secret and its delivery");
}

fn run_and_kill(root: &Path, random: &mut Random) {
    let mut process = Process::start(&mut command(TEST, &Role::Rotates { root: root.to_owned() }));
    if random.percent(10) {
        std::thread::sleep(Duration::from_micros(random.below(60_000) as u64));
    } else {
        for _ in 0..1 + random.below(12) {
            process.message(LIMIT).expect("the process goes on until it is killed");
        }
        std::thread::sleep(Duration::from_micros(random.below(8_000) as u64));
    }
    process.kill();
}

/// Checks the store after a kill. For each key: whether it has an undelivered secret, whether the file has that, and
/// whether a file was being written.
fn check(root: &Path) -> (u64, Vec<(bool, bool, bool)>) {
    let path = root.join("keys.db");
    let Ok(store) = KeyStore::builder().create_if_missing(false).open(&path) else {
        // Killed before the store was created; what it left must not stop the next process.
        assert!(!sink_files(root).iter().any(|(name, _)| !name.starts_with('.')), "no store, and a secret of it");
        return (0, Vec::new());
    };
    let files = sink_files(root);
    let mut found = Vec::new();
    let mut rotations = 0;
    let now = keys(&store).iter().filter_map(|key| key.rotation()).map(|rotation| rotation.due()).max();
    for key in keys(&store) {
        let Some(token) = files.get(&key.id().to_string()) else {
            // Killed before the first secret was delivered: the key has no reader.
            continue;
        };
        let pending = key.rotation().unwrap().pending();
        let verified = store.verify(token.trim_end()).unwrap_or_else(|error| {
            panic!("the secret in the file of {} is refused: {error}; {key:?}", key.id());
        });
        rotations += u64::from(key.version());
        let unfinished = files.contains_key(&format!(".{}.new", key.id()));
        found.push((pending.is_some(), pending == Some(verified.secret_version()), unfinished));
    }
    // The next run delivers the secret or replaces it, and the file's secret goes on verifying.
    let rotator = Rotator::new(store.clone(), sink(root));
    let report = rotator.run_due(now.unwrap_or_else(Utc::now)).unwrap();
    assert!(report.failed.is_empty(), "{report:?}");
    for key in keys(&store) {
        let token = std::fs::read_to_string(sink(root).path_of(&key).unwrap()).unwrap();
        let verified = store.verify(token.trim_end()).unwrap();
        assert_eq!((verified.secret_version(), verified.superseded()), (key.version(), false), "{key:?}");
        assert_eq!(key.rotation().unwrap().pending(), None);
    }
    assert!(sink_files(root).keys().all(|name| !name.starts_with('.')), "temporary files are gone");
    assert!(store.verify_events().unwrap().is_whole());
    store.close().unwrap();
    (rotations, found)
}

fn sink_files(root: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(root.join("secrets")) else { return BTreeMap::new() };
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}
