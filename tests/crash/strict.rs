//! The power fails while keys use strict quotas: none of a use that passed comes back.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use apikey::{KeyFilter, KeyId, KeyStore, NewKey, Quota};
use apikey_testkit::Process;
use apikey_testkit::power::shim;
use apikey_testkit::power::{Recording, Style, same};
use apikey_testkit::random::{Random, rounds, seed};

use crate::child::{Role, command, ran_as_child, scratch};

const TEST: &str = "strict::strict";
const KEYS: usize = 4;
const COUNT: u64 = 1_000;
/// The uses that are reserved at most and not used.
const BLOCK: u64 = COUNT / 100;
const CUTS_OF_A_RECORDING: usize = 20;
/// How long a recorded process uses its keys.
const RUN: Duration = Duration::from_millis(1_500);

/// The child's part: it creates keys with quotas, and uses them; and logs which key has passed how often.
pub(crate) fn run_child(path: &Path, close: bool) {
    let mut recording = shim::recording();
    let store = KeyStore::open(path).unwrap();
    let new = || NewKey::for_owner("crash").quota(Quota::total(COUNT).strict());
    let keys: Vec<_> = (0..KEYS).map(|_| store.create(new()).unwrap()).collect();
    let mut used = [0u64; KEYS];
    let end = Instant::now() + RUN;
    while Instant::now() < end {
        for (key, used) in keys.iter().zip(&mut used) {
            *used += u64::from(store.verify(key.key.expose_secret()).is_ok());
            // In one write, so that a cut is before it or after it.
            recording.write_all(format!("{} {used}\n", key.info.id()).as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if !close {
        std::process::exit(0);
    }
    store.close().unwrap();
}

#[test]
fn strict() {
    if ran_as_child() {
        return;
    }
    let (cuts, seed) = (rounds("APIKEY_STRICT_CUTS", 40), seed());
    println!("strict: {cuts} cuts, APIKEY_SEED={seed}");
    let (mut passed, mut lost) = (0, 0);
    for recorded in 0..cuts.div_ceil(CUTS_OF_A_RECORDING) {
        let mut random = Random::fork(seed, recorded as u64);
        let recording = record(&mut random);
        for _ in 0..CUTS_OF_A_RECORDING.min(cuts - recorded * CUTS_OF_A_RECORDING) {
            let cut = recording.some_moment(&mut random);
            let style = [Style::Dropped, Style::Torn, Style::Any][random.below(3)];
            let directory = scratch();
            recording.rebuild(cut, style, &mut random, directory.path());
            let path = directory.path().join("keys.db");
            if !path.exists() {
                continue;
            }
            let store = KeyStore::open(&path).unwrap();
            let mut uses: BTreeMap<KeyId, u64> = BTreeMap::new();
            for line in recording.lines(cut) {
                let (id, used) = line.split_once(' ').unwrap();
                uses.insert(id.parse().unwrap(), used.trim().parse().unwrap());
            }
            for (key, logged) in uses {
                let held = store.quota_status_of(key).unwrap().unwrap().used();
                // Opening has reserved nothing of it that counts as used.
                assert!(held >= logged, "{held} after the cut {cut} ({style:?}), and {logged} before");
                // A use that passed at the cut may not be logged.
                assert!(held <= logged + BLOCK + 1, "{held} after the cut {cut} ({style:?}), and {logged} before");
                passed += logged;
                lost = lost.max(held - logged);
            }
        }
    }
    println!("strict: {passed} uses before the cuts, {lost} at most lost by one of them");
    assert!(passed > 0, "no cut came after a use");
}

/// Without syncs a cut takes the keys and their uses away, so the test can fail.
#[test]
fn a_strict_quota_that_is_not_synced_gives_back() {
    if ran_as_child() {
        return;
    }
    let mut random = Random::new(seed());
    let recording = record_as("strict::a_strict_quota_that_is_not_synced_gives_back", &mut random).without_syncs();
    let directory = scratch();
    recording.rebuild(recording.end(), Style::Dropped, &mut random, directory.path());
    let path = directory.path().join("keys.db");
    let held = match KeyStore::open(&path) {
        Ok(store) => store.list(&KeyFilter::owner("crash")).unwrap().keys.len(),
        Err(_) => 0,
    };
    assert!(held < KEYS, "everything was on the disk");
}

fn record(random: &mut Random) -> Recording {
    record_as(TEST, random)
}

fn record_as(test: &str, random: &mut Random) -> Recording {
    let directory = scratch();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let log = directory.path().join("log");
    let role = Role::UsesStrict { store: root.join("keys.db"), close: random.percent(50) };
    let mut command = command(test, &role);
    shim::put_into(&mut command, &root, Some(&log));
    let status = Process::start(&mut command).wait();
    assert!(status.success(), "the recorded process ended with {status}");
    let recording = Recording::read(&std::fs::read(&log).unwrap(), &root, None);
    let replayed = directory.path().join("replayed");
    recording.replay(&replayed);
    if let Err(difference) = same(&root, &replayed) {
        panic!("the recording is incomplete: {difference}");
    }
    recording
}
