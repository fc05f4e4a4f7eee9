//! The power fails at a random moment: acknowledged changes survive, and the store opens.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use apikey::NewKey;
use apikey_testkit::{Process, copy_directory};

use crate::check::{Fault, Kind, Tally, fault, open, open_and_check};
use crate::child::{Role, command, ran_as_child, scratch, within};
use crate::model::Expected;
use crate::work::parse_line;
use apikey_testkit::power::shim;
use apikey_testkit::power::{Recording, Style, same};
use apikey_testkit::random::{Random, rounds, seed};

const TEST: &str = "power::power";
const CUTS_OF_A_RECORDING: usize = 25;
const RECORDINGS: usize = 6;
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Counts {
    cuts: [usize; 3],
    creation: usize,
    snapshot: usize,
    again: usize,
    acknowledged: usize,
    loose: usize,
}

#[test]
fn power() {
    if ran_as_child() {
        return;
    }
    let (cuts, seed) = (rounds("APIKEY_CUTS", 60), seed());
    println!("power: {cuts} cuts, APIKEY_SEED={seed}");
    let begun = Instant::now();
    let (mut tally, mut counts) = (Tally::default(), Counts::default());
    let mut recordings = 0;
    // What a cut left, for the next recording to continue.
    let mut left: Option<(tempfile::TempDir, Expected)> = None;
    let mut cut = 0;
    while cut < cuts {
        let mut random = Random::fork(seed, recordings as u64);
        let base = left.take().filter(|_| random.percent(60));
        counts.again += usize::from(base.is_some());
        let (recording, known, recorded) = record(TEST, &mut random, base);
        recordings += 1;
        let mut failed = false;
        for _ in 0..CUTS_OF_A_RECORDING.min(cuts.div_ceil(RECORDINGS)).min(cuts - cut) {
            let style = [Style::Dropped, Style::Torn, Style::Any][cut % 3];
            let place = format!("in cut {cut} ({style:?}) of recording {} of seed {seed}", recordings - 1);
            match one_cut(&recording, &known, style, &mut random, &mut counts) {
                Ok(kept) => left = kept.or(left),
                Err((fault, directory)) => {
                    failed = true;
                    tally.add(&fault, &format!("{place}, kept in {}", directory.keep().display()));
                }
            }
            cut += 1;
        }
        if failed {
            println!("power: recording {} is kept in {}", recordings - 1, recorded.keep().display());
        }
        if recordings % 20 == 0 {
            println!("power: {cut} cuts in {:.0?}, {:?}", begun.elapsed(), tally.counts);
        }
    }
    let [dropped, torn, any] = counts.cuts;
    println!(
        "power: {cuts} cuts of {recordings} recordings ({} of which begin after a cut): {dropped} with all unsynced \
         dropped, {torn} torn, {any} any; {} within a first creation, {} within the writing of a snapshot; {} \
         acknowledged changes and {} unsynced steps at the cuts; {} lost, {} resurrected, {} unopenable, all faults \
         {:?}; {:.0?}",
        counts.again,
        counts.creation,
        counts.snapshot,
        counts.acknowledged,
        counts.loose,
        tally.count(Kind::Lost),
        tally.count(Kind::Resurrected),
        tally.count(Kind::Unopenable),
        tally.counts,
        begun.elapsed()
    );
    assert!(counts.acknowledged > cuts && counts.loose > cuts, "no cut could have lost anything");
    assert!(counts.creation > 0 && counts.snapshot > 0, "no cut fell into a first creation, or into a snapshot");
    tally.assert_none();
}

/// Records one to three runs of the process, each closed or not, on a new store or on one that a cut left.
fn record(
    test: &str,
    random: &mut Random,
    base: Option<(tempfile::TempDir, Expected)>,
) -> (Recording, Expected, tempfile::TempDir) {
    let directory = scratch();
    let root = directory.path().join("root");
    let store = root.join("keys.db");
    fs::create_dir(&root).unwrap();
    let (before, known) = match &base {
        Some((before, known)) => {
            copy_directory(before.path(), &root);
            (Some(before.path()), known.clone())
        }
        None => (None, Expected::default()),
    };
    let log = directory.path().join("log");
    for _ in 0..1 + random.below(3) {
        let role = Role::Recorded {
            store: store.clone(),
            seed: random.number() >> 16,
            operations: 2 + random.below(40),
            close: random.percent(50),
        };
        let mut command = command(test, &role);
        shim::put_into(&mut command, &root, Some(&log));
        let status = Process::start(&mut command).wait();
        assert!(status.success(), "the recorded process ended with {status}");
    }
    let recording = Recording::read(&fs::read(&log).unwrap(), &root, before);
    assert_eq!(recording.unsynced_at_snapshots(), 0, "a snapshot began before the data in it was on disk");
    let replayed = directory.path().join("replayed");
    recording.replay(&replayed);
    if let Err(difference) = same(&root, &replayed) {
        panic!("the recording is incomplete: {difference}");
    }
    if let Some(base) = before {
        copy_directory(base, &directory.path().join("base"));
    }
    (recording, known, directory)
}

type Kept = Option<(tempfile::TempDir, Expected)>;

/// Cuts the power once and checks the store. Sometimes keeps what the cut left.
fn one_cut(
    recording: &Recording,
    known: &Expected,
    style: Style,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<Kept, (Fault, tempfile::TempDir)> {
    let cut = recording.some_moment(random);
    counts.cuts[style as usize] += 1;
    counts.creation += usize::from(recording.creation.is_some_and(|until| cut <= until + 3));
    counts.snapshot += usize::from(recording.snapshots.iter().any(|range| range.contains(&cut)));
    let directory = scratch();
    counts.loose += recording.rebuild(cut, style, random, directory.path());
    let mut expected = known.clone();
    for line in &recording.lines(cut).filter_map(parse_line).collect::<Vec<_>>() {
        expected.apply(line);
    }
    expected.crash();
    counts.acknowledged += expected.acknowledged;
    let untouched = scratch();
    copy_directory(directory.path(), untouched.path());
    let store = directory.path().join("keys.db");
    let expected = expected.clone();
    let checked = within(LIMIT, move || {
        let (found, now) = open_and_check(&store, &expected)?;
        go_on(&store, now).map(|()| found)
    });
    match checked {
        None => Err((Fault { kind: Kind::Hang, text: "the open hangs".into() }, untouched)),
        Some(Err(fault)) => Err((fault, untouched)),
        // A second recovery of the same bytes finds the same.
        Some(Ok(found)) => Ok(random.percent(20).then_some((untouched, found))),
    }
}

/// Changes the recovered store, closes it, and checks it again.
fn go_on(directory: &Path, mut expected: Expected) -> Result<(), Fault> {
    let store = open(directory)?;
    let created = match store.create(NewKey::for_owner("crash").name("after the cut")) {
        Ok(created) => created,
        Err(error) => return fault(Kind::Unopenable, format!("it refuses changes: {error}")),
    };
    if let Err(error) = store.close() {
        return fault(Kind::Unopenable, format!("it does not close: {error}"));
    }
    let token = Some(created.key.expose_secret().to_owned());
    let key = crate::model::Key::new("after the cut", &[], 0, token);
    expected.keys.insert(created.info.id().to_string(), key);
    open_and_check(directory, &expected).map(drop)
}

/// The same cuts find losses where a process does not sync, so the test can fail.
#[test]
fn a_process_that_does_not_sync_loses() {
    if ran_as_child() {
        return;
    }
    let mut random = Random::new(seed());
    let (recording, known, _) = record("power::a_process_that_does_not_sync_loses", &mut random, None);
    let recording = recording.without_syncs();
    let mut expected = known;
    recording.lines(recording.end()).filter_map(parse_line).for_each(|line| expected.apply(&line));
    expected.crash();
    assert!(expected.acknowledged > 0);
    let mut kinds = Vec::new();
    for style in [Style::Dropped, Style::Torn, Style::Any, Style::Torn, Style::Any] {
        let directory = scratch();
        recording.rebuild(recording.end(), style, &mut random, directory.path());
        kinds.extend(open_and_check(&directory.path().join("keys.db"), &expected).err().map(|fault| fault.kind));
    }
    assert!(kinds.contains(&Kind::Lost) || kinds.contains(&Kind::Resurrected), "{kinds:?}");
}
